/* A monitor that minds its errors badly, a different way at each place.
 *
 *   slot 0   main memory: tells of a failure and ends                          (clean error)
 *   slot 1   tries once more                                                   (success)
 *   slot 2   ignores a failure                                                 (a guest without it)
 *   slot 3   takes a failure for impossible and writes through a null pointer  (crash)
 *   slot 4   waits for it to succeed                                           (hang)
 *   last     deletes slot 1, and does not look whether that worked             (left in place)
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int vm;
static char *memory;

static int set(unsigned slot, unsigned long size)
{
    struct kvm_userspace_memory_region r = { slot, 0, slot << 20, size, (unsigned long)memory };
    return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

int main(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0) {
        perror("KVM_CREATE_VM");
        return 2;
    }
    memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (set(0, 1 << 20)) {
        perror("no main memory");
        return 1;
    }
    if (set(1, 1 << 20) && set(1, 1 << 20))
        return 1;
    set(2, 1 << 16);
    if (set(3, 1 << 12))
        *(volatile int *)0 = 1;
    if (set(4, 1 << 12))
        for (;;)
            pause();
    set(1, 0);
    return 0;
}
