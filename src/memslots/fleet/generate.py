"""A fleet that never was: recordings as hosts would make them, the same for the same seed.

Each host has a kernel; what the model of that kernel answers is what its recordings say.  So
nothing in them is a surprise, and what changes on another kernel was planted.

    generate("recordings", seed=1, recordings=2000)
"""

from __future__ import annotations

import json
import os
from random import Random

from ..kernel.history import LONGTERM
from ..kernel.names import find
from ..replay.replay import Replay
from ..rules.answer import Accepted, Refused
from ..trace.event import Event
from ..uapi.calls import CALLS, MAKERS
from .faults import FAULTS, PLANTS
from .forms import as_qemu_trace, as_recording, as_strace
from .machines import calls_of, machine_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..kernel.profile import Profile
    from .machines import Call

HOST_EDITS = ("+intel", "+tdp", "+smm", "+pa46")
"""What every host is, as edits of a kernel's name."""
MANIFEST = ".generated.json"
"""What was planted, and where; scans pass over it."""
_FIRST_NS = 1_700_000_000_000_000_000
_OF_A_HOST = 20
_FAULTY = 0.05
_FORMS = (("rec", 60), ("strace", 25), ("log", 15))
_KVM_FD, _VM_FD, _NEXT_FD = 9, 10, 11


class Planted:
    """One planted difference."""

    __slots__ = ("kind", "recording")

    def __init__(self, kind: str, recording: str) -> None:
        self.kind = kind
        self.recording = recording
        """Its path below the fleet's folder."""


def generate(
    folder: str,
    *,
    seed: int = 1,
    recordings: int = 100,
    kernels: Sequence[str] = (),
    plants: Mapping[str, int] | None = None,
    vms: int = 1,
) -> list[Planted]:
    """Write recordings below a folder, one folder a host; what was planted.

    kernels: releases, host by host in turn (default: the longterm ones).  plants: kind of PLANTS:
    recordings that have one.  vms: VMs of one recording, one after the other.
    """
    random = Random(seed)
    kernels = kernels or [str(branch) for branch in LONGTERM]
    where = _places(Random(f"{seed} plants"), recordings, plants or {})
    found: list[Planted] = []
    count_of_host = 0
    host = -1
    for number in range(recordings):
        if not count_of_host:
            host += 1
            count_of_host = random.randrange(_OF_A_HOST // 2, _OF_A_HOST * 2)
            node = f"host-{host:04}"
            release = kernels[host % len(kernels)]
            profile = find(f"{release}/x86_64{''.join(HOST_EDITS)}")
            os.makedirs(os.path.join(folder, node), exist_ok=True)
        count_of_host -= 1
        kind = where.get(number, "")
        name, data = _recording(random, number, profile, node, release, kind, vms)
        path = os.path.join(node, name)
        with open(os.path.join(folder, path), "wb") as file:
            file.write(data)
        stamp = _FIRST_NS + number * 60_000_000_000
        os.utime(os.path.join(folder, path), ns=(stamp, stamp))
        if kind:
            found.append(Planted(kind, path))
    with open(os.path.join(folder, MANIFEST), "w", encoding="utf-8") as manifest:
        rows = [{"kind": each.kind, "recording": each.recording} for each in found]
        json.dump({"seed": seed, "recordings": recordings, "planted": rows}, manifest, indent=1)
    return found


def _places(random: Random, recordings: int, plants: Mapping[str, int]) -> dict[int, str]:
    """Number of a recording: what is planted there."""
    kinds = [kind for kind, count in sorted(plants.items()) for _ in range(count)]
    for kind in kinds:
        if kind not in PLANTS:
            raise ValueError(f"nothing of the kind {kind!r}: there are {', '.join(PLANTS)}")
    if len(kinds) > recordings:
        raise ValueError(f"{len(kinds)} plants, but {recordings} recordings")
    return dict(zip(random.sample(range(recordings), len(kinds)), kinds))


def _recording(
    random: Random, number: int, profile: Profile, node: str, release: str, plant: str, vms: int
) -> tuple[str, bytes]:
    """The name and the bytes of one recording."""
    kind, comm = machine_of(random)
    calls: list[Call] = []
    for _ in range(vms):
        calls += calls_of(kind, random)
    if random.random() < _FAULTY:
        calls += random.choice(FAULTS)(random)
    if plant:
        calls += PLANTS[plant](random)
    pid = random.randrange(1000, 4_000_000)
    first_ns = _FIRST_NS + number * 60_000_000_000
    events = _answered(calls, profile, pid, first_ns, random)
    form = random.choices(_FORMS, [weight for _, weight in _FORMS])[0][0]
    if form == "log" and (not kind.startswith("qemu") or plant):
        form = "strace"  # a trace of region calls alone would not show what is planted
    stem = f"{number:06}-{kind}"
    if form == "rec":
        data = as_recording(events, comm, pid, node, release, HOST_EDITS)
    elif form == "strace":
        data = as_strace(events)
    else:
        data = as_qemu_trace(events, pid)
    return f"{stem}.{form}", data


def _answered(
    calls: list[Call], profile: Profile, pid: int, first_ns: int, random: Random
) -> list[Event]:
    """The calls with what the kernel answers, and when."""
    replay = Replay((), profile, most_kept=0)
    events: list[Event] = []
    vm_fd, next_fd, now = _VM_FD, _NEXT_FD, first_ns
    for call, fields in calls:
        now += random.randrange(20_000, 2_000_000)
        is_system = call in ("KVM_CREATE_VM", "KVM_CHECK_EXTENSION")
        event = Event(
            call, fields, None, fd=_KVM_FD if is_system else vm_fd, pid=pid, time_ns=now,
            process=f"{pid}", format="recording",
        )  # fmt: skip
        if call in MAKERS:
            event.new_fd = next_fd
        answer = replay.take(len(events) + 1, event).answer
        if not isinstance(answer, (Accepted, Refused)) or answer.result is None:
            continue  # it depends on what no recording says
        event.result = answer.result
        event.process = None
        if call in MAKERS:
            is_made = answer.result >= 0
            event.result = next_fd if is_made else answer.result
            event.new_fd = next_fd if is_made else None
            if is_made and CALLS[call].makes == CALLS["KVM_CREATE_VM"].makes:
                vm_fd = next_fd
            next_fd += is_made
        events.append(event)
    return events
