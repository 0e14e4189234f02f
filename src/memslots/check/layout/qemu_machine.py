"""The layout that QEMU makes of a machine: where its RAM, ROM and memory devices lie.

From the source of QEMU 7.2 and what it shows (`info mtree -f`) for these machines:

    pc       RAM below 3.5 GiB; with more, 3 GiB below the hole and the rest from 4 GiB up
    q35      RAM below 2.75 GiB; with more, 2 GiB below the hole and the rest from 4 GiB up
    microvm  3 GiB below, the rest from 4 GiB up
    virt     (arm64) flash at 0 and 64 MiB, RAM from 1 GiB up in one piece

Memory devices follow the RAM at the next GiB, one behind the other.
"""

from __future__ import annotations

from ...trace.guest_machine import SEV_SNP, TDX, GuestMachine
from ...uapi.flags import KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY
from ...units import format_bytes, round_up
from .model import Layout, LayoutSlot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Note = Callable[[str], None]

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
_FOUR_GIB = 4 * GIB
_LEAST_ALIGNMENT = 2 * MIB
_VIRT_RAM = GIB
_TSS, _IDENTITY_MAP = 0xFEFF_D000, 0xFEFF_C000
_SNP_VM, _TDX_VM = 4, 5
_X86 = ("x86_64", "i386", "i686", "")
_ARM = ("aarch64", "arm", "armv7l")
_MOST_RAM = 1 << 52
_MOST_VCPUS = 4096
"""More than any host of the model serves in one VM."""


def layout_of_machine(machine: GuestMachine, source: str = "") -> Layout:
    """The slots and calls of a machine, approximately; `Layout.notes` says what is not exact.

    Raises ValueError for machines whose memory map is not known, and without a size of RAM.
    """
    place = source or "machine"
    if machine.has_kvm is False:
        raise ValueError(f"{place}: this machine does not use KVM")
    if not machine.ram_bytes:
        raise ValueError(f"{place}: the size of the RAM is not stated, or not as a number")
    if machine.ram_bytes > _MOST_RAM:
        raise ValueError(
            f"{place}: {machine.ram_bytes:#x} bytes of RAM are more than a guest can have"
        )
    notes: list[str] = []
    note = notes.append
    note(
        "approximate: made from the description of the machine, not from what QEMU registered; "
        "`info mtree -f` in QEMU's monitor is exact"
    )
    if machine.kind in ("pc", "q35", "microvm") and machine.arch in _X86:
        slots, vm = _x86(machine, note)
    elif machine.kind == "virt" and machine.arch in _ARM:
        slots, vm = _virt(machine, note)
    else:
        kind = f"{machine.kind or 'default'} machine of {machine.arch or 'an unknown architecture'}"
        raise ValueError(
            f"{place}: the memory map of the {kind} is not known (pc, q35, microvm, virt are)"
        )
    for each in machine.left_out:
        note(f"left out: {each}")
    if 0 < machine.vcpus <= _MOST_VCPUS:
        vm["vcpus"] = machine.vcpus
    elif machine.vcpus:
        note(f"left out: {machine.vcpus} vCPUs")
    name = f"{machine.name or 'QEMU'}: {machine.kind}, {format_bytes(machine.ram_bytes)}"
    return Layout(slots, name=name, vm=vm, source=source, notes=notes)


def below_4g(machine: GuestMachine) -> int:
    """Bytes of RAM below the hole at 4 GiB on x86."""
    ram = machine.ram_bytes
    if machine.kind == "q35":
        most = 0x8000_0000 if ram >= 0xB000_0000 else 0xB000_0000
    elif machine.kind == "pc":
        most = 0xC000_0000 if ram >= 0xE000_0000 else 0xE000_0000
    else:
        most = 0xC000_0000
    if machine.max_below_4g:
        most = min(most, machine.max_below_4g)
    return min(ram, most)


def _x86(machine: GuestMachine, note: Note) -> tuple[list[LayoutSlot], dict[str, int | bool]]:
    below = below_4g(machine)
    above = machine.ram_bytes - below
    private = _private_flags(machine)
    low = 640 * KIB
    if below <= MIB:
        pieces = [LayoutSlot(0, below, name="RAM", flags=private)]
    else:
        pieces = [
            LayoutSlot(0, low, name="low RAM", flags=private),
            LayoutSlot(MIB, below - MIB, name="RAM", flags=private),
        ]
    if above:
        pieces.append(LayoutSlot(_FOUR_GIB, above, name="high RAM", flags=private))
    slots = [*pieces, *_firmware(machine, private, note)]
    if machine.has_video is not False and machine.kind != "microvm" and not private:
        slots.append(
            LayoutSlot(0xFD00_0000, 16 * MIB, name="video memory", flags=KVM_MEM_LOG_DIRTY_PAGES)
        )
        note("the guest decides where video memory and other memory of PCI devices lie")
    slots += _devices(machine, _FOUR_GIB + above, private)
    vm: dict[str, int | bool] = {"irqchip": True, "identity-map": _IDENTITY_MAP, "tss": _TSS}
    if machine.confidential == SEV_SNP:
        vm["type"] = _SNP_VM
    elif machine.confidential == TDX:
        vm = {"type": _TDX_VM}
    smm = machine.smm is not False and machine.kind == "q35" and not private
    if smm:
        # SMM sees the same RAM
        slots += [
            LayoutSlot(each.gpa, each.size, name=f"SMM: {each.name}", space=1, alias=each.name)
            for each in pieces
        ]
    note(f"SMM is taken for {'on: address space 1 has the RAM again' if smm else 'off'}")
    if above and _FOUR_GIB + above > 0xFD_0000_0000:
        note("QEMU 7.1 and later move high RAM that reaches 1012 GiB to 1 TiB on AMD hosts")
    return slots, vm


def _firmware(machine: GuestMachine, private: int, note: Note) -> list[LayoutSlot]:
    if private:
        note("the slots of the firmware are left out: what they are depends on QEMU's release")
        return []
    if machine.kind == "microvm":
        return [LayoutSlot(0xFFFF_0000, 64 * KIB, name="BIOS")]
    note("the firmware is taken for a BIOS of 256 KiB")
    return [
        LayoutSlot(0xC_0000, 128 * KIB, name="option ROMs", flags=KVM_MEM_READONLY),
        LayoutSlot(0xE_0000, 128 * KIB, name="shadowed BIOS", flags=KVM_MEM_READONLY),
        LayoutSlot(0xFFFC_0000, 256 * KIB, name="BIOS", flags=KVM_MEM_READONLY),
    ]


def _virt(machine: GuestMachine, note: Note) -> tuple[list[LayoutSlot], dict[str, int | bool]]:
    end = _VIRT_RAM + machine.ram_bytes
    slots = [
        LayoutSlot(0, 64 * MIB, name="flash 0", flags=KVM_MEM_READONLY),
        LayoutSlot(64 * MIB, 64 * MIB, name="flash 1", flags=KVM_MEM_READONLY),
        LayoutSlot(_VIRT_RAM, machine.ram_bytes, name="RAM"),
    ]
    slots += _devices(machine, end, 0)
    highest = max(each.gpa + each.size for each in slots)
    bits = (max(highest, machine_end(machine, end)) - 1).bit_length()
    note("the VM's type is the smallest address width that holds the memory, at least 40 bits")
    return slots, {"type": bits if bits > 40 else 0}


def machine_end(machine: GuestMachine, ram_end: int) -> int:
    """The end of the area for memory devices, bytes."""
    if machine.maxmem_bytes <= machine.ram_bytes:
        return ram_end
    room = machine.maxmem_bytes - machine.ram_bytes + (machine.slots or 0) * GIB
    return round_up(ram_end, GIB) + room


def _devices(machine: GuestMachine, ram_end: int, private: int) -> list[LayoutSlot]:
    """Memory devices one behind the other, each aligned to its pages."""
    at = round_up(ram_end, GIB)
    slots = []
    for number, device in enumerate(machine.devices):
        at = round_up(at, max(device.align_bytes, _LEAST_ALIGNMENT))
        name = f"{device.kind} {device.name or number}"
        slots.append(LayoutSlot(at, device.nbytes, name=name, flags=private))
        at += device.nbytes
    return slots


def _private_flags(machine: GuestMachine) -> int:
    return KVM_MEM_GUEST_MEMFD if machine.confidential in (SEV_SNP, TDX) else 0
