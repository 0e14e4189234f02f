"""Kills and stops recorders and programs at random moments and looks at what is left.

    PYTHONPATH=src:tests python tests/record/kills.py [ROUNDS] [SEED] [WAY ...]

WAY: ptrace, attach, bpf or emulate.

After each round: every call that came back to the program is in the recording (of BPF: none
is invented), the recording is readable to its end and says whether it is whole, an older one
is there if the program never began, nothing else is left, and the program has ended or goes on.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter

from memslots.errors import TraceError
from memslots.trace import Reading, read

HERE = os.path.dirname(os.path.abspath(__file__))
OLD = b"an older recording"
ENDING = {"kill recorder": signal.SIGKILL, "term": signal.SIGTERM, "hang up": signal.SIGHUP}
GOING_ON = {"interrupt": signal.SIGINT, "stop": signal.SIGSTOP, "stop program": signal.SIGSTOP}
STARTED = ("ptrace", "emulate")
"""Where every call of the program stops for the recorder."""
KINDS = {
    "ptrace": (
        "kill recorder",
        "kill program",
        "kill both",
        "term",
        "hang up",
        "interrupt",
        "stop",
        "stop program",
    ),
    "attach": (
        "kill recorder",
        "kill program",
        "term",
        "hang up",
        "interrupt",
        "stop",
        "stop program",
    ),
    "emulate": (
        "kill recorder",
        "kill program",
        "kill both",
        "term",
        "hang up",
        "interrupt",
        "stop",
    ),
    "bpf": ("kill recorder", "kill program", "kill bpftrace", "term", "interrupt", "stop"),
}


def build(folder):
    program = os.path.join(folder, "logging")
    source = os.path.join(HERE, "programs", "logging.c")
    subprocess.run(["gcc", "-O1", "-w", "-pthread", source, "-o", program], check=True)
    return program


def state(pid):
    """R, S, T and so on; nothing for a process that is gone or waits for its parent only."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            found = file.read().rpartition(") ")[2][0]
    except OSError:
        return ""
    return found if found not in "ZX" else ""


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def name(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


class Round:
    """One recorder, one program, one blow."""

    def __init__(self, folder, program, how, kind, draw):
        self.how, self.kind, self.draw = how, kind, draw
        self.folder = folder
        self.path, self.log = os.path.join(folder, "r"), os.path.join(folder, "log")
        self.faults = []
        with open(self.path, "wb") as file:
            file.write(OLD)
        if os.path.exists(self.log):
            os.unlink(self.log)
        self.threads = draw.choice((1, 1, 2, 4))
        self.calls = (
            draw.choice((300, 1500)) if kind in GOING_ON and how != "attach" else 10_000_000
        )
        self.command = [program, self.log, str(self.calls), str(self.threads), "7"]
        self.early = how != "bpf" and draw.random() < 0.25
        self.program = None
        self.began_before = how == "attach"

    def memslots(self, *words, command="record"):
        return subprocess.Popen(
            [sys.executable, "-m", "memslots", command, "-q", "-o", self.path, *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self):
        if self.how == "attach":
            self.program = subprocess.Popen(self.command)
            self.pid = self.program.pid
            until(self.is_logging)
            self.recorder = self.memslots("-p", str(self.pid))
            until(lambda: self.recorder.poll() is not None or self.is_recording() or self.early)
        else:
            options = {"bpf": ["--bpf"], "emulate": ["--kernel", "6.1/x86_64"]}.get(self.how, [])
            self.recorder = self.memslots(
                *options, "--", *self.command,
                command="emulate" if self.how == "emulate" else "record",
            )  # fmt: skip
            self.pid = 0
            until(lambda: self.find_program() or self.recorder.poll() is not None)
            if not self.early:
                until(lambda: self.recorder.poll() is not None or self.is_logging())
        time.sleep(self.draw.random() * (0.002 if self.early else 0.3))

    def find_program(self):
        found = [child for child in children(self.recorder.pid) if name(child) != "bpftrace"]
        self.pid = found[0] if found else 0
        return self.pid and (self.how != "bpf" or name(self.pid) == "logging")

    def is_logging(self):
        return os.path.exists(self.log) and os.path.getsize(self.log) > 0

    def is_recording(self):
        return os.path.getsize(self.path) > 1000

    def strike(self):
        kind = self.kind
        target = self.pid if "program" in kind else self.recorder.pid
        try:
            if kind in ("stop", "stop program"):
                os.kill(target, signal.SIGSTOP)
                time.sleep(self.draw.random() * 0.2)
                os.kill(target, signal.SIGCONT)
                if self.how == "attach":
                    self.look_whether_it_goes_on()
                    os.kill(self.pid, signal.SIGTERM)
            elif kind == "kill both":
                os.kill(self.pid, signal.SIGKILL)
                self.recorder.kill()
            elif kind == "kill program":
                os.kill(self.pid, signal.SIGKILL)
            elif kind == "kill bpftrace":
                for child in children(self.recorder.pid):
                    if name(child) == "bpftrace":
                        os.kill(child, signal.SIGKILL)
                os.kill(self.pid, signal.SIGTERM)
            else:
                os.kill(target, {**ENDING, **GOING_ON}[kind])
        except ProcessLookupError:
            return

    def expected_status(self):
        """Of the recorder; None: any."""
        kind = self.kind
        if "recorder" in kind or "both" in kind:
            return (-signal.SIGKILL,)
        no_process = (2,) if self.how == "attach" and self.early else ()
        if self.how == "attach" and kind in ("stop", "stop program"):
            return (-signal.SIGTERM, *no_process)
        if self.how == "attach" and kind in ("term", "hang up", "interrupt"):
            # by its default before the recorder has begun, then it leaves
            return (0, *((-int(ENDING.get(kind, signal.SIGINT)), 130) if self.early else ()))
        if kind == "kill program":
            return (-signal.SIGKILL, *no_process)
        if kind in ENDING:
            return (-ENDING[kind],)
        return (7, *((-signal.SIGINT, 130) if kind == "interrupt" and self.early else ()),
                *((-signal.SIGTERM,) if kind == "kill bpftrace" else ()))  # fmt: skip

    def look(self):
        try:
            status = self.recorder.wait(60)
        except subprocess.TimeoutExpired:
            self.faults.append("the recorder is still there")
            self.recorder.kill()
            self.recorder.wait()
            return
        if status not in self.expected_status():
            self.faults.append(f"status {status}")
        self.look_at_program()
        self.look_at_file()
        rest = set(os.listdir(self.folder)) - {"r", "log", "logging"}
        if rest:
            self.faults.append(f"left behind: {rest}")

    def look_whether_it_goes_on(self):
        before = os.path.getsize(self.log)
        if not until(lambda: os.path.getsize(self.log) > before, 10):
            self.faults.append(f"the program does not go on, state {state(self.pid)}")

    def look_at_program(self):
        lives_on = (
            self.how == "attach" and self.kind not in ("kill program", "stop", "stop program")
        ) or (self.how == "bpf" and self.kind == "kill recorder")
        if lives_on:
            self.look_whether_it_goes_on()
            os.kill(self.pid, signal.SIGKILL)
        if self.program:
            self.program.wait()
        if self.pid and not until(lambda: not state(self.pid), 10):
            self.faults.append(f"program left in state {state(self.pid)}")
            os.kill(self.pid, signal.SIGKILL)

    def look_at_file(self):
        with open(self.path, "rb") as file:
            data = file.read()
        if data == OLD:
            if self.is_logging() and self.how in STARTED:
                self.faults.append("the older recording is there, though the program began")
            return
        if os.stat(self.path).st_mode & 0o777 != 0o600:
            self.faults.append("not private")
        reading = Reading()
        try:
            events = [
                event
                for event in read(self.path, reading=reading)
                if event.call.startswith("KVM_SET_USER")
            ]
        except TraceError as error:
            self.faults.append(f"{error}")
            return
        if reading.skipped:
            self.faults.append(str(reading.skipped))
        whole = not any("no end mark" in note or "cut" in note for note in reading.notes)
        if whole == ("recorder" in self.kind or "both" in self.kind):
            self.faults.append(f"end mark: {whole}")
        self.count([event.fields["slot"] for event in events if event.result is not None])

    def count(self, recorded):
        lines = []
        if os.path.exists(self.log):
            with open(self.log) as file:
                lines = [line.split() for line in file.read().splitlines()]
        if any(failed != "0" for _, failed in lines):
            self.faults.append("calls failed")
        logged, found = Counter(int(slot) for slot, _ in lines), Counter(recorded)
        self.seen = len(recorded)
        for slot in range(self.threads):
            if found[slot] > logged[slot] + 1:
                self.faults.append(f"{found[slot]} calls in the file, {logged[slot]} made")
            if self.how in STARTED and found[slot] < logged[slot]:
                self.faults.append(f"{logged[slot]} calls came back, {found[slot]} in the file")
            if (
                self.how == "bpf"
                and self.kind in (*GOING_ON, "term")
                and found[slot] < logged[slot]
            ):
                self.faults.append(f"{logged[slot]} calls came back, {found[slot]} in the file")

    seen = 0

    def run(self):
        self.start()
        self.strike()
        self.look()
        return self.faults


def run(rounds, seed, hows, report=lambda text: None):
    """(counted kinds, calls compared, faults) of so many rounds."""
    draw = random.Random(seed)
    kinds, faults, calls = Counter(), [], 0
    with tempfile.TemporaryDirectory(prefix="memslots-kills-") as folder:
        program = build(folder)
        for number in range(rounds):
            how = draw.choice(hows)
            kind = draw.choice(KINDS[how])
            one = Round(folder, program, how, kind, draw)
            for fault in one.run():
                faults.append((number, how, kind, "early" if one.early else "", fault))
                report(f"{faults[-1]}")
            kinds[how, kind] += 1
            calls += one.seen
            if number % 50 == 49:
                report(f"{number + 1} rounds, {calls} calls, {len(faults)} faults")
    return kinds, calls, faults


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGHUP):  # a shell starts jobs with them ignored
        signal.signal(each, signal.SIG_DFL)
    rounds, seed = map(int, [*sys.argv[1:3], *("100", "1")[len(sys.argv) - 1 :]][:2])
    kinds, calls, faults = run(
        rounds, seed, sys.argv[3:] or ["ptrace", "attach"], lambda text: print(text, flush=True)
    )
    for (how, kind), count in sorted(kinds.items()):
        print(f"{how:8} {kind:14} {count:5}")
    print(f"{rounds} rounds, {calls} calls compared, {len(faults)} faults")
    sys.exit(bool(faults))
