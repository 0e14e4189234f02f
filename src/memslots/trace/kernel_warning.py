"""Warnings and crashes of a kernel in which KVM had a part: place, task, release, registers.

The registers of the system call tell which request the task had made (on x86 the
second argument of ioctl in RSI, the descriptor in RDI), so that the call is
certain where they are complete; its arguments stood in the program's memory and
its result was not known yet.  The stack says through which functions of KVM it
came.  Nothing is read out of the registers of the warning itself: what they
hold there differs from build to build.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from ..uapi.calls import CALLS
from . import decode
from .event import KERNEL_WARNING, MESSAGE, Event
from .lines import block_ahead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .event import Reading
    from .lines import Ahead

_LINES = 160
"""Of a warning with its registers and stack; what KASAN adds behind them is not needed."""
_BEGINS = ("cut here ]", "WARNING: CPU")
_ENDS = ("---[ end trace", "</TASK>")
_STAMP = lazy(r"^\s*(?:<\d>)?\[\s*\d{1,9}\.\d{6}\](?:\[\s*[TC]\d+\])? ?")
_PLACE = lazy(
    r"(?:WARNING|kernel BUG|BUG)\b[^\n]{0,80}? at\s+([\w./+-]{1,200}\.[ch]:\d{1,6})[,!]?"
    r"(?:\s+at)?(?:\s+([\w.]{1,80})\+0x)?"
)
_FUNCTION = lazy(r"\bRIP: 0010:([\w.]{1,80})(?:\+0x|\s)|^\s*pc : ([\w.]{1,80})\+0x", re.MULTILINE)
_TASK = lazy(r"\bPID: (\d{1,10})\s+Comm: (\S{1,40})")
_RELEASE = lazy(
    r"\b(?:Not tainted|Tainted: (?:[\[\]\w=, ]{1,60}?\s)??)\s*(\d{1,2}\.\d{1,3}[\w.+~-]{0,60})"
)
_FRAME = lazy(r"^\s*(?:\? )?([\w.]{1,80})\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}", re.MULTILINE)
_USER = lazy(r"\bRIP: (?:0033|0023):")
_REGISTER = lazy(r"\b(ORIG_RAX|RSI|RDI): ([0-9a-f]{8,16})\b")
_ARM64 = lazy(r"\bel0_svc\b|^\s*pc : \w", re.MULTILINE)
_IOCTL_X86_64 = 16
"""Number of the system call."""
_OF_KVM = ("kvm", "vmx_", "svm_", "sev_", "tdx_", "vgic_", "gfn_to", "memslot", "mmu_notifier")


class KernelWarning:
    """Reads a warning from the line that announces it."""

    def __init__(self, reading: Reading, ahead: Ahead) -> None:
        self.reading = reading
        self._ahead = ahead
        self._read_to = 0
        """The last line that belongs to a warning already read."""

    def parse(self, text: str, line: int, final: bool) -> list[Event] | None:
        """The call that was under way, if KVM had a part; `message` if it is not told."""
        begins = any(mark in text for mark in _BEGINS)
        if line <= self._read_to and not begins:
            return []  # another headline of the same warning
        block = block_ahead(
            self._ahead,
            _LINES,
            lambda each: any(mark in each for mark in _BEGINS),
            lambda each: any(mark in each for mark in _ENDS),
        )
        self._read_to = line + len(block)
        shown = "\n".join(_STAMP.sub("", each) for each in (text, *block))
        flat = " ".join(shown.split())
        task, release = _TASK.search(flat), _RELEASE.search(flat)
        functions = [found[1] for found in _FRAME.finditer(shown)]
        place, function = _PLACE.search(flat), _FUNCTION.search(shown)
        where = next((name for name in function.groups() if name), "") if function else ""
        where = where or (place[2] or "" if place else "")
        if not any(each.startswith(_OF_KVM) or "kvm" in each for each in (where, *functions)):
            return []
        if release and not self.reading.release:
            self._learn(release[1], flat)
        request, fd = _request(flat)
        name = decode.request_name(request) if request is not None else None
        event = Event(MESSAGE, {}, None, line=line, text=shown, format=KERNEL_WARNING)
        if name in CALLS:
            event.call, event.fd = name or "", fd
        if task:
            event.pid, event.process = int(task[1]), f"{task[2]}[{task[1]}]"
        self._tell(text, place[1] if place else "", where, request, name, event.process or "")
        return [event]

    def _learn(self, release: str, flat: str) -> None:
        """The release and, where the registers tell, the architecture of the machine."""
        if "RIP: " in flat:
            self.reading.release, self.reading.machine = release, "x86_64"
        elif _ARM64.search(flat):
            self.reading.release, self.reading.machine = release, "aarch64"

    def _tell(
        self, text: str, place: str, where: str, request: int | None, name: str | None, task: str
    ) -> None:
        kind = "crash" if "Oops" in text or "BUG" in text else "warning"
        parts = [f"kernel {kind}", f"in {where}" if where else "", f"at {place}" if place else ""]
        if request is not None:
            parts.append(f"during ioctl {name or ''} ({request:#x})".replace("  ", " "))
        if task:
            parts.append(f"by {task}")
        self.reading.note(" ".join(part for part in parts if part))


def _request(flat: str) -> tuple[int | None, int | None]:
    """(request, descriptor) of the ioctl in which the task was; None where they are not told."""
    user = _USER.search(flat)
    if user is None:
        return None, None
    registers: dict[str, int] = {}
    for name, value in _REGISTER.findall(flat[user.end() : user.end() + 1500]):
        registers.setdefault(name, int(value, 16))
    request, number = registers.get("RSI"), registers.get("ORIG_RAX")
    if (
        request is None
        or number not in (None, _IOCTL_X86_64)
        or request >> 32
        or request >> 8 & 0xFF != 0xAE
    ):
        return None, None
    fd = registers.get("RDI")
    return request, fd if fd is not None and fd >> 31 == 0 else None
