"""Boots a kernel with a script and hears its answers; boots again after a crash.

with Asking(find_kernel("debian-6.1-i386")) as asking:
    answers = asking.ask([[["create_vm", 0], ["set_region", 0, 0, 0, "4P", "map:0"]]])
    answers.sequence(0).in_order()          # [0, 0]
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress

from ...errors import DeviceUnavailableError
from .emulator import changed_program
from .initramfs import compiled, initramfs, module_files
from .kernels import MACHINES, Kernel, cache_folder
from .own_image import own_modules
from .packages import fetch, image, need, say_on_stderr
from .script import Answers, script_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .script import Operations

BOOT_SECONDS, QUIET_SECONDS, SEQUENCE_SECONDS = 1500.0, 240.0, 60
"""How long one boot may take, how long it may say nothing, how long one sequence may take."""
MOST_CRASHES = 8
_ENDING_SECONDS = 10.0
_COMMAND_LINE = "quiet loglevel=1 panic=-1 mitigations=off nokaslr rdinit=/init"


class Asking:
    """One kernel that can be asked; a context manager that removes its files."""

    def __init__(self, kernel: Kernel, say: Callable[[str], None] = say_on_stderr) -> None:
        self.kernel = kernel
        self.say = say
        self.boots = 0
        self.crashes: list[int] = []
        """Sequences (numbers of the last `ask`) within which the kernel ended."""
        self.boot_seconds, self.quiet_seconds = BOOT_SECONDS, QUIET_SECONDS
        self._folder = ""

    def __enter__(self) -> Asking:
        """Raises DeviceUnavailableError if a program or the kernel is missing and cannot be had."""
        if not self.kernel.is_native:
            need(self.kernel.qemu[0], MACHINES[self.kernel.arch].qemu_package)
            if not self.kernel.image_path:
                fetch(self.kernel, self.say)
        compiled(self.kernel.program_arch)
        runs = os.path.join(cache_folder(), "run")
        os.makedirs(runs, exist_ok=True)
        self._folder = tempfile.mkdtemp(prefix=f"{self.kernel.name}-", dir=runs)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def header(self) -> dict[str, object]:
        """Release, page size and capabilities, from a boot that asks nothing else."""
        header = self.ask([]).header
        if header is None:  # ask() has raised
            raise AssertionError
        return header

    def ask(
        self,
        sequences: Sequence[Operations],
        *,
        limit_pages: int | None = None,
        probe: bool = False,
        checksums: bool = False,
        for_totals: bool = False,
    ) -> Answers:
        """The answers to sequences of operations, each in a process of its own.

        A kernel that ends within a sequence is booted again for those after it.
        limit_pages: guest pages of one VM (default: the kernel's own limit); for_totals: with the
        memory that filling a VM needs.  Raises DeviceUnavailableError if there is no KVM in there,
        or no start.
        """
        limit = self.kernel.limit_pages if limit_pages is None else limit_pages
        answers = Answers()
        self.crashes = []
        first = 0
        while len(self.crashes) <= MOST_CRASHES:
            script = script_of(
                sequences, range(first, len(sequences)), limit,
                seconds=SEQUENCE_SECONDS,
                probe=probe and not self.kernel.is_native,
                checksums=checksums,
            )  # fmt: skip
            answers.is_done = answers.is_off = False
            how = self._run(self._command(script, for_totals=for_totals), answers)
            if not answers.has_kvm:
                raise DeviceUnavailableError(self._why_no_kvm(answers, how))
            if answers.is_done:
                break
            first = self._after_crash(answers, first, len(sequences), how)
            if first >= len(sequences):
                break
        return answers

    def _after_crash(self, answers: Answers, first: int, end: int, how: str) -> int:
        """Note where it ended; the sequence to go on with."""
        bad = next(
            (n for n in range(first, end) if n not in answers.heard or not answers.heard[n].ended),
            end,
        )
        if bad < end:
            self.crashes.append(bad)
            answers.sequence(bad).why_short = f"the kernel ended ({how})"
            self.say(f"{self.kernel.name}: {how} within sequence {bad} of {end}")
        return bad + 1

    def _why_no_kvm(self, answers: Answers, how: str) -> str:
        if answers.header is None:
            console = self._console_end()
            return f"{self.kernel.name} did not start ({how}); the end of its console: {console}"
        told = "; ".join(answers.sequence(0).kernel_messages[:2])
        failed = "; ".join(
            f"{module['module']} errno {module.get('e')}" for module in answers.failed_modules
        )
        name, errno = self.kernel.name, answers.header["open_kvm"]
        return f"{name} has no KVM there: /dev/kvm errno {errno} {told} {failed}".strip()

    def _console_end(self) -> str:
        try:
            with open(os.path.join(self._folder, "console"), encoding="utf-8") as file:
                return " / ".join(file.read().splitlines()[-3:]) or "nothing"
        except OSError:
            return "nothing"

    # -- one boot

    def _command(self, script: str, *, for_totals: bool) -> list[str]:
        """The command that runs a script."""
        kernel = self.kernel
        program = compiled(kernel.program_arch)
        if kernel.is_native:
            path = os.path.join(self._folder, "script")
            with open(path, "w", encoding="ascii") as file:
                file.write(script)
            return [program, path]
        machine = MACHINES[kernel.arch]
        if kernel.image_path:
            image_path, modules = kernel.image_path, own_modules(kernel)
        else:
            folder, release = fetch(kernel, self.say)
            image_path = image(folder, release)
            modules = module_files(folder, release, machine.modules)
        with open(program, "rb") as binary:
            archive = initramfs(binary.read(), modules, kernel.module_arguments, script)
        path = os.path.join(self._folder, "initramfs")
        with open(path, "wb") as output:
            output.write(archive)
        told = [f"console={machine.console}", _COMMAND_LINE, kernel.command_line]
        if for_totals:
            told.append(kernel.totals_command_line)
        qemu, *machine_options = kernel.qemu
        if kernel.changed is not None:
            qemu = changed_program(need(qemu, machine.qemu_package), kernel.changed)
        return [
            qemu, *machine_options, "-accel", "tcg",
            "-m", kernel.totals_ram if for_totals else kernel.ram,
            "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
            "-nodefaults", "-nic", "none", "-kernel", image_path, "-initrd", path,
            "-append", " ".join(filter(None, told)),
        ]  # fmt: skip

    def _run(self, command: Sequence[str], answers: Answers) -> str:
        """Run to the end, or until it takes too long; how it ended."""
        self.boots += 1
        with open(os.path.join(self._folder, "console"), "w", encoding="utf-8") as console:
            return follow(command, answers, console.write, self.boot_seconds, self.quiet_seconds)


def follow(
    command: Sequence[str],
    answers: Answers,
    log: Callable[[str], object],
    most_seconds: float,
    quiet_seconds: float,
) -> str:
    """Feed what a command prints to `answers`; how it ended: "exit N", "too long" or "silent".

    log: takes the lines that are no answers.  Raises DeviceUnavailableError if it cannot be
    started.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise DeviceUnavailableError(f"cannot run {command[0]}: {error.strerror}") from error
    how = ""
    try:
        how = _hear(process, answers, log, most_seconds, quiet_seconds)
    finally:
        _end(process, patiently=not how and not answers.is_off)
        if process.stdout is not None:
            process.stdout.close()
    return how or f"exit {process.returncode}"


def _hear(
    process: subprocess.Popen[bytes],
    answers: Answers,
    log: Callable[[str], object],
    most_seconds: float,
    quiet_seconds: float,
) -> str:
    """Read until the output ends (""), or the time does ("too long", "silent")."""
    stream = process.stdout
    if stream is None:
        raise AssertionError
    start = last = time.monotonic()
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not answers.is_off:  # some machines do not power off
            ready = selector.select(min(5.0, quiet_seconds))
            now = time.monotonic()
            if ready:
                data = os.read(stream.fileno(), 1 << 16)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    text = line.decode("ascii", "replace").rstrip("\r")
                    if answers.take(text):
                        last = now
                    elif text.strip():
                        log(text + "\n")
                        # a console that only talks is half as good as an answer
                        last = max(last, now - quiet_seconds / 2)
            if now - start > most_seconds:
                return "too long"
            if now - last > quiet_seconds:
                return "silent"
    if rest:
        answers.take(rest.decode("ascii", "replace"))
    return ""


def _end(process: subprocess.Popen[bytes], *, patiently: bool) -> None:
    """The process is gone after this."""
    if patiently:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_SECONDS)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
