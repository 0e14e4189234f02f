"""The recorder: it sees every call, loses none, and the program does not notice."""

from __future__ import annotations

import errno
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter

import pytest
from requires import REQUIRED, requires

from memslots.errors import TraceError
from memslots.explain.analysis import Analysis
from memslots.trace import Reading, read

pytestmark = requires("ptrace")
HERE = os.path.dirname(__file__)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def memslots(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "memslots", *words], env=ENVIRONMENT, text=True, **options
    )


def run(path, *command, **options):
    """(exit code, output) of a recorded command."""
    process = memslots(
        "record", "-q", "-o", str(path), "--", *command, stdout=subprocess.PIPE, **options
    )
    return process.wait(timeout=60), process.stdout.read()


def calls(path):
    """The calls that were made, without those of a snapshot at the beginning."""
    reading = Reading()
    return [
        event for event in read(str(path), reading=reading) if event.format != "snapshot"
    ], reading


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", -signal.SIGTERM),
        ("kill -KILL $$", -signal.SIGKILL),
        ("(sleep 0.1; exit 3) & wait $!", 3),
        ("trap 'exit 9' USR1; kill -USR1 $$; exit 1", 9),
    ],
)
def test_the_exit_status_is_the_programs(tmp_path, script, code):
    assert run(tmp_path / "r", "sh", "-c", script)[0] == code


def test_input_output_and_environment_pass_through(tmp_path):
    process = memslots(
        "record", "-q", "-o", str(tmp_path / "r"), "--", "sh", "-c",
        "read x; echo got $x; echo err >&2",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.communicate("word\n", timeout=30) == ("got word\n", "err\n")


def test_signals_sent_to_the_recorder_reach_the_program(tmp_path):
    process = memslots(
        "record", "-q", "-o", str(tmp_path / "r"), "--", "sh", "-c",
        "trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 4


def test_a_stopped_program_stays_stopped_and_goes_on(tmp_path):
    script = "echo $$; kill -STOP $$; echo on; exit 6"
    process = memslots(
        "record", "-q", "-o", str(tmp_path / "r"), "--", "sh", "-c", script, stdout=subprocess.PIPE
    )
    pid = int(process.stdout.readline())
    time.sleep(0.3)
    with open(f"/proc/{pid}/stat") as file:
        assert file.read().split()[2] in "Tt"
    os.kill(pid, signal.SIGCONT)
    assert process.stdout.readline() == "on\n"
    assert process.wait(timeout=30) == 6


def test_a_program_that_is_not_there(tmp_path):
    process = memslots(
        "record", "-o", str(tmp_path / "r"), "--", "no-such-program", stderr=subprocess.PIPE
    )
    assert process.wait(timeout=30) == 2
    assert "no-such-program: No such file or directory" in process.stderr.read()


def test_a_recording_without_calls_and_damaged_ones(tmp_path):
    path = tmp_path / "r"
    run(path, "true")
    events, reading = calls(path)
    assert events == []
    assert len(reading.notes) == 1
    data = path.read_bytes()
    path.write_bytes(data[:40])
    with pytest.raises(TraceError, match="ends within its description"):
        list(read(str(path)))
    path.write_bytes(data[: data.index(b"\n")].replace(b'"record"', b'"rekord"') + b"\n")
    with pytest.raises(TraceError, match="description lacks something"):
        list(read(str(path)))


@pytest.fixture(scope="module")
def stress(tmp_path_factory):
    program = str(tmp_path_factory.mktemp("stress") / "stress")
    source = os.path.join(HERE, "stress.c")
    subprocess.run(["gcc", "-O1", "-pthread", source, "-o", program], check=True)
    return program


def check_whole(events):
    """Every call is whole: the slot of a thread is made and deleted in turns."""
    lives: dict[int, bool] = {}
    for event in events:
        if event.call == "KVM_SET_USER_MEMORY_REGION" and event.result == 0:
            slot, size = event.fields["slot"], event.fields["memory_size"]
            assert event.fields["guest_phys_addr"] == slot << 12
            assert lives.get(slot, False) == (size == 0)
            lives[slot] = size != 0


@requires("gcc", "kvm")
def test_64_threads_while_others_start_and_die(tmp_path, stress):
    path = tmp_path / "r"
    process = memslots(
        "record", "-o", str(path), "--", stress, "12",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    output, said = process.communicate(timeout=60)
    code = process.returncode
    # the first, 64 that make slots, three that each of these starts, a child
    assert "1537 calls of 258 threads" in said
    events, reading = calls(path)
    counted = Counter(event.call for event in events)
    assert code == 5
    assert counted["KVM_SET_USER_MEMORY_REGION"] == int(output) == 64 * 12 * 2
    assert counted["KVM_CREATE_VM"] == 1
    assert not reading.skipped
    assert len(reading.notes) == 1
    check_whole(events)
    assert len({event.pid for event in events}) == 65


@requires("gcc", "kvm")
@pytest.mark.parametrize("whom", ["recorder", "program"])
def test_a_kill_at_any_moment_loses_nothing_seen(tmp_path, stress, whom):
    draw = random.Random(7)
    for number in range(3):
        path = tmp_path / f"r{number}"
        process = memslots(
            "record", "-q", "-o", str(path), "--", stress, "100000", stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while (not path.exists() or path.stat().st_size < 4000) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(draw.random() / 5)
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            child = int(file.read().split()[0])
        os.kill(process.pid if whom == "recorder" else child, signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
        events, reading = calls(path)
        assert len(events) > 30
        assert not reading.skipped
        check_whole(events)
        killed = any("no end mark" in note or "cut" in note for note in reading.notes)
        assert killed == (whom == "recorder")
        for _ in range(200):
            if not os.path.exists(f"/proc/{child}"):
                break
            time.sleep(0.05)
        assert not os.path.exists(f"/proc/{child}")


@requires("gcc", "kvm")
def test_attaching_and_leaving(tmp_path, stress):
    program = subprocess.Popen([stress, "300000"], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.2)
        path = tmp_path / "r"
        process = memslots("record", "-q", "-o", str(path), "-p", str(program.pid))
        deadline = time.monotonic() + 20
        while (not path.exists() or path.stat().st_size < 20_000) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert program.poll() is None, "the program ended with the recorder"
        with open(f"/proc/{program.pid}/status") as file:
            assert "TracerPid:\t0" in file.read()
        events, reading = calls(path)
        assert len(events) > 50
        assert not reading.skipped
        assert {event.call for event in events} == {"KVM_SET_USER_MEMORY_REGION"}
    finally:
        program.kill()
        program.wait()


# the recorder, slow between following a thread and stopping it
SLOW = """
import sys, time
from memslots.cli.main import main
from memslots.record import ptrace
ask = ptrace.ask
def slowly(request, *rest):
    if request == ptrace.INTERRUPT:
        time.sleep(0.01)
    return ask(request, *rest)
ptrace.ask = slowly
sys.exit(main())
"""


@requires("gcc")
def test_attaching_while_threads_are_born(tmp_path):
    """A thread that a followed one has just started is followed already: no one else traces it."""
    binary = str(tmp_path / "births")
    subprocess.run(
        ["gcc", "-O1", "-pthread", os.path.join(HERE, "births.c"), "-o", binary], check=True
    )
    program = subprocess.Popen([binary])
    try:
        path = tmp_path / "r"
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, "record", "-o", str(path), "-p", str(program.pid)],
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 20
        while not path.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert "may not be traced" not in said
        assert process.returncode == 0, said
        assert program.poll() is None
    finally:
        program.kill()
        program.wait()


# the recorder, to whom the kernel says that the first KVM_CREATE_VM was interrupted
ONCE_INTERRUPTED = """
import errno, sys
from memslots.cli.main import main
from memslots.record import ptrace, tracer
made = []
result_at = ptrace.result_at
def interrupted(tid):
    result = result_at(tid)
    if not made:
        made.append(result)
        return -errno.EINTR
    return result
ptrace.result_at = interrupted
sys.exit(main())
"""
MAKING_A_VM = """
import fcntl, os
kvm = os.open("/dev/kvm", os.O_RDWR)
print(kvm, fcntl.ioctl(kvm, 0xAE01, 0))
"""


@requires("kvm")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="made again on x86 only")
def test_a_vm_whose_making_the_recorder_interrupts_is_made_again(tmp_path):
    """Without a signal: the program sees the second attempt, and the recording has that alone."""
    path = tmp_path / "r"
    done = subprocess.run(
        [sys.executable, "-c", ONCE_INTERRUPTED, "record", "-q", "-o", str(path), "--",
         sys.executable, "-c", MAKING_A_VM],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kvm, vm = map(int, done.stdout.split())
    assert vm == kvm + 2  # the first is there too
    events, _ = calls(path)
    assert [(event.call, event.result) for event in events] == [
        ("KVM_CREATE_VM", vm), ("exit", 0)
    ]  # fmt: skip


def test_a_process_that_has_ended_and_was_not_waited_for(tmp_path):
    program = subprocess.Popen(["true"])
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    done = subprocess.run(
        [sys.executable, "-m", "memslots", "record", "-o", tmp_path / "r", "-p", str(program.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, os.listdir(tmp_path)) == (2, [])
    assert f"process {program.pid} has ended" in done.stderr
    program.wait()


@requires("gcc", "kvm")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="its 32-bit program is one of x86")
def test_a_32_bit_program(tmp_path):
    program = str(tmp_path / "tracee32")
    source = os.path.join(HERE, "tracee32.c")
    options = ["-O1", "-nostdlib", "-static", "-fno-stack-protector", "-fno-pie", "-no-pie"]
    subprocess.run(["gcc", "-m32", *options, source, "-o", program], check=True)
    assert run(tmp_path / "r", program)[0] == 7
    events, reading = calls(tmp_path / "r")
    assert [(event.call.removeprefix("KVM_"), event.result) for event in events[1:-1]] == [
        ("SET_USER_MEMORY_REGION", 0),
        ("SET_USER_MEMORY_REGION", -errno.EEXIST),
        ("SET_USER_MEMORY_REGION", 0),
        ("SET_USER_MEMORY_REGION", -errno.EFAULT),
    ]
    fields = dict(events[2].fields)
    assert fields.pop("userspace_addr") < 1 << 32
    assert fields == {"slot": 1, "flags": 0, "guest_phys_addr": 0x2000, "memory_size": 0x1000}
    assert events[4].fields == {}
    assert sum(reading.skipped.values()) == 1
    overlap, unreadable = Analysis(str(tmp_path / "r")).finish().explanations
    assert (overlap.rule.id, overlap.certainty) == ("slot-overlap", "certain")
    assert (unreadable.rule.id, unreadable.certainty, unreadable.questions) == (
        "argument-unreadable",
        "certain",
        [],
    )


def test_a_process_that_is_not_there(tmp_path):
    process = memslots(
        "record", "-o", str(tmp_path / "r"), "-p", "999999999", stderr=subprocess.PIPE
    )
    assert process.wait(timeout=30) == 2
    assert "no process 999999999" in process.stderr.read()


def region_calls(path):
    """What two runs of one program have in common: calls, arguments without addresses, results."""
    return [
        (
            event.call,
            {name: value for name, value in event.fields.items() if name != "userspace_addr"},
            event.result,
        )
        for event in read(str(path))
        if event.call.startswith("KVM_SET_USER_MEMORY")
    ]


OUT_AND_HALT = bytes((0xBA, 0x01, 0x05, 0xB0, 0x01, 0xEE, 0xF4))
"""mov dx, 0x501; mov al, 1; out dx, al; hlt: QEMU's exit device ends it with status 3."""


def qemu_command(folder, how):
    """A guest that ends QEMU with status 3: a firmware of seven bytes, or a boot sector that
    SeaBIOS starts.
    """
    image = folder / "image"
    if how == "boot":
        image.write_bytes((OUT_AND_HALT.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
        start = ["-drive", f"file={image},format=raw,if=ide"]
    else:
        image.write_bytes(bytes(0xFFF0) + OUT_AND_HALT.ljust(16, b"\0"))
        start = ["-bios", str(image)]
    image.chmod(0o666)
    return [
        "qemu-system-x86_64", "-accel", "kvm", "-m", "64M", "-nodefaults", "-display", "none",
        "-vga", "none",
        *start, "-device", "isa-debug-exit,iobase=0x501,iosize=1",
    ]  # fmt: skip


def strace_of(path, command):
    return ["strace", "-f", "--seccomp-bpf", "-e", "trace=ioctl", "-o", str(path), *command]


def assert_same_calls(path, traced):
    assert len(region_calls(path)) > 5
    assert region_calls(path) == region_calls(traced)
    ours, theirs = (
        Counter(event.call for event in read(str(name)) if event.call.startswith("KVM_"))
        for name in (path, traced)
    )
    assert ours == theirs


@requires("qemu", "strace", "guest", "kvm")
def test_a_qemu_guest_is_seen_as_strace_sees_it(tmp_path):
    qemu = qemu_command(tmp_path, "firmware")
    path, traced = tmp_path / "r", tmp_path / "strace"
    assert run(path, *qemu, stderr=subprocess.DEVNULL)[0] == 3
    done = subprocess.run(strace_of(traced, qemu), check=False, stderr=subprocess.DEVNULL)
    assert done.returncode == 3
    assert_same_calls(path, traced)


@pytest.fixture
def public_path():
    """A folder that every user may write to: pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="memslots-test-") as folder:
        os.chmod(folder, 0o777)
        yield pathlib.Path(folder)


ONLY_ROOT = pytest.mark.skipif(
    os.getuid() != 0, reason="only root can become another user to show that root is not needed"
)
AS_NOBODY = """
import ctypes, os, subprocess, sys
from memslots.record.recorder import record
os.get_exec_path()  # that user may not be able to read this Python's library
os.setgroups([]); os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1)  # be traceable again, as a program started by that user is
"""
OPEN_DEVICE = """
mount -t tmpfs none "$0" && mknod "$0/kvm" c 10 232 && chmod 666 "$0/kvm" &&
mount --bind "$0/kvm" /dev/kvm && exec "$@"
"""
"""In a mount namespace of its own, a /dev/kvm for everybody, as a user in the group kvm has it."""


@ONLY_ROOT
def test_no_privilege_is_needed(public_path):
    path = str(public_path / "r")
    code = f"{AS_NOBODY}\nsys.exit(record(['sh', '-c', 'exit 3'], {path!r}).exit_code)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 3, done.stderr


@requires("qemu", "strace", "guest", "kvm")
@ONLY_ROOT
def test_a_qemu_boot_without_root_is_seen_as_strace_sees_it(public_path):
    if "qemu" not in REQUIRED:
        pytest.skip("a whole boot takes long: only with MEMSLOTS_REQUIRE=qemu")
    qemu = qemu_command(public_path, "boot")
    path, traced, device = public_path / "r", public_path / "strace", public_path / "device"
    device.mkdir()
    code = (
        f"{AS_NOBODY}\ndone = record({qemu!r}, {str(path)!r})\n"
        "assert done.exit_code == 3, done.exit_code\n"
        f"sys.exit(subprocess.run({strace_of(traced, qemu)!r}).returncode)"
    )
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        OPEN_DEVICE,
        str(device),
        sys.executable,
        "-c",
        code,
    ]
    done = subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert os.stat(path).st_uid == os.stat(traced).st_uid == 65534
    assert_same_calls(path, traced)


def test_the_library_can_be_called_from_a_thread(tmp_path):
    code = (
        "import threading, sys\n"
        "from memslots.record.recorder import record\n"
        "found = []\n"
        f"work = lambda: found.append(record(['sh', '-c', 'exit 2'], {str(tmp_path / 'r')!r}))\n"
        "thread = threading.Thread(target=work)\n"
        "thread.start(); thread.join(); sys.exit(found[0].exit_code)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False).returncode == 2
    )


UNMAPPING = """
import os, threading
from memslots.live import LiveVm, libc
with LiveVm() as vm:
    memory = vm.allocate(4 << 20)
    vm.set_user_memory_region(5, 0, 0, memory.nbytes, memory.address).unwrap()
    child = os.fork()
    if child == 0:
        thread = threading.Thread(target=libc.munmap, args=(memory.address + 8192, 4096))
        thread.start()
        thread.join()
        os._exit(0)
    os.waitpid(child, 0)
    libc.munmap(memory.address, 4096)
    vm.set_user_memory_region(6, 0, 1 << 30, 4096, memory.address).unwrap()
    os._exit(0)
"""


@requires("kvm")
def test_mappings_behind_slots(tmp_path):
    path = tmp_path / "r"
    process = memslots(
        "record", "-q", "--mappings", "-o", str(path), "--", sys.executable, "-c", UNMAPPING
    )
    assert process.wait(timeout=60) == 0
    events, reading = calls(path)
    assert not reading.skipped
    hva = next(event for event in events if event.get("slot") == 5).fields["userspace_addr"]
    assert any(
        event.call == "mmap" and event.result == hva and event.fd is None for event in events
    )
    unmapped = [
        event
        for event in events
        if event.call == "munmap" and hva <= event.fields["addr"] < hva + 16384
    ]
    assert [event.fields["addr"] - hva for event in unmapped] == [8192, 0]
    (child,) = (event.result for event in events if event.call == "fork")
    assert (child, unmapped[0].pid) in [
        (event.pid, event.result) for event in events if event.call == "clone"
    ]
    as_strace = subprocess.run(
        [sys.executable, "-m", "memslots", "export", "--to", "strace", str(path)],
        env=ENVIRONMENT, check=True, capture_output=True,
    ).stdout  # fmt: skip
    for source in (str(path), as_strace):
        (finding,) = (
            finding
            for finding in Analysis(source).finish().watch.findings.values()
            if finding.kind.id == "backing-unmapped"
        )
        assert finding.severity == "warning"
        assert finding.count == 1


@requires("strace")
def test_mappings_are_those_that_strace_sees(tmp_path):
    """Each run maps the same files in the same order, at other addresses."""
    path, traced = tmp_path / "r", tmp_path / "strace"
    program = ["sh", "-c", "ls / >/dev/null; cat /dev/null"]
    process = memslots("record", "-q", "--mappings", "-o", str(path), "--", *program)
    assert process.wait(timeout=60) == 0
    watched = "trace=mmap,munmap,mremap,mprotect"
    subprocess.run(
        ["strace", "-f", "-e", watched, "-o", str(traced), *program],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    kept = ("length", "prot", "flags", "offset", "new_length")
    ours, theirs = (
        [
            (event.call, [event.get(name) for name in kept], event.fd is None)
            for event in read(str(name))
            if event.call not in ("fork", "clone")
        ]
        for name in (path, traced)
    )
    assert len(ours) > 20
    assert ours == theirs


@requires("kvm")
def test_times_and_the_end_of_a_process_with_a_vm(tmp_path):
    script = (
        "import fcntl, os, sys\n"
        "kvm = os.open('/dev/kvm', os.O_RDWR)\n"
        "fcntl.ioctl(kvm, 0xAE01, 0)\n"
        "sys.exit(3)\n"
    )
    path = tmp_path / "r"
    assert run(path, sys.executable, "-c", script)[0] == 3
    events, _ = calls(path)
    assert [event.call for event in events] == ["KVM_CREATE_VM", "exit"]
    made, ended = events
    assert made.duration_ns > 0
    assert made.time_ns + made.duration_ns <= ended.time_ns
    assert (ended.result, ended.fd) == (3 << 8, None)


def test_a_process_without_a_vm_ends_unsaid(tmp_path):
    path = tmp_path / "r"
    assert run(path, "true")[0] == 0
    assert calls(path)[0] == []
