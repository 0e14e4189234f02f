/* A program that calls as a VMM does, for benchmarks/recorder.py.
 *
 * vmm_loop REGIONS EXITS OTHERS: so many region calls, after each so many KVM_RUN and so many other
 * system calls.  Prints the seconds that the loop took.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    int regions = argc > 1 ? atoi(argv[1]) : 2000, exits = argc > 2 ? atoi(argv[2]) : 50;
    int others = argc > 3 ? atoi(argv[3]) : 50;
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0);
    void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region region = { 0, 0, 0, 1 << 20, (unsigned long)memory };
    double start;

    if (vm < 0) {
        perror("KVM_CREATE_VM");
        return 77;
    }
    start = now();
    for (int i = 0; i < regions; i++) {
        region.flags ^= KVM_MEM_LOG_DIRTY_PAGES;
        if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
            return 1;
        for (int j = 0; j < exits; j++)
            ioctl(vm, KVM_RUN, 0); /* ENOTTY on a VM, and as cheap as a KVM_RUN that ends at once */
        for (int j = 0; j < others; j++)
            syscall(SYS_getppid);
    }
    printf("%.6f\n", now() - start);
    return 0;
}
