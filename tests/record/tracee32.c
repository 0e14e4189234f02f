/*
 * A 32-bit program without a C library: slot 0, a slot that overlaps it, a deletion, an unreadable argument.
 * Built with gcc -m32 -nostdlib -static; exits with 7, or with 1 where there is no /dev/kvm.
 */
struct region {
    unsigned slot, flags;
    unsigned long long guest_phys_addr, memory_size, userspace_addr;
};

static long call(long number, long a, long b, long c)
{
    long result;

    __asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

enum { EXIT = 1, OPEN = 5, IOCTL = 54, KVM_CREATE_VM = 0xAE01, KVM_SET_USER_MEMORY_REGION = 0x4020AE46 };

static char memory[1 << 14] __attribute__((aligned(4096)));

void _start(void)
{
    struct region first = { 0, 1, 0x1000, 0x2000, (unsigned long)memory };
    struct region second = { 1, 0, 0x2000, 0x1000, (unsigned long)memory };
    long device = call(OPEN, (long)"/dev/kvm", 2, 0), vm;

    if (device < 0)
        call(EXIT, 1, 0, 0);
    vm = call(IOCTL, device, KVM_CREATE_VM, 0);
    call(IOCTL, vm, KVM_SET_USER_MEMORY_REGION, (long)&first);
    call(IOCTL, vm, KVM_SET_USER_MEMORY_REGION, (long)&second);
    first.memory_size = 0;
    call(IOCTL, vm, KVM_SET_USER_MEMORY_REGION, (long)&first);
    call(IOCTL, vm, KVM_SET_USER_MEMORY_REGION, 16);
    call(EXIT, 7, 0, 0);
}
