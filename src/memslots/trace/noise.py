"""Lines of a recording that tell nothing of memory: runs of them are passed over in C.

Which ioctls are passed over follows from those that are wanted: any other request in a line that
is whole and undamaged tells nothing, whatever its name.
"""

from __future__ import annotations

from functools import lru_cache

from ..patterns import lazy
from ..uapi.calls import CALLS, MEMORY_CALLS
from ..uapi.encoding import KVMIO
from .decode import LOOKALIKE_NAMES, LOOKALIKES

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Collection

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

LABEL = rb"<(?:anon_inode:|/dev/|socket:|pipe:)[\w:.\[\]/-]{0,60}+(?:<char \d{1,4}:\d{1,7}>)?>"
"""What -y prints behind a descriptor, as far as no mail program could take it for a tag."""
CLEAN = rb"[\w .,|+*={}\[\]-]"
"""A character of arguments in which nothing is quoted, damaged or commented."""
CODED = rb"_IOC\([A-Z_|]{1,40}, 0x[0-9a-f]{1,2}, 0x[0-9a-f]{1,2}, (?:0x[0-9a-f]{1,4}|\d)\)"
"""A request that strace has no name for."""
TOOK = rb"(?: <\d{1,9}\.\d{1,9}>|)"
OK = rb"(?:\d{1,19}|0x[0-9a-f]{1,16})"
REFUSED = rb"-1 E[A-Z0-9]{2,14} \([A-Za-z /-]{1,60}\)"


ANCHOR = lazy(
    rb"[^a-z0-9](?:KVM|[Kk]vm_?|ioctl|VFIO|vfio|VHOST_|vhost|[Ss]lots?|os error|Err(?:or|no)?\("
    rb"|code: \d|errno"
    rb"|ioevent|munmap\(|mmap2?\(|mremap\(|(?:pkey_)?mprotect\(|close\(|v?fork\(|clone[23]?\("
    rb"|[Rr]egion"
    rb"|resumed>|[Mm]emory|\"call\"|dosaddr|hugetlb|phys-bits|guest|sev_|Created userspace"
    rb"|uint\d|r\[\d|dup\(r|mem(?:cpy|set)\(\(void|Test Assertion|WARNING: |BUG: |Oops: |<domain"
    rb"|qemu-system|QEMU|sys_e(?:nter|xit): NR)"
)
"""Words one of which stands in every line that a reader wants, after something that is no
letter: that keeps the search away from most places."""
STRIDE = 1 << 12
"""Bytes searched for words before trying again to pass over quiet lines."""


def any_of(words: frozenset[bytes]) -> bytes:
    """A pattern for any of some words, letter by letter: few alternatives to try at each place."""
    if len(words) == 1:
        return next(iter(words))
    branches: dict[bytes, set[bytes]] = {}
    for word in words:
        branches.setdefault(word[:1], set()).add(word[1:])
    ends = branches.pop(b"", None) is not None
    tried = b"|".join(letter + any_of(frozenset(rest)) for letter, rest in sorted(branches.items()))
    if not tried:
        return b""
    return b"(?:" + tried + b")" + b"?" * ends if ends or len(branches) > 1 else tried


def _codes(codes: frozenset[int]) -> frozenset[bytes]:
    return frozenset(b"%04x" % code for code in codes)


_MEMORY_NAMES = frozenset(name.encode() for name in MEMORY_CALLS)
_LOOKALIKE_NAMES = frozenset(name.encode() for name in LOOKALIKE_NAMES)
MEMORY_CODES = _codes(frozenset(KVMIO << 8 | CALLS[name].nr for name in MEMORY_CALLS))
WANTED_CODES = MEMORY_CODES | _codes(frozenset((*LOOKALIKES, KVMIO << 8 | CALLS["KVM_RUN"].nr)))
"""Low halves of the requests that may become events."""
INTERRUPTED = (
    rb"-1 E(?:INTR \(Interrupted system call\)|AGAIN \(Resource temporarily unavailable\))"
)


def tells_nothing(before: bytes = b"", *, begun: bool) -> bytes:
    """An ioctl from its request to the end of its line, that tells nothing.

    It is one that is not wanted, however it ended, or one that would tell something had it failed.
    before: how its request begins, which is not part of the pattern.  begun: or one that is not
    wanted and goes on elsewhere; while another call is unfinished, whose end comes next has to be
    known.
    """
    cut = len(before)
    lookalikes = any_of(
        frozenset(name[cut:] for name in _LOOKALIKE_NAMES if name.startswith(before))
    )
    memory = any_of(frozenset(name[cut:] for name in _MEMORY_NAMES if name.startswith(before)))
    run = b"KVM_RUN"[cut:]
    arguments = rb"(?:, " + CLEAN + rb"*+|)"
    codes = b"" if before else rb"|0x[0-9a-f]{0,4}?" + any_of(WANTED_CODES)
    wanted = rb"(?:" + memory + rb"|" + lookalikes + rb"|" + run + codes + rb")(?![A-Z0-9_a-z])"
    request = rb"(?:[A-Z2][A-Z0-9_]*+" + (b"" if before else rb"|0x[0-9a-f]{1,8}+") + rb")"
    return (
        rb"(?:" + run + rb", 0(?:\) {1,40}+= (?:0|" + INTERRUPTED + rb")" + TOOK
        + rb"| <unfinished \.\.\.>)"
        + rb"|(?!" + wanted + rb")" + request + arguments + rb"(?:\) {1,40}+= (?:" + OK + rb"|"
        + REFUSED + rb")" + TOOK + (rb"| ?<unfinished \.\.\.>" if begun else b"") + rb")"
        + rb"|" + lookalikes + arguments + rb"\) {1,40}+= " + OK + TOOK + rb")"
    )  # fmt: skip


WHO = rb"(?:\d++ ++|\[pid ++\d++\] *+|)(?:\d{9,12}+\.\d++ ++|\d\d:\d\d:\d\d(?:\.\d++|) ++|)"
"""What strace writes before a call: thread and time; relative times (-r) are not among it."""


def _runs_of_lines(resumed: bytes, *, begun: bool) -> bytes:
    noise = any_of(NOISE)
    return (
        rb"(?:(?: > .*\[0x[0-9a-f]++\]|" + WHO + rb"(?:\[ *+\w++\] ++|)(?:ioctl\(\d++(?:"
        + LABEL + rb"|), " + tells_nothing(begun=begun) + rb"|" + noise + rb"\(.*+"
        rb"|<\.\.\. (?:" + resumed + noise + rb") resumed>.*+"
        rb"|--- SIG[A-Z0-9_+]++ \{[\w=, ]*+\} ---))\n)++"
    )  # fmt: skip


# Relative times (-r) must be added up line by line, so lines with them are left to `line`.
QUIET = lazy(lambda: _runs_of_lines(b"ioctl|", begun=True))
"""Runs of lines of strace that tell nothing while no call is unfinished."""
QUIET_WHILE_UNFINISHED = lazy(lambda: _runs_of_lines(b"", begun=False))
"""The same while the second half of an ioctl may tell something."""

_TRACED = frozenset(b"set_user vm_ioctl ioctl init_vcpu convert clear vcpu_ioctl".split())
_RUN_CODE = b"%04x" % (KVMIO << 8 | CALLS["KVM_RUN"].nr)
_VCPUS_MAX = 64


def known_vcpus(running: Collection[int]) -> bytes:
    """A pattern for the numbers of vCPUs that need no look any more."""
    if len(running) >= _VCPUS_MAX:
        return rb"\d{1,6}"
    return rb"(?:" + any_of(frozenset(b"%d" % index for index in running) | {b"-"}) + rb")"


@lru_cache(maxsize=8)
def quiet_trace(running: frozenset[int], ioctls_seen: bool) -> re.Pattern[bytes]:
    """Runs of lines of QEMU's trace that tell nothing.

    running: vCPUs that are known to run.  ioctls_seen: ioctls are known to be traced.
    """
    known = known_vcpus(running)
    no_memory_ioctl = (
        rb"|kvm_(?:(?:vm_)?ioctl|vcpu_ioctl cpu_index \d{1,6},) type 0x(?![0-9a-f]{0,4}?(?:"
        + _RUN_CODE + rb"|" + any_of(MEMORY_CODES)
        + rb"),)[0-9a-f]{1,8}+, arg (?:0x[0-9a-f]++|\(nil\))"
    )  # fmt: skip
    return lazy(
        rb"(?:\d++@\d++\.\d++:(?:(?!kvm_(?:" + any_of(_TRACED) + rb"|run_exit (?!cpu_index "
        + known
        + rb", reason \d)))\w++ .*+|kvm_vcpu_ioctl cpu_index " + known + rb", type 0x[0-9a-f]{0,4}"
        + _RUN_CODE + rb", .*+" + (no_memory_ioctl if ioctls_seen else b"") + rb")\n)++"
    )  # fmt: skip
