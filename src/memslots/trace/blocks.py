"""Inputs that are no list of calls: reproducers, warnings, assertions, machines described.

Each reader takes the lines that its pattern finds, and what follows from there;
its module is loaded when such a line comes.
"""

from __future__ import annotations

from ..patterns import lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .event import Event, Reading
    from .lines import Ahead

    class Block(Protocol):
        """A reader of one kind of input."""

        def parse(self, text: str, line: int, final: bool) -> list[Event] | None:
            """The events of a line; None if it is cut and the next lines are wanted."""


_READERS = (
    (
        ("ioctl$KVM", "syz_kvm_", " = dup"),
        lazy(r"(?:ioctl\$KVM|syz_kvm_)\w+(?:\$\w+)?\(|\br\d{1,4} = dup[23]?\(r\d"),
        "syzlang", "Syzlang",
    ),
    (
        ("__NR_", "SYS_ioctl", "SYS_dup", "_t*)", "(void*)0x"),
        lazy(
            r"\bsyscall\((?:__NR_|SYS_)(?:ioctl|dup[23]?)\b|\*\(uint(?:8|16|32|64)_t\*\)\(?0x"
            r"|\bmem(?:cpy|set)\(\(void\*\)0x"
        ),
        "c_reproducer", "CReproducer",
    ),
    (("Test Assertion",), lazy(r"Test Assertion Failure"), "selftest", "Selftest"),
    (
        ("WARNING: ", "BUG: ", "Oops: ", "kernel BUG"),
        lazy(r"\bWARNING: (?:CPU: \d|[\w./]+:\d+ at )|\bBUG: \w|\bOops: \w|\bkernel BUG at "),
        "kernel_warning", "KernelWarning",
    ),
    (
        ("qemu-system-", "QEMU", "qemu-kvm", "/kvm", "kvm "),
        lazy(
            r"(?:qemu-system-\w+|qemu-kvm|/kvm|\bkvm|\$\{?QEMU\w{0,20}\}?)(?:\""
            r"|')?\s(?:.{0,2000}\s)?"
            r"(?:-(?:m|M|machine|object|smp|accel|cpu|enable-kvm)\b|\\\s*$)"
        ),
        "command_line", "CommandLine",
    ),
    (("<domain",), lazy(r"<domain\b[^<>]{0,400}>"), "libvirt_domain", "LibvirtDomain"),
)  # fmt: skip
"""Lines of a reader: words one of which stands in each, which cost less to look for than a pattern;
the pattern; its module and class."""


class Blocks:
    """The readers of one source, made when a line asks for them."""

    def __init__(self, reading: Reading, ahead: Ahead) -> None:
        self._reading = reading
        self._ahead = ahead
        self._made: dict[str, Block] = {}

    def reader_of(self, text: str) -> Block | None:
        """Who reads this line; None for the other readers of this package."""
        for words, pattern, module, name in _READERS:
            if _any_in(words, text) and pattern.search(text):
                made = self._made.get(module)
                if made is None:
                    from importlib import import_module

                    kind = getattr(import_module(f"{__package__}.{module}"), name)
                    made = self._made[module] = kind(self._reading, self._ahead)
                return made
        return None


def _any_in(words: tuple[str, ...], text: str) -> bool:
    for word in words:  # noqa: SIM110 (a generator costs more than what it does here)
        if word in text:
            return True
    return False
