/* A call that is refused, three functions deep; compiled without frame pointers. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#define DEEP __attribute__((noinline, noclone))

DEEP int set_region(int vm, int slot, unsigned long nbytes)
{
	struct kvm_userspace_memory_region region = { .slot = slot, .memory_size = nbytes };
	volatile int result = ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);

	return result + 1;
}

DEEP int add_ram(int vm)
{
	volatile char room[3000]; /* the frame is found behind any number of bytes */
	volatile int result;

	room[17] = 1;
	result = set_region(vm, 3, 100);
	return result + room[17];
}

int main(void)
{
	int vm = ioctl(open("/dev/kvm", O_RDWR), KVM_CREATE_VM, 0);

	set_region(vm, 1, 0x100000);
	return add_ram(vm) == 99;
}
