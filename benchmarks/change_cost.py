"""What one change of a VM's slots costs against the number of slots, before Linux 5.17 and since.

    PYTHONPATH=src python benchmarks/change_cost.py [KERNEL...]

KERNEL is `native` (this host) or a name of `memslots verify --kernels`, which is booted under
QEMU's software emulation; default: native, debian-5.10-x86_64 and debian-6.1-x86_64.  Printed is
the growth within one run, the cost at the fewest slots being 1: emulated times mean nothing beside
those of a host.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from memslots.kernel.names import find
from memslots.model.vm import Vm
from memslots.state.change import CREATE
from memslots.verify.farm.initramfs import initramfs, module_files
from memslots.verify.farm.kernels import MACHINES, find_kernel
from memslots.verify.farm.packages import fetch, image

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "change_cost.c")
KERNELS = ("native", "debian-5.10-x86_64", "debian-6.1-x86_64")
KINDS = ("create", "delete", "move", "flags")
SECONDS = 1500
Costs = dict[tuple[int, str], float]


def compiled(compiler: str, folder: str) -> str:
    program = os.path.join(folder, "change_cost")
    subprocess.run([compiler, "-O2", "-Wall", "-static", "-o", program, SOURCE], check=True)
    return program


def command(name: str, folder: str) -> list[str]:
    """The command that measures a kernel."""
    if name == "native":
        return [compiled("gcc", folder)]
    kernel = find_kernel(name)
    machine = MACHINES[kernel.arch]
    unpacked, release = fetch(kernel)
    with open(compiled(machine.compiler, folder), "rb") as binary:
        modules = module_files(unpacked, release, machine.modules)
        archive = initramfs(binary.read(), modules, kernel.module_arguments, "")
    path = os.path.join(folder, "initramfs")
    with open(path, "wb") as output:
        output.write(archive)
    line = (
        f"console={machine.console} quiet loglevel=1 panic=-1 mitigations=off nokaslr rdinit=/init"
    )
    return [
        *kernel.qemu, "-accel", "tcg", "-m", kernel.ram, "-display", "none", "-monitor", "none",
        "-serial", "stdio",
        "-no-reboot", "-nodefaults", "-nic", "none", "-kernel", image(unpacked, release), "-initrd",
        path,
        "-append", line,
    ]  # fmt: skip


def measured(name: str) -> Costs:
    """Nanoseconds by number of slots and kind of change."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command(name, folder), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace",
            timeout=SECONDS,
        )  # fmt: skip
    rows = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("@ ")]
    if ["done"] not in rows:
        sys.exit(f"{name}: it did not end well: {done.stdout[-300:]} {done.stderr[-300:]}")
    return {(int(row[0]), row[1]): float(row[2]) for row in rows if len(row) == 3}


def visits(release: str, slots: int) -> str:
    """What the model counts for a creation: slots looked at by id and for overlap, copied or
    passed, and summed up.
    """
    vm = Vm(find(release))
    for slot in range(slots):
        vm.set_user_memory_region(slot, 0, slot << 13, 4096, 4096).unwrap()
    costs = vm.index_costs()
    return f"{costs.by_id + costs.overlap + costs.change(CREATE) + costs.budget}"


def show(name: str, costs: Costs) -> None:
    numbers = sorted({slots for slots, _ in costs})
    release = {"debian-5.10-x86_64": "5.10/x86_64"}.get(name, "6.1/x86_64")
    print(
        f"\n{name}\n| slots | {' | '.join(KINDS)} | visits of a create "
        f"|\n|{' --- |' * (len(KINDS) + 2)}"
    )
    for slots in numbers:
        growth = [costs[slots, kind] / costs[numbers[0], kind] for kind in KINDS]
        cells = " | ".join(f"{times:.2f}" for times in growth)
        print(f"| {slots} | {cells} | {visits(release, slots)} |")
    few = ", ".join(f"{kind} {costs[numbers[0], kind] / 1000:.1f} us" for kind in KINDS)
    print(f"at {numbers[0]} slots: {few}")


def main() -> None:
    for name in sys.argv[1:] or KERNELS:
        show(name, measured(name))


if __name__ == "__main__":
    main()
