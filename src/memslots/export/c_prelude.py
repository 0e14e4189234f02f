"""The part of an exported C program that is the same for all recordings."""

from __future__ import annotations

PRELUDE = r"""/* Calls of a recording, made again.  Exported by memslots.
 *
 * cc -o calls calls.c && ./calls
 *
 * Prints each call with its result (negated errno), the recorded one beside it if it differs.
 * Exit status: 0 as recorded, 1 something differs, 77 no /dev/kvm.  With SELFTEST defined as the
 * number of calls it is a test of tools/testing/selftests: TAP, and 4 where there is no /dev/kvm.
 *
 * A slot may cost 11 bytes of kernel memory a page.  Slots for more than MEMSLOTS_BUDGET_MIB
 * (environment, default 1024) are not made.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define KVM_CREATE_VM_ _IO(0xAE, 0x01)
#define UNKNOWN 0x7fffffffL
#define NOT_MADE 0x7ffffffeL
enum kind { DONE_OR_FD, VALUE };

/* Layouts of linux/kvm.h, spelled out so that old headers do. */
struct region { uint32_t slot, flags; uint64_t gpa, size, hva; };
struct region2 { uint32_t slot, flags; uint64_t gpa, size, hva, offset; uint32_t fd, pad1; uint64_t
pad2[14]; }; struct dirty { uint32_t slot, pad; uint64_t bitmap; };
struct clear { uint32_t slot, num_pages; uint64_t first_page, bitmap; };
struct cap { uint32_t cap, flags; uint64_t args[4]; uint8_t pad[64]; };
struct attributes { uint64_t address, size, attributes, flags; };
struct gmem { uint64_t size, flags, reserved[6]; };
struct msrs { uint32_t nmsrs, pad, index, reserved; uint64_t data; };
struct msrs_head { uint32_t nmsrs, pad; };

static int kvm = -1, vcpu = -1, differing, made;
static char note[256];

static long answer(long result)
{
    return result < 0 ? -errno : result;
}

#define kvm_ioctl(fd, request, argument) answer(ioctl(fd, request, (unsigned long)(argument)))
#define MAYBE_UNUSED __attribute__((unused))

static int is_same(long result, long recorded, enum kind kind)
{
    return recorded == UNKNOWN || result == recorded ||
           (kind == DONE_OR_FD && result >= 0 && recorded >= 0);
}

#ifdef SELFTEST
static int told, skipped;

static void tap(int number, const char *name, long result, long recorded, enum kind kind)
{
    int same = result == NOT_MADE || is_same(result, recorded, kind);

    made++;
    differing += !same;
    if (!same)
        printf("# %ld (%s), recorded: %ld\n", result, result < 0 ? strerror(-result) : "",
               recorded);
    printf("%sok %d step %d %s", same ? "" : "not ", ++told, number, name);
    if (result == NOT_MADE)
        skipped += printf(" # SKIP it may cost more kernel memory than MEMSLOTS_BUDGET_MIB") > 0;
    printf("\n");
    fflush(stdout);
    note[0] = 0;
}
#endif

static void step(int number, const char *name, long result, long recorded, enum kind kind)
{
#ifdef SELFTEST
    tap(number, name, result, recorded, kind);
    return;
#endif
    if (result == NOT_MADE) {
        printf("%d %s not made: it may cost more kernel memory than MEMSLOTS_BUDGET_MIB\n", number,
        name); return;
    }

    int same = is_same(result, recorded, kind);

    made++;
    printf("%d %s = %ld%s%s%s", number, name, kind == DONE_OR_FD && result > 0 ? 0 : result,
           result < 0 ? " (" : "", result < 0 ? strerror(-result) : "", result < 0 ? ")" : "");
    if (!same) {
        differing++;
        printf("  recorded: %ld", recorded);
    }
    printf("%s\n", note);
    note[0] = 0;
}

static int too_costly(uint64_t size)
{
    const char *budget = getenv("MEMSLOTS_BUDGET_MIB");
    uint64_t pages = size / sysconf(_SC_PAGESIZE);

    /* larger sizes are refused before anything is allocated */
    return pages <= 0x7fffffff && pages * 11 >> 20 > (budget ? strtoull(budget, NULL, 0) : 1024);
}

MAYBE_UNUSED static long set_region(int fd, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t
size, uint64_t hva) {
    struct region r = { slot, flags, gpa, size, hva };
    return too_costly(size) ? NOT_MADE : kvm_ioctl(fd, _IOW(0xAE, 0x46, struct region), &r);
}

MAYBE_UNUSED static long set_region2(int fd, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t
size, uint64_t hva,
                     uint32_t file, uint64_t offset)
{
    struct region2 r = { slot, flags, gpa, size, hva, offset, file, 0, { 0 } };
    return too_costly(size) ? NOT_MADE : kvm_ioctl(fd, _IOW(0xAE, 0x49, struct region2), &r);
}

MAYBE_UNUSED static long get_dirty_log(int fd, uint32_t slot)
{
    static uint64_t bits[1 << 17];
    struct dirty d = { slot, 0, (uintptr_t)bits };
    long result, pages = 0, at = 0;
    size_t page;

    memset(bits, 0, sizeof(bits));
    result = kvm_ioctl(fd, _IOW(0xAE, 0x42, struct dirty), &d);
    if (result == 0) {
        at = snprintf(note, sizeof(note), "  dirty:");
        for (page = 0; page < 8 * sizeof(bits); page++)
            if (bits[page / 64] >> page % 64 & 1 && ++pages <= 8)
                at += snprintf(note + at, sizeof(note) - at, " %zu", page);
        snprintf(note + at, sizeof(note) - at, " (%ld pages)", pages);
    }
    return result;
}

MAYBE_UNUSED static long clear_dirty_log(int fd, uint32_t slot, uint64_t first, uint32_t number,
uint64_t *mask,
                                         int words)
{
    static uint64_t bits[1 << 17];
    struct clear c = { slot, number, first, (uintptr_t)bits };

    memset(bits, mask ? 0 : 0xff, sizeof(bits));
    if (mask)
        memcpy(bits, mask, words * sizeof(*mask));
    return kvm_ioctl(fd, _IOWR(0xAE, 0xC0, struct clear), &c);
}

MAYBE_UNUSED static long enable_cap(int fd, uint32_t cap, uint32_t flags, uint64_t a, uint64_t b,
uint64_t c,
                                    uint64_t d)
{
    struct cap e = { cap, flags, { a, b, c, d }, { 0 } };
    return kvm_ioctl(fd, _IOW(0xAE, 0xA3, struct cap), &e);
}

MAYBE_UNUSED static long create_vcpu(int fd, uint64_t id)
{
    long result = kvm_ioctl(fd, _IO(0xAE, 0x41), id);
    if (result >= 0)
        vcpu = result;
    return result;
}

MAYBE_UNUSED static long pre_fault_memory(int fd, uint64_t gpa, uint64_t size, uint64_t flags)
{
    struct range { uint64_t gpa, size, flags, padding[5]; } r = { gpa, size, flags, { 0 } };
    (void)fd;
    return kvm_ioctl(vcpu, _IOWR(0xAE, 0xD5, struct range), &r);
}

/* KVM writes its wall clock into guest memory, which marks the page dirty (x86). */
MAYBE_UNUSED static long write_clock(int fd, uint64_t gpa)
{
    struct msrs m = { 1, 0, 0x4b564d00, 0, gpa };
    (void)fd;
    return kvm_ioctl(vcpu, _IOW(0xAE, 0x89, struct msrs_head), &m);
}

MAYBE_UNUSED static long set_identity_map_addr(int fd, uint64_t gpa)
{
    return kvm_ioctl(fd, _IOW(0xAE, 0x48, uint64_t), &gpa);
}

MAYBE_UNUSED static long create_guest_memfd(int fd, uint64_t size, uint64_t flags)
{
    struct gmem g = { size, flags, { 0 } };
    return kvm_ioctl(fd, _IOWR(0xAE, 0xD4, struct gmem), &g);
}

MAYBE_UNUSED static long set_memory_attributes(int fd, uint64_t gpa, uint64_t size, uint64_t
attributes, uint64_t flags) {
    struct attributes a = { gpa, size, attributes, flags };
    return kvm_ioctl(fd, _IOW(0xAE, 0xD2, struct attributes), &a);
}

MAYBE_UNUSED static long close_file(int *fd)
{
    long result = answer(close(*fd));
    *fd = -1;
    return result;
}

MAYBE_UNUSED static void map_memory(unsigned long address, unsigned long size)
{
    if (mmap((void *)address, size, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        perror("mmap");
}

#define check_extension(fd, cap) kvm_ioctl(fd, _IO(0xAE, 0x03), cap)
#define set_tss_addr(fd, gpa) kvm_ioctl(fd, _IO(0xAE, 0x47), gpa)
#define create_irqchip(fd) kvm_ioctl(fd, _IO(0xAE, 0x60), 0)
#define set_nr_mmu_pages(fd, pages) kvm_ioctl(fd, _IO(0xAE, 0x44), pages)
#define get_nr_mmu_pages(fd) kvm_ioctl(fd, _IO(0xAE, 0x45), 0)
#define reset_dirty_rings(fd) kvm_ioctl(fd, _IO(0xAE, 0xC7), 0)

static void begin(void)
{
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
#ifdef SELFTEST
    printf("TAP version 13\n");
    if (kvm < 0) {
        printf("1..0 # SKIP /dev/kvm: %s\n", strerror(errno));
        exit(4);
    }
    printf("1..%d\n", SELFTEST);
#endif
    if (kvm < 0) {
        perror("/dev/kvm");
        exit(77);
    }
}

static int end(void)
{
#ifdef SELFTEST
    printf("# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:%d error:0\n",
           made - differing - skipped, differing, skipped);
#else
    printf("%d calls, %d answered otherwise than recorded\n", made, differing);
#endif
    return differing != 0;
}
"""
