/* Sets a slot again and again, and writes one line for each call that came back: FILE CALLS THREADS */
#include "common.h"

struct region { uint32_t slot, flags; uint64_t guest_phys_addr, memory_size, userspace_addr; };
static int vm, out, calls;
static void *memory;

static void *work(void *argument)
{
    long slot = (long)argument;
    for (int i = 0; i < calls; i++) {
        struct region r = { slot, i & 1, (uint64_t)slot << 24, 0x10000, (uintptr_t)memory };
        char line[32];
        int failed = ioctl(vm, 0x4020AE46, &r) ? errno : 0;
        int n = snprintf(line, sizeof line, "%ld %d\n", slot, failed);
        if (write(out, line, n) != n)
            _exit(9);
    }
    return 0;
}

int main(int argc, char **argv)
{
    pthread_t t[16];
    int count = atoi(argv[3]);
    calls = atoi(argv[2]);
    /* a stop that comes while a VM is made ends the call with EINTR, traced or not */
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    do vm = ioctl(kvm, CREATE_VM, 0); while (vm < 0 && errno == EINTR);
    memory = mmap(0, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    out = open(argv[1], O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0644);
    for (long i = 0; i < count; i++)
        pthread_create(&t[i], 0, work, (void *)i);
    for (int i = 0; i < count; i++)
        pthread_join(t[i], 0);
    return argc > 4 ? atoi(argv[4]) : 0;
}
