/* Makes the calls that its arguments name, one after the other, and prints what each returned: the
 * value, or the negated errno.  Numbers in C's notation, separated by commas.
 *
 *   vm TYPE  cap N  vmcap N  enable CAP,ARG  irqchip  vcpu ID  tss GPA  getmmu  setmmu N
 *   region SLOT,FLAGS,GPA,SIZE  region2 SLOT,FLAGS,GPA,SIZE  unreadable  log SLOT  fork  dup
 *   foreign (the call after it is made by a child)  run
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int kvm, vm = -1, vcpu = -1;
static unsigned long n[4];
static char *memory;

static int region(int is_two)
{
    struct { unsigned slot, flags; unsigned long long gpa, size, hva, offset; unsigned fd, pad[29]; } r;
    memset(&r, 0, sizeof r);
    r.slot = n[0], r.flags = n[1], r.gpa = n[2], r.size = n[3], r.hva = (unsigned long)memory;
    return ioctl(vm, is_two ? _IOC(_IOC_WRITE, 0xae, 0x49, 160) : KVM_SET_USER_MEMORY_REGION, &r);
}

static int log_of(unsigned slot)
{
    static unsigned char bits[1 << 16];
    struct kvm_dirty_log log = { .slot = slot };
    log.dirty_bitmap = bits;
    memset(bits, 0xaa, sizeof bits);
    int r = ioctl(vm, KVM_GET_DIRTY_LOG, &log);
    return r ? r : bits[0];
}

static int make(const char *word)
{
    if (!strcmp(word, "vm")) return vm = ioctl(kvm, KVM_CREATE_VM, n[0]);
    if (!strcmp(word, "cap")) return ioctl(kvm, KVM_CHECK_EXTENSION, n[0]);
    if (!strcmp(word, "vmcap")) return ioctl(vm, KVM_CHECK_EXTENSION, n[0]);
    if (!strcmp(word, "irqchip")) return ioctl(vm, KVM_CREATE_IRQCHIP, 0);
    if (!strcmp(word, "vcpu")) return vcpu = ioctl(vm, KVM_CREATE_VCPU, n[0]);
    if (!strcmp(word, "tss")) return ioctl(vm, KVM_SET_TSS_ADDR, n[0]);
    if (!strcmp(word, "getmmu")) return ioctl(vm, KVM_GET_NR_MMU_PAGES, 0);
    if (!strcmp(word, "setmmu")) return ioctl(vm, KVM_SET_NR_MMU_PAGES, n[0]);
    if (!strcmp(word, "region")) return region(0);
    if (!strcmp(word, "region2")) return region(1);
    if (!strcmp(word, "unreadable")) return ioctl(vm, KVM_SET_USER_MEMORY_REGION, 16);
    if (!strcmp(word, "log")) return log_of(n[0]);
    if (!strcmp(word, "run")) return ioctl(vcpu, KVM_RUN, 0);
    if (!strcmp(word, "dup")) return vm = dup(vm);
    if (!strcmp(word, "enable")) {
        struct kvm_enable_cap cap = { .cap = n[0], .args = { n[1] } };
        return ioctl(vm, KVM_ENABLE_CAP, &cap);
    }
    exit(99);
}

int main(int argc, char **argv)
{
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) {
        perror("/dev/kvm");
        return 77;
    }
    memory = mmap(NULL, 1 << 26, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 1; i < argc; i++) {
        int is_foreign = !strcmp(argv[i], "foreign");
        char word[32], *text = argv[i + is_foreign], *numbers = strchr(text, ' ');
        pid_t child = 0;
        int r;

        i += is_foreign;
        memset(n, 0, sizeof n);
        snprintf(word, sizeof word, "%.*s", numbers ? (int)(numbers - text) : 31, text);
        for (int k = 0; k < 4 && numbers; k++) {
            n[k] = strtoull(numbers + 1, NULL, 0);
            numbers = strchr(numbers + 1, ',');
        }
        fflush(stdout);
        if (is_foreign && (child = fork())) {
            waitpid(child, NULL, 0);
            continue;
        }
        r = make(word);
        printf("%s %d\n", word, r < 0 ? -errno : r);
        if (is_foreign)
            exit(0);
    }
    return 0;
}
