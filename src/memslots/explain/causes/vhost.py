"""vhost, vhost-user and virtio-mem."""

from __future__ import annotations

from .cause import Cause

CAUSES = (
    Cause(
        "vhost-region-limit",
        "The vhost back end takes fewer regions than KVM has slots.",
        calls="VHOST_SET_MEM_TABLE:E2BIG",
        names="used vhost backend has no free memory slots; vhost backend has no free memory "
        "slots; "
        "vhost .. e2big; set mem table .. e2big; vhost .. no free memory slots; vhost .. "
        "memory slots; vhost .. max mem regions; vhost .. too many memory regions; vhost user "
        ".. memory slots; vhost .. memory regions .. limit; max mem regions; vhost .. "
        "memslots; vhost .. too many regions; vhost .. exceeds .. regions; backend .. "
        "supports .. memory slots; configure mem slots",
        supports="max mem regions; 64; dimm; vhost; regions",
        seen='"a used vhost backend has no free memory slots left", VHOST_SET_MEM_TABLE E2BIG (7), '
        '"Argument list too long".',
        decides="its limit.",
        next="`cat /sys/module/vhost/parameters/max_mem_regions`.",
        kernels="64 by default, parameter since 4.2; vhost-user back ends 8, 32 or 509 "
        "(CONFIGURE_MEM_SLOTS).",
    ),
    Cause(
        "vhost-mem-table-failed",
        "VHOST_SET_MEM_TABLE with another errno: ENOMEM, EFAULT.",
        calls="VHOST_SET_MEM_TABLE:EFAULT VHOST_SET_MEM_TABLE:ENOMEM VHOST_SET_MEM_TABLE:EINVAL "
        "VHOST_SET_MEM_TABLE:EPERM",
        names="vhost set mem table .. efault; vhost set mem table .. enomem; vhost set mem table "
        ".. "
        "einval; set mem table .. efault; set mem table .. enomem; set mem table .. einval; "
        "set mem table failed; set mem table .. eopnotsupp",
        supports="vhost",
        against="e2big; epipe; memory region no; read msg header",
        seen="vhost_set_mem_table failed.",
        decides="the errno.",
        next="`dmesg | grep -i vhost`.",
        kernels="EFAULT: the table cannot be read or an address is no user address.",
    ),
    Cause(
        "vhost-user-memory-not-shared",
        "A vhost-user back end needs shared guest memory.",
        names="no memory region; vhost user memory region; memory .. not shared .. vhost user; "
        "vhost user .. share on; vhost user .. requires .. shared; shared memory is required; "
        "vhost user .. shared memory; requires .. share on; requires shared memory; vhost "
        "user .. mem .. fd .. fail~; memory shared on; needs shared guest memory; virtiofs .. "
        "shared memory; virtiofs .. requires .. shared; unable to find .. shared memory; "
        "failed initializing vhost user memory map; consider using .. share on; vhost user .. "
        "memory .. not shareable",
        supports="virtiofs; virtiofsd; memfd; vhost user; shared",
        against="multiple of 2",
        seen='NoMemoryRegion, "vhost-user ... share=on", virtiofsd, VhostUserMemoryRegion.',
        decides="is guest RAM memfd or a file with share=on?",
        next="QEMU: `-object memory-backend-memfd,id=m,size=SIZE,share=on -machine "
        "memory-backend=m`; Cloud Hypervisor: `--memory shared=on`.",
        kernels="none.",
    ),
    Cause(
        "vhost-user-alignment",
        "The back end registers memory in 2 MiB pages.",
        names="vhost .. multiple of 2; spdk .. multiple; vtophys .. align~; is not a multiple of 2 "
        "mb; not 2mb aligned; vhost .. 2mb .. align~; mmap region failed; spdk .. register .. "
        "einval; spdk mem register; vhost .. not aligned; guest memory .. 2 mb; must be 2 mb "
        "aligned; dpdk .. align~; not aligned to 2; guest memory region .. 2 mib",
        supports="spdk; dpdk; vhost user; 2mb; 2 mib; hugepages",
        seen='"is not a multiple of 2 MB", SPDK, DPDK, mmap region failed.',
        decides="sizes of the regions.",
        next="give the guest memory in multiples of 2 MiB, hugetlb backing.",
        kernels="none; KVM asks for 4 KiB.",
    ),
    Cause(
        "vhost-user-disconnected",
        "The back end is gone.",
        names="failed to read msg header; failed to write msg; vhost user .. disconnected; set mem "
        "table .. epipe; vhost .. epipe; vhost user .. connection reset; vhost user .. "
        "econnreset; vhost user .. hang up; vhost user .. closed; failed to connect .. vhost "
        "user; vhost user .. econnrefused; disconnected .. vhost user; vhost user backend .. "
        "gone; vhost user .. crash~",
        supports="backend; socket; disconnected",
        seen='"Failed to read msg header", "vhost-user ... disconnected", Broken pipe.',
        decides="the back end's log.",
        next="`ss -xlp | grep SOCKET`.",
        kernels="none.",
    ),
    Cause(
        "virtio-mem-guest-driver",
        "The errno is the guest's driver's: it could not reserve, add or online memory.",
        names="virtio mem virtio~; virtio mem .. probe .. failed; virtio mem probe of; could not "
        "reserve device region; marking device broken; adding memory failed; virtio mem .. "
        "add memory .. fail~; unknown error marking device broken; onlining .. failed .. "
        "virtio mem; virtio mem .. memory onlining; virtio mem .. not onlined; virtio mem .. "
        "unplug .. fail~; virtio mem .. unplugging; virtio mem guest driver",
        supports="region size; start address; device block size; plugged; memory block size",
        seen='virtio_mem virtioN: lines of a guest\'s log, "could not reserve device region", '
        '"marking device broken: -22", probe failed with error -16.',
        decides="region address and size in the same lines, guest's limits (address bits, mem=).",
        next="in the guest `dmesg | grep -e virtio_mem -e 'memory block'; lsmem`.",
        kernels="driver since 5.8 on x86_64, later on others.",
    ),
    Cause(
        "virtio-mem-alignment",
        "A size or address is no multiple of the device's block or of the guest's memory block.",
        names="multiples of block size; multiple of block size; block size property; must be "
        "aligned on 128mib; aligned to and a multiple of 128; block size .. multiple; virtio "
        "mem .. align~; requested size .. multiple; must be a multiple of .. block; multiple "
        "of the block size; memaddr .. align~; hotplug .. multiple of 128; multiple of 128 "
        "mib; aligned on 128; must be a multiple of 128mib; not a multiple of 128; must be "
        "aligned to 128; unaligned hotplug range; hotplug range .. unaligned",
        supports="requested size; virtio mem; block size; 128mib; 128 mib",
        against="spdk; huge",
        seen='"property has to be multiples of \'block-size\'", "must be aligned on 128MiB", '
        'memaddr; "Block size [0x8000000] unaligned hotplug range" in the guest\'s log.',
        decides="the numbers.",
        next="`qom-get ID block-size`; in the guest `cat "
        "/sys/devices/system/memory/block_size_bytes`.",
        kernels="x86 guests add memory in blocks of 128 MiB (2 GiB for large guests); KVM only "
        "asks for pages.",
    ),
    Cause(
        "guest-memory-not-onlined",
        "Memory was added and the guest has not set it online.",
        names="does not appear in the guest; does not show up in the guest; not onlined; memory .. "
        "offline; guest .. does not see .. memory; free .. unchanged .. hotplug~; hotplug~ .. "
        "free .. same; auto online blocks; memory blocks .. offline; hotplugged memory .. not "
        "visible; memory .. disappears after hotplug; online movable; memory is not visible; "
        "free .. still shows; guest still sees; free in the guest; disappears after hotplug",
        supports="hotplug; lsmem; free; dimm; online; guest",
        against="broken; probe; virtio mem virtio~",
        seen='hot-plugged memory "does not appear", free unchanged, no error.',
        decides="offline blocks in the guest.",
        next="in the guest `lsmem; echo online_movable > "
        "/sys/devices/system/memory/auto_online_blocks`.",
        kernels="memhp_default_state, CONFIG_MEMORY_HOTPLUG_DEFAULT_ONLINE.",
    ),
)
"""In no order: what a paste says ranks them."""
