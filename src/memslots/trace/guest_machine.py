"""The machine that a QEMU command line or a libvirt domain describes, as far as memory goes."""

from __future__ import annotations

from ..units import format_bytes

SEV, SEV_SNP, TDX = "SEV", "SEV-SNP", "TDX"
MOST_DEVICES = 1024


class MemoryDevice:
    """A DIMM, NVDIMM or virtio memory device."""

    __slots__ = ("align_bytes", "kind", "name", "nbytes")

    def __init__(self, kind: str, nbytes: int, name: str = "", align_bytes: int = 0) -> None:
        self.kind = kind
        """As QEMU calls it: pc-dimm, nvdimm, virtio-mem-pci, virtio-pmem-pci."""
        self.nbytes = nbytes
        self.name = name
        self.align_bytes = align_bytes
        """Page size of the file behind it; 0 if it is not stated."""


class GuestMachine:
    """What was said of a machine; what was not is None, 0 or empty."""

    __slots__ = (
        "arch", "confidential", "devices", "has_kvm", "has_video", "kind", "left_out",
        "max_below_4g", "maxmem_bytes", "name", "page_bytes", "ram_bytes", "slots", "smm", "vcpus",
    )  # fmt: skip

    def __init__(self) -> None:
        self.name = ""
        self.arch = ""
        """Of the guest, as QEMU names its program: x86_64, aarch64."""
        self.kind = ""
        """pc, q35, microvm, virt, or another type as it was named; empty if none was."""
        self.ram_bytes = 0
        """RAM at boot, without memory devices; 0 if it was not stated."""
        self.maxmem_bytes = 0
        self.slots: int | None = None
        """Slots for memory devices (no slots of KVM)."""
        self.max_below_4g = 0
        self.vcpus = 0
        self.devices: list[MemoryDevice] = []
        self.page_bytes = 0
        """Size of the huge pages behind the RAM; 0 for ordinary pages."""
        self.confidential = ""
        """SEV, SEV_SNP, TDX; empty if it is none."""
        self.smm: bool | None = None
        self.has_kvm: bool | None = None
        self.has_video: bool | None = None
        self.left_out: list[str] = []
        """What was said and could not be understood."""

    def facts(self) -> str:
        """In a line, what was said."""
        sizes = [f"{format_bytes(self.ram_bytes)} of RAM" if self.ram_bytes else ""]
        if self.maxmem_bytes:
            sizes.append(f"maxmem {format_bytes(self.maxmem_bytes)}")
        if self.slots is not None:
            sizes.append(f"{self.slots} memory-device slots")
        if self.page_bytes:
            sizes.append(f"huge pages of {format_bytes(self.page_bytes)}")
        for kind in dict.fromkeys(device.kind for device in self.devices):
            those = [device.nbytes for device in self.devices if device.kind == kind]
            sizes.append(f"{len(those)} x {kind} ({format_bytes(sum(those))} together)")
        sizes.append(f"{self.vcpus} vCPUs" if self.vcpus else "")
        sizes.append(self.confidential)
        kind = self.kind or "the default machine"
        return ", ".join(
            part for part in (kind + f" ({self.arch})" * bool(self.arch), *sizes) if part
        )


def kind_of(machine: str) -> str:
    """The family of a machine type: pc-i440fx-6.2 is pc, pc-q35-rhel9.2.0 is q35."""
    name = machine.strip().lower()
    if name.startswith(("pc-q35", "q35")):
        return "q35"
    if name == "pc" or name.startswith("pc-i440fx"):
        return "pc"
    for family in ("microvm", "virt"):
        if name == family or name.startswith(family + "-"):
            return family
    return name[:40]
