"""The neutral form of one recorded call: what every reader makes and replay takes.

An event holds what the recording shows and nothing else.  An argument that was
not recorded is absent from `fields`; a result that was not recorded is None.
Three silences stay apart: not observed (absent), unreadable (counted in the
recording's `Reading`), and not about memory (skipped without a count).
"""

from __future__ import annotations

from .excerpt import Excerpt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


RECORDING = b"memslots-recording "
"""How the recordings of `memslots record` begin."""
MESSAGE = "message"
"""In place of a call's name: an error text that names no call; as a format: an error text."""
TEXT = "text"
"""The format of a failure that the text around the calls tells of."""
PLAN = "vmm-plan"
"""The format of a line in which a VMM says which regions it will make."""
KERNEL_WARNING = "kernel-warning"
"""The format of a warning or crash of the kernel."""
LAYOUT = ""
"""The format of a call that was not recorded but planned."""
HOST, MODEL, INJECTED = "host", "model", "injected"
ANSWERERS = (HOST, MODEL, INJECTED)
"""Who answered a call of an emulated program; recordings have their numbers."""


def printable(text: str) -> str:
    """A text of another program's, without what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Event:
    """One call seen in a recording."""

    __slots__ = (
        "answered_by", "backtrace", "call", "duration_ns", "fd", "fields", "format", "line",
        "new_fd", "pid", "process", "result", "source", "text", "time_ns", "vcpus_in_run",
    )  # fmt: skip

    def __init__(
        self,
        call: str,
        fields: Mapping[str, int] | None = None,
        result: int | None = None,
        *,
        fd: int | None = None,
        pid: int | None = None,
        time_ns: int | None = None,
        source: str = "",
        line: int = 0,
        text: str = "",
        new_fd: int | None = None,
        process: str | None = None,
        format: str = "",
        duration_ns: int | None = None,
        vcpus_in_run: int | None = None,
        answered_by: str = "",
        backtrace: tuple[str, ...] = (),
    ) -> None:
        self.call = call
        """The ioctl's name (`KVM_SET_USER_MEMORY_REGION`), a system call (`mmap`, `close`,
        `fork`), or `message` for an error text that names no call."""
        self.fields: Mapping[str, int] = fields or {}
        """The arguments that were recorded, under the C names: slot, flags, guest_phys_addr,
        memory_size (bytes), userspace_addr, guest_memfd, guest_memfd_offset; first_page,
        num_pages; cap, arg0...; type of a VM, vcpu_id, nr_pages of a budget; address, size,
        attributes; addr, length, prot for mmap and its kin.  slot holds the address space in
        bits 16-31, as in the call.  docs/recordings.md has them call by call."""
        self.result = result
        """Return value, or the negated errno; None where the recording does not say."""
        self.fd = fd
        """The file descriptor called."""
        self.pid = pid
        """Thread or process id, as recorded."""
        self.time_ns = time_ns
        """Nanoseconds, absolute or since the start, as recorded; None without times."""
        self.source = source
        """Name of the file."""
        self.line = line
        """Line in it, from 1; 0 if it has no lines."""
        self.text = text
        """The line or lines as recorded (at most 4096 characters)."""
        self.new_fd = new_fd
        """The file descriptor that the call returned, where it returns one."""
        self.process = process
        """The process, where the recording names it (`QEMU[1972]`): descriptors of others are not
        its own.
        """
        self.format = format
        """Which kind of recording showed it: strace, qemu-trace, perf, bpf, message, jsonl, ...
        A QEMU trace line and QEMU's error message may describe one call: the reader keeps both."""
        self.duration_ns = duration_ns
        """Nanoseconds from entry to return; None where the recording does not say (`strace -T`
        does).
        """
        self.vcpus_in_run = vcpus_in_run
        """vCPUs of the VM inside KVM_RUN when the call was made; None where it was not looked
        at.
        """
        self.answered_by = answered_by
        """HOST, MODEL or INJECTED; empty where the recording does not say: the host."""

        self.backtrace = backtrace
        """The functions that led to the call, the innermost first, where that was recorded."""

    def get(self, name: str) -> int | None:
        """The argument of that name, or None if it was not recorded."""
        return self.fields.get(name)

    def moment(self) -> tuple[int | None, int | None, int | None]:
        """The thread, the time in ns, and the vCPUs in KVM_RUN; None: the recording does not
        say.
        """
        return self.pid, self.time_ns, self.vcpus_in_run

    def taken(self) -> tuple[int | None, int | None]:
        """The thread, and the nanoseconds that the call took; None: the recording does not say."""
        return self.pid, self.duration_ns

    @property
    def errno(self) -> int | None:
        """The errno of a failed call (positive), 0 for success, None if unknown."""
        if self.result is None:
            return None
        return -self.result if self.result < 0 else 0

    @property
    def is_told(self) -> bool:
        """Whether it is a text about a failure, not a call with its result."""
        if self.format == KERNEL_WARNING:
            return True
        return self.call == MESSAGE and self.format != PLAN

    @property
    def is_failure(self) -> bool:
        """Whether something failed: a call was refused, or a text says so."""
        return self.is_told if self.result is None else self.result < 0

    def __repr__(self) -> str:
        return f"Event({self.call}, {dict(self.fields)}, result={self.result}, line={self.line})"


class Reading:
    """What a reader met on its way: filled while the events are consumed."""

    __slots__ = (
        "bytes", "calls", "excerpt", "formats", "host", "kernel", "lines", "machine", "node",
        "notes", "page_bytes", "release", "runs", "skipped",
        "sources",
    )  # fmt: skip

    def __init__(self) -> None:
        self.bytes = 0
        """Bytes looked at, decompressed; grows while reading (for a progress display)."""
        self.lines = 0
        """Lines looked at (formats with lines)."""
        self.runs = 0
        """KVM_RUN calls seen that were not made into events; not all are counted in huge files."""
        self.release = ""
        """Kernel release where it was recorded, as uname gives it; empty if the recording does not
        say.
        """
        self.node = ""
        """Name of the machine where it was recorded, likewise."""
        self.machine = ""
        """Hardware name likewise."""
        self.kernel = ""
        """The kernel as which a program was answered (`memslots emulate`), by name."""
        self.page_bytes = 0
        """Host page size likewise; 0 if the recording does not say."""
        self.host: tuple[str, ...] = ()
        """What the host was, as edits of a kernel's name (`+intel`, `-smm`), as far as it is told.
        """
        self.sources: list[str] = []
        """Names of what was opened, at most a hundred."""
        self.calls = 0
        """Events made."""
        self.excerpt = Excerpt()
        """What stands around the calls."""
        self.skipped: dict[str, int] = {}
        """Why something that looked like a call could not be read, and how often."""
        self.formats: dict[str, int] = {}
        """Format name: events that it gave."""
        self.notes: list[str] = []
        """Things worth telling the user, at most a hundred."""

    def skip(self, why: str) -> None:
        """Count something that could not be read."""
        self.skipped[why] = self.skipped.get(why, 0) + 1

    def note(self, text: str) -> None:
        """Remember something for the user, once."""
        text = printable(text)
        if text not in self.notes and len(self.notes) < 100:
            self.notes.append(text)
