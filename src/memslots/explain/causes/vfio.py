"""VFIO and the IOMMU."""

from __future__ import annotations

from .cause import Cause

CAUSES = (
    Cause(
        "iommu-address-width",
        "The IOMMU translates fewer bits than the address has; KVM accepts the same slot.",
        calls="VFIO_IOMMU_MAP_DMA:EINVAL VFIO_MAP_DMA:EINVAL IOMMU_IOAS_MAP:EINVAL "
        "VFIO_IOMMU_MAP_DMA:E2BIG VFIO_IOMMU_MAP_DMA:ERANGE",
        names="vfio dma map .. einval; vfio container dma map .. einval; iommu dma map .. einval; "
        "iommu map dma .. einval; map dma .. einval; dma map .. einval; host address width; "
        "aw bits; not within the permitted iova range; iova .. out of range; iova range .. "
        "exceed~; outside .. iova range; iommu .. address width; iommu .. bits .. iova; mgaw; "
        "vfio map dma .. einval; outside of the iommu aperture",
        supports="host address width; aw bits; 39; iova; 48; mgaw; gpu; dmar",
        against="reserved; msi; unaligned region; enomem; peer to peer",
        seen='-22 (EINVAL) from a DMA map at or above 2^39 or 2^48, "Host address width 39", '
        'aw-bits, "not within the permitted IOVA range".',
        decides="the width of the IOMMU against the iova.",
        next="`dmesg | grep -i 'address width'; cat /sys/class/iommu/*/intel-iommu/cap`.",
        kernels="VFIO type1 checks the aperture since 5.4.",
    ),
    Cause(
        "iommu-reserved-range",
        "The range covers one that the IOMMU keeps (MSI 0xfee00000, RMRR).",
        calls="VFIO_IOMMU_MAP_DMA:EINVAL VFIO_MAP_DMA:EINVAL",
        names="reserved regions; reserved iova; rmrr; reserved region .. iommu; is reserved .. "
        "msi; "
        "msi window; iova .. reserved; ineligible for iommu domain attach due to platform "
        "rmrr; dma map .. 0xfee00000; reserved memory region",
        supports="rmrr; msi; reserved; 0xfee00000; 0x00000000fee00000",
        seen='-22 with iova in a reserved region, "reserved_regions", RMRR.',
        decides="the group's reserved regions.",
        next="`cat /sys/kernel/iommu_groups/*/reserved_regions`.",
        kernels="exported since 4.11, enforced for VFIO since 5.4.",
    ),
    Cause(
        "vfio-memlock-limit",
        "Pinned guest memory passes RLIMIT_MEMLOCK.",
        calls="VFIO_IOMMU_MAP_DMA:ENOMEM VFIO_MAP_DMA:ENOMEM IOMMU_IOAS_MAP:ENOMEM "
        "VFIO_IOMMU_MAP_DMA:EPERM",
        names="vfio map dma .. enomem; vfio map dma failed enomem; vfio dma map .. enomem; vfio "
        "container dma map .. enomem; iommu dma map .. enomem; iommu map dma .. enomem; dma "
        "map .. enomem; map dma .. enomem; vfio pin pages .. rlimit memlock; vfio .. rlimit "
        "memlock; vfio .. locked memory; vfio .. memlock; ioas map .. enomem",
        supports="memlock; rlimit memlock; ulimit l; hard limit; locked",
        seen='-12 (ENOMEM) from VFIO_IOMMU_MAP_DMA, "VFIO_MAP_DMA failed: Cannot allocate memory".',
        decides='limit against guest memory; kernel log "RLIMIT_MEMLOCK exceeded".',
        next="`prlimit --pid PID --memlock; dmesg | grep -i memlock`; libvirt: `<hard_limit>`.",
        kernels="type1 counts each container on its own: twice the guest for two containers; "
        "iommufd counts per user.",
    ),
    Cause(
        "vfio-mapping-limit",
        "A container holds at most dma_entry_limit mappings.",
        calls="VFIO_IOMMU_MAP_DMA:ENOSPC VFIO_MAP_DMA:ENOSPC",
        names="dma map .. enospc; map dma .. enospc; dma entry limit; vfio .. enospc; dma mappings "
        ".. limit; possible dma mappings",
        supports="virtio mem; 65535; dma entry limit",
        against="ioevent~",
        seen="-28 (ENOSPC) from a DMA map; virtio-mem with small blocks.",
        decides="the module's parameter.",
        next="`cat /sys/module/vfio_iommu_type1/parameters/dma_entry_limit`.",
        kernels="limit of 65535 since 5.1 (and stable).",
    ),
    Cause(
        "vfio-p2p-mapping",
        "Another device's BAR cannot be mapped for DMA.",
        calls="VFIO_IOMMU_MAP_DMA:EFAULT VFIO_MAP_DMA:EFAULT",
        names="peer to peer transactions on bars; pci peer to peer; p2 p .. not supported; dma map "
        ".. efault; map dma .. efault; p2 p dma",
        supports="bar; 0000; gpu",
        against="pc ram; mach virt ram; ram node~; failed to setup container; "
        "memory listener initialization failed",
        seen="-14 (EFAULT) or -22 for a BAR's address, \"PCI peer-to-peer transactions on BARs "
        'are not supported".',
        decides="is the range RAM or a BAR?",
        next="nothing, unless devices must talk to each other.",
        kernels="a warning in QEMU; the guest runs.",
    ),
    Cause(
        "vfio-ram-not-pinnable",
        "The host memory behind guest RAM cannot be pinned for DMA.",
        names="dma map .. efault; map dma .. efault; iommu dma map .. efault; vfio pin .. efault; "
        "pc ram .. efault; vfio .. eopnotsupp",
        supports="pc ram; mach virt ram; ram node~; failed to setup container; "
        "memory listener initialization failed; mem path; memory backend file; share on; "
        "access mode shared; dax; nvdimm; ext4; xfs; btrfs",
        against="bar; peer to peer; p2 p; gpu",
        seen="-14 (EFAULT) from a DMA map of a region that is RAM (pc.ram, mach-virt.ram, a memory "
        "backend), and the device's container cannot be set up.",
        decides="what lies at the host address: a file of an ordinary file system mapped shared, "
        "fsdax, a hole beyond the end of the file, a read-only mapping.",
        next="`grep -A1 HVA /proc/PID/smaps`; put guest RAM into anonymous memory, a memfd, tmpfs "
        "or hugetlbfs.",
        kernels="the mapping is pinned for writing and for long: fsdax is refused since 4.16, "
        "shared files of file systems that track dirty pages since 6.5 (8ac268436e6d); tmpfs and "
        "hugetlbfs are not.",
    ),
    Cause(
        "vfio-container-window",
        "The range lies outside the windows that the container translates.",
        names="can t map guest iova region; cannot map guest iova region; no host window; "
        "outside .. host window; hostwin",
        supports="vfio; container; iova",
        seen='"can\'t map guest IOVA region 0x..0x.." of QEMU, before any call is made.',
        decides="iova ranges that the container reports against the guest's.",
        next="`dmesg | grep -i 'address width'; cat /sys/kernel/iommu_groups/*/reserved_regions`; "
        "with vfio-user, what its server offers.",
        kernels="VFIO reports the ranges since 5.4; before, QEMU assumes that all addresses are "
        "translated.",
    ),
    Cause(
        "vfio-device-access-failed",
        "The device's driver refused a read or write of the device itself.",
        names="vfio region read; vfio region write; vfio pci read config .. e~; "
        "vfio pci write config .. e~; vfio .. pread .. failed; vfio .. pwrite .. failed",
        supports="efault; eio; mdev; gvt; region0",
        against="map dma; dma map",
        seen='"vfio_region_read(DEVICE:regionN+OFFSET, BYTES) failed".',
        decides="the driver (vfio-pci, or the vendor's mdev) and the state of the device; no slot "
        "and no DMA mapping takes part.",
        next="`dmesg | tail -n 40; lspci -vv -s BDF`.",
        kernels="none: the answer is the driver's.",
    ),
    Cause(
        "vfio-map-exists",
        "The iova range is mapped in the container already.",
        calls="VFIO_IOMMU_MAP_DMA:EEXIST VFIO_MAP_DMA:EEXIST",
        names="dma map .. eexist; map dma .. eexist; iommu dma map .. eexist; vfio .. eexist; "
        "eexist .. dma map",
        supports="unmap; hotplug; container",
        against="ioas; iommufd",
        seen="EEXIST (17) from a DMA map, IommuDmaMap(Error(17)).",
        decides="the first map of the range, unmap missing after unplug.",
        next="`strace -f -e trace=ioctl COMMAND 2>&1 | grep -e MAP_DMA -e IOAS_MAP`.",
        kernels="all.",
    ),
    Cause(
        "vfio-map-range-unaligned",
        "iova, size or host address is no multiple of the IOMMU's page size.",
        names="received unaligned region; dma map .. unaligned; unaligned .. dma map; iova .. not "
        "aligned; dma map .. not aligned; not aligned .. dma map; vfio .. unaligned; iommu "
        "page size .. align~; minimum page size .. iommu",
        supports="64k; page size; 64 kib; aligned; unaligned",
        against="reserved iova; reserved regions",
        seen='EINVAL from a DMA map, 64 KiB host pages, "received unaligned region".',
        decides="alignment against the IOMMU's page sizes.",
        next="`getconf PAGESIZE`.",
        kernels="type1 asks for the smallest of the IOMMU's page sizes, not more than PAGE_SIZE.",
    ),
    Cause(
        "vfio-group-not-viable",
        "A device of the group belongs to a host driver.",
        names="is not viable; group .. not viable; ensure all devices within the iommu group; "
        "bound "
        "to their vfio bus driver; iommu group .. in use by host driver; not viable; not "
        "attached to vfio; group viable",
        supports="lspci; iommu group",
        seen='"group N is not viable", "Please ensure all devices within the iommu_group are bound '
        'to their vfio bus driver".',
        decides="drivers of the group's devices.",
        next="`ls /sys/kernel/iommu_groups/N/devices; lspci -k`.",
        kernels="all.",
    ),
    Cause(
        "vfio-no-iommu-group",
        "No IOMMU: it is off, or the device has no group.",
        names="no iommu group found; no iommu group; iommu group .. enoent; iommu is not enabled; "
        "no iommu detected; dev vfio .. enodev; dev vfio .. enxio; dev vfio .. enoent; iommu "
        "not present; iommu not found; iommu .. not enabled; host doesn t support passthrough "
        "of host pci devices; doesn t support passthrough; intel iommu on; vfio .. no iommu; "
        "iommu group .. not found; vfio .. iommu group .. enoent",
        supports="dmar; amd vi; iommu",
        against="not viable",
        seen='"no iommu_group found", "No such device or address" for /dev/vfio/N.',
        decides="intel_iommu=on, firmware.",
        next="`ls /sys/kernel/iommu_groups; dmesg | grep -i -e DMAR -e AMD-Vi`.",
        kernels="AMD on by default, Intel by configuration.",
    ),
    Cause(
        "vfio-device-busy",
        "The group or device is in use by another process.",
        calls="vfio:EBUSY",
        names="dev vfio .. ebusy; open group .. ebusy; vfio .. ebusy; vfio group .. in use; device "
        "is already attached; vfio .. already in use; device .. in use by another vm; in use "
        "by driver qemu; in use by domain; group .. used multiple times; vfio .. already open",
        supports="fuser; group; in use",
        against="dma map",
        seen="EBUSY from opening /dev/vfio/N.",
        decides="who has it open.",
        next="`fuser -v /dev/vfio/N`.",
        kernels="all.",
    ),
    Cause(
        "iommufd-map-refused",
        "IOMMU_IOAS_MAP refuses: reserved iova, overlap, access.",
        calls="IOMMU_IOAS_MAP:EEXIST IOMMU_IOAS_MAP:EFAULT",
        names="iommufd backend map dma; ioas map .. failed; iommu ioas map .. e~; iommufd .. map "
        ".. "
        "failed; iommufd .. map .. e~",
        supports="iommufd; ioas",
        seen="iommufd_backend_map_dma, IOMMU_IOAS_MAP.",
        decides="errno: EEXIST overlap, EINVAL range, EFAULT not normal memory.",
        next="as for VFIO with the same errno.",
        kernels="since 6.2.",
    ),
    Cause(
        "ram-discard-conflict",
        "One device forbids discarding RAM, another needs it.",
        names="discarding ram is disabled; cannot set discarding of ram; discarding of ram broken; "
        "discarding memory .. disabled; ram discard .. disabled; ram block discard; discard "
        ".. required; discarding ram .. not possible; uncoordinated discarding; coordinated "
        "discarding; cannot disable discarding; guest memory discard .. not supported",
        supports="balloon; virtio mem; mdev; vdpa",
        seen='"Discarding RAM is disabled", "discarding memory", virtio-mem or balloon with VFIO '
        "mdev, vhost-vdpa.",
        decides="the pair of devices.",
        next="drop one; VFIO and virtio-mem agree through the RamDiscardManager (QEMU 6.0 and "
        "later).",
        kernels="none.",
    ),
)
"""In no order: what a paste says ranks them."""
