"""Recordings of any mixture of lines, for the benchmarks and for tests of the readers.

The kinds are those that recorders write: what real VMMs do beside their region calls, as strace
prints it with its options (-f, -tt, -ttt, -y, -T, -k) and as QEMU's trace back end does.  Which
kinds a recording has, and how many of each, is for the caller to say.
"""

from __future__ import annotations

import random

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

REGION = "KVM_SET_USER_MEMORY_REGION"

PLAIN = (
    'read(9, "\\1\\0\\0\\0\\0\\0\\0\\0", 512)       = 8',
    'write(9, "\\1\\0\\0\\0\\0\\0\\0\\0", 8)        = 8',
    "ppoll([{fd=0, events=POLLIN}, {fd=4, events=POLLIN}], 2, NULL, NULL, 8) = 1 "
    "([{fd=4, revents=POLLIN}])",
    "futex(0x7f5a22c00008, FUTEX_WAKE_PRIVATE, 1) = 0",
    "ioctl(15, KVM_RUN, 0)          = 0",
)
"""What most lines of most recordings are."""
KINDS: dict[str, tuple[str, ...]] = {
    "KVM_RUN -y": ("ioctl(15<anon_inode:kvm-vcpu:0>, KVM_RUN, 0) = 0",),
    "KVM_RUN EINTR": ("ioctl(15, KVM_RUN, 0) = -1 EINTR (Interrupted system call)",),
    "KVM_RUN EFAULT": ("ioctl(15, KVM_RUN, 0) = -1 EFAULT (Bad address)",),
    "KVM_RUN unfinished": ("ioctl(15, KVM_RUN, 0 <unfinished ...>", "<... ioctl resumed>) = 0"),
    "KVM_RUN -T": ("ioctl(15, KVM_RUN, 0) = 0 <0.000012>",),
    "IRQ_LINE": ("ioctl(11, KVM_IRQ_LINE_STATUS, 0x7ffc0) = 0",),
    "SIGNAL_MSI": ("ioctl(11, KVM_SIGNAL_MSI, 0x7ffc0) = 1",),
    "SIGNAL_MSI -y": ("ioctl(11<anon_inode:kvm-vm>, KVM_SIGNAL_MSI, 0x7ffc4a2b0) = 1",),
    "GET_REGS": (
        "ioctl(15, KVM_GET_REGS, {rax=0x1, rbx=0, rsp=0x7ffe, rip=0xfff0, rflags=0x2}) = 0",
        "ioctl(15, KVM_SET_REGS, {rax=0x1, rbx=0, rsp=0x7ffe, rip=0xfff0, rflags=0x2}) = 0",
    ),
    "GET_SREGS": (
        "ioctl(15, KVM_GET_SREGS, {cs={base=0xffff0000, limit=65535, selector=61440, type=11, "
        "present=1, dpl=0, db=0, s=1, l=0, g=0, avl=0}, ...}) = 0",
    ),
    "GET_REGS unfinished": (
        "ioctl(15, KVM_GET_REGS <unfinished ...>",
        "<... ioctl resumed>, {rax=0x1, rsp=0, rip=0xfff0}) = 0",
    ),
    "IOEVENTFD": (
        "ioctl(11, KVM_IOEVENTFD, {addr=0xfe003000, len=4, fd=22, flags=0}) = 0",
        "ioctl(11, KVM_IOEVENTFD, 0x7ffd0) = -1 EEXIST (File exists)",
    ),
    "GET_DIRTY_LOG": ("ioctl(11, KVM_GET_DIRTY_LOG, 0x7ffd8a4c0) = 0",),
    "GET_DIRTY_LOG fields": (
        "ioctl(11, KVM_GET_DIRTY_LOG, {slot=3, dirty_bitmap=0x7f5a04000000}) = 0",
        "ioctl(11, KVM_GET_DIRTY_LOG, {slot=3}) = -1 ENOENT (No such file or directory)",
    ),
    "CHECK_EXTENSION": ("ioctl(9, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS) = 32764",),
    "raw numbers": (
        "ioctl(15, 0xae80, 0) = 0",
        "ioctl(11, 0x4008ae6a, 0x7ffd0) = 0",
        "ioctl(15, 0x8090ae81, 0x7ffd0) = 0",
    ),
    "_IOC": (
        "ioctl(11, _IOC(_IOC_READ|_IOC_WRITE, 0xae, 0xd4, 0x40), 0x7ffc) = 12",
        "ioctl(15, _IOC(_IOC_NONE, 0xae, 0x80, 0), 0) = 0",
    ),
    "other ioctls": (
        "ioctl(0, TCGETS, {c_iflag=ICRNL, c_oflag=NL0}) = 0",
        "ioctl(23, TUNSETOFFLOAD, 0x1) = 0",
        "ioctl(9, VFIO_IOMMU_MAP_DMA, 0x7ffc) = 0",
    ),
    "mmap": (
        "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f5a04000000",
        "munmap(0x7f5a04000000, 8192) = 0",
    ),
    "close": ("close(21) = 0", "close(11<anon_inode:kvm-vm>) = 0"),
    "futex unfinished": (
        "futex(0x55d0c0ffee00, FUTEX_WAIT_PRIVATE, 2, NULL <unfinished ...>",
        "<... futex resumed>) = 0",
    ),
    "pread64 -y": (
        'pread64(12</var/lib/disk.img>, "\\353c\\220\\0\\0\\0\\0"..., 4096, 1048576) = 4096',
    ),
    "io_uring": ("io_uring_enter(19, 1, 0, 0, NULL, 8) = 1",),
    "unknown calls": (
        "landlock_add_rule(5, LANDLOCK_RULE_PATH_BENEATH, {allowed_access=0x1, parent_fd=3}) = 0",
        "process_madvise(7, [{iov_base=0x7f5a04000000, iov_len=4096}], 1, MADV_COLD, 0) = 4096",
    ),
    "signals": (
        "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_TKILL, si_pid=3001, si_uid=0} ---",
        "rt_sigreturn({mask=[]}) = -1 EINTR (Interrupted system call)",
    ),
    "stacks -k": (
        'write(9, "\\1", 1) = 1',
        "\b > /usr/lib/x86_64-linux-gnu/libc.so.6(__write+0x4f) [0x1008ef]",
        "\b > /usr/bin/qemu-system-x86_64(event_notifier_set+0x1e) [0x8b0c5e]",
    ),
    "quoted messages": (
        'write(2, "kvm_set_phys_mem: error registering slot: File exists\\n", 54) = 54',
        'sendto(5, "<27>KVM_SET_USER_MEMORY_REGION failed, slot=1: Invalid argument", 62, 0, NULL, '
        "0) = 62",
    ),
    "long structures": (
        "ioctl(15, KVM_SET_CPUID2, {nent=40, entries=["
        + ", ".join(f"{{function={i:#x}, index=0, eax=0x16, ebx=0x756e}}" for i in range(40))
        + "]}) = 0",
    ),
    "stderr lines": ("qemu-system-x86_64: warning: host doesn't support requested feature",),
    "region calls": (),
}
"""Kind: its lines without what strace puts before a call (a line that begins with a backspace has
nothing before it).  Of `region calls` each has numbers of its own."""
WIDE = {
    "KVM_RUN -y": 0.08, "KVM_RUN EINTR": 0.08, "IRQ_LINE": 0.08, "pread64 -y": 0.08,
    "futex unfinished": 0.16, "mmap": 0.08, "close": 0.08,
}  # fmt: skip
"""A mixture of half of the lines; the other half is plain."""

PREFIXES: dict[str, Callable[[int, float], str]] = {
    "-f -ttt -o": lambda pid, now: f"{pid} {now:.6f} ",
    "-f -tt -o": lambda pid, now: f"{pid}  {_clock(now)} ",
    "-f -tt": lambda pid, now: f"[pid {pid:5d}] {_clock(now)} ",
    "-f": lambda pid, now: f"[pid {pid:5d}] ",
    "-ttt": lambda pid, now: f"{now:.6f} ",
    "none": lambda pid, now: "",
}
"""What strace writes before a call, by its options."""


def _clock(now: float) -> str:
    whole = int(now) % 86400
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{int(now % 1 * 1e6):06d}"


def region_call(rng: random.Random) -> str:
    """A call with numbers of its own; one of ten is refused."""
    gpa, nbytes = rng.randrange(1 << 20) << 12, rng.randrange(1, 9999) << 12
    result = "-1 EEXIST (File exists)" if rng.random() < 0.1 else "0"
    flags = rng.choice(("0", "0", "0", "KVM_MEM_LOG_DIRTY_PAGES", "KVM_MEM_READONLY"))
    return (
        f"ioctl(14, {REGION}, {{slot={rng.randrange(32)}, flags={flags}, "
        f"guest_phys_addr={gpa:#x}, memory_size={nbytes}, "
        f"userspace_addr={0x7F0000000000 + gpa:#x}}}) = {result}"
    )


def strace_lines(
    shares: Mapping[str, float], *, seed: int = 1, prefix: str = "-f -ttt -o"
) -> Iterator[str]:
    """Lines without end: of each kind that share, the others plain."""
    rng = random.Random(seed)
    kinds, weights = [*shares, None], [*shares.values(), 1 - sum(shares.values())]
    before, now = PREFIXES[prefix], 1795363703.0
    turn = dict.fromkeys(kinds, 0)
    while True:
        for kind in rng.choices(kinds, weights, k=1000):
            now += 3e-4
            if kind == "region calls":
                line = region_call(rng)
            else:
                lines = PLAIN if kind is None else KINDS[kind]
                line = lines[turn[kind] % len(lines)] if kind else rng.choice(lines)
                turn[kind] += 1
            if line[0] == "\b":
                yield line[1:] + "\n"
            else:
                yield f"{before(rng.choice((3001, 3002, 3010)), now)}{line}\n"


QEMU_NOISE = (
    "kvm_irqchip_commit_routes ",
    "virtio_queue_notify vdev 0x55d0c0ff{0:04x} n 2 vq 0x7f5a2200{0:04x}",
    "memory_region_ops_write cpu 0 mr 0x55d0c0ff{0:04x} addr 0xfee000b0 value 0x0 size 4 name "
    "'kvm-apic-msi'",
)
QEMU_KINDS: dict[str, tuple[str, ...]] = {
    "region calls": (
        "kvm_set_user_memory AddrSpace#0 Slot#{1} flags=0x0 gpa=0x{0:x}000 size=0x1000 "
        "ua=0x7f00{0:05x}000 guest_memfd=-1 guest_memfd_offset=0x0 ret=0",
    ),
    "kvm_run_exit": ("kvm_run_exit cpu_index {1}, reason 2",),
    "kvm_vm_ioctl": ("kvm_vm_ioctl type 0xae61, arg 0x7ffd{0:08x}",),
    "kvm_vcpu_ioctl": ("kvm_vcpu_ioctl cpu_index {1}, type 0xae80, arg (nil)",),
}
"""Events of QEMU about KVM; {0} and {1} are numbers."""


def qemu_lines(shares: Mapping[str, float], *, seed: int = 1) -> Iterator[str]:
    """Lines without end of QEMU's `log` back end."""
    rng, now = random.Random(seed), 1795363703.0
    kinds, weights = [*shares, None], [*shares.values(), 1 - sum(shares.values())]
    while True:
        for kind in rng.choices(kinds, weights, k=1000):
            now += 3e-4
            line = rng.choice(QEMU_NOISE if kind is None else QEMU_KINDS[kind])
            pid = rng.choice((3001, 3002, 3010))
            yield f"{pid}@{now:.6f}:{line.format(rng.randrange(1 << 16), rng.randrange(32))}\n"


def write(path: str, lines: Iterator[str], nbytes: int) -> int:
    """Lines into a file until it has so many bytes; the size of the file."""
    size = 0
    with open(path, "w", encoding="ascii") as file:
        while size < nbytes:
            size += file.write(next(lines))
    return size
