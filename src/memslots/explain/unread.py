"""What to say of an input in which no call and no failure was found: what it seems to be, and what
to do with it.
"""

from __future__ import annotations

from .other_causes import qemu_speaks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..trace.event import Reading
    from .facts import Facts

_KINDS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "a memory map of QEMU (info mtree -f)",
        ("flatview", "root memory region system", "flat view"),
        ("memslots check FILE",),
    ),
    (
        "a libvirt domain",
        ("domain type kvm", "domain type qemu", "maxmemory .. memory unit", "currentmemory unit"),
        ("memslots check FILE", "memslots record --system -o vmm.rec   # then start the domain"),
    ),
    (
        "a command line of QEMU",
        ("qemu system~ .. object memory backend~", "qemu system~ .. m", "qemu kvm .. m"),
        ("memslots check FILE", "memslots record -o vmm.rec -- qemu-system-x86_64 ..."),
    ),
    (
        "a map of a guest's or host's memory",
        ("bios e820", "e820 mem", "system ram", "guest phys addr .. memory size", "memory map"),
        ("memslots check FILE",),
    ),
    (
        "perf.data, which is binary",
        ("perfile2",),
        ("perf script -i perf.data > perf.txt", "memslots explain perf.txt"),
    ),
    (
        "a reproducer of syzkaller",
        ("syz~ .. ioctl", "syscall nr ioctl", "nr ioctl", "ioctl kvm set user memory region"),
        ("memslots record -o vmm.rec -- ./repro", "memslots explain vmm.rec"),
    ),
    (
        "counters of perf",
        ("performance counter stats", "kvm kvm entry", "kvm kvm exit"),
        ("perf trace -e ioctl -p PID 2> perf.txt", "memslots record -p PID -o vmm.rec"),
    ),
)
_SEND = (
    "memslots record -o vmm.rec -- COMMAND   # a program that is started",
    "memslots record -p PID -o vmm.rec   # one that runs",
    "strace -f -e trace=ioctl,mmap,munmap -o vmm.strace COMMAND",
    "memslots explain vmm.rec",
)
_OF_NOTHING = (
    "memslots record -p PID -o vmm.rec   # of the process that has the VM, if another made it",
    "memslots live vms   # which processes have one",
)
_ABOUT = (
    "guest memory",
    "memory region",
    "memory slot",
    "memslot",
    "hotplug~",
    "kvm",
    "guest",
    "vm",
    "virtual machine",
)


def seen_in(facts: Facts, reading: Reading) -> tuple[str, tuple[str, ...]]:
    """(what the input seems to be, commands that lead on)."""
    if not reading.excerpt.is_text:
        return "a recording in which the program made no memory call", _OF_NOTHING
    if facts.text.count("\N{REPLACEMENT CHARACTER}") * 20 > len(facts.text):
        return "binary data of no kind that is read here", _SEND
    if not facts.words.flat.strip():
        return ("a trace of other calls" if reading.lines else "an empty input"), _SEND
    if qemu_speaks(facts):
        return "an error of QEMU itself, whose words are not about memory or KVM", _SEND
    for what, signs, commands in _KINDS:
        if any(sign in facts.words for sign in signs):
            return what, commands
    if any(sign in facts.words for sign in _ABOUT):
        return (
            "text that speaks of guests or KVM, and names no call, no error and no message that "
            "is known",
            _SEND,
        )
    return "text that names nothing of KVM", _SEND
