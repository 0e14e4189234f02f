"""VMs of other processes: what is read is what is there, and nobody notices."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from requires import requires

from memslots.check.layout.mtree import layout_of_mtree
from memslots.errors import DeviceUnavailableError
from memslots.live.device import Device
from memslots.live.live_vm import LiveVm
from memslots.running.beside_model import BesideModel, look_beside_model, profile_of_host
from memslots.running.look import Looker, look

pytestmark = requires("running", "kvm")
HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class Program:
    """`vm_to_look_at.py` in a process of its own."""

    def __init__(self, what):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "vm_to_look_at.py"), str(what)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        line = self.process.stdout.readline()
        assert line, "the program ended"
        self.made = json.loads(line)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def memslots(*words, **options):
    done = subprocess.run(
        [sys.executable, "-m", "memslots", *map(str, words)], env=ENVIRONMENT,
        capture_output=True, text=True,
        timeout=120, check=False, **options,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def rows(vm):
    return sorted(
        [slot.as_id, slot.id, slot.base_gfn, slot.npages, slot.userspace_addr, slot.flags]
        for slot in vm.slots()
        if not slot.owner
    )


@pytest.mark.parametrize("what", ["kinds", 0, 1, 30, 509])
def test_what_is_read_is_what_was_made(what):
    with Program(what) as program:
        (vm,) = look([program.pid])
        beside = BesideModel(vm, profile_of_host())
        assert rows(vm) == program.made["slots"]
        assert beside.disagreements == []
        assert vm.consistent
        (holder,) = vm.holders
        assert (holder.pid, holder.vm_fds) == (program.pid, [program.made["fd"]])
        assert {str(vcpu_id): fd for vcpu_id, fd in holder.vcpu_fds.items()} == program.made[
            "vcpu_fds"
        ]
        assert vm.vcpus == len(vm.vcpu_ids) == len(program.made["vcpu_fds"])
        if what == "kinds":
            assert vm.mmu_budget in (None, 1234)
            assert all(slot.has_bitmap == bool(slot.flags & 1) for slot in vm.slots())


def test_generation_total_and_budget_are_those_of_the_model():
    """The same calls put to the model and to a live VM of ours, which is looked at after each."""
    from memslots import Vm

    model = Vm(profile_of_host())
    with LiveVm() as live, Looker() as looker:
        memory = live.allocate(1 << 20)
        calls = [
            (0, 0, 0, 64, 0), (1, 1, 64 << 12, 100, 0), (1, 0, 64 << 12, 100, 0),
            (0, 0, 1 << 30, 64, 0),
            (2, 2, 1 << 20, 7, 0), (3, 0, 1 << 20, 1, 0), (1, 0, 0, 0, 0),
            (4, 1, 2 << 30, 12800, 0), (9, 0, 0, 0, 0),
        ]  # fmt: skip
        for slot, flags, gpa, npages, offset in calls:
            arguments = (slot, flags, gpa, npages << 12, memory.address + offset)
            assert (
                live.set_user_memory_region(*arguments).result
                == model.set_user_memory_region(*arguments).result
            )
            (vm,) = looker.look([os.getpid()])
            assert vm.generations == model.state.generations
            assert vm.total_pages == model.total_pages
            assert vm.kernel_total_pages in (None, model.total_pages)
            assert vm.mmu_budget in (None, model.mmu_budget)
            assert rows(vm) == sorted(
                [slot.as_id, slot.id, slot.base_gfn, slot.npages, slot.userspace_addr, slot.flags]
                for as_id in range(len(model.state.spaces))
                for slot in model.slots(as_id)
            )


def test_as_many_slots_as_there_can_be():
    with Device() as device:
        most = device.check_extension(10)
    with Program(most) as program:
        (vm,) = look([program.pid])
        assert rows(vm) == program.made["slots"]
        assert BesideModel(vm, profile_of_host()).slots_left[0] == 0


def _traces_of(pid):
    """What would change if the process, or its guest, ran a single instruction or lost a page."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/task"):
        task = Path(f"/proc/{pid}/task/{name}")
        status = task.joinpath("status").read_text()
        found[name] = [
            line
            for line in status.splitlines()
            if "ctxt_switches" in line or line.startswith("VmRSS")
        ]
        found[name].append(task.joinpath("stat").read_text().rpartition(") ")[2].split()[7:15])
    found["fds"] = sorted(os.listdir(f"/proc/{pid}/fd"))
    return found


def _statistics_of(pid, fd):
    """KVM's own counters of a vCPU or VM: every exit, flush and fault (KVM_GET_STATS_FD)."""
    from memslots.live import libc
    from memslots.running.descriptors import Borrowed

    with Borrowed(pid) as borrowed:
        own = borrowed.take(fd)
    statistics = libc.ioctl(own, 0xAECE)
    os.close(own)
    if statistics < 0:
        return None
    try:
        return os.pread(statistics, 1 << 16, 0)
    finally:
        os.close(statistics)


@pytest.mark.parametrize("what", ["kinds", 30])
def test_nothing_is_touched(what):
    with Program(what) as program, Looker() as looker:
        time.sleep(0.3)  # until it waits for its input
        fds = list(program.made["vcpu_fds"].values())
        before = _traces_of(program.pid), [_statistics_of(program.pid, fd) for fd in fds]
        (first,) = looker.look([program.pid])
        for _ in range(50):
            looker.look([program.pid])
        (last,) = looker.look([program.pid])
        assert (_traces_of(program.pid), [_statistics_of(program.pid, fd) for fd in fds]) == before
        assert (rows(first), first.generations, first.numbers) == (
            rows(last),
            last.generations,
            last.numbers,
        )


@requires("strace")
def test_no_call_is_made_on_the_vm(tmp_path):
    """Of all ioctls those on our own /dev/kvm and trial VMs only; none on what was borrowed."""
    script = (
        "import sys; sys.argv = ['']\nfrom memslots.running.look import look\n"
        "print(look([{}])[0].nr_slots)"
    )
    with Program(30) as program:
        trace = tmp_path / "trace"
        said = subprocess.run(
            ["strace", "-f", "-o", str(trace), "-e",
             "trace=ioctl,ptrace,kill,tkill,tgkill,process_vm_readv,bpf",
             sys.executable, "-c", script.format(program.pid)],
            env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert said.stdout == "30\n"
        calls = trace.read_text()
        assert "BPF_PROG_TEST_RUN" in calls
        assert not re.search(r"\bioctl\((?!.*TCGETS|.*TIOCGWINSZ|.*FIOCLEX)", calls)
        assert not re.search(r"\b(ptrace|t?g?kill|process_vm_readv)\(", calls)


def test_vms_are_found_by_themselves_and_once():
    with Program(3) as one, Program(5) as two:
        found = {
            vm.holders[0].pid: vm.nr_slots
            for vm in look()
            if vm.holders[0].pid in (one.pid, two.pid)
        }
        assert found == {one.pid: 3, two.pid: 5}
        code, said, _ = memslots("live", "vms", "--json")
        assert code in (0, 1, 3)  # other VMs of the machine may be in motion
        listed = {vm["holders"][0]["pid"]: vm for vm in json.loads(said)["vms"]}
        assert listed[two.pid]["slots"][0] == 5
        assert listed[two.pid]["disagreements"] == []
        assert listed[two.pid]["kernel_memory_bytes"] > 0
        assert f"{one.pid}" in memslots("live", "vms")[1]


def test_a_vm_of_two_processes_is_one():
    with LiveVm() as vm:
        vm.allocate(1 << 16)
        memory = vm.memory[0]
        vm.set_user_memory_region(4, 0, 0, 4096, memory.address).unwrap()
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        try:
            (found,) = look([os.getpid(), child])
            assert {holder.pid for holder in found.holders} == {os.getpid(), child}
            assert found.holders[0].pid == os.getpid(), "the one that made it comes first"
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_vm_of_which_only_a_vcpu_is_open():
    with LiveVm() as vm:
        vcpu = vm.create_vcpu(7).unwrap()
        kept = os.dup(vcpu)
        memory = vm.allocate(1 << 16)
        vm.set_user_memory_region(4, 0, 0, 4096, memory.address).unwrap()
        child = os.fork()
        if child == 0:
            os.close(vm.fd)
            time.sleep(60)
            os._exit(0)
        try:
            time.sleep(0.1)
            (found,) = look([child])
            (holder,) = found.holders
            assert (holder.vm_fds, list(holder.vcpu_fds), found.nr_slots) == ([], [7], 1)
        finally:
            os.close(kept)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_vm_whose_slots_change_all_the_time():
    """What is read is of one moment, or is said not to be: page total and slots always agree."""
    with LiveVm() as vm:
        memory = vm.allocate(1 << 20)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        import threading

        going = True

        def change():
            while going:
                for slot in range(20):
                    vm.set_user_memory_region(slot, 0, slot << 20, (slot + 1) << 12, memory.address)
                for slot in range(20):
                    vm.set_user_memory_region(slot, 0, slot << 20, 0, memory.address)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            with Looker() as looker:
                for _ in range(200):
                    (found,) = looker.look([os.getpid()])
                    if found.consistent:
                        assert found.kernel_total_pages in (None, found.total_pages)
                        ids = [slot.id for slot in found.slots()]
                        assert ids == sorted(set(ids))
        finally:
            going = False
            thread.join()


def test_a_command_line_that_would_move_the_cursor(tmp_path):
    script = tmp_path / "a"
    script.write_text(HERE.joinpath("vm_to_look_at.py").read_text())
    process = subprocess.Popen(
        [sys.executable, str(script), "1", "\x1b[2J\u202e"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=ENVIRONMENT, text=True,
    )  # fmt: skip
    try:
        process.stdout.readline()
        code, said, _ = memslots("live", "slots", "-p", process.pid)
        assert code == 0
        assert "\x1b" not in said
        assert "\u202e" not in said
    finally:
        process.communicate("")


def test_processes_without_a_vm_and_numbers_without_a_process():
    code, _, errors = memslots("live", "slots", "-p", os.getppid())
    assert (code, "has no VM" in errors) == (2, True)
    code, _, errors = memslots("live", "slots", "-p", 2**22 + 5)
    assert (code, "no process" in errors) == (2, True)
    code, _, errors = memslots("live", "slots")
    assert (code, "needs -p PID" in errors) == (2, True)


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed")
@pytest.mark.parametrize(
    ("privileges", "advice"),
    [
        (["--reuid=65534", "--regid=65534", "--clear-groups"], "needs root"),
        (["--bounding-set=-all", "--inh-caps=-all"], "CAP_BPF"),
    ],
)
def test_without_privilege_it_says_so(privileges, advice):
    code = (
        "import sys; sys.path[:0] = {!r}; from memslots.cli.main import main;"
        " sys.exit(main(['live', 'vms']))"
    )
    paths = [path for path in sys.path if path]
    reachable = subprocess.run(
        ["setpriv", *privileges, sys.executable, "-c",
         f"import sys; sys.path[:0] = {paths!r}; import memslots.cli.live"],
        capture_output=True, check=False,
    )  # fmt: skip
    if reachable.returncode:
        pytest.skip("the unprivileged user cannot read the package")
    done = subprocess.run(
        ["setpriv", *privileges, sys.executable, "-c", code.format(paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, advice in done.stderr) == (4, True), done.stderr


def test_the_unprivileged_are_told(monkeypatch):
    from memslots.running import kernel_memory

    def refused(*_):
        raise PermissionError(1, "no")

    monkeypatch.setattr(kernel_memory.RunningKernelMemory, "_bpf", refused)
    with pytest.raises(DeviceUnavailableError, match="CAP_BPF"):
        look()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(DeviceUnavailableError, match="needs root"):
        look()


class Qemu:
    """A QEMU whose guest runs its firmware, with a monitor."""

    def __init__(self, folder, *options):
        import socket

        path = str(folder / "monitor")
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "kvm", "-display", "none", "-nodefaults", "-monitor",
             f"unix:{path},server,nowait", *options],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while not os.path.exists(path) and time.monotonic() < deadline:
            time.sleep(0.05)
        self._socket = socket.socket(socket.AF_UNIX)
        while self._socket.connect_ex(path) and time.monotonic() < deadline:
            time.sleep(0.05)  # the name is there before anybody listens
        self._answer()
        self.pid = self.process.pid

    def _answer(self):
        said = b""
        while not said.endswith(b"(qemu) "):
            said += self._socket.recv(65536)
        return said.decode(errors="replace").replace("\r", "")

    def say(self, command):
        self._socket.sendall(command.encode() + b"\n")
        return self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        self.process.kill()
        self.process.wait()


@requires("qemu")
@pytest.mark.parametrize("machine", ["pc", "q35", "microvm"])
def test_it_is_what_qemu_says(tmp_path, machine):
    with Qemu(tmp_path, "-machine", machine, "-m", "96M,slots=2,maxmem=1G", "-smp", "2", "-device",
              "VGA" if machine != "microvm" else "virtio-balloon-device") as qemu:  # fmt: skip
        time.sleep(1.5)
        qemu.say("stop")
        layout = layout_of_mtree(qemu.say("info mtree -f"))
        (beside,) = look_beside_model(qemu.pid)
        qemu.say("cont")
    expected = sorted((slot.space, slot.gpa, slot.size, slot.flags & 2) for slot in layout.slots)
    found = sorted(
        (slot.as_id, slot.base_gfn << 12, slot.npages << 12, slot.flags & 2)
        for slot in beside.vm.slots()
        if not slot.owner
    )
    assert found == expected
    assert beside.disagreements == []
    assert beside.vm.vcpus == 2
