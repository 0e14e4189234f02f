"""What goes wrong around a recorder: the program does not notice, and the recording says what it
lacks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import kills
import pytest
from requires import requires
from test_record import AS_NOBODY, ENVIRONMENT, ONLY_ROOT, calls, memslots, public_path

from memslots.record import output, start
from memslots.record.recorder import record

pytestmark = requires("gcc", "kvm", "ptrace")
HERE = os.path.dirname(__file__)
PTRACE, SECCOMP = {"x86_64": (101, 317)}.get(os.uname().machine, (117, 277))
assert public_path  # a fixture


@pytest.fixture(scope="module")
def logging(tmp_path_factory):
    return kills.build(str(tmp_path_factory.mktemp("logging")))


def run(*words, **options):
    """(exit code, what was said) of a recorder."""
    process = memslots(
        "record", *map(str, words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options
    )
    said = process.communicate(timeout=60)[1]
    return process.returncode, said


def run_apart(script, program, cwd):
    """A script in a mount namespace of its own; $0 is the program, "$@" the recorder."""
    command = ["unshare", "-m", "sh", "-c", script, program]
    command += [sys.executable, "-m", "memslots", "record"]
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def lines_of(path):
    with open(path) as file:
        return len(file.read().splitlines())


def regions(events):
    return sum(event.call == "KVM_SET_USER_MEMORY_REGION" for event in events)


def check_short(path, log, said, made):
    """The program made all its calls; the recording has the first of them and says how many it
    lacks.
    """
    assert lines_of(log) == made
    events, reading = calls(path)
    assert 100 < regions(events) < made
    assert not reading.skipped
    lost = made + 2 - len(events)  # its VM and the end of the process are recorded too
    assert f"{lost} calls were lost (" in said
    assert any(f"{lost} calls were lost" in note for note in reading.notes)
    assert not any("end mark" in note or "cut" in note for note in reading.notes)


@ONLY_ROOT
def test_a_full_disk(tmp_path, logging):
    script = (
        "mount -t tmpfs -o size=64k none small || exit 99\n"
        '"$@" -o small/r -- "$0" log 3000 1 7; code=$?; cp small/r kept; exit $code'
    )
    (tmp_path / "small").mkdir()
    done = run_apart(script, logging, cwd=tmp_path)
    assert done.returncode == 7, done.stderr
    assert "No space left on device" in done.stderr
    check_short(tmp_path / "kept", tmp_path / "log", done.stderr, 3000)


@pytest.mark.parametrize("size", [40, 41])
def test_a_limit_on_the_size_of_files(tmp_path, logging, size):
    script = f'ulimit -f {size}; exec "$@"'
    command = [
        sys.executable,
        "-m",
        "memslots",
        "record",
        "-o",
        tmp_path / "r",
        "--",
        logging,
        "log",
        "3000",
        "1",
        "7",
    ]
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert "File too large" in done.stderr
    check_short(tmp_path / "r", tmp_path / "log", done.stderr, 3000)


def test_a_disk_that_fails_in_the_middle_of_a_record(tmp_path, monkeypatch, logging):
    """Short writes, an error after half a record: what is in the file ends with its last whole
    record.
    """
    write, written = os.write, []

    def bad_write(fd, data):
        if len(data) < 20 or len(data) > 80:
            return write(fd, data)
        written.append(data)
        if len(written) > 402:
            raise OSError(5, "Input/output error")
        return write(fd, data[: 7 if len(written) % 2 else None])

    monkeypatch.setattr(output.os, "write", bad_write)
    done = record([logging, str(tmp_path / "log"), "500", "1", "7"], str(tmp_path / "r"))
    monkeypatch.undo()
    assert done.exit_code == 7
    assert lines_of(tmp_path / "log") == 500
    assert "Input/output error" in done.remark
    events, reading = calls(tmp_path / "r")
    assert len(events) == done.calls > 100
    assert done.calls + done.lost == 502  # the end of the process is one of them
    assert not reading.skipped


def test_a_reader_that_goes(tmp_path, logging):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["head", "-c", "3000", str(pipe)], stdout=subprocess.DEVNULL)
    code, said = run("-o", pipe, "--", logging, tmp_path / "log", "3000", "1", "7")
    reader.wait(timeout=10)
    assert code == 7
    assert lines_of(tmp_path / "log") == 3000
    assert "calls were lost (Broken pipe)" in said


def test_a_slow_reader_does_not_hold_the_program_up(tmp_path, logging):
    pipe, log = tmp_path / "pipe", tmp_path / "log"
    os.mkfifo(pipe)
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    process = memslots(
        "record", "-o", str(pipe), "--", logging, str(log), "5000", "1", "7", stderr=subprocess.PIPE
    )
    assert kills.until(lambda: log.exists() and lines_of(log) == 5000), (
        "the program waits for the reader"
    )
    os.set_blocking(fd, True)
    with open(fd, "rb") as file, open(tmp_path / "r", "wb") as kept:
        kept.write(file.read())
    assert process.wait(timeout=30) == 7
    events, reading = calls(tmp_path / "r")
    assert regions(events) == 5000
    assert len(reading.notes) == 1


def test_a_pipe_that_nobody_reads(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(output, "_READER_SECONDS", 0.1)
    with pytest.raises(OSError, match="nobody reads"):
        record(["true"], str(tmp_path / "pipe"))


def test_a_device_that_is_full(tmp_path):
    code, said = run("-o", "/dev/full", "--", "touch", tmp_path / "ran")
    assert code == 2
    assert "No space left" in said
    assert not (tmp_path / "ran").exists()


def test_standard_output_as_the_recording(tmp_path, logging):
    with open(tmp_path / "r", "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "memslots", "record", "-q", "-o", "/dev/stdout", "--",
             logging, str(tmp_path / "log"), "10", "1", "7"], stdout=file, env=ENVIRONMENT,
        )  # fmt: skip
        assert process.wait(timeout=30) == 7
    assert regions(calls(tmp_path / "r")[0]) == 10


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-", ">/dev/full 2>/dev/full"])
def test_the_exit_status_with_streams_closed(tmp_path, closed):
    script = f'"$@" {closed}'
    command = [
        sys.executable,
        "-m",
        "memslots",
        "record",
        "-o",
        str(tmp_path / "r"),
        "--",
        "sh",
        "-c",
        "exit 7",
    ]
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command], env=ENVIRONMENT, capture_output=True, check=False
    )
    assert done.returncode == 7
    assert b"Traceback" not in done.stderr
    assert b"memslots" not in done.stdout
    assert calls(tmp_path / "r")[1].notes


OLD = b"an older recording"


def failing(path, *words):
    """A recorder that cannot start: (exit code, what it said); an older recording and no other
    file is there then.
    """
    path.write_bytes(OLD)
    found = run("-o", path, *words)
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name]
    return found


def test_a_failed_start_leaves_the_older_recording(tmp_path):
    path = tmp_path / "r"
    assert failing(path, "--", "./nope")[0] == 2
    assert failing(path, "-p", "999999999")[0] == 2
    assert failing(path, "-p", os.getpid(), "--mappings", "--bpf")[0] == 2
    (tmp_path / "r").unlink()
    assert run("-o", path, "--", "./nope")[0] == 2
    assert os.listdir(tmp_path) == []


@requires("bpf")
def test_a_failed_start_of_bpf_leaves_the_older_recording(tmp_path):
    assert failing(tmp_path / "r", "--bpf", "--", "./nope")[0] == 2


def refusing(number, *words):
    process = subprocess.run(
        [sys.executable, os.path.join(HERE, "refusing.py"), str(number), sys.executable, "-m",
        "memslots", *words],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    return process.returncode, process.stderr


def test_where_ptrace_is_refused(tmp_path, logging):
    path = tmp_path / "r"
    path.write_bytes(OLD)
    code, said = refusing(PTRACE, "record", "-o", str(path), "--", "touch", str(tmp_path / "ran"))
    assert code == 4
    assert "may not trace" in said
    assert os.listdir(tmp_path) == ["r"]
    program = subprocess.Popen([logging, "/dev/null", "10000000", "1"])
    try:
        code, said = refusing(PTRACE, "record", "-o", str(path), "-p", str(program.pid))
        assert code == 2
        assert "may not be traced" in said
        assert kills.state(program.pid) in ("R", "S", "D")
    finally:
        program.kill()
        program.wait()
    assert path.read_bytes() == OLD


def test_where_seccomp_is_refused(tmp_path):
    path = tmp_path / "r"
    path.write_bytes(OLD)
    code, said = refusing(SECCOMP, "record", "-o", str(path), "--", "touch", str(tmp_path / "ran"))
    assert code == 4
    assert "no seccomp filter can be installed here: Operation not permitted" in said
    assert os.listdir(tmp_path) == ["r"]
    assert path.read_bytes() == OLD


@ONLY_ROOT
def test_without_proc(tmp_path, logging):
    """Arguments are read all the same; a running process's threads cannot be known."""
    script = (
        'mount -t tmpfs none /proc || exit 99\n"$@" -o r -- "$0" log 20 2 7; code=$?\n'
        '"$@" -o r -p 1; [ $? = 4 ] && exit $code'
    )
    done = run_apart(script, logging, cwd=tmp_path)
    assert done.returncode == 7, done.stderr
    assert "/proc is not mounted" in done.stderr
    events, reading = calls(tmp_path / "r")
    assert regions(events) == 40
    assert not reading.skipped


SECRET = "password=hunter2"


def test_a_recording_is_private_and_names_arguments_on_request_only(tmp_path):
    path = tmp_path / "r"
    path.write_bytes(OLD)
    path.chmod(0o666)
    run("-o", path, "--", "true", SECRET)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert json.loads(path.read_bytes().split(b"\n")[0].split(b" ", 1)[1])["command"] == ["true"]
    assert SECRET.encode() not in path.read_bytes()
    run("-o", path, "--arguments", "--", "true", SECRET)
    assert json.loads(path.read_bytes().split(b"\n")[0].split(b" ", 1)[1])["command"] == [
        "true",
        SECRET,
    ]


def test_a_long_command_line_can_be_read(tmp_path):
    words = ["\N{PERSON WITH BALL}" * 30_000] * 15
    assert run("-o", tmp_path / "r", "--arguments", "--", "true", *words)[0] == 0
    assert len(calls(tmp_path / "r")[1].notes) == 1


def test_links(tmp_path, monkeypatch):
    """One's own is followed, another user's is not."""
    (tmp_path / "r").symlink_to(tmp_path / "target")
    (tmp_path / "target").write_bytes(OLD)
    record(["true"], str(tmp_path / "r"))
    assert (tmp_path / "r").is_symlink()
    assert calls(tmp_path / "target")[1].notes
    assert sorted(os.listdir(tmp_path)) == ["r", "target"]
    (tmp_path / "target").write_bytes(OLD)
    monkeypatch.setattr(output.os, "geteuid", lambda: 12345)
    if os.getuid() == 0:
        os.lchown(tmp_path / "r", 54321, 54321)
    with pytest.raises(PermissionError, match="another user"):
        record(["true"], str(tmp_path / "r"))
    assert (tmp_path / "target").read_bytes() == OLD


@ONLY_ROOT
def test_a_file_in_a_closed_folder_and_one_that_cannot_be_replaced(public_path):
    closed, bound = public_path / "closed", public_path / "bound"
    closed.mkdir()
    (closed / "r").write_bytes(OLD)
    os.chown(closed / "r", 65534, 65534)
    code = f"{AS_NOBODY}\nrecord(['true'], {str(closed / 'r')!r})"
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True)
    assert calls(closed / "r")[1].notes
    bound.write_bytes(OLD)
    script = 'mount --bind closed/r bound && exec "$@"'
    command = [
        sys.executable,
        "-m",
        "memslots",
        "record",
        "-q",
        "-o",
        "bound",
        "--arguments",
        "--",
        "true",
        "again",
    ]
    subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *command],
        cwd=public_path,
        env=ENVIRONMENT,
        check=True,
    )
    assert b"again" in (closed / "r").read_bytes()
    assert sorted(os.listdir(public_path)) == ["bound", "closed"]


@ONLY_ROOT
def test_arguments_of_a_program_that_forbids_looking_into_it(public_path, tmp_path):
    """To a recorder without privilege too: the program's memory was opened before.

    That of its child cannot be.
    """
    program = str(public_path / "confined")
    source = os.path.join(HERE, "programs", "not_dumpable.c")
    subprocess.run(["gcc", "-O1", "-w", "-pthread", source, "-o", program], check=True)
    code = f"{AS_NOBODY}\nsys.exit(record([{program!r}], {str(public_path / 'r')!r}).exit_code)"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False)
    assert done.returncode == 3
    events, reading = calls(public_path / "r")
    assert [event.get("slot") for event in events] == [1, 2, None]
    (why,) = reading.skipped
    assert "forbids others to look into its memory" in why


def test_other_children_of_the_caller_are_not_waited_for(tmp_path):
    other = subprocess.Popen(["sh", "-c", "exit 5"])
    time.sleep(0.1)
    assert record(["sh", "-c", "sleep 0.1; exit 6"], str(tmp_path / "r")).exit_code == 6
    assert other.wait() == 5


def test_an_error_of_the_recorder_does_not_end_the_program(tmp_path, logging, monkeypatch):
    from memslots.record import tracer

    begin = tracer.Tracer._begin
    count = []

    def fails(self, tid, *rest):
        count.append(tid)
        if len(count) == 50:
            raise RuntimeError("made up")
        begin(self, tid, *rest)

    monkeypatch.setattr(tracer.Tracer, "_begin", fails)
    done = record([logging, str(tmp_path / "log"), "300", "2", "7"], str(tmp_path / "r"))
    assert done.exit_code == 7
    assert lines_of(tmp_path / "log") == 600
    assert done.lost is None
    assert "made up" in done.remark
    assert any("unknown number" in note for note in calls(tmp_path / "r")[1].notes)


def test_whoever_waits_for_the_end_of_the_programs_descriptors_sees_it(tmp_path):
    """The recorder keeps none of them open: who reads until a daemon closes them does not wait for
    the recorder.
    """
    read_end, write_end = os.pipe()
    closing = "import os, time\nos.close(1)\nos.closerange(3, 100)\ntime.sleep(60)"
    process = memslots(
        "record", "-q", "-o", str(tmp_path / "r"), "--", sys.executable, "-c", closing,
        stdout=write_end, pass_fds=[write_end],
    )  # fmt: skip
    os.close(write_end)
    done = threading.Event()
    threading.Thread(target=lambda: (os.read(read_end, 1), done.set()), daemon=True).start()
    try:
        assert done.wait(20)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait()


# -- windows: a pause where somebody is killed


def in_window(monkeypatch, owner, attribute, act):
    """Have something done before each call of a function."""
    original = getattr(owner, attribute)

    def wrapped(*arguments):
        act(*arguments)
        return original(*arguments)

    monkeypatch.setattr(owner, attribute, wrapped)


@pytest.mark.parametrize("where", ["_seize", "_continue_to_exec"])
def test_a_program_that_is_killed_before_it_begins(tmp_path, monkeypatch, where):
    path = tmp_path / "r"
    path.write_bytes(OLD)

    def kill(child, *_):
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT) if where == "_seize" else None

    in_window(monkeypatch, start, where, kill)
    done = record(["sleep", "60"], str(path))
    assert (done.exit_code, done.path, done.calls) == (-signal.SIGKILL, "", 0)
    assert "ended before it could become 'sleep'" in done.remark
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("where", ["_seize", "_continue_to_exec"])
def test_a_recorder_that_is_killed_before_the_program_begins_leaves_no_orphan(tmp_path, where):
    code = (
        "import os, signal\nfrom memslots.record import recorder, start\n"
        "def stop(child, *_):\n    print(child, flush=True)\n    os.kill(os.getpid(), "
        "signal.SIGKILL)\n"
        f"start.{where} = stop\nrecorder.record(['sleep', '60'], {str(tmp_path / 'r')!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == -signal.SIGKILL
    assert kills.until(lambda: not kills.state(int(done.stdout)))
    assert os.listdir(tmp_path) == []


def test_a_program_that_is_killed_at_the_entry_of_a_call(tmp_path, monkeypatch, logging):
    from memslots.record import tracer

    seen = []

    def kill(_tracer, tid, *_):
        seen.append(tid)
        if len(seen) == 100:
            os.kill(tid, signal.SIGKILL)
            time.sleep(0.1)

    in_window(monkeypatch, tracer.Tracer, "_begin", kill)
    done = record([logging, str(tmp_path / "log"), "300", "1"], str(tmp_path / "r"))
    assert done.exit_code == -signal.SIGKILL
    events, reading = calls(tmp_path / "r")
    assert not reading.skipped
    made = [event for event in events if event.call != "exit"]
    assert [event.result is None for event in made] == [False] * 99 + [True]
    assert not any("end mark" in note for note in reading.notes)


@pytest.mark.parametrize(
    "hows", [["ptrace"], ["attach"], pytest.param(["bpf"], marks=requires("bpf"))]
)
def test_random_kills(hows):
    """A few of them; kills.py makes more."""
    found = []
    _, compared, faults = kills.run({"bpf": 3}.get(hows[0], 12), 11, hows, found.append)
    assert not faults, found
    assert compared > 100
