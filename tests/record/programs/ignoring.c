/* Calls that wait, while signals come that the program ignores, and some that it does not. */
#include "common.h"
#include <sys/epoll.h>

#define CREATE_IRQCHIP 0xAE60
#define CREATE_VCPU 0xAE41
#define RUN 0xAE80

static volatile sig_atomic_t seen;

static void caught(int number) { (void)number; seen = 1; }

/* a child that sends these signals, some times, in order; then it waits to be killed */
static pid_t sender(int times, int first, int second, int us)
{
    pid_t parent = getpid(), child;
    if ((child = fork())) return child;
    while (times--) {
        usleep(300);
        kill(parent, first);
        if (us) usleep(us);
        if (second) kill(parent, second);
    }
    for (;;) pause();
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
}

static int epoll_for(int ms)
{
    struct epoll_event event;
    int fd = epoll_create1(0), found = epoll_wait(fd, &event, 1, ms);
    found = found < 0 ? -errno : found;
    close(fd);
    return found;
}

static void makes_vms(void)
{
    int kvm = open("/dev/kvm", O_RDWR), failed = 0;
    signal(SIGUSR1, SIG_IGN);
    pid_t parent = getpid(), child = fork();
    while (!child) kill(parent, SIGUSR1);
    for (int i = 0; i < 5; i++) {
        int vm = ioctl(kvm, CREATE_VM, 0);
        failed += vm < 0;
        close(vm);
    }
    end(child);
    say("failed", failed);
    close(kvm);
}

static void waits(void)
{
    signal(SIGUSR1, SIG_IGN);
    pid_t child = sender(5, SIGUSR1, SIGWINCH, 0);
    say("found", epoll_for(20));
    end(child);
}

static void loses_a_child(void)
{
    pid_t child = fork();
    if (!child) { usleep(500); _exit(0); }
    say("found", epoll_for(20));
    waitpid(child, 0, 0);
}

static void waits_for_another(void)
{
    struct timespec limit = { 0, 20000000 };
    sigset_t set;
    signal(SIGUSR1, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, 0);
    pid_t child = sender(5, SIGUSR1, 0, 0);
    say("found", sigtimedwait(&set, 0, &limit) < 0 ? -errno : 0);
    end(child);
    sigprocmask(SIG_UNBLOCK, &set, 0);
}

static void is_told(void)
{
    signal(SIGUSR1, SIG_IGN);
    sigaction(SIGUSR2, &(struct sigaction){ .sa_handler = caught, .sa_flags = SA_RESTART }, 0);
    pid_t child = sender(1000, SIGUSR1, SIGUSR2, 0);
    say("found", epoll_for(2000));
    end(child);
    child = sender(1000, SIGUSR2, SIGUSR1, 0);
    say("found", epoll_for(2000));
    end(child);
    signal(SIGUSR2, SIG_DFL);
}

static void stops(void)
{
    pid_t child = sender(100, SIGSTOP, SIGCONT, 2000);
    say("found", epoll_for(2000));
    end(child);
    child = sender(3, SIGCONT, 0, 0);
    say("found", epoll_for(20));
    end(child);
}

/* a vCPU that waits to be started by another; the only way out is a signal */
static void runs(void)
{
    int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, CREATE_VM, 0);
    ioctl(vm, CREATE_IRQCHIP, 0);
    int first = ioctl(vm, CREATE_VCPU, 0), second = ioctl(vm, CREATE_VCPU, 1);
    signal(SIGUSR1, SIG_IGN);
    sigaction(SIGALRM, &(struct sigaction){ .sa_handler = caught }, 0);
    pid_t child = sender(5, SIGUSR1, 0, 0);
    seen = 0;
    ualarm(15000, 15000);
    say("left", ioctl(second, RUN, 0) < 0 ? -errno : 0);
    say("by a signal", seen);
    ualarm(0, 0);
    end(child);
    close(first);
    close(second);
    close(vm);
    close(kvm);
}

/* waits without end for something to read; not of the matrix */
static void waits_for_input(void)
{
    struct epoll_event event = { .events = EPOLLIN };
    int fd = epoll_create1(0);
    epoll_ctl(fd, EPOLL_CTL_ADD, 0, &event);
    say("waits", 1);
    int found = epoll_wait(fd, &event, 1, -1);
    say("found", found < 0 ? -errno : found);
}

static struct test tests[] = {
#define T(word) { #word, word }
    T(makes_vms), T(waits), T(loses_a_child), T(waits_for_another), T(is_told), T(stops), T(runs),
    { "waits_for_input", waits_for_input }, { 0, 0 },
};

int main(int argc, char **argv) { return run_case(tests, argc, argv); }
