/*
 * Replays region calls on the real KVM: the peer of the replay benchmark.
 *
 * Reads 32-byte records (struct kvm_userspace_memory_region) from a file; the
 * first argument is the file, the second how many of them fill the VM.  Prints
 * microseconds a call of the fill and of the rest, and a checksum of the errnos.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	long nfill = argc > 2 ? atol(argv[2]) : 0, n, i;
	struct kvm_userspace_memory_region *calls;
	unsigned long sum = 0;
	double start, middle, end;
	FILE *f;
	int vm;

	f = fopen(argv[1], "rb");
	if (!f)
		return 2;
	fseek(f, 0, SEEK_END);
	n = ftell(f) / sizeof(*calls);
	rewind(f);
	calls = malloc(n * sizeof(*calls));
	if (fread(calls, sizeof(*calls), n, f) != (size_t)n)
		return 2;
	vm = ioctl(open("/dev/kvm", O_RDWR), KVM_CREATE_VM, 0ul);
	if (vm < 0)
		return 4;
	start = now();
	for (i = 0; i < nfill; i++)
		ioctl(vm, KVM_SET_USER_MEMORY_REGION, &calls[i]);
	middle = now();
	for (; i < n; i++)
		if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &calls[i]))
			sum = sum * 31 + errno;
		else
			sum = sum * 31;
	end = now();
	printf("%.4f %.4f %lu\n", nfill ? (middle - start) / nfill : 0, (end - middle) / (n - nfill), sum);
	return 0;
}
