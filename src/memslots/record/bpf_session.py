"""bpftrace at work: what it shows goes into the recording.

The recorder makes calls on no file and waits until they come out: then bpftrace
is at work, and its clock can be compared with ours.  Threads that run already
are told to the script in the same way.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import threading
import time

from ..errors import DeviceUnavailableError, MemslotsError
from . import bpf_script
from .beginning import READING, file_vms, open_looker, without
from .bpf_output import BpfOutput, Caught, end_of
from .processes import is_alive, threads_below
from .recorder import Recorded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .beginning import Beginning
    from .file import RecordingFile

MAP_ENTRIES = 1 << 16
"""Calls that each of the two maps holds; threads that can be followed."""
_HOST_PID_NAMESPACE = "pid:[4026531836]"
_READY_SECONDS = 60.0
_SEEN_SECONDS = 10.0
"""From the moment when bpftrace has the probes to the moment when it shows a call."""
_END_SECONDS = 60.0
_AGAIN_SECONDS = 10.0
_BEGIN_TRIES = 5
_NEVER = 1 << 63
_BLOCK = 1 << 20
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong)


class BpfSession:
    """bpftrace at work.

    A context manager: entered when calls are seen, left with bpftrace gone.
    """

    def __init__(
        self, file: RecordingFile, *, system: bool = False, label_all: bool = False
    ) -> None:
        """label_all: say of every process's calls whose they are; else of those that make a VM
        after another did.
        """
        self.output = BpfOutput()
        self._file = file
        self._system = system
        self._label_all = label_all
        self._labels: dict[int, int] = {}
        """Thread: the process that the file says it is of."""
        self._vm_makers: list[int] = []
        self._tid = threading.get_native_id()
        self._tid_seen = 0
        """Ours, as BPF sees it: another number in a PID namespace."""
        self._offset_ns = -(1 << 63)
        self._nonce = int.from_bytes(os.urandom(4), "little")
        self._marks: dict[int, int] = {}
        """Argument of a mark: the time before it."""
        self._rest = b""
        self._held: list[Caught] | None = [] if label_all else None
        """Calls that wait until `begin` has written what was there before them."""
        self._last_mark = 0
        """The last of our marks that came out: all calls that ended before it have come out too."""
        self._ended = False
        """bpftrace has closed its output."""
        self._last: list[Caught] | None = None
        """At the end: what comes out then, which is printed by the maps' names and not by age."""

    def __enter__(self) -> BpfSession:
        prctl, parent = _libc.prctl, os.getpid()

        def die_with_us() -> None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        self._errors = os.memfd_create("bpftrace")
        self._process = subprocess.Popen(
            ["bpftrace", "-f", "json", "-e", bpf_script.script(self._tid, self._nonce,
            system=self._system)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors,
            preexec_fn=die_with_us,
            env={**os.environ, "BPFTRACE_MAP_KEYS_MAX": str(MAP_ENTRIES)}, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        try:
            self._wait_until_seen()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_until_seen(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        attached = False
        while not self._tid_seen:
            if self.output.counting:
                self._mark(len(self._marks) + 1)
            if not self.step(bpf_script.TICK_MS):
                raise DeviceUnavailableError(f"bpftrace ended at once: {self._complaint()}")
            if self.output.attached and not attached:
                attached, deadline = True, time.monotonic() + _SEEN_SECONDS
            if time.monotonic() > deadline:
                raise DeviceUnavailableError(
                    f"bpftrace runs, but shows no calls: {self._complaint()}"
                )

    def _mark(self, number: int) -> None:
        argument = bpf_script.mark(self._nonce, number)
        self._marks[argument] = time.time_ns()
        _libc.ioctl(-1, bpf_script.MARK, argument)

    def follow(self, pid: int) -> None:
        """Follow a running process and all below it, those too that appear meanwhile."""
        told: set[int] = set()
        while new := threads_below(pid, without=os.getpid()) - told:
            for tid in new:
                _libc.ioctl(-1, bpf_script.SEED, bpf_script.seed(tid))
                if not is_alive(
                    tid
                ):  # it may have ended before it was told, and nobody would see its end
                    _libc.ioctl(-1, bpf_script.UNSEED, bpf_script.seed(tid))
            told |= new
        before = self.output.born
        for _ in range(100):
            if self.output.born > before or not told or not self.step():
                break

    def begin(self, pids: Callable[[], Sequence[int] | None]) -> Beginning:
        """Write the VMs of these processes (None: of all) as they are, then the calls that came
        after.

        A call that ended before is in what was read; one that went on meanwhile may be or may not,
        so then they are read again.
        """
        try:
            with open_looker() as looker:
                for _ in range(_BEGIN_TRIES):
                    self._held = []
                    start, vms, end = time.time_ns(), looker.look(pids()), time.time_ns()
                    self._wait_until_out()
                    later = [
                        call
                        for call in self._held
                        if (call.end_ns or _NEVER) + self._offset_ns >= start
                    ]
                    changing = {
                        call.pid
                        for call in later
                        if call.time_ns + self._offset_ns <= end and call.call.name not in READING
                    }
                    if not changing:
                        break
                beginning = file_vms(
                    self._file, vms, start, label=self._label_process, changing=changing
                )
        except (MemslotsError, OSError) as error:
            beginning, later = without(error), self._held or []
        self._held = None
        for call in later:
            self._take(call)
        return beginning

    def _wait_until_out(self) -> None:
        """Wait until all calls that have ended by now have come out."""
        number = len(self._marks) + 1
        self._mark(number)
        deadline = time.monotonic() + _SEEN_SECONDS
        while (
            self._last_mark != bpf_script.mark(self._nonce, number) and time.monotonic() < deadline
        ):
            if not self.step(bpf_script.TICK_MS):
                break

    def _label_process(self, pid: int) -> None:
        self._labels[pid] = pid
        self._file.process(pid, pid, _name_of(pid) if sees_host_pids() else b"")

    def step(self, milliseconds: int = 100) -> bool:
        """Wait for output and file it; False if bpftrace has ended."""
        if not select.select((self._fd,), (), (), milliseconds / 1000)[0]:
            return True
        data = os.read(self._fd, _BLOCK)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            calls = self.output.take(line)
            if self._last is not None:
                self._last += calls
                continue
            for call in calls:
                if self._held is None or self._is_mark(call):
                    self._take(call)
                else:
                    self._held.append(call)
        self._ended = not data
        return bool(data)

    def _take(self, call: Caught) -> None:
        if self._is_mark(call):
            # of several marks the one that was seen soonest tells best
            self._offset_ns = max(self._offset_ns, self._marks[call.argument] - call.time_ns)
            self._tid_seen = call.tid
            self._last_mark = call.argument
        elif call.tid != self._tid_seen:
            self._label(call)
            time_ns = call.time_ns + self._offset_ns
            took_ns = max(0, call.end_ns - call.time_ns)
            self._file.add(
                call.call, call.tid, time_ns, call.result, call.fd, call.values, None, took_ns
            )

    def _is_mark(self, call: Caught) -> bool:
        return call.argument in self._marks and call.fd == -1 and self._tid_seen in (0, call.tid)

    def _label(self, call: Caught) -> None:
        if call.call.name == "KVM_CREATE_VM" and call.pid not in self._vm_makers:
            self._vm_makers.append(call.pid)
        # in a tree a process may use the VM that the first one made; one with a VM of its own is
        # another program
        if self._labels.get(call.tid) != call.pid and (
            self._label_all or call.pid in self._vm_makers[1:]
        ):
            self._labels[call.tid] = call.pid
            self._file.process(call.tid, call.pid, _name_of(call.pid) if sees_host_pids() else b"")

    def finish(self, status: int, beginning: Beginning | None = None) -> Recorded:
        """Let bpftrace end and say what came of it; status: the program's, as waitpid gives it."""
        broken = self._ended
        self._last = []
        if not broken:
            self._mark(0)
            deadline, again = time.monotonic() + _END_SECONDS, 0.0
            while time.monotonic() < deadline:
                if time.monotonic() > again:  # the first one is lost now and then
                    self._process.send_signal(signal.SIGINT)
                    again = time.monotonic() + _AGAIN_SECONDS
                if not self.step(1000):
                    break
            broken = not self._ended or self._process.wait() < 0
        for call in sorted(self._last, key=end_of):
            self._take(call)
        file = self._file
        lost = None if broken else self.output.lost + file.lost
        file.end(status, lost)
        remark = file.failure or ("bpftrace ended before the recording did" if broken else "")
        return Recorded(file.path, file.calls, self.output.born, status, lost, remark, beginning)

    def _complaint(self) -> str:
        """What bpftrace said last, without the remark on RLIMIT_MEMLOCK, which harms nothing."""
        said = os.pread(self._errors, 1 << 16, 0).decode(errors="replace").splitlines()
        worth = [line.strip() for line in said if line.strip() and "RLIMIT_MEMLOCK" not in line]
        return (
            " / ".join(worth[-3:] or ["it says nothing"])
            + " (memslots was tried with bpftrace 0.17)"
        )

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        os.close(self._errors)


def sees_host_pids() -> bool:
    """Whether our process ids are those that BPF sees."""
    return os.readlink("/proc/self/ns/pid") == _HOST_PID_NAMESPACE


def _name_of(pid: int) -> bytes:
    """What the kernel calls a process, if it is there still."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read().rstrip(b"\n")
    except OSError:
        return b""
