/* Programs that filter or confine themselves, and make KVM calls then. */
#include "common.h"
#include <linux/audit.h>

static int kvm_call(unsigned long request, unsigned long argument)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int result = ioctl(kvm, request, argument);
    int error = result < 0 ? -errno : 0;
    close(kvm);
    if (result >= 0 && request == CREATE_VM) close(result);
    return error;
}

/* what is to become of KVM_CREATE_VM */
static int filter(uint32_t action, int flags)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CREATE_VM, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void in_child(void (*work)(void))
{
    int status;
    pid_t child = fork();
    if (!child) { work(); _exit(5); }
    waitpid(child, &status, 0);
    say("child", status);
}

static void errno_inside(void)
{
    say("filter", filter(SECCOMP_RET_ERRNO | EPERM, 0));
    say("create", kvm_call(CREATE_VM, 0));
    say("check", kvm_call(CHECK_EXTENSION, 10));
}
static void own_errno(void) { in_child(errno_inside); }

static void on_sys(int number, siginfo_t *info, void *context)
{
    (void)number; (void)context;
    char c = info->si_code == 1 /* SYS_SECCOMP */ ? 't' : '?';
    write(1, &c, 1);
    write(1, "\n", 1);
}
static void trap_inside(void)
{
    struct sigaction action = { .sa_sigaction = on_sys, .sa_flags = SA_SIGINFO };
    sigaction(SIGSYS, &action, 0);
    say("filter", filter(SECCOMP_RET_TRAP, 0));
    kvm_call(CREATE_VM, 0);
    say("check", kvm_call(CHECK_EXTENSION, 10));
}
static void own_trap(void) { in_child(trap_inside); }

static void kill_inside(void) { filter(SECCOMP_RET_KILL_PROCESS, 0); kvm_call(CREATE_VM, 0); }
static void own_kill(void) { in_child(kill_inside); }

static void trace_inside(void)
{
    say("filter", filter(SECCOMP_RET_TRACE | 1, 0));
    say("create", kvm_call(CREATE_VM, 0));
    say("check", kvm_call(CHECK_EXTENSION, 10));
}
static void own_trace(void) { in_child(trace_inside); }

static void *call_in_thread(void *unused) { say("thread", kvm_call(CREATE_VM, 0)); return unused; }
static void all_threads_inside(void)
{
    pthread_t t;
    say("filter", filter(SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_TSYNC));
    pthread_create(&t, 0, call_in_thread, 0);
    pthread_join(t, 0);
}
static void all_threads(void) { in_child(all_threads_inside); }

static void no_new_privileges_inside(void)
{
    say("set", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    say("get", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("create", kvm_call(CREATE_VM, 0));
    execl(self(), self(), "errno_here", (char *)0);
}
static void no_new_privileges(void) { in_child(no_new_privileges_inside); }
static void errno_here(void) { errno_inside(); }

static void not_dumpable_inside(void)
{
    say("set", prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    say("create", kvm_call(CREATE_VM, 0));
    say("get", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
}
static void not_dumpable(void) { in_child(not_dumpable_inside); }

static void supervisor(void)
{
    int ends_of[2], status;
    pipe(ends_of);
    pid_t child = fork();
    if (!child) {
        int listener = filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        write(ends_of[1], &listener, sizeof listener);
        _exit(-kvm_call(CREATE_VM, 0));
    }
    int number = -1;
    read(ends_of[0], &number, sizeof number);
    int pidfd = syscall(SYS_pidfd_open, child, 0);
    int listener = syscall(SYS_pidfd_getfd, pidfd, number, 0);
    struct seccomp_notif ask = { 0 };
    say("asked", ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &ask));
    struct seccomp_notif_resp answer = { .id = ask.id, .error = -ENODEV };
    say("answered", ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer));
    waitpid(child, &status, 0);
    say("child", status);
    close(listener);
    close(pidfd);
    close(ends_of[0]);
    close(ends_of[1]);
}

static char stack[65536];
static int untraced_child(void *unused) { (void)unused; say("create", kvm_call(CREATE_VM, 0)); _exit(7); }
static void untraced(void)
{
    int status;
    pid_t child = clone(untraced_child, stack + sizeof stack, CLONE_UNTRACED | SIGCHLD, 0);
    waitpid(child, &status, 0);
    say("child", status);
}

static struct test tests[] = {
#define T(word) { #word, word }
    T(own_errno), T(own_trap), T(own_kill), T(own_trace), T(all_threads), T(no_new_privileges), T(errno_here),
    T(not_dumpable), T(supervisor), T(untraced), { 0, 0 },
};

int main(int argc, char **argv) { return run_case(tests, argc, argv); }
