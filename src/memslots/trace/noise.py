"""Lines of a recording that tell nothing of memory: runs of them are passed over in C."""

from __future__ import annotations

from .patterns import lazy

NOISE = frozenset(
    b"accept accept4 access arch_prctl bind brk capget chdir chmod clock_gettime"
    b" clock_nanosleep connect dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait"
    b" eventfd2 execve exit exit_group faccessat fallocate fchmod fcntl fdatasync fstat fstatfs"
    b" fsync ftruncate futex getcwd getdents64 getegid geteuid getgid getpeername getpid"
    b" getppid getrandom getrlimit getrusage getsockname getsockopt gettid gettimeofday getuid"
    b" io_getevents io_submit io_uring_enter io_uring_setup kill lseek lstat madvise mbind"
    b" memfd_create mincore mlock mlockall munlock nanosleep newfstatat open openat pipe pipe2"
    b" membarrier poll ppoll prctl pread64 preadv prlimit64 pselect6 pwrite64 pwritev read"
    b" readlink readlinkat readv recvfrom recvmsg rseq rt_sigaction rt_sigpending"
    b" rt_sigprocmask rt_sigreturn rt_sigtimedwait sched_getaffinity sched_setaffinity"
    b" sched_yield select sendmmsg sendmsg sendto set_robust_list set_tid_address setrlimit"
    b" setsockopt shutdown signalfd4 sigaltstack socket socketpair stat statfs statx sysinfo"
    b" tgkill timer_create timer_settime timerfd_create timerfd_settime uname unlink wait4"
    b" waitid write writev".split()
)
"""System calls that are not about memory: a line of strace with one of them is passed over,
even if its arguments quote an error message."""


def _alternatives(names: frozenset[bytes]) -> bytes:
    """A pattern for any of some names, by first letter: fewer alternatives to try at each place."""
    groups: dict[bytes, list[bytes]] = {}
    for name in sorted(names, reverse=True):
        groups.setdefault(name[:1], []).append(name[1:])
    return b"|".join(letter + b"(?:" + b"|".join(rest) + b")" for letter, rest in groups.items())


# Runs of lines that tell nothing: this runs in C.  Relative times (-r) must be added up line by
# line, so lines with them are left to `line`.  KVM_RUN that did not fail is noise as well.
QUIET = lazy(
    rb"(?:(?:\[pid +\d+\] *|\d+ +)?(?:\d{9,12}\.\d+ +|\d\d:\d\d:\d\d(?:\.\d+)? +)?(?:\[ *\w+\] +)?"
    rb"(?:(?:" + _alternatives(NOISE) + rb")\(|ioctl\(\d+(?:<[^>\n]*>)?, KVM_RUN, 0\) += 0"
    rb"|<\.\.\. (?:" + _alternatives(NOISE) + rb") resumed>)[^\n]*\n"
    rb"|\d+@\d+\.\d+:(?!kvm_(?:set_user|vm_ioctl|ioctl|init_vcpu|convert|clear))\w+ [^\n]*\n){1,64}"
)
