/* The calls of benchmarks/live.py in C, as a shared object that runs them on the same VM. */
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* Seconds for so many changes of the flags of slot 0; negative if one is refused. */
double flags_only(int vm, unsigned long memory, int calls)
{
    struct kvm_userspace_memory_region r = { 0, 0, 0, 4096, memory };
    double start = now();

    for (int i = 0; i < calls; i++) {
        r.flags ^= KVM_MEM_LOG_DIRTY_PAGES;
        if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r))
            return -1;
    }
    return now() - start;
}

/* Seconds for making slots [first, end). */
double fill(int vm, unsigned long memory, int first, int end)
{
    struct kvm_userspace_memory_region r = { 0, 0, 0, 4096, memory };
    double start = now();

    for (int i = first; i < end; i++) {
        r.slot = i;
        r.guest_phys_addr = (unsigned long)i << 13;
        if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r))
            return -1;
    }
    return now() - start;
}
