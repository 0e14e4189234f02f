"""`memslots watch`: a growing recording, the screen by Pilot, and a real terminal of 80 columns."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest
from epilog import ROOT, call
from requires import requires

from memslots.kernel.names import find
from memslots.record.calls import RECORDED
from memslots.record.file import RecordingFile
from memslots.record.watching import Watching
from memslots.views.watch import refusal_text, seen_json, slot_rows, totals_text

CALLS = {call.name: call for call in RECORDED}
MADE = ("KVM_CREATE_VM", 7, 3, (0,))
RAM = ("KVM_SET_USER_MEMORY_REGION", 0, 7, (0, 0, 0, 1 << 20, 0x7F0000000000))
HIGH = ("KVM_SET_USER_MEMORY_REGION", 0, 7, (1, 1, 1 << 32, 2 << 20, 0x7F0000000000))
REFUSED = ("KVM_SET_USER_MEMORY_REGION", -17, 7, (2, 0, 0x80000, 1 << 20, 0x7F0000000000))


class Growing:
    """A recording that somebody writes."""

    def __init__(self, path):
        self.path = str(path)
        self.file = RecordingFile(self.path, ["vmm"], "by hand")
        self.over = threading.Event()

    def __enter__(self):
        self.file.__enter__()
        self.file.begin()
        return self

    def __exit__(self, *reason):
        self.over.set()
        self.file.__exit__(*reason)

    def add(self, *calls):
        for name, result, fd, values in calls:
            self.file.add(CALLS[name], 77, 1_000, result, fd, values)

    def end(self):
        self.file.end(0)
        self.over.set()


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_each_state_is_seen_as_it_was(tmp_path):
    seen = []
    with Growing(tmp_path / "r") as growing:
        watching = Watching(growing.path, find("6.1/x86_64"), growing.over.is_set)
        thread = threading.Thread(target=watching.run, args=(seen.append,))
        thread.start()
        growing.add(MADE, RAM)
        wait_for(lambda: seen and seen[-1].region_calls == 1)
        first = seen[-1]
        growing.add(HIGH, REFUSED)
        wait_for(lambda: seen[-1].region_calls == 3)
        growing.end()
        thread.join(30)
    assert [len(slot_rows(each.vms[0])) for each in (first, seen[-1])] == [1, 3]
    assert (first.is_over, seen[-1].is_over) == (False, True)
    assert first.vms[0].vm.total_pages == 256  # a fork stays as it was
    assert seen[-1].vms[0].vm.total_pages == 768
    (refusal,) = seen[-1].refusals
    assert refusal_text(refusal).endswith("= EEXIST  slot-overlap")
    assert "2 of 32764 slots, 768 pages (3 MiB), MMU budget 64" in totals_text(seen[-1].vms[0])
    assert slot_rows(seen[-1].vms[0])[1][4] == "no slot"


def test_a_program_that_never_starts_ends_the_watching(tmp_path):
    seen = []
    Watching(str(tmp_path / "none"), find("6.1"), lambda: True).run(seen.append)
    assert [(each.is_over, each.vms) for each in seen] == [(True, [])]


def test_the_state_is_what_its_schema_says(tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    from memslots.views.schemas import schema_text

    seen = []
    with Growing(tmp_path / "r") as growing:
        growing.add(MADE, RAM, HIGH, REFUSED)
        growing.end()
        Watching(growing.path, find("6.1"), growing.over.is_set).run(seen.append)
    value = json.loads(json.dumps(seen_json(seen[-1], "6.1/x86_64")))
    jsonschema.Draft202012Validator(json.loads(schema_text("watch"))).validate(value)
    assert value["vms"][0]["slots"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--json", "one of: a command after --, -p PID"),
        ("-p 1 -- true", "one of: a command after --, -p PID"),
        ("--json --kernel nonsense -- true", "not a kernel name"),
    ],
)
def test_wrong_words_are_told(words, said):
    code, _, err = call(f"memslots watch {words}")
    assert (code, said in err) == (2, True)


def test_without_textual_it_says_what_to_install(monkeypatch):
    for name in [*sys.modules]:
        if name.split(".")[0] == "textual" or name == "memslots.cli.watch_screen":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual", None)
    code, _, err = call("memslots watch -- true")
    assert code == 2
    assert err == "memslots watch: this needs textual: pip install 'memslots[terminal]'\n"


def test_the_screen(tmp_path):
    """By textual's Pilot, at 80 columns: map, totals, refusals, hold, next VM, quit."""
    pytest.importorskip("textual")
    from textual.widgets import DataTable, Static

    from memslots.cli.watch_screen import WatchScreen

    async def play(growing):
        watching = Watching(growing.path, find("6.1/x86_64"), growing.over.is_set)
        app = WatchScreen(watching, "vmm")
        async with app.run_test(size=(80, 24)) as pilot:

            async def until(condition):
                for _ in range(1500):
                    await pilot.pause(0.02)
                    if condition():
                        return
                raise AssertionError([str(each.render()) for each in app.query(Static)])

            table = app.query_one(DataTable)
            growing.add(MADE, RAM)
            await until(lambda: table.row_count == 1)
            await pilot.press("space")
            growing.add(HIGH, REFUSED)
            await until(lambda: app._seen.region_calls == 3)
            assert table.row_count == 1  # held
            await pilot.press("space")
            await until(lambda: table.row_count == 3)
            text = {each.id: str(each.render()) for each in app.query(Static)}
            assert "3 region calls, 1 refused" in text["state"]
            assert text["totals"].startswith("VM 1: 2 of 32764 slots")
            assert "slot-overlap" in text["refusals"]
            growing.add(("KVM_CREATE_VM", 9, 3, (0,)), (*RAM[:2], 9, RAM[3]))
            await until(lambda: len(app._seen.vms) == 2)
            await pilot.press("v")
            await until(lambda: table.row_count == 1)
            assert str(app.query_one("#totals", Static).render()).startswith("VM 2: ")
            growing.end()
            await until(lambda: app._seen.is_over)
            await pilot.press("q")
        return app.return_value

    with Growing(tmp_path / "r") as growing:
        seen = asyncio.run(play(growing))
    assert (seen.region_calls, len(seen.vms)) == (4, 2)


PROGRAM = """
import ctypes, mmap, time
from memslots.live import LiveVm
vm = LiveVm()
memory = mmap.mmap(-1, 8 << 20)
hva = (ctypes.addressof(ctypes.c_char.from_buffer(memory)) + 4095) & ~4095
regions = ((0, 0, 1 << 20, 0), (1, 1 << 32, 2 << 20, 1), (2, 1 << 19, 4096, 0))
for slot, gpa, nbytes, flags in regions:
    vm.call("KVM_SET_USER_MEMORY_REGION", {"slot": slot, "flags": flags, "guest_phys_addr": gpa,
                                           "memory_size": nbytes, "userspace_addr": hva})
print("all made", flush=True)
time.sleep(SECONDS)
"""


@requires("kvm", "ptrace")
def test_without_a_screen_the_last_state_is_printed(tmp_path):
    program = tmp_path / "vmm.py"
    program.write_text(PROGRAM.replace("SECONDS", "0.1"))
    kept = tmp_path / "kept.rec"
    code, out, err = call(f"memslots watch --json -o {kept} -- {sys.executable} {program}")
    value = json.loads(out)
    assert (code, value["region_calls"], value["vms"][0]["slots"]) == (1, 3, 2)
    assert f"{kept}.output" in err
    assert Path(f"{kept}.output").read_text() == "all made\n"
    assert call(f"memslots explain {kept}")[0] == 1


@requires("kvm", "ptrace")
def test_on_a_terminal_of_80_columns(tmp_path):
    """A real program, recorded, drawn, and ended with q."""
    pytest.importorskip("textual")
    pyte = pytest.importorskip("pyte")
    program = tmp_path / "vmm.py"
    program.write_text(PROGRAM.replace("SECONDS", "300"))
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "memslots", "watch", "--", sys.executable, str(program)],
        cwd=ROOT, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    os.close(follower)
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)

    def look():
        if select.select([leader], [], [], 0.1)[0]:
            stream.feed(os.read(leader, 65536))
        return "\n".join(screen.display)

    try:
        wait_for(lambda: "slot-overlap" in look())
        text = look()
        assert "3 region calls, 1 refused" in text
        assert "0x100000000" in text
        assert "VM 1: 2 of 32764 slots, 768 pages (3 MiB)" in text
        os.write(leader, b"q")
        end = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < end:
            try:
                look()
            except OSError:
                break
        assert process.wait(10) == 1
    finally:
        if process.poll() is None:
            process.kill()
        os.close(leader)
    assert not [each for each in tmp_path.iterdir() if each.name.endswith("vmm.rec")]


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_without_a_terminal_it_says_what_to_do(closed):
    """Closed streams are none either."""
    line = f"{sys.executable} -m memslots watch -- true {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "without one, --json or memslots record" in done.stderr
