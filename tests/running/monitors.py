"""Looks at the VMs of programs while they run, beside a recording of the same run.

    PYTHONPATH=src python tests/running/monitors.py [--seconds N] [--hold] -- CMD ...

CMD runs under `memslots record`; with --hold its first KVM_RUN is held twice that long, so that a
monitor whose guest ends at once is there to be looked at.  After N seconds every process below is
asked, as `memslots live slots -p` does, and beside each VM stand the slots that the recorded calls
make on the model.  Exit code 1 where they differ, 3 where no VM was seen.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time

from memslots.errors import MemslotsError
from memslots.kernel.names import find
from memslots.record.processes import process_of, threads_below
from memslots.replay.replay import Replay
from memslots.running.beside_model import look_beside_model
from memslots.trace import read


def rows(slots, page_shift=12):
    """User slots as (space, id, gpa, bytes, hva, flags), sorted."""
    return sorted(
        (slot.as_id, slot.id, slot.base_gfn << page_shift, slot.npages << page_shift,
         slot.userspace_addr, slot.flags)
        for slot in slots
        if not slot.owner
    )  # fmt: skip


def vms_below(pid):
    """The VMs of a process and of all below it."""
    found = []
    for each in sorted(
        {ids[0] for tid in threads_below(pid, without=0) if (ids := process_of(tid))}
    ):
        try:
            found += look_beside_model(each)
        except (MemslotsError, ProcessLookupError):
            continue
    return found


def end(recorder):
    """End all that runs below a recorder, and the recorder with it."""
    below = {ids[0] for tid in threads_below(recorder.pid, without=0) if (ids := process_of(tid))}
    for pid in below - {recorder.pid}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    recorder.wait(timeout=60)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--hold", action="store_true")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "r")
        how = ["record"]
        if options.hold:
            how = ["emulate", f"--inject=KVM_RUN:delay_us={options.seconds * 2e6:.0f}:when=1"]
        recorder = subprocess.Popen(
            [sys.executable, "-m", "memslots", *how, "-q", "-o", path, "--", *options.command],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(options.seconds)
        real = vms_below(recorder.pid)
        end(recorder)
        replay = Replay(read(path), find("host"))
        calls = sum(1 for _ in replay)
        model = [tracked.vm for tracked in replay.vms if tracked.vm.state.nr_slots]
    differ = 0
    recorded = [
        rows(slot for as_id in range(len(vm.state.spaces)) for slot in vm.slots(as_id))
        for vm in model
    ]
    for beside in real:
        seen = rows(beside.vm.slots())
        alike = seen in recorded and not beside.disagreements
        differ += not alike
        own = sum(1 for slot in beside.vm.slots() if slot.owner)
        print(
            f"{beside.vm.vcpus} vCPUs, {len(seen)} slots and {own} of KVM's own, "
            f"{sum(row[3] for row in seen) >> 20} MiB: "
            + ("as recorded" if alike else f"OTHERWISE {beside.disagreements} {seen} {recorded}")
        )
    print(f"{len(real)} VMs, {calls} calls recorded")
    return 1 if differ else 0 if real else 3


if __name__ == "__main__":
    sys.exit(main())
