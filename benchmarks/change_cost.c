/*
 * change_cost: how long one change of a VM's memory slots takes, by the number of slots.
 *
 * Prints  @ <slots> <kind of change> <nanoseconds a change>  for each kind and number: the lower quartile of
 * many turns, which go over the VMs of all numbers, so that all see the same weather.  As process 1 of an initramfs it loads the modules that /asker/modules names, as the
 * asking program of memslots.verify.farm does, prints to the console and powers off.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <linux/kvm.h>

#define TURNS 31
#define MOST 8
#define PAGE 4096UL

static const int NUMBERS[MOST] = { 10, 50, 100, 250, 500, 2000, 8000, 32000 };
static uint64_t memory;
static const char *const KINDS[] = { "create", "delete", "move", "flags" };
static double turns[MOST][4][TURNS];
static int vm, changes = 10;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int set(int slot, uint64_t gfn, uint64_t pages, uint32_t flags)
{
	struct kvm_userspace_memory_region r = { slot, flags, gfn * PAGE, pages * PAGE, memory };

	return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

/* Nanoseconds a change; `other` is a slot number that is free, `middle` one that is taken. */
static double turn(const char *kind, int other, int middle)
{
	uint64_t far = 2UL * other + 100;
	double start, spent = 0;
	int failed = 0;

	for (int i = 0; i < changes; i++) {
		if (!strcmp(kind, "create")) {
			start = now();
			failed |= set(other, far, 1, 0);
			spent += now() - start;
			failed |= set(other, 0, 0, 0);
		} else if (!strcmp(kind, "delete")) {
			failed |= set(other, far, 1, 0);
			start = now();
			failed |= set(other, 0, 0, 0);
			spent += now() - start;
		} else if (!strcmp(kind, "move")) {
			start = now();
			failed |= set(middle, i % 2 ? 2UL * middle : far, 1, 0);
			spent += now() - start;
		} else {
			start = now();
			failed |= set(middle, 2UL * middle, 1, i % 2 ? 0 : KVM_MEM_LOG_DIRTY_PAGES);
			spent += now() - start;
		}
	}
	return failed ? -1 : spent / changes;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const int *vms, int count)
{
	for (int t = -1; t < TURNS; t++)
		for (int n = 0; n < count; n++)
			for (int k = 0; k < 4; k++) {
				double cost;

				vm = vms[n];
				cost = turn(KINDS[k], NUMBERS[n], NUMBERS[n] / 2);
				if (t >= 0) /* the first turn warms up */
					turns[n][k][t] = cost;
			}
	for (int n = 0; n < count; n++)
		for (int k = 0; k < 4; k++) {
			qsort(turns[n][k], TURNS, sizeof(double), by_size);
			printf("@ %d %s %.0f\n", NUMBERS[n], KINDS[k], turns[n][k][TURNS / 4]);
		}
}

static void as_process_1(void)
{
	static char line[512];
	int console;
	FILE *modules;

	mount("dev", "/dev", "devtmpfs", 0, NULL);
	console = open("/dev/console", O_RDWR);
	dup2(console, 1);
	dup2(console, 2);
	modules = fopen("/asker/modules", "r");
	while (modules && fgets(line, sizeof(line), modules)) {
		char *arguments;
		int fd;

		line[strcspn(line, "\n")] = 0;
		arguments = strchr(line, ' ');
		if (arguments)
			*arguments++ = 0;
		fd = open(line, O_RDONLY);
		if (fd < 0 || syscall(SYS_finit_module, fd, arguments ? arguments : "", 0))
			printf("cannot load %s\n", line);
		close(fd);
	}
	mount("dev", "/dev", "devtmpfs", 0, NULL);
}

int main(void)
{
	int kvm, most, count = 0, vms[MOST];

	if (getpid() == 1)
		as_process_1();
	kvm = open("/dev/kvm", O_RDWR);
	if (kvm < 0) {
		perror("/dev/kvm");
	} else {
		memory = (uint64_t)mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		most = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
		for (; count < MOST && NUMBERS[count] < most; count++) {
			vms[count] = vm = ioctl(kvm, KVM_CREATE_VM, 0);
			for (int made = 0; made < NUMBERS[count]; made++)
				if (set(made, 2UL * made, 1, 0))
					perror("fill");
		}
		printf("@ slots %d\n", most);
		measure(vms, count);
		printf("@ done\n");
	}
	fflush(stdout);
	if (getpid() == 1)
		reboot(RB_POWER_OFF);
	return 0;
}
