"""The VMs of a generated fleet: runs that were recorded, and layouts as VMMs make them, each with
memory, processors and hot-plugged DIMMs of its own.
"""

from __future__ import annotations

import json

from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from random import Random

    Call = tuple[str, dict[str, int]]

_MIB, _GIB = 1 << 20, 1 << 30
_LOW_END, _HIGH = 3 * _GIB, 4 * _GIB
_MIX = (
    ("qemu-q35", "qemu-system-x86", 38), ("qemu-pc", "qemu-system-x86", 16),
    ("firecracker", "firecracker", 16), ("cloud-hypervisor", "cloud-hyperviso", 12),
    ("crosvm", "crosvm", 8), ("libkrun", "libkrun", 4), ("gvisor", "exe", 4),
    ("hyperlight", "hyperlight", 2),
)  # fmt: skip
"""Kind of VM, name of its process as the kernel shows it, and how often of a hundred."""
DIMM_FIRST = 64 * _GIB
"""Where hot-plugged memory begins: above what any of these VMs has."""
_runs: dict[str, list[list[object]]] = {}


def machine_of(random: Random) -> tuple[str, str]:
    """A kind of VM and the name of its process."""
    kind = random.choices(_MIX, [weight for *_, weight in _MIX])[0]
    return kind[0], kind[1]


def calls_of(kind: str, random: Random) -> list[Call]:
    """The calls of one VM from its creation on, without results."""
    base = 0x7F00_0000_0000 + random.randrange(1 << 17) * (2 * _MIB)
    if kind in _recorded():
        calls = _from_run(kind, base)
    else:
        calls = _microvm(kind, random, base)
    for vcpu_id in range(1, random.choice((1, 1, 2, 2, 4, 8))):
        calls.append(("KVM_CREATE_VCPU", {"vcpu_id": vcpu_id + 32}))
    if kind != "gvisor":
        calls += _dimms(random, base - 64 * _GIB, _free_slot(calls))
    if kind == "qemu-pc" and random.random() < 0.2:
        calls += _migration(calls)
    return calls


def region(slot: int, gpa: int, nbytes: int, hva: int, flags: int = 0) -> Call:
    """A region call."""
    fields = {
        "slot": slot, "flags": flags, "guest_phys_addr": gpa, "memory_size": nbytes,
        "userspace_addr": hva,
    }  # fmt: skip
    return "KVM_SET_USER_MEMORY_REGION", fields


def _recorded() -> dict[str, list[list[object]]]:
    if not _runs:
        from importlib.resources import files

        _runs.update(json.loads(files("memslots.fleet").joinpath("runs.json").read_text("utf-8")))
    return _runs


def _from_run(kind: str, base: int) -> list[Call]:
    found: list[Call] = []
    for call, *rest in _recorded()[kind]:
        if call == "REGION":
            slot, flags, gpa, nbytes, hva = (int(str(number)) for number in rest)
            found.append(region(slot, gpa, nbytes, base + hva, flags))
        else:
            found.append((str(call), dict(rest[0])))  # type: ignore[call-overload]
    return found


def _microvm(kind: str, random: Random, base: int) -> list[Call]:
    """A VM without firmware: memory below the gap, the rest above 4 GiB, perhaps a device's."""
    nbytes = random.choice((128, 256, 512, 1024, 2048, 4096, 8192)) * _MIB
    low = min(nbytes, _LOW_END)
    logs = KVM_MEM_LOG_DIRTY_PAGES if kind == "firecracker" else 0
    calls = [*_from_run("microvm", base), region(0, 0, low, base, logs)]
    if nbytes > low:
        calls.append(region(1, _HIGH, nbytes - low, base + low))
    if kind != "firecracker":
        window = random.randrange(16) * (16 * _MIB)
        calls.append(region(2, 0xD000_0000 + window, 8 * _MIB, base + nbytes + 2 * _MIB))
    return calls


def _free_slot(calls: list[Call]) -> int:
    return 1 + max(fields["slot"] for _, fields in calls if "slot" in fields)


def _dimms(random: Random, base: int, first_slot: int) -> list[Call]:
    """Memory that was plugged in, one DIMM after the other, and some of it taken out again."""
    count = random.choice((0, 0, 0, 0, 1, 2, 4, 8, 24))
    nbytes = random.choice((128, 256, 1024)) * _MIB
    plugged = [
        region(first_slot + n, DIMM_FIRST + n * nbytes, nbytes, base + n * nbytes)
        for n in range(count)
    ]
    gone = [
        region(fields["slot"], fields["guest_phys_addr"], 0, fields["userspace_addr"])
        for _, fields in plugged
        if random.random() < 0.1
    ]
    return plugged + gone


def _migration(calls: list[Call]) -> list[Call]:
    """Dirty logging of all that is there, on and off again."""
    there: dict[int, dict[str, int]] = {}
    for call, fields in calls:
        if not call.endswith("REGION"):
            continue
        if fields["memory_size"]:
            there[fields["slot"]] = fields
        else:
            there.pop(fields["slot"], None)
    return [
        ("KVM_SET_USER_MEMORY_REGION", {**fields, "flags": fields["flags"] ^ logs})
        for logs in (KVM_MEM_LOG_DIRTY_PAGES, 0)
        for fields in there.values()
    ]
