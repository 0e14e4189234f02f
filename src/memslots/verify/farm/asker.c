/*
 * asker: asks the running kernel what KVM answers to scripted guest-memory calls.
 *
 * One static binary.  As an ordinary program it reads the script it is given and
 * prints the answers.  As process 1 of an initramfs it mounts the pseudo file
 * systems, loads the modules that /asker/modules names, runs /asker/script, writes to
 * the console and powers the machine off.  No guest ever runs: only the calls.
 *
 * The script, made by script.py, line by line:
 *
 *   L <pages>    do not ask for slots once the live pages of a VM would exceed this
 *                (answer "skip", and the sequence ends: some kernels allocate 4 to 10
 *                bytes a page, and running out of memory says nothing about KVM)
 *   T <seconds>  alarm for one sequence
 *   V            write each answer at once, to see where a kernel crashes
 *   C            answer get_dirty with a checksum of the whole bitmap too
 *   P            probe: report the kernel's own page total ("pages") and each new
 *                budget of the shadow MMU ("budget") with the call that led to it
 *   S <n>        sequence n begins
 *   <op> <operand>...
 *   E            it ends, and is now run in a child process
 *
 * An operand is a sum or difference of terms; a term is a number (decimal, 0x...),
 * perhaps followed by P (times the page size), or
 *   map:N   the Nth host window, 0x20000000 + N * 64 MiB, mapped or not
 *   MAXS    slots the kernel offers      MAXAS  address spaces
 *   ULMAX   the largest unsigned long
 *
 * Each answer is one line  @{"s":sequence,"i":op,"r":result[,"e":errno][,...]}
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <linux/kvm.h>

typedef uint64_t u64;
typedef uint32_t u32;

/* ---- parts of the interface newer than the headers this may be built with */

struct region2 {
	u32 slot, flags;
	u64 gpa, nbytes, hva, gmem_offset;
	u32 gmem_fd, pad1;
	u64 pad2[14];
};
struct attributes { u64 gpa, nbytes, attributes, flags; };
struct gmem { u64 nbytes, flags, reserved[6]; };
struct prefault { u64 gpa, nbytes, flags, pad[5]; };

#define SET_REGION2    _IOW(KVMIO, 0x49, struct region2)
#define SET_ATTRIBUTES _IOW(KVMIO, 0xd2, struct attributes)
#define CREATE_GMEM    _IOWR(KVMIO, 0xd4, struct gmem)
#define PREFAULT       _IOWR(KVMIO, 0xd5, struct prefault)
#define RESET_RINGS    _IO(KVMIO, 0xc7)

#define CAP_NR_MEMSLOTS   10ul
#define CAP_ADDRESS_SPACE 118ul
#define MOST_CAPS         320
#define WALL_CLOCK_MSR    0x11

#define MAP_BASE   0x20000000ul
#define MAP_STEP   0x04000000ul
#define MOST_WINDOWS 16
#define HEAP_ROOM  0x01000000ul
#define MOST_VMS   8
#define MOST_VCPUS 16
#define MOST_GMEMS 32
#define MOST_LIVE  2048
#define MOST_LINES 8192
#define MOST_WORDS 24
#define BITMAP_BYTES (1u << 20)	/* a slot of up to 2^23 pages */
#define PATTERN 0xa5		/* what the bitmap buffer holds before the call */

/* bitmaps are arrays of longs: on big-endian machines the bytes are swapped */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define SWIZZLE (sizeof(long) - 1)
#else
#define SWIZZLE 0
#endif

/* ---- output ------------------------------------------------------------- */

#define OUT_BYTES (1u << 20)
static int out_fd = 1;
static char *out_buffer;	/* shared with the child of each sequence */
static volatile u32 *out_used;

static void out(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void out(const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(out_buffer + *out_used, OUT_BYTES - *out_used, format, arguments);
	va_end(arguments);
	if (n > 0 && *out_used + (u32)n < OUT_BYTES)
		*out_used += n;
}

static void out_flush(void)
{
	const char *p = out_buffer;
	size_t left = *out_used;

	while (left) {
		ssize_t n = write(out_fd, p, left);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			break;
		if (n > 0) {
			p += n;
			left -= n;
		}
	}
	*out_used = 0;
}

static void out_string(const char *s)	/* as JSON */
{
	out("\"");
	for (; *s; s++) {
		unsigned char c = *s;

		if (c == '"' || c == '\\')
			out("\\%c", c);
		else if (c < 32 || c > 126)
			out("\\u%04x", c);
		else
			out("%c", c);
	}
	out("\"");
}

/* ---- the state of one sequence ------------------------------------------ */

struct vm {
	int fd;
	int vcpu[MOST_VCPUS], vcpus;
	struct { u32 id; u64 npages; } live[MOST_LIVE];
	int lives;
	u64 npages;
};

static int sys_fd = -1;
static struct vm vms[MOST_VMS];
static int vm_count, current = -1;
static int gmems[MOST_GMEMS], gmem_count;
static u64 limit_pages = ~0ull;
static u64 page_bytes;
static u64 max_slots = 32, max_spaces = 1;
static unsigned char *bitmap;
static int verbose, with_checksum;

static struct vm *vm(void) { return current >= 0 ? &vms[current] : NULL; }
static int vm_fd(void) { return current >= 0 ? vms[current].fd : -1; }

static int vcpu_fd(void)
{
	struct vm *v = vm();

	return v && v->vcpus ? v->vcpu[v->vcpus - 1] : -1;
}

static void close_vm(int n)
{
	int k;

	for (k = 0; k < vms[n].vcpus; k++)
		if (vms[n].vcpu[k] >= 0)
			close(vms[n].vcpu[k]);
	if (vms[n].fd >= 0)
		close(vms[n].fd);
	memset(&vms[n], 0, sizeof(vms[n]));
	vms[n].fd = -1;
}

static int live_index(struct vm *v, u32 id)
{
	int k;

	for (k = 0; k < v->lives; k++)
		if (v->live[k].id == id)
			return k;
	return -1;
}

static void live_note(struct vm *v, u32 id, u64 npages)
{
	int k = live_index(v, id);

	if (k < 0) {
		if (!npages || v->lives >= MOST_LIVE)
			return;
		k = v->lives++;
		v->live[k].id = id;
		v->live[k].npages = 0;
	}
	v->npages += npages - v->live[k].npages;
	v->live[k].npages = npages;
	if (!npages)
		v->live[k] = v->live[--v->lives];
}

/* Would this slot, were it accepted, cost too much memory of the machine? */
static int too_big(struct vm *v, u32 id, u64 nbytes)
{
	u64 npages = nbytes / page_bytes;
	int k = live_index(v, id);

	if (nbytes % page_bytes || npages > 0x7fffffffull)
		return 0;	/* every kernel refuses it before it allocates */
	return v->npages - (k < 0 ? 0 : v->live[k].npages) + npages > limit_pages;
}

/* ---- operands ----------------------------------------------------------- */

static u64 term(const char **text)
{
	const char *p = *text;
	char *end;
	u64 value;

	if (!strncmp(p, "map:", 4)) {
		value = strtoull(p + 4, &end, 0);
		*text = end;
		return MAP_BASE + value * MAP_STEP;
	}
	if (!strncmp(p, "MAXAS", 5)) {
		*text = p + 5;
		return max_spaces;
	}
	if (!strncmp(p, "MAXS", 4)) {
		*text = p + 4;
		return max_slots;
	}
	if (!strncmp(p, "ULMAX", 5)) {
		*text = p + 5;
		return (unsigned long)-1;
	}
	value = strtoull(p, &end, 0);
	if (*end == 'P') {
		value *= page_bytes;
		end++;
	}
	*text = end;
	return value;
}

static u64 number(const char *p)
{
	u64 sum = 0;
	int negative = *p == '-';

	if (negative)
		p++;
	for (;;) {
		const char *q = p;
		u64 t = term(&q);

		sum = negative ? sum - t : sum + t;
		if (q == p || (*q != '+' && *q != '-'))
			return sum;
		negative = *q == '-';
		p = q + 1;
	}
}

static int gmem_at(u64 index)
{
	return index < (u64)gmem_count ? gmems[index] : -1;
}

/* g0, g1...: a guest_memfd made in this sequence; vmfd; else a number */
static int file_operand(const char *text)
{
	if (text[0] == 'g')
		return gmem_at(strtoull(text + 1, NULL, 0));
	if (!strcmp(text, "vmfd"))
		return vm_fd();
	return (int)(long long)number(text);
}

/* ---- what the kernel itself counts -------------------------------------- */

#define TRACE "/sys/kernel/tracing/"
#define CALIBRATION_WORDS 40
static int trace_fd = -1;
static long long seen_pages, seen_budget;	/* -1: nothing reported */
static int calibrating;
static u64 calibration[CALIBRATION_WORDS];

static int append_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_APPEND);
	int result = fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;

	if (fd >= 0)
		close(fd);
	return result;
}

/* Take in the events that the last call made. */
static void trace_collect(void)
{
	static char text[65536];
	ssize_t n;
	char *p;
	int k;

	seen_pages = seen_budget = -1;
	if (trace_fd < 0)
		return;
	while ((n = read(trace_fd, text, sizeof(text) - 1)) > 0) {
		text[n] = 0;
		for (p = text; (p = strstr(p, " pages=")); p += 7)
			seen_pages = strtoull(p + 7, NULL, 0);
		for (p = text; (p = strstr(p, " goal=")); p += 6)
			seen_budget = strtoull(p + 6, NULL, 0);
		for (k = 0, p = text; calibrating && k < CALIBRATION_WORDS; k++) {
			char name[16];

			snprintf(name, sizeof(name), " w%d=", k);
			p = strstr(p, name);
			if (!p)
				break;
			calibration[k] = strtoull(p + strlen(name), NULL, 0);
		}
	}
}

static void trace_report(void)
{
	trace_collect();
	if (seen_pages >= 0)
		out(",\"pages\":%lld", seen_pages);
	if (seen_budget >= 0)
		out(",\"budget\":%lld", seen_budget);
}

/* Which of the first words of struct kvm held one total after the other; -1: none. */
static int total_word(void)
{
	const u64 npages[2] = { 12345, 777 };
	u64 total = 0, candidates = (1ull << CALIBRATION_WORDS) - 1;
	int fd = ioctl(sys_fd, KVM_CREATE_VM, 0ul), n, k;

	for (n = 0; n < 2; n++) {
		struct kvm_userspace_memory_region m = {
			.slot = n, .guest_phys_addr = (u64)n * 20000 * page_bytes,
			.memory_size = npages[n] * page_bytes, .userspace_addr = MAP_BASE,
		};

		total += npages[n];
		memset(calibration, 0, sizeof(calibration));
		ioctl(fd, KVM_SET_USER_MEMORY_REGION, &m);
		trace_collect();
		for (k = 0; k < CALIBRATION_WORDS; k++)
			if (calibration[k] != total)
				candidates &= ~(1ull << k);
	}
	close(fd);
	return candidates ? __builtin_ctzll(candidates) : -1;
}

/*
 * Debug information is not there on all kernels, so where struct kvm has its total
 * of pages is found by trial.
 */
static void probe_setup(void)
{
	static char text[8192];
	struct utsname u;
	int wide, k, n, word, budget, commit;

	uname(&u);
	wide = strstr(u.machine, "64") != NULL;
	mkdir("/sys/kernel/tracing", 0755);
	mount("trace", "/sys/kernel/tracing", "tracefs", 0, NULL);
	snprintf(text, sizeof(text), "p:asker/budget kvm_mmu_change_mmu_pages goal=$arg2:u%d", wide ? 64 : 32);
	budget = append_file(TRACE "kprobe_events", text);
	n = snprintf(text, sizeof(text), "p:asker/calibration kvm_arch_commit_memory_region");
	for (k = 0; k < CALIBRATION_WORDS; k++)
		n += snprintf(text + n, sizeof(text) - n, " w%d=+%d($arg1):x%d", k, k * (wide ? 8 : 4), wide ? 64 : 32);
	commit = append_file(TRACE "kprobe_events", text);
	append_file(TRACE "events/asker/enable", "1");
	trace_fd = open(TRACE "trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	calibrating = 1;
	word = total_word();
	calibrating = 0;
	out("@{\"probe\":1,\"budget\":%d,\"commit\":%d,\"word\":%d}\n", budget, commit, word);
	append_file(TRACE "events/asker/enable", "0");
	append_file(TRACE "kprobe_events", "-:asker/calibration");
	if (word >= 0) {
		snprintf(text, sizeof(text), "p:asker/commit kvm_arch_commit_memory_region pages=+%d($arg1):u%d",
			 word * (wide ? 8 : 4), wide ? 64 : 32);
		append_file(TRACE "kprobe_events", text);
	}
	append_file(TRACE "events/asker/enable", "1");
	trace_collect();
	out_flush();
}

/* ---- the operations ----------------------------------------------------- */

struct op {
	int words;
	char **text;
	u64 a[MOST_WORDS];	/* operands as numbers; a[1] is the first */
	long long result;
	int error;
	const char *skip;	/* why it was not run */
	int last;		/* the sequence ends here */
};

/* Only -1 is a failure: KVM_GET_NR_MMU_PAGES may answer any int. */
#define DO(op, call) do { \
	errno = 0; \
	(op)->result = (call); \
	(op)->error = (op)->result == -1 ? errno : 0; \
} while (0)

static int skip_too_big(struct op *op, u32 id, u64 nbytes)
{
	if (!vm() || !too_big(vm(), id, nbytes))
		return 0;
	op->skip = "memory";
	op->last = 1;
	return 1;
}

static void create_vm(struct op *op)
{
	if (vm_count >= MOST_VMS)
		return;
	DO(op, ioctl(sys_fd, KVM_CREATE_VM, (unsigned long)op->a[1]));
	if (op->result >= 0) {	/* else the current VM stays */
		memset(&vms[vm_count], 0, sizeof(vms[vm_count]));
		vms[vm_count].fd = op->result;
		current = vm_count++;
		op->result = 0;	/* the number of a descriptor says nothing */
	}
}

static void use_vm(struct op *op)
{
	if (op->a[1] < (u64)vm_count) {
		current = op->a[1];
		op->result = 0;
	}
}

static void close_vm_op(struct op *op)
{
	if (op->a[1] < (u64)vm_count) {
		close_vm(op->a[1]);
		op->result = 0;
	}
}

static void check_ext(struct op *op) { DO(op, ioctl(sys_fd, KVM_CHECK_EXTENSION, (unsigned long)op->a[1])); }
static void check_ext_vm(struct op *op) { DO(op, ioctl(vm_fd(), KVM_CHECK_EXTENSION, (unsigned long)op->a[1])); }

/* slot, flags, gpa, bytes, hva */
static void set_region(struct op *op)
{
	struct kvm_userspace_memory_region m = {
		.slot = op->a[1], .flags = op->a[2], .guest_phys_addr = op->a[3],
		.memory_size = op->a[4], .userspace_addr = op->a[5],
	};

	if (skip_too_big(op, m.slot, m.memory_size))
		return;
	DO(op, ioctl(vm_fd(), KVM_SET_USER_MEMORY_REGION, &m));
	if (vm() && !op->result)
		live_note(vm(), m.slot, m.memory_size / page_bytes);
}

/* slot, flags, gpa, bytes, hva, file, offset, two words that must be zero */
static void set_region2(struct op *op)
{
	struct region2 m = {
		.slot = op->a[1], .flags = op->a[2], .gpa = op->a[3], .nbytes = op->a[4], .hva = op->a[5],
		.gmem_offset = op->a[7], .gmem_fd = op->words > 6 ? file_operand(op->text[6]) : 0,
		.pad1 = op->a[8], .pad2 = { op->a[9] },
	};

	if (skip_too_big(op, m.slot, m.nbytes))
		return;
	DO(op, ioctl(vm_fd(), SET_REGION2, &m));
	if (vm() && !op->result)
		live_note(vm(), m.slot, m.nbytes / page_bytes);
}

/*
 * first slot, count, flags, first gpa, bytes, hva, step of the gpa (the bytes if not
 * given): that many slots, up to the first refusal; the result is the number accepted
 */
static void fill(struct op *op)
{
	u64 n, step = op->words > 7 ? op->a[7] : op->a[5];

	if (vm() && !(op->a[5] % page_bytes) && op->a[5] / page_bytes * op->a[2] > limit_pages) {
		op->skip = "memory";
		op->last = 1;
		return;
	}
	for (n = 0; n < op->a[2]; n++) {
		struct kvm_userspace_memory_region m = {
			.slot = op->a[1] + n, .flags = op->a[3], .guest_phys_addr = op->a[4] + n * step,
			.memory_size = op->a[5], .userspace_addr = op->a[6],
		};

		errno = 0;
		if (ioctl(vm_fd(), KVM_SET_USER_MEMORY_REGION, &m) < 0)
			break;
	}
	if (n < op->a[2])
		out(",\"stop\":%d", errno);
	op->result = n;
}

static void create_gmem(struct op *op)
{
	struct gmem g = { .nbytes = op->a[1], .flags = op->a[2], .reserved = { op->a[3] } };

	if (gmem_count >= MOST_GMEMS)
		return;
	DO(op, ioctl(vm_fd(), CREATE_GMEM, &g));
	gmems[gmem_count++] = op->result;
	if (op->result > 0)
		op->result = 0;
}

static void close_gmem(struct op *op) { DO(op, close(gmem_at(op->a[1]))); }
/* file, offset, length: punch a hole (0x02) keeping the size (0x01), or allocate */
static void punch_gmem(struct op *op) { DO(op, fallocate(gmem_at(op->a[1]), 0x01 | 0x02, op->a[2], op->a[3])); }
static void alloc_gmem(struct op *op) { DO(op, fallocate(gmem_at(op->a[1]), 0x01, op->a[2], op->a[3])); }

static void set_attr(struct op *op)
{
	struct attributes x = { op->a[1], op->a[2], op->a[3], op->a[4] };

	DO(op, ioctl(vm_fd(), SET_ATTRIBUTES, &x));
}

static u32 crc32(const unsigned char *data, u32 nbytes)
{
	u32 crc = ~0u;
	int bit;

	while (nbytes--) {
		crc ^= *data++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

/* What the kernel wrote over the pattern: bytes, bits set, the first eight of them. */
static void bitmap_report(void)
{
	u64 pattern;
	u32 used = BITMAP_BYTES, bits = 0, k;
	int bit;

	memset(&pattern, PATTERN, sizeof(pattern));
	while (used && ((u64 *)bitmap)[used / 8 - 1] == pattern)
		used -= 8;	/* by words: this is most of the time that a call takes under emulation */
	while (used && bitmap[used - 1] == PATTERN)
		used--;
	for (k = 0; k < used; k++)
		bits += __builtin_popcount(bitmap[k]);
	out(",\"w\":%u,\"bits\":%u", used, bits);
	if (with_checksum && used)
		out(",\"crc\":%u", crc32(bitmap, used));
	if (!bits)
		return;
	for (k = 0, bits = 0; k < used && bits < 8; k++)
		for (bit = 0; bit < 8 && bits < 8; bit++)
			if (bitmap[k ^ SWIZZLE] >> bit & 1)
				out("%s%u", bits++ ? "," : ",\"set\":[", k * 8 + bit);
	out("]");
}

static void get_dirty(struct op *op)
{
	struct kvm_dirty_log d = { .slot = op->a[1] };

	d.dirty_bitmap = bitmap;
	memset(bitmap, PATTERN, BITMAP_BYTES);
	DO(op, ioctl(vm_fd(), KVM_GET_DIRTY_LOG, &d));
	bitmap_report();
}

static void clear_log(struct op *op)
{
	struct kvm_clear_dirty_log d = { .slot = op->a[1], .first_page = op->a[2], .num_pages = op->a[3] };

	d.dirty_bitmap = bitmap;
	DO(op, ioctl(vm_fd(), KVM_CLEAR_DIRTY_LOG, &d));
}

/* slot, first page, number of pages, 0: no bits set, 1: all */
static void clear_dirty(struct op *op)
{
	memset(bitmap, op->a[4] ? 0xff : 0, BITMAP_BYTES);
	clear_log(op);
}

/* slot, first page, number of pages, the first 64 bits (the others are 0) */
static void clear_mask(struct op *op)
{
	int bit;

	memset(bitmap, 0, BITMAP_BYTES);
	for (bit = 0; bit < 64; bit++)
		if (op->a[4] >> bit & 1)
			bitmap[bit / 8 ^ SWIZZLE] |= 1 << bit % 8;
	clear_log(op);
}

/* capability, two arguments, flags */
static void enable_cap(struct op *op)
{
	struct kvm_enable_cap c = { .cap = op->a[1], .flags = op->a[4], .args = { op->a[2], op->a[3] } };

	DO(op, ioctl(vm_fd(), KVM_ENABLE_CAP, &c));
}

static void set_nr_mmu(struct op *op) { DO(op, ioctl(vm_fd(), KVM_SET_NR_MMU_PAGES, (unsigned long)op->a[1])); }
static void get_nr_mmu(struct op *op) { DO(op, ioctl(vm_fd(), KVM_GET_NR_MMU_PAGES, 0ul)); }
static void set_tss(struct op *op) { DO(op, ioctl(vm_fd(), KVM_SET_TSS_ADDR, (unsigned long)op->a[1])); }
static void set_ident(struct op *op) { DO(op, ioctl(vm_fd(), KVM_SET_IDENTITY_MAP_ADDR, &op->a[1])); }
static void irqchip(struct op *op) { DO(op, ioctl(vm_fd(), KVM_CREATE_IRQCHIP, 0ul)); }
static void reset_rings(struct op *op) { DO(op, ioctl(vm_fd(), RESET_RINGS, 0ul)); }

static void vcpu(struct op *op)
{
	DO(op, ioctl(vm_fd(), KVM_CREATE_VCPU, (unsigned long)op->a[1]));
	if (vm() && vm()->vcpus < MOST_VCPUS && op->result >= 0) {
		vm()->vcpu[vm()->vcpus++] = op->result;
		op->result = 0;
	}
}

static void prefault(struct op *op)
{
	struct prefault x = { .gpa = op->a[1], .nbytes = op->a[2], .flags = op->a[3] };

	DO(op, ioctl(vcpu_fd(), PREFAULT, &x));
	out(",\"left\":%llu", (unsigned long long)x.nbytes);
}

/*
 * Make KVM itself write guest memory: setting the paravirtual wall-clock MSR stores a
 * structure at that address, through the slots, and marks the page dirty.
 */
static void kvm_write(struct op *op)
{
#if defined(__x86_64__) || defined(__i386__)
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } m;

	memset(&m, 0, sizeof(m));
	m.head.nmsrs = 1;
	m.entry.index = WALL_CLOCK_MSR;
	m.entry.data = op->a[1];
	DO(op, ioctl(vcpu_fd(), KVM_SET_MSRS, &m));
#else
	op->skip = "no such op here";
#endif
}

static void *pointer(u64 hva) { return (void *)(unsigned long)hva; }

/* window, bytes, protection (1 r, 2 w, 4 x), 1: shared */
static void mmap_op(struct op *op)
{
	int flags = MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE | (op->a[4] & 1 ? MAP_SHARED : MAP_PRIVATE);
	void *p = mmap(pointer(MAP_BASE + op->a[1] * MAP_STEP), op->a[2], op->a[3], flags, -1, 0);

	op->result = p == MAP_FAILED ? -1 : 0;
	op->error = op->result ? errno : 0;
}

/* window, file, bytes, offset: a guest_memfd, shared */
static void mmap_gmem(struct op *op)
{
	void *p = mmap(pointer(MAP_BASE + op->a[1] * MAP_STEP), op->a[3], PROT_READ | PROT_WRITE,
		       MAP_FIXED | MAP_SHARED, gmem_at(op->a[2]), op->a[4]);

	op->result = p == MAP_FAILED ? -1 : 0;
	op->error = op->result ? errno : 0;
}

static void munmap_op(struct op *op) { DO(op, munmap(pointer(op->a[1]), op->a[2])); }
static void mprotect_op(struct op *op) { DO(op, mprotect(pointer(op->a[1]), op->a[2], op->a[3])); }

/* is the 32-bit word at this host address other than zero?  (it must be mapped) */
static void peek(struct op *op) { op->result = *(volatile u32 *)pointer(op->a[1]) != 0; }

static void poke(struct op *op)
{
	*(volatile u32 *)pointer(op->a[1]) = op->a[2];
	op->result = 0;
}

static int hex(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* sys|vm|vcpu, ioctl number, direction (0 none, 1 w, 2 r, 3 wr), bytes, argument or hex digits */
static void raw(struct op *op)
{
	static unsigned char data[4096];
	int fd = !strcmp(op->text[1], "sys") ? sys_fd : !strcmp(op->text[1], "vm") ? vm_fd() : vcpu_fd();
	unsigned long direction = (op->a[3] & 1 ? _IOC_WRITE : 0) | (op->a[3] & 2 ? _IOC_READ : 0);
	unsigned long request = _IOC(op->a[3] ? direction : _IOC_NONE, KVMIO, op->a[2], op->a[4]);
	const char *h = op->words > 5 ? op->text[5] : "";
	int k;

	if (!op->a[3]) {
		DO(op, ioctl(fd, request, op->words > 5 ? (unsigned long)number(h) : 0ul));
		return;
	}
	memset(data, 0, sizeof(data));
	for (k = 0; hex(h[0]) >= 0 && hex(h[1]) >= 0 && k < (int)sizeof(data); k++, h += 2)
		data[k] = hex(h[0]) << 4 | hex(h[1]);
	DO(op, ioctl(fd, request, data));
	if (op->a[3] & 2) {
		out(",\"buf\":\"");
		for (k = 0; k < (int)op->a[4] && k < 256; k++)
			out("%02x", data[k]);
		out("\"");
	}
}

static const struct { const char *name; void (*run)(struct op *); } OPS[] = {
	{ "create_vm", create_vm }, { "use_vm", use_vm }, { "close_vm", close_vm_op },
	{ "check_ext", check_ext }, { "check_ext_vm", check_ext_vm },
	{ "set_region", set_region }, { "set_region2", set_region2 }, { "fill", fill },
	{ "create_gmem", create_gmem }, { "close_gmem", close_gmem },
	{ "punch_gmem", punch_gmem }, { "alloc_gmem", alloc_gmem }, { "set_attr", set_attr },
	{ "get_dirty", get_dirty }, { "clear_dirty", clear_dirty }, { "clear_mask", clear_mask },
	{ "enable_cap", enable_cap }, { "set_nr_mmu", set_nr_mmu }, { "get_nr_mmu", get_nr_mmu },
	{ "set_tss", set_tss }, { "set_ident", set_ident }, { "irqchip", irqchip },
	{ "vcpu", vcpu }, { "prefault", prefault }, { "reset_rings", reset_rings }, { "kvm_write", kvm_write },
	{ "mmap", mmap_op }, { "mmap_gmem", mmap_gmem }, { "munmap", munmap_op }, { "mprotect", mprotect_op },
	{ "peek", peek }, { "poke", poke }, { "raw", raw },
};

/* Returns 0 if the sequence ends here. */
static int run_op(int sequence, int index, int words, char **text)
{
	struct op op = { .words = words, .text = text, .result = -1, .skip = "no such op here" };
	size_t k;
	int w;

	for (w = 1; w < words; w++)
		op.a[w] = number(text[w]);
	out("@{\"s\":%d,\"i\":%d", sequence, index);
	for (k = 0; k < sizeof(OPS) / sizeof(OPS[0]); k++)
		if (!strcmp(text[0], OPS[k].name)) {
			op.skip = NULL;
			OPS[k].run(&op);
			break;
		}
	if (op.skip)
		out(",\"skip\":\"%s\"", op.skip);
	else if (op.error)
		out(",\"r\":-1,\"e\":%d", op.error);
	else
		out(",\"r\":%lld", op.result);
	trace_report();
	out("}\n");
	return !op.last;
}

/* ---- sequences ---------------------------------------------------------- */

static char *lines[MOST_LINES];
static int line_count;
static int kmsg_fd = -1;

static void run_sequence(int sequence)
{
	int k, more = 1;

	trace_collect();	/* what a sequence that was killed left behind */
	for (k = 0; k < line_count && more; k++) {
		char *text[MOST_WORDS], *rest = NULL, *p;
		int n = 0;

		for (p = strtok_r(lines[k], " \t", &rest); p && n < MOST_WORDS; p = strtok_r(NULL, " \t", &rest))
			text[n++] = p;
		if (n)
			more = run_op(sequence, k, n, text);
		if (verbose)
			out_flush();
	}
	for (k = 0; k < vm_count; k++)
		close_vm(k);
	for (k = 0; k < gmem_count; k++)
		if (gmems[k] >= 0)
			close(gmems[k]);
}

/* Kernel messages of warning level and worse that appeared meanwhile. */
static void drain_kmsg(int sequence)
{
	static char record[4096];
	int shown = 0;

	while (kmsg_fd >= 0) {
		ssize_t n = read(kmsg_fd, record, sizeof(record) - 1);
		char *p;

		if (n < 0 && errno == EPIPE)
			continue;	/* some were overwritten; go on with those that were not */
		if (n <= 0)
			return;
		record[n] = 0;
		p = strchr(record, ';');
		if ((atoi(record) & 7) > 4 || sequence < 0 || shown >= 6 || !p)
			continue;
		p++;
		p[strcspn(p, "\n")] = 0;
		if (!*p)
			continue;
		out("@{\"s\":%d,\"kmsg\":", sequence);
		out_string(p);
		out("}\n");
		shown++;
	}
}

static void one_sequence(int sequence, int seconds)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGALRM, SIG_DFL);
		alarm(seconds);
		run_sequence(sequence);
		_exit(0);
	}
	if (pid < 0) {
		out("@{\"s\":%d,\"died\":\"fork\"}\n", sequence);
	} else {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (WIFSIGNALED(status))	/* it may have left half a line */
			out("@{\"s\":%d,\"died\":\"signal %d\"}\n", sequence, WTERMSIG(status));
	}
	drain_kmsg(sequence);
	out("@{\"s\":%d,\"end\":%d}\n", sequence, line_count);
	out_flush();
}

static void capabilities(int fd)
{
	int k, n = 0;

	for (k = 0; fd >= 0 && k < MOST_CAPS; k++) {
		int value = ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)k);

		if (value > 0)
			out("%s\"%d\":%d", n++ ? "," : "", k, value);
	}
}

static void header(void)
{
	struct utsname u;
	int fd, value;

	uname(&u);
	out("@{\"hdr\":1,\"release\":");
	out_string(u.release);
	out(",\"version\":");
	out_string(u.version);
	out(",\"machine\":");
	out_string(u.machine);
	out(",\"page_size\":%llu,\"long_bits\":%d,\"api\":%d", (unsigned long long)page_bytes,
	    (int)sizeof(long) * 8, ioctl(sys_fd, KVM_GET_API_VERSION, 0ul));
	out(",\"caps\":{");
	capabilities(sys_fd);
	out("},\"vmcaps\":{");
	fd = ioctl(sys_fd, KVM_CREATE_VM, 0ul);
	value = fd < 0 ? -errno : 0;
	capabilities(fd);
	out("},\"vm0\":%d}\n", value);
	out_flush();
	if (fd < 0)
		return;
	value = ioctl(fd, KVM_CHECK_EXTENSION, CAP_NR_MEMSLOTS);
	if (value > 0)
		max_slots = value;
	value = ioctl(fd, KVM_CHECK_EXTENSION, CAP_ADDRESS_SPACE);
	if (value > 0)
		max_spaces = value;
	close(fd);
}

static char *read_file(const char *path)
{
	size_t room = 1 << 16, used = 0;
	char *text = malloc(room);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0 || !text)
		return NULL;
	while ((n = read(fd, text + used, room - used - 1)) > 0) {
		used += n;
		if (room - used < 4096) {
			text = realloc(text, room *= 2);
			if (!text)
				return NULL;
		}
	}
	close(fd);
	text[used] = 0;
	return text;
}

static int run_script(const char *path)
{
	char *rest = NULL, *p, *text = read_file(path);
	int sequence = -1, seconds = 60, inside = 0;

	if (!text)
		return 1;
	for (p = strtok_r(text, "\n", &rest); p; p = strtok_r(NULL, "\n", &rest)) {
		if (inside) {
			if (!strcmp(p, "E")) {
				one_sequence(sequence, seconds);
				inside = 0;
			} else if (line_count < MOST_LINES) {
				lines[line_count++] = p;
			}
			continue;
		}
		switch (p[0]) {
		case 'S':
			sequence = atoi(p + 1);
			line_count = 0;
			inside = 1;
			break;
		case 'L': limit_pages = strtoull(p + 1, NULL, 0); break;
		case 'T': seconds = atoi(p + 1); break;
		case 'V': verbose = 1; break;
		case 'C': with_checksum = 1; break;
		case 'P': probe_setup(); break;
		}
	}
	out("@{\"done\":1}\n");
	out_flush();
	return 0;
}

/* ---- process 1 ---------------------------------------------------------- */

static void load_modules(void)
{
	char *rest = NULL, *p, *text = read_file("/asker/modules");

	for (p = text ? strtok_r(text, "\n", &rest) : NULL; p; p = strtok_r(NULL, "\n", &rest)) {
		char *arguments = strchr(p, ' ');
		int fd;

		if (arguments)
			*arguments++ = 0;
		fd = open(p, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, arguments ? arguments : "", 0) < 0) {
			out("@{\"module\":");
			out_string(p);
			out(",\"e\":%d}\n", errno);
		}
		if (fd >= 0)
			close(fd);
	}
}

static void become_init(void)
{
	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	out_fd = open("/dev/console", O_RDWR | O_CLOEXEC);
	if (out_fd < 0)
		out_fd = 1;
	out("\n");
	load_modules();
}

static void power_off(void)
{
	out("@{\"bye\":1}\n");
	out_flush();
	usleep(200000);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static int ask(const char *script, int init)
{
	sys_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (sys_fd < 0) {
		out("@{\"hdr\":1,\"open_kvm\":%d}\n", -errno);
		if (init) {	/* why, as far as the kernel told */
			kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
			drain_kmsg(0);
		}
		out_flush();
		return 1;
	}
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg_fd >= 0) {
		lseek(kmsg_fd, 0, SEEK_END);
		drain_kmsg(-1);
	}
	header();
	return run_script(script);
}

/*
 * Kernels put the heap of a program at random, up to a gigabyte behind it: where the
 * host windows are.  A sequence that maps one would lose the script, or errno.  So
 * start again until it lies elsewhere.  (Without randomisation the stack would lie at
 * the end of the address space, where slots are tried.)
 */
static void leave_the_windows_alone(char **argv)
{
	unsigned long heap = (unsigned long)sbrk(0);
	const char *said = getenv("ASKER_STARTS");
	int starts = said ? atoi(said) : 0;
	char text[16];

	if (heap + HEAP_ROOM <= MAP_BASE || heap >= MAP_BASE + MOST_WINDOWS * MAP_STEP + HEAP_ROOM || starts >= 100)
		return;
	snprintf(text, sizeof(text), "%d", starts + 1);
	setenv("ASKER_STARTS", text, 1);
	execv(getpid() == 1 ? "/init" : argv[0], argv);
}

int main(int argc, char **argv)
{
	int init = getpid() == 1, result;
	const char *script = init ? "/asker/script" : argc > 1 ? argv[1] : NULL;

	if (!script) {
		fprintf(stderr, "usage: asker SCRIPT\n");
		return 2;
	}
	leave_the_windows_alone(argv);
	out_buffer = mmap(NULL, OUT_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	out_used = (u32 *)(out_buffer + OUT_BYTES);
	if (init)
		become_init();
	page_bytes = sysconf(_SC_PAGESIZE);
	/* it ends at a page that cannot be accessed */
	bitmap = mmap(NULL, BITMAP_BYTES + 0x10000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	mprotect(bitmap, BITMAP_BYTES, PROT_READ | PROT_WRITE);
	result = ask(script, init);
	if (init)
		power_off();
	return result;
}
