"""Attached recordings begin with the VMs as they are: marked, in every form, and without surprises
afterwards.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from requires import requires
from test_running import ENVIRONMENT, Program, Qemu, memslots, rows

from memslots.kernel.names import find
from memslots.record.beginning import file_vms
from memslots.record.file import MAGIC, RecordingFile
from memslots.replay.replay import Replay
from memslots.replay.step import DIFFERS
from memslots.running.running_vm import Holder, RunningSlot, RunningVm
from memslots.running.snapshot import Host, events_of, host_of, model_of
from memslots.trace import Reading, read
from memslots.trace.jsonl import event_from_json, event_to_json
from memslots.uapi.calls import CALLS

PROFILE = find("6.12/x86_64+intel+pa46+ept+guest-memfd-built+attributes-built")
USERS = host_of(PROFILE).user_slots


def vm_of(slots=(), **numbers):
    """A running VM in process 77, on fd 9, with vCPUs 0 and 4 on fds 11 and 12."""
    given = {name.replace("__", "."): value for name, value in numbers.items()}
    pages = sum(slot.npages for slot in slots)
    vm = RunningVm(1, [[slot for slot in slots if slot.as_id == as_id] for as_id in (0, 1)], [1, 2],
                   {"arch.irqchip_mode": 0, "nr_memslot_pages": pages, **given})  # fmt: skip
    holder = Holder(77, "vmm", "vmm --big")
    holder.vm_fds, holder.vcpu_fds, holder.gmem_fds = [9, 15], {0: 11, 4: 12}, {0xABC: 20}
    vm.holders.append(holder)
    return vm


def everything():
    return vm_of(
        [
            RunningSlot(0, 0, 0, 160, 0x7F0000000000, 0),
            RunningSlot(0, 5, 0x100000, 512, 0x7F0010000000, 1, has_bitmap=True),
            RunningSlot(0, 6, 0x200000, 16, 0x7F0020000000, 2),
            RunningSlot(1, 0, 0, 160, 0x7F0000000000, 0),
            RunningSlot(0, USERS, 0xFFFBD, 3, 0x7F0030000000, 0),
        ],
        arch__irqchip_mode=1, manual_dirty_log_protect=3, arch__n_requested_mmu_pages=500,
        arch__vm_type=0,
    )  # fmt: skip


def test_the_calls_lead_to_the_vm():
    vm = everything()
    events = events_of(vm, host_of(PROFILE), time_ns=5)
    assert [event.call.removeprefix("KVM_") for event in events] == [
        "CREATE_VM", "SET_TSS_ADDR", "CREATE_IRQCHIP", "ENABLE_CAP", "CREATE_VCPU", "CREATE_VCPU",
        "SET_NR_MMU_PAGES", *["SET_USER_MEMORY_REGION"] * 4,
    ]  # fmt: skip
    assert {(event.pid, event.format, event.time_ns) for event in events} == {(77, "snapshot", 5)}
    assert [event.new_fd for event in events if event.new_fd is not None] == [9, 11, 12]
    assert events[1].fields["addr"] == 0xFFFBD000
    steps = list(Replay(events, PROFILE))
    assert not [step for step in steps if step.verdict == DIFFERS]
    model = model_of(vm, PROFILE)
    assert rows(vm) is not None
    assert [(s.id, s.base_gfn, s.npages, s.flags) for s in model.slots(0) if not s.owner] == [
        (0, 0, 160, 0), (5, 0x100000, 512, 1), (6, 0x200000, 16, 2),
    ]  # fmt: skip
    assert [s.id for s in model.slots(1) if not s.owner] == [0]
    assert model.state.config.manual_protect == 3
    assert model.state.config.vcpu_ids == (0, 4)
    assert model.mmu_budget == 500


@pytest.mark.parametrize(
    ("numbers", "call", "fields"),
    [
        (
            {"arch__irqchip_mode": 2, "arch__nr_reserved_ioapic_pins": 24},
            "KVM_ENABLE_CAP",
            {"cap": 121, "arg0": 24},
        ),
        ({"dirty_ring_size": 65536}, "KVM_ENABLE_CAP", {"cap": 192, "arg0": 65536}),
        ({"arch__vm_type": 1}, "KVM_CREATE_VM", {"type": 1}),
    ],
)
def test_what_a_vm_has_switched_on(numbers, call, fields):
    events = events_of(vm_of(**numbers), host_of(PROFILE))
    assert any(event.call == call and fields.items() <= event.fields.items() for event in events)


def test_guest_memfd_files_keep_their_numbers():
    slots = [
        RunningSlot(0, 0, 0, 16, 0x10000, 4, gmem_file=0xABC, gmem_offset_pages=3),
        RunningSlot(0, 1, 32, 16, 0x10000, 4, gmem_file=0xDEF),
        RunningSlot(0, 2, 64, 16, 0x10000, 4, gmem_file=0xDEF, gmem_offset_pages=16),
    ]
    events = [
        event
        for event in events_of(vm_of(slots), host_of(PROFILE))
        if event.call.endswith("REGION2")
    ]
    first, second, third = (event.fields for event in events)
    assert (first["guest_memfd"], first["guest_memfd_offset"]) == (20, 0x3000)
    assert second["guest_memfd"] == third["guest_memfd"] not in (20, 0)


def test_both_forms_carry_it(tmp_path):
    events = events_of(everything(), Host(USERS, 12), time_ns=1_000)
    for event in events:
        again = event_from_json(event_to_json(event))
        assert (again.call, again.fields, again.fd, again.new_fd, again.format) == (
            event.call, event.fields, event.fd, event.new_fd, "snapshot",
        )  # fmt: skip
    path = str(tmp_path / "r")
    with RecordingFile(path, ["x"], "a test") as file:
        beginning = file_vms(
            file, [everything()], 1_000, label=lambda pid: file.process(pid, pid, b"vmm")
        )
        file.add(CALLS["KVM_SET_TSS_ADDR"], 78, 2_000, 0, 9, (1,))
        file.end(0)
    reading = Reading()
    found = list(read(path, reading=reading))
    assert (beginning.vms, beginning.slots, beginning.missing, beginning.changing) == (1, 5, "", 0)
    assert [(event.call, event.fields, event.pid) for event in found[:-1]] == [
        (event.call, event.fields, event.pid) for event in events
    ]
    assert [event.format for event in found] == ["snapshot"] * len(events) + ["recording"]
    assert {event.process for event in found[:-1]} == {"vmm[77]"}
    assert found[0].new_fd == 9
    assert any("snapshot" in note for note in reading.notes)
    assert not reading.skipped


def test_readers_that_do_not_know_the_kind_read_the_rest(tmp_path):
    """As versions before the snapshot do: they look the kind up in the description, and pass over
    what is not there.
    """
    path = tmp_path / "r"
    with RecordingFile(str(path), ["x"], "a test") as file:
        file_vms(file, [everything()], 1_000, label=lambda pid: None)
        file.add(CALLS["KVM_CREATE_IRQCHIP"], 78, 2_000, 0, 9, ())
        file.end(0)
    line, _, rest = path.read_bytes().partition(b"\n")
    description = json.loads(line[len(MAGIC) :])
    del description["kinds"]["snapshot"]
    path.write_bytes(MAGIC + json.dumps(description).encode() + b"\n" + rest)
    reading = Reading()
    assert [event.call for event in read(str(path), reading=reading)] == ["KVM_CREATE_IRQCHIP"]
    assert not reading.skipped


def test_vms_that_change_or_cannot_be_called_are_left_out(tmp_path):
    path = str(tmp_path / "r")
    changing, busy, out_of_reach = vm_of(), vm_of(), vm_of()
    changing.consistent = False
    out_of_reach.holders[0].vm_fds = []
    with RecordingFile(path, ["x"], "a test") as file:
        beginning = file_vms(file, [changing, out_of_reach], 1, label=lambda pid: None)
        assert (beginning.vms, beginning.changing) == (0, 1)
        assert file_vms(file, [busy], 1, label=lambda pid: None, changing={77}).changing == 1
        file.end(0)
    assert list(read(path)) == []


# -- attached to something that runs

ATTACHED = pytest.mark.parametrize(
    "how",
    [
        pytest.param("-p", marks=requires("ptrace")),
        pytest.param("--bpf", marks=requires("bpf")),
        pytest.param("--system", marks=requires("bpf")),
    ],
)


class Recorder:
    """A recorder of a process, or of all, that has begun when it is entered."""

    def __init__(self, how, pid, path):
        self.path = path
        words = {
            "-p": ["-p", str(pid)],
            "--bpf": ["--bpf", "-p", str(pid)],
            "--system": ["--system"],
        }[how]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "memslots", "record", *words, "-o", str(path)],
            env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if how == "-p":
            deadline = time.monotonic() + 20
            while not (path.exists() and path.read_bytes().count(b"\n") and _is_traced(pid)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(0.5)
        else:
            assert "recording" in self.process.stderr.readline()

    def end(self):
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=60)[1]
        assert self.process.returncode == 0, said
        return said


def _is_traced(pid):
    with open(f"/proc/{pid}/status") as file:
        return "TracerPid:\t0\n" not in file.read()


def steps_of(path, pid):
    """The steps of a process's VMs, replayed on this host's kernel."""
    events = [
        event for event in read(str(path)) if event.process is None or f"[{pid}]" in event.process
    ]
    replay = Replay(events, find("host"))
    return list(replay), replay


@ATTACHED
@requires("running", "kvm", "qemu")
def test_hotplug_logging_and_reset_after_attaching(tmp_path, how):
    path = tmp_path / "r"
    with Qemu(tmp_path, "-m", "128M,slots=4,maxmem=1G", "-smp", "2", "-device", "VGA") as qemu:
        time.sleep(1.5)
        recorder = Recorder(how, qemu.pid, path)
        qemu.say("object_add memory-backend-ram,id=m1,size=128M")
        qemu.say("device_add pc-dimm,id=d1,memdev=m1")
        qemu.say("migrate -d exec:cat>/dev/null")
        time.sleep(1.5)
        qemu.say("system_reset")
        time.sleep(1.5)
        qemu.say("stop")
        code, said, errors = memslots("live", "slots", "-p", qemu.pid, "--json")
        assert code == 0, errors
        real = json.loads(said)["vms"][0]
        recorder.end()
    steps, replay = steps_of(path, qemu.pid)
    assert not [step for step in steps if step.verdict == DIFFERS]
    assert any(step.is_region and step.event.format == "recording" for step in steps)
    (tracked,) = (tracked for tracked in replay.vms if tracked.vm.state.nr_slots)
    assert tracked.from_start
    assert tracked.vm.total_pages == real["pages"]
    found = [
        [s.id, s.base_gfn << 12, s.npages << 12, s.userspace_addr, s.flags]
        for s in tracked.vm.slots()
    ]
    assert found == [
        [s["slot"], s["gpa"], s["bytes"], s["userspace_addr"], s["flags"]]
        for s in real["slot_list"]
    ]


@ATTACHED
@requires("running", "kvm")
def test_the_beginning_is_what_the_program_made(tmp_path, how):
    path = tmp_path / "r"
    with Program("kinds") as program:
        said = Recorder(how, program.pid, path).end()
    assert "it began with" in said
    steps, replay = steps_of(path, program.pid)
    assert {step.event.format for step in steps if step.event.call != "KVM_CHECK_EXTENSION"} == {
        "snapshot"
    }
    (vm,) = (tracked.vm for tracked in replay.vms if tracked.vm.state.nr_slots)
    assert rows(vm) == program.made["slots"]
    assert vm.mmu_budget in (None, 1234)


@requires("ptrace", "kvm")
def test_without_privilege_the_recording_begins_with_nothing_and_says_so(tmp_path, monkeypatch):
    from memslots.errors import DeviceUnavailableError
    from memslots.record import beginning

    def refused():
        raise DeviceUnavailableError("reading needs root")

    monkeypatch.setattr(beginning, "open_looker", refused)
    path = str(tmp_path / "r")
    with RecordingFile(path, ["x"], "a test") as file:
        file.begin()
        found = beginning.begin_stopped(file, os.getpid(), [])
    assert (found.missing, found.vms) == ("reading needs root", 0)
    assert list(read(path)) == []


def test_a_recording_that_fails_to_begin_leaves_no_file(tmp_path, monkeypatch):
    from memslots.record import beginning, recorder

    def broken(*_):
        raise ZeroDivisionError

    old = tmp_path / "old"
    old.write_bytes(b"an older recording")
    for path in (tmp_path / "new", old):
        with pytest.raises(ProcessLookupError):
            recorder.attach(2**22 - 1, str(path))
        monkeypatch.setattr(beginning, "open_looker", broken)
        with RecordingFile(str(path), ["x"], "a test") as file, pytest.raises(ZeroDivisionError):
            beginning.begin_stopped(file, os.getpid(), [])
    assert [found.name for found in tmp_path.iterdir()] == ["old"]
    assert old.read_bytes() == b"an older recording"
