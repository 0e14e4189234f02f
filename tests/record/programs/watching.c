/* Ways in which a parent watches a child. */
#include "common.h"

static int pidfd_of(pid_t pid) { return syscall(SYS_pidfd_open, pid, 0); }

static void wait_readable(pid_t pid)
{
    struct pollfd p = { pidfd_of(pid), POLLIN, 0 };
    if (p.fd < 0) return; /* gone, and nobody was to be told */
    poll(&p, 1, -1);
    close(p.fd);
}

/* the moment a pidfd says that it ended, the child can be waited for */
static void reap_at_once(pid_t child)
{
    int status = -1;
    wait_readable(child);
    say("reaped", waitpid(child, &status, WNOHANG | __WALL) == child);
    say("status", status);
}

static void pidfd_waitpid(void)
{
    pid_t child = fork();
    if (!child) _exit(7);
    reap_at_once(child);
}

static void pidfd_waitid(void)
{
    siginfo_t info = { 0 };
    pid_t child = fork();
    if (!child) _exit(8);
    wait_readable(child);
    say("peeked", waitid(P_PID, child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child);
    info.si_pid = 0;
    int fd = pidfd_of(child);
    waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG);
    close(fd);
    say("reaped", info.si_pid == child);
    say("code", info.si_code);
    say("status", info.si_status);
}

static void pidfd_killed(void)
{
    pid_t child = fork();
    if (!child) for (;;) pause();
    kill(child, SIGKILL);
    reap_at_once(child);
}

static void pidfd_segv(void)
{
    pid_t child = fork();
    if (!child) { raise(SIGSEGV); _exit(1); }
    int status = 0;
    wait_readable(child);
    say("reaped", waitpid(child, &status, WNOHANG) == child);
    say("signal", WTERMSIG(status));
}

static void *forever(void *unused) { for (;;) pause(); return unused; }
static void *leave(void *code) { usleep(1000); _exit((long)code); }
static void *become(void *script) { usleep(1000); execl("/bin/sh", "sh", "-c", (char *)script, (char *)0); return 0; }

static void threads(int count, void *(*last)(void *), void *argument)
{
    pthread_t t;
    while (count--) pthread_create(&t, 0, forever, 0);
    pthread_create(&t, 0, last, argument);
}

static void threads_exit(void)
{
    pid_t child = fork();
    if (!child) { threads(6, leave, (void *)9); forever(0); }
    reap_at_once(child);
}

/* the first thread is gone for sure: while it stops at its end, nobody can be told of a second one */
static void *leave_alone(void *code)
{
    char state = 0;
    while (state != 'Z') {
        FILE *file = fopen("/proc/self/stat", "r");
        if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1) _exit(1);
        fclose(file);
        usleep(200);
    }
    _exit((long)code);
}

static void leader_first(void)
{
    pid_t child = fork();
    if (!child) { threads(0, leave_alone, (void *)10); syscall(SYS_exit, 0); }
    reap_at_once(child);
}

static void thread_executes(void)
{
    pid_t child = fork();
    if (!child) { threads(6, become, "exit 11"); forever(0); }
    reap_at_once(child);
}

static void thread_executes_after_leader(void)
{
    pid_t child = fork();
    if (!child) { threads(3, become, "exit 12"); syscall(SYS_exit, 0); }
    reap_at_once(child);
}

static void killed_with_threads(void)
{
    pid_t child = fork();
    if (!child) { threads(6, forever, 0); forever(0); }
    usleep(2000);
    kill(child, SIGKILL);
    reap_at_once(child);
}

static volatile sig_atomic_t got;
static void on_child(int number) { got = number; }

static void sigchld_wait(void)
{
    sigset_t block, before;
    int status = -1;
    struct sigaction action = { .sa_handler = on_child };
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &before);
    sigaction(SIGCHLD, &action, 0);
    got = 0;
    pid_t child = fork();
    if (!child) _exit(13);
    while (!got) sigsuspend(&before);
    say("reaped", waitpid(-1, &status, WNOHANG) == child);
    say("status", status);
    sigprocmask(SIG_SETMASK, &before, 0);
    signal(SIGCHLD, SIG_DFL);
}

/* a child that waits for a word before each step: of two SIGCHLD that nobody took yet, one is lost */
static int step[2];
static void wait_for_word(void) { char x; read(step[0], &x, 1); }
static void give_word(void) { write(step[1], "x", 1); }

static void sigchld_info(void)
{
    sigset_t block, before;
    pipe(step);
    siginfo_t info;
    int status = -1;
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &before);
    pid_t child = fork();
    if (!child) { raise(SIGSTOP); wait_for_word(); _exit(14); }
    sigwaitinfo(&block, &info);
    say("stopped code", info.si_code);
    say("stopped by", info.si_status);
    say("wait", waitpid(child, &status, WUNTRACED | WNOHANG) == child && WIFSTOPPED(status));
    kill(child, SIGCONT);
    sigwaitinfo(&block, &info);
    say("continued code", info.si_code);
    give_word();
    sigwaitinfo(&block, &info);
    say("exited code", info.si_code);
    say("reaped", waitpid(child, &status, WNOHANG) == child);
    say("status", status);
    close(step[0]);
    close(step[1]);
    sigprocmask(SIG_SETMASK, &before, 0);
}

static void sigchld_signalfd(void)
{
    sigset_t block, before;
    struct signalfd_siginfo info;
    int status = -1;
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &before);
    int fd = signalfd(-1, &block, SFD_CLOEXEC);
    pid_t child = fork();
    if (!child) _exit(15);
    say("read", read(fd, &info, sizeof info) == sizeof info);
    say("status", info.ssi_status);
    say("reaped", waitpid(-getpgrp(), &status, WNOHANG) == child);
    close(fd);
    sigprocmask(SIG_SETMASK, &before, 0);
}

static void stops(void)
{
    siginfo_t info;
    pipe(step);
    pid_t child = fork();
    if (!child) { raise(SIGSTOP); wait_for_word(); raise(SIGSTOP); wait_for_word(); _exit(16); }
    for (int i = 0; i < 2; i++) {
        waitid(P_PID, child, &info, WSTOPPED | WEXITED | WNOWAIT);
        say("seen code", info.si_code);
        waitid(P_PID, child, &info, WSTOPPED | WEXITED);
        say("stopped by", info.si_status);
        kill(child, SIGCONT);
        waitid(P_PID, child, &info, WCONTINUED);
        say("continued code", info.si_code);
        give_word();
    }
    close(step[0]);
    close(step[1]);
    waitid(P_PID, child, &info, WEXITED | WSTOPPED);
    say("exited", info.si_status);
}

static void ignored(void)
{
    int status;
    signal(SIGCHLD, SIG_IGN);
    pid_t child = fork();
    if (!child) _exit(17);
    wait_readable(child);
    say("gone", waitpid(child, &status, 0) == -1 && errno == ECHILD);
    say("kill", kill(child, 0) == -1 && errno == ESRCH);
    signal(SIGCHLD, SIG_DFL);
}

static char stack[65536];
static int ends(void *code) { _exit((long)code); }

static void other_signal(void)
{
    sigset_t block, before;
    siginfo_t info;
    int status = -1;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &before);
    pid_t child = clone(ends, stack + sizeof stack, SIGUSR1, (void *)18);
    sigwaitinfo(&block, &info);
    say("code", info.si_code);
    say("plain wait", waitpid(child, &status, WNOHANG) == -1 && errno == ECHILD);
    say("reaped", waitpid(child, &status, WNOHANG | __WCLONE) == child);
    say("status", status);
    sigprocmask(SIG_SETMASK, &before, 0);
}

static void no_signal(void)
{
    pid_t child = clone(ends, stack + sizeof stack, 0, (void *)19);
    reap_at_once(child);
}

static void sibling(void)
{
    int ends_of[2], status;
    pid_t brother = 0;
    pipe(ends_of);
    pid_t child = fork();
    if (!child) {
        brother = clone(ends, stack + sizeof stack, CLONE_PARENT | SIGCHLD, (void *)20);
        write(ends_of[1], &brother, sizeof brother);
        say("not mine", waitpid(brother, &status, WNOHANG) == -1 && errno == ECHILD);
        _exit(21);
    }
    read(ends_of[0], &brother, sizeof brother);
    close(ends_of[0]);
    close(ends_of[1]);
    waitpid(child, &status, 0);
    say("child", status);
    reap_at_once(brother);
}

/* its parent is whoever started this program, the recorder perhaps */
static int writes(void *fd) { usleep(1000); write((long)fd, "x", 1); _exit(22); }

static void own_sibling(void)
{
    int ends_of[2], status;
    char x;
    pipe(ends_of);
    pid_t brother = clone(writes, stack + sizeof stack, CLONE_PARENT | SIGCHLD, (void *)(long)ends_of[1]);
    say("not mine", waitpid(brother, &status, 0) == -1 && errno == ECHILD);
    say("alive", read(ends_of[0], &x, 1));
    close(ends_of[0]);
    close(ends_of[1]);
}

static void subreaper(void)
{
    int ends_of[2];
    pid_t orphan = 0;
    pipe(ends_of);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = fork();
    if (!child) {
        orphan = fork();
        if (!orphan) { usleep(2000); _exit(23); }
        write(ends_of[1], &orphan, sizeof orphan);
        _exit(24);
    }
    read(ends_of[0], &orphan, sizeof orphan);
    close(ends_of[0]);
    close(ends_of[1]);
    reap_at_once(child);
    reap_at_once(orphan);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void parent_dies(void)
{
    int ends_of[2];
    char x = 0;
    pipe(ends_of);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = fork();
    if (!child) {
        int ready[2];
        pipe(ready);
        if (!fork()) {
            sigset_t block;
            siginfo_t info;
            sigemptyset(&block);
            sigaddset(&block, SIGTERM);
            sigprocmask(SIG_BLOCK, &block, 0);
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            write(ready[1], "r", 1);
            sigwaitinfo(&block, &info);
            write(ends_of[1], "t", 1);
            _exit(25);
        }
        read(ready[0], &x, 1);
        _exit(26);
    }
    reap_at_once(child);
    read(ends_of[0], &x, 1);
    say("told", x == 't');
    say("orphan", wait(0) > 0);
    close(ends_of[0]);
    close(ends_of[1]);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void vforks(void)
{
    pid_t child = vfork();
    if (!child) _exit(27);
    reap_at_once(child);
    child = vfork();
    if (!child) { execl("/bin/sh", "sh", "-c", "exit 28", (char *)0); _exit(1); }
    reap_at_once(child);
    child = vfork();
    if (!child) { execl("/no/such/program", "x", (char *)0); _exit(29); }
    reap_at_once(child);
}

static char state_of(pid_t pid)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f) { fread(text, 1, sizeof text - 1, f); fclose(f); }
    char *end = strrchr(text, ')');
    return end ? end[2] : '-';
}

static void zombie(void)
{
    pid_t child = fork();
    if (!child) _exit(30);
    wait_readable(child);
    say("state", state_of(child));
    say("kill", kill(child, SIGTERM));
    say("reaped", waitpid(child, 0, WNOHANG) == child);
    say("state", state_of(child));
}

static void many(void)
{
    int status, sum = 0;
    for (int i = 0; i < 20; i++)
        if (!fork()) _exit(i);
    for (int i = 0; i < 20; i++)
        if (wait(&status) > 0) sum += WEXITSTATUS(status);
    say("sum", sum);
    say("none left", wait(&status) == -1 && errno == ECHILD);
}

static struct test tests[] = {
#define T(word) { #word, word }
    T(pidfd_waitpid), T(pidfd_waitid), T(pidfd_killed), T(pidfd_segv), T(threads_exit), T(leader_first),
    T(thread_executes), T(thread_executes_after_leader), T(killed_with_threads), T(sigchld_wait), T(sigchld_info),
    T(sigchld_signalfd), T(stops), T(ignored), T(other_signal), T(no_signal), T(sibling), T(own_sibling),
    T(subreaper), T(parent_dies), T(vforks), T(zombie), T(many), { 0, 0 },
};

int main(int argc, char **argv) { return run_case(tests, argc, argv); }
