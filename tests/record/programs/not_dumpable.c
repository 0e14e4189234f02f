/* Forbids others to look into it, then makes calls on no VM: itself, from a thread, from a child. */
#include "common.h"

struct region { uint32_t slot, flags; uint64_t guest_phys_addr, memory_size, userspace_addr; };

static void *call(void *slot)
{
    struct region r = { (long)slot, 0, 0, 4096, 0 };
    ioctl(-1, 0x4020AE46, &r);
    return 0;
}

int main(void)
{
    pthread_t t;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    call((void *)1);
    pthread_create(&t, 0, call, (void *)2);
    pthread_join(t, 0);
    if (!fork()) {
        call((void *)3);
        _exit(0);
    }
    wait(0);
    return 3;
}
