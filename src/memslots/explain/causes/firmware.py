"""Firmware and the guest."""

from __future__ import annotations

from .cause import Cause

CAUSES = (
    Cause(
        "firmware-memory-assert",
        "The firmware's check of its memory map failed.",
        names="assert .. memdetect; assert .. platform pei; assert .. phys mem address width; phys "
        "mem address width; assert .. ovmf~; assert .. edk2; firmware .. assert~ .. memory; "
        "assert .. mem~; assert efi error .. mem~; platform memory .. assert; above 4 gib .. "
        "assert; seabios .. memory .. error; tdvf .. assert",
        supports="ovmf; edk2; pei; 4 gib; assert",
        against="test assertion",
        seen='ASSERT with MemDetect, PlatformPei, "above 4 GiB", PhysMemAddressWidth.',
        decides="guest's phys-bits, memory size, firmware's release.",
        next="`-cpu host,host-phys-bits=on`, `-debugcon file:ovmf.log -global "
        "isa-debugcon.iobase=0x402`.",
        kernels="KVM refuses nothing.",
    ),
    Cause(
        "firmware-bar-placement",
        "Firmware put a 64-bit BAR where CPU or IOMMU do not reach.",
        names="pci host bridge .. bar; pci mmio64; 64 bit bar .. placed; bar .. beyond .. address "
        "width; bar .. above .. phys bits; ovmf .. bar .. 0x38~; firmware .. bar .. above; "
        "firmware .. place~ .. bar; firmware .. assign~ .. bar; bar .. just below; ovmf .. "
        "mmio64; bar placed at; ovmf .. dynamic mmio window; dynamic mmio window",
        supports="ovmf; bar; gpu; phys bits; firmware",
        seen='iova or gpa just below 2^46 or 2^57 beside a device\'s BAR, "PciHostBridge", -22 '
        "from "
        "VFIO and later EFAULT.",
        decides="the guest's address bits against the IOMMU's.",
        next="`-fw_cfg name=opt/ovmf/X-PciMmio64Mb,string=65536`, `-cpu "
        "host,host-phys-bits-limit=39`.",
        kernels="OVMF uses the CPU's real width since late 2022.",
    ),
    Cause(
        "firmware-too-little-memory",
        "Firmware or kernel needs more memory than the guest has.",
        names="need .. but the guest has; not enough memory to load; too little memory .. boot; "
        "kernel .. too large for .. memory; initrd too large; kernel image .. does not fit; "
        "initrd .. does not fit; not enough memory for .. kernel; not enough memory for .. "
        "initrd; initrd .. too big; kernel doesn t fit in; below .. mb .. does not boot; "
        "guest memory .. too small; memory too small .. kernel; boots with .. mib; "
        "insufficient memory .. initrd; less than .. mb .. hangs; writing .. table invalid guest "
        "address; load~ .. kernel .. invalid guest address",
        supports="initrd; boots; kernel image; small; mib",
        against="huge",
        seen='ends within a second at small sizes, works with more ("below 1074 MB").',
        decides="the smallest size that works.",
        next="give more memory; look at the console of the firmware.",
        kernels="none.",
    ),
    Cause(
        "firmware-accepts-below-4g",
        "TDVF accepts only memory below 4 GiB; the rest is left to the guest (unaccepted memory).",
        names="accepts only memory below 4; unaccepted memory; accept .. below 4g; accept~ .. 4g "
        ".. "
        "td~; tdvf .. accept~",
        supports="tdx; tdvf; accept",
        against="kvm set user memory addr",
        seen="a TDX boot log in which only the low range is accepted.",
        decides="guest's CONFIG_UNACCEPTED_MEMORY.",
        next="in the guest `grep -i unaccepted /proc/meminfo`.",
        kernels="guests since 6.5.",
    ),
)
"""In no order: what a paste says ranks them."""
