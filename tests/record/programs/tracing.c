/* Programs that trace one another, or themselves. */
#include "common.h"

static void traceme(void)
{
    int status;
    pid_t child = fork();
    if (!child) {
        long done = ptrace(PTRACE_TRACEME, 0, 0, 0);
        say("traceme", done ? -errno : 0);
        raise(SIGUSR1);
        _exit(4);
    }
    waitpid(child, &status, 0);
    say("status", status);
    if (WIFSTOPPED(status)) {
        ptrace(PTRACE_CONT, child, 0, 0);
        waitpid(child, &status, 0);
        say("status", status);
    }
}

static void with_target(long request)
{
    int status;
    pid_t child = fork();
    if (!child) for (;;) pause();
    long done = ptrace(request, child, 0, 0);
    say("attach", done ? -errno : 0);
    if (!done) {
        if (request == PTRACE_SEIZE) ptrace(PTRACE_INTERRUPT, child, 0, 0);
        waitpid(child, &status, __WALL);
        say("stopped", WIFSTOPPED(status));
        say("detach", ptrace(PTRACE_DETACH, child, 0, 0));
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    say("status", status);
}
static void attaches(void) { with_target(PTRACE_ATTACH); }
static void seizes(void) { with_target(PTRACE_SEIZE); }

/* as leak checkers do: a task that shares the memory stops the process that made it */
static char stack[65536];
static int checker(void *parent)
{
    int status;
    pid_t pid = (long)parent;
    if (ptrace(PTRACE_ATTACH, pid, 0, 0)) _exit(errno);
    waitpid(pid, &status, __WALL);
    ptrace(PTRACE_DETACH, pid, 0, 0);
    _exit(0);
}
static void leak_checker(void)
{
    int status = -1;
    pid_t child = clone(checker, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED,
                        (void *)(long)getpid());
    while (waitpid(child, &status, __WALL) == -1 && errno == EINTR) ;
    say("checker", status);
}

static struct test tests[] = {
#define T(word) { #word, word }
    T(traceme), T(attaches), T(seizes), T(leak_checker), { 0, 0 },
};

int main(int argc, char **argv) { return run_case(tests, argc, argv); }
