/* A monitor of fifty lines: main memory with a hole for the APIC, one vCPU, three instructions.
 *
 *   gcc -o small_vmm small_vmm.c
 *   memslots emulate --kernel 5.10/x86_64 -- ./small_vmm
 *   memslots sweep -- ./small_vmm
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static int vm;

static int check(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

static void map(unsigned slot, unsigned long gpa, unsigned long size, void *memory)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot, .guest_phys_addr = gpa, .memory_size = size,
        .userspace_addr = (unsigned long)memory,
    };
    check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

int main(void)
{
    static const unsigned char program[] = { 0xb0, 0x2a, 0xe6, 0x10, 0xf4 }; /* mov out hlt */
    int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm"), vcpu;
    char *low = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *high = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int run_bytes = check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    struct kvm_run *run;

    vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    map(0, 0, 1 << 20, low);
    map(1, 1UL << 32, 1 << 20, high);
    memcpy(low + 0xff000, program, sizeof program);
    vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    run = mmap(NULL, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    check(run == MAP_FAILED ? -1 : 0, "mmap of the vCPU");
    check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    printf("exit %u\n", run->exit_reason);
    return 0;
}
