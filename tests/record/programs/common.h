/* What the programs of the matrix share.  Each runs one case, by name, ROUNDS times and prints what it saw. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CREATE_VM 0xAE01
#define CHECK_EXTENSION 0xAE03
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct test { const char *name; void (*run)(void); };

static inline void say(const char *what, long value)
{
    printf("%s %ld\n", what, value);
    fflush(stdout);
}

static inline const char *self(void)
{
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = 0;
    return path;
}

static inline int run_case(struct test *tests, int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[2]) : 1;
    for (struct test *t = tests; t->name; t++)
        if (!strcmp(t->name, argv[1])) {
            while (rounds--)
                t->run();
            return 3;
        }
    return 99;
}
