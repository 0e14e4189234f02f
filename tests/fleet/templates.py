"""The recorded runs that generated fleets are made of, from the recordings in examples/:
`python tests/fleet/templates.py` writes them into the package.
"""

from __future__ import annotations

import json
from pathlib import Path

from memslots.trace import read
from memslots.uapi.calls import REGION_CALLS

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "src" / "memslots" / "fleet" / "runs.json"
SOURCES = {
    "qemu-q35": "qemu72-q35-lifecycle.strace",
    "qemu-pc": "qemu72-pc-strace-f-stderr-pid.strace",
    "libkrun": "libkrun-kvm.strace",
    "gvisor": "gvisor-kvm.strace",
    "hyperlight": "hyperlight-kvm.strace",
}
MICROVM = [
    ["KVM_CHECK_EXTENSION", {"cap": 10}], ["KVM_CREATE_VM", {"type": 0}],
    ["KVM_SET_TSS_ADDR", {"addr": 0xFFFB_D000}], ["KVM_CREATE_IRQCHIP", {}],
    ["KVM_CREATE_VCPU", {"vcpu_id": 0}],
]  # fmt: skip
"""How monitors without firmware begin; their memory is made up."""
KEPT = (
    "KVM_CREATE_VM", "KVM_CREATE_VCPU", "KVM_CREATE_IRQCHIP", "KVM_SET_TSS_ADDR", "KVM_ENABLE_CAP",
    "KVM_CHECK_EXTENSION",
)  # fmt: skip


def runs() -> dict[str, list[list[object]]]:
    """Name: its calls as [call, fields]; host addresses count from the lowest one."""
    found = {}
    for name, file in SOURCES.items():
        events = list(read(ROOT / "examples" / "recordings" / file))
        lowest = min(
            event.fields["userspace_addr"] for event in events if event.call in REGION_CALLS
        )
        lowest &= ~((1 << 21) - 1)
        calls = []
        for event in events:
            fields = dict(event.fields)
            if event.call in REGION_CALLS:
                fields["userspace_addr"] -= lowest
                numbers = [fields[key] for key in ("slot", "flags", "guest_phys_addr",
                           "memory_size", "userspace_addr")]  # fmt: skip
                calls.append(["REGION", *numbers])
            elif event.call in KEPT and fields:
                calls.append([event.call, fields])
        found[name] = calls
    return found


def text() -> str:
    """The file, a run a line."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(calls, separators=(',', ':'))}"
        for name, calls in {**runs(), "microvm": MICROVM}.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    PLACE.write_text(text())
