"""Limits and bookkeeping of the VMM itself."""

from __future__ import annotations

from .cause import Cause

CAUSES = (
    Cause(
        "slots-used-up",
        "All slots that KVM offers are in use, says the VMM.",
        names="hypervisor has no free memory slots left; slots are in use; memory slots and .. are "
        "in use; no free memory slots left; all .. memory slots .. used; kvm .. no free "
        "memory slot~; kvm reports .. memory slots; out of kvm memory slots; out of kvm "
        "slots; no more kvm slots; kvm slots exhausted; kvm memory slots .. exhausted; ran "
        "out of memory slots; too many kvm memory slots; kvm out of memory slots; number of "
        "memory slots .. exceeds; exceed~ .. kvm cap nr memslots; kvm cap nr memslots .. "
        "exceed~; not enough memory slots; memory slots exhausted; no more memory slots; more "
        "memory slots than kvm; no kvm slots; kvm get free slot; no free slot available; no "
        "memslots left; no free memslot~",
        supports="509; 32764; nr memslots; hotplug; in use",
        against="vhost; dimm; maxmemory; ioevent~; insufficient number of memory slots; 32 of 32",
        seen='"hypervisor has no free memory slots left", "no free memory slots" beside KVM. '
        "Against it: vhost, DIMM, a smaller number than KVM's.",
        decides="KVM_CAP_NR_MEMSLOTS and the slots in use.",
        next="`memslots record -p PID -o vmm.rec; memslots timeline vmm.rec`.",
        kernels="x86 509 up to 5.11, 32764 since 5.12 (all architectures since then but where "
        "stated).",
    ),
    Cause(
        "vmm-own-slot-limit",
        "A table in the VMM is full.",
        names="insufficient number of memory slots; out of memory slots; slots .. 32 of 32 in use; "
        "limit falls back to 32; falls back to 32 slots; memory slot table .. full; slot "
        "table is full; memslot table full; slots limit .. reached; maximum number of memory "
        "regions .. reached; too many memory regions; max memory regions; too many guest "
        "memory regions; region table full; no space in .. slot table; slot allocator .. "
        "exhausted; exceeds .. max slots; no slot available; guest memory regions .. more "
        "than; memory slots .. in use; maximum memory slots",
        supports="32; 40; 64; kvm cap nr memslots; table; fallback",
        against="vhost; dimm; kvm reports; reported by kvm",
        seen='"insufficient number of memory slots 40", "32 of 32 in use", a fallback of 32 or '
        "64 in the source.",
        decides="its number against KVM_CAP_NR_MEMSLOTS.",
        next="`memslots record -o vmm.rec -- COMMAND; memslots timeline vmm.rec`.",
        kernels="KVM has 509 or 32764.",
    ),
    Cause(
        "slot-budget",
        "A question of design: how many slots may a VMM plan with, and what do they cost?",
        names="limit about 512 slots; about 512 slots; how many memory slots; how many memslots; "
        "limit of 509 .. slots; many memory slots; number of memslots .. limit; memslots .. "
        "budget; 32k memslots; many memslots; slots shared by all users; memslot limit; one "
        "memslot per",
        supports="virtio mem; resiz~; limit; slots",
        seen='"about 512 slots", many small regions, virtio-mem per block, resizing.',
        decides="KVM_CAP_NR_MEMSLOTS; vhost's limit is smaller.",
        next="`memslots cost LAYOUT`.",
        kernels="509 up to 5.11 on x86, 32764 since; vhost 64 by default, vhost-user 8 without "
        "CONFIGURE_MEM_SLOTS.",
        is_general=True,
    ),
    Cause(
        "dimm-slots-used-up",
        "The machine's DIMM slots (`slots=N`, ACPI) are used, not KVM's.",
        names="no free memory slots available; memory slot .. is busy; maxmemory slots .. no free; "
        "dimm slots .. used; invalid slot number; slot .. is not in range; slot is already "
        "used by; slot .. is already used by dimm~; memory slots .. maxmemory; no slot .. memory "
        "device; memory device slot .. not available; memory slot id .. in use; memory "
        "slots limit .. dimm; no free slots for memory device; no free slots available; no slots "
        "where allocated; no slots were allocated; unsupported amount of memory slots",
        supports="pc dimm; dimm; maxmemory; slots; nvdimm; virsh",
        against="vhost; hypervisor has no free",
        seen='"no free memory slots available" from pc-dimm or libvirt, maxMemory slots=, '
        '"memory slot N is busy".',
        decides="slots= of the command line.",
        next="`virsh dumpxml DOMAIN | grep -i maxMemory` or `info memory-devices`.",
        kernels="none; QEMU allows 256.",
    ),
    Cause(
        "hotplug-not-enabled",
        "No room for memory devices was configured.",
        names="memory devices .. are not enabled; not prepared for memory devices; please "
        "specify the maxmem option; memory hotplug "
        "is not enabled; memory hotplug is not supported; memory hotplug .. not enabled; "
        "hotplug .. not supported by this machine; does not support memory hotplug; maxmemory "
        "has to be specified; cannot use hotplug a memory device; cannot hotplug a memory "
        "device; cannot use hotplug a memory device; domain definition .. maxmemory; memory "
        "hotplug .. requires; no hotplug memory .. configured; memory hot plug is not "
        "supported",
        supports="maxmem; hotplug; microvm; isapc",
        against="cpu hotplug",
        seen='"memory devices ... are not enabled, please specify the maxmem option", "memory '
        'hotplug is not supported".',
        decides="maxmem and slots in -m; machine type (microvm, isapc have none).",
        next="restart with `-m SIZE,slots=N,maxmem=SIZE`.",
        kernels="none.",
    ),
    Cause(
        "device-memory-full",
        "QEMU's area for memory devices (maxmem - m) has not enough room left.",
        names="not enough space currently; in use of total space for memory devices; total space "
        "for memory devices; not enough space .. memory devices; device memory .. not enough; "
        "device memory .. exhausted; could not find position in guest address space for "
        "memory device; find position in guest address space",
        supports="maxmem; virtio mem; dimm; hotadd; hotplug",
        against="mmio",
        seen='"not enough space, currently 0x... in use of total space for memory devices 0x...".',
        decides="the two numbers, alignment of 1 GiB per DIMM.",
        next="raise maxmem.",
        kernels="none; x86 machines add 1 GiB per slot for alignment.",
    ),
    Cause(
        "device-memory-range",
        "A memory device was given an address outside that area, or the area is taken.",
        names="can t add memory device; usable range for memory devices; address range conflicts "
        "with memory device; memory device .. out of range; memory device .. conflicts with; "
        "address must be aligned to .. memory device; can t add memory .. overlaps; memaddr "
        ".. range; memory device .. overlap~; pc dimm .. address must be aligned to; virtio mem .. "
        "address must be aligned to",
        supports="memaddr; addr; usable range",
        seen='"can\'t add memory device [a:n], usable range for memory devices [b:m]", "address '
        'range conflicts with memory device".',
        decides="addr= or memaddr= against the range.",
        next="leave addr out.",
        kernels="none.",
    ),
    Cause(
        "phys-bits-too-low",
        "QEMU's memory map (RAM, hotplug area, 64-bit PCI window) does not fit the guest CPU's "
        "physical address bits.",
        names="phys bits too low; address space limit .. phys bits; address space limit 0x; "
        "physical address bits .. too low; phys bits should be between; phys bits .. too "
        "small; maxmem .. phys bits; guest physical address .. exceeds .. physical bits; does "
        "not match phys bits property .. error",
        supports="maxmem; phys bits; pci hole64; host phys bits; 39 bit",
        against="vfio; set user memory region .. einval",
        seen='"Address space limit 0x... < 0x... phys-bits too low (N)".',
        decides="bits of the host (`lscpu`), maxmem, machine type.",
        next="lower maxmem, or `-cpu host` (host-phys-bits=on), `-global "
        "q35-pcihost.pci-hole64-size=32G`.",
        kernels="a check of QEMU since 7.2; KVM was not asked; the limit is 2^N - 1.",
    ),
    Cause(
        "machine-address-limit",
        "The arm64 virt machine has fewer address bits than its map needs.",
        names="does not support .. ipa; qemu system aarch64 memory exceeds the limit; "
        "addressing limited to .. bits; memory exceeds it by; supports less pa bits; pa bits "
        ".. requested by the memory map; requested ipa size; ipa size .. not supported; ipa "
        ".. larger than .. host; highmem off .. memory; ipa range .. not supported; ipa bits "
        ".. exceed~; ipa limit .. exceed~",
        supports="highmem; ipa; virt; aarch64; pa bits",
        seen='"Addressing limited to N bits, but memory exceeds it by ...", "supports less PA bits '
        '(N) than requested by the memory map", highmem=off.',
        decides="highmem, IPA bits of the host.",
        next="drop highmem=off; `dmesg | grep 'IPA Size Limit'`.",
        kernels="KVM_CAP_ARM_VM_IPA_SIZE; 32 bits with highmem=off.",
    ),
    Cause(
        "vmm-ram-limit",
        "A limit of the emulator's build or machine on RAM.",
        names="at most 2047 mb ram; ram size too large; invalid ram size; ram size more than .. "
        "not "
        "supported; too much memory for this machine; ram size .. limit; memory size .. "
        "exceeds the maximum; ram size must be; machine .. supports at most .. ram; more ram "
        "than .. machine; maximum memory size .. is; ram limit; mb ram can be simulated; "
        "exceeds .. maximum .. ram; max ram .. machine; invalid memory size",
        supports="machine; 32 bit; m",
        against="hotplug; resize; multiple",
        seen='"at most 2047 MB RAM can be simulated", "ram size too large", "Invalid RAM size, '
        'should be ...".',
        decides="machine type, 32-bit build.",
        next="another machine type or a 64-bit build.",
        kernels="none.",
    ),
    Cause(
        "vmm-mmio-space",
        "The VMM's allocator of guest addresses has no room for a device.",
        names="failed allocating new mmio range; mmio range allocation; no mmio space; allocate "
        "mmio; not enough mmio space; mmio .. out of space; allocate .. mmio .. fail~; pci .. "
        "no space for .. bar; bar .. no space; mmio allocator; out of mmio space; "
        "insufficient mmio; mmio address space .. exhausted; failed to allocate .. bar; mmio "
        "region .. not available; failed to allocate .. mmio; can t assign mem .. no space; "
        "resource .. overlap .. mmio allocat~",
        supports="bar; mmio; device; pci; 64 bit",
        against="vfio dma",
        seen='"failed allocating new MMIO range", MmioRangeAllocation, "no MMIO space", '
        'AllocateMmio, "not enough MMIO space".',
        decides="BAR sizes against the 32- and 64-bit windows.",
        next="`lspci -vv -s BDF | grep Region`; give more address bits (max_phys_bits).",
        kernels="none.",
    ),
    Cause(
        "vmm-hotplug-limit",
        "The VMM refuses to resize beyond what was reserved.",
        names="insufficient hotplug ram; hotplug .. maximum amount; the maximum amount is; resize "
        ".. insufficient; cannot resize .. beyond; resize .. exceeds .. hotplug; requested "
        "size .. larger than .. hotplug; hotplug size .. exceed~; requested memory .. exceeds "
        ".. max; memory hotplug .. limit; exceeds the hotplug; cannot set memory higher than "
        "max memory; higher than max memory",
        supports="resize; hotplug size; maxmem; reserve",
        seen='InsufficientHotplugRAM, "the maximum amount is N MiB", resize.',
        decides="hotplug_size or maxmem against the request.",
        next="start with a larger reserve.",
        kernels="none.",
    ),
    Cause(
        "vmm-command-refused",
        "The VMM itself refused a command of its monitor (device_add, object-add); KVM was not "
        "asked.",
        names="unable to execute qemu command; qmp command failed; error class generic error desc; "
        "error class device not found desc; error class device not active desc; does not support "
        "hotplug~; is not hotpluggable; hot plug is not supported",
        supports="device add; object add; hotplug; qmp",
        seen='"unable to execute QEMU command", "QMP command failed", GenericError.',
        decides="the words behind the command: they are the reason.",
        next="`virsh qemu-monitor-command DOMAIN --hmp 'info memory-devices'`, or that command in "
        "QEMU's monitor.",
        kernels="none.",
        is_general=True,
    ),
    Cause(
        "vmm-option-refused",
        "The VMM refused an option of its command line, for the reason behind it.",
        names="option refused; invalid option; unrecognized option; unexpected argument; "
        "unknown argument",
        supports="command line; property; parameter",
        seen="QEMU's name, an option, and what is wrong: `qemu-system-x86_64: -device X: Y`.",
        decides="the words behind the option.",
        next="correct the option: `qemu-system-x86_64 -help` says what it takes.",
        kernels="none, unless the words are KVM's (an errno, a call).",
        is_general=True,
    ),
    Cause(
        "vmm-region-check",
        "The VMM or its library compares regions before KVM does.",
        names="memory region overlap; unsorted memory regions; invalid guest region; guest memory "
        "regions overlap; memory regions overlap; regions overlap .. layout; guest regions "
        "overlap; overlapping memory regions; overlaps with existing memory region; "
        "overlapping guest memory; memory region .. intersects; overlap .. guest memory "
        "region; regions are overlapping; memory regions are not sorted; region .. overlaps "
        ".. existing region",
        supports="vm memory; layout; snapshot",
        against="eexist; kvm set user memory region; set user memory region; validate",
        seen='MemoryRegionOverlap, UnsortedMemoryRegions, InvalidGuestRegion, "regions overlap".',
        decides="the list of regions in the VMM.",
        next="`memslots check LAYOUT`.",
        kernels="KVM would answer EEXIST (rule slot-overlap).",
    ),
    Cause(
        "vmm-bookkeeping-after-refusal",
        "The VMM went on as if a refused region existed.",
        names="cleanup after .. set user memory region; after .. set user memory region .. fails; "
        "slot .. bookkeeping; error ignored .. slot; refused .. continues; not cleaned up .. "
        "slot",
        supports="cleanup; rollback; leaked",
        seen='"cleanup after ... fails", later failures on the same slot number.',
        decides="the first refusal.",
        next="`memslots record -o vmm.rec -- COMMAND; memslots explain vmm.rec`.",
        kernels="a refused call changes nothing.",
        is_general=True,
    ),
    Cause(
        "vmm-lookup-no-slot",
        "The VMM looked up the slot of an address, found none and did not check.",
        names="segmentation fault .. kvm; segmentation fault address not mapped to object; null "
        "pointer .. memslot; null pointer .. slot; null .. find region; region lookup .. "
        "null; address not mapped to object .. 0x8; sigsegv .. slot; no slot found .. crash; can t "
        "find memslot; cannot find memslot; could not find memslot; no memslot found",
        supports="sigsegv; segmentation; null; usable kvm",
        against="bug kernel; oops; bug unable",
        seen="SIGSEGV at a small offset, NULL dereference in a region lookup.",
        decides="slots at that moment.",
        next="`memslots record -o vmm.rec -- COMMAND; memslots map vmm.rec`.",
        kernels="none.",
        is_general=True,
    ),
    Cause(
        "single-mapping-assumed",
        "A tool takes guest-physical for an offset into one host mapping.",
        names="crashes when analyzing vms with; 4gb memory .. crash~ .. dump; kvm dmesg; kvm .. "
        "introspection .. 4 gib; crash as soon as the guest has 4 gib; analyzing .. 4gb; one "
        "contiguous mapping; single .. contiguous .. guest memory; guest physical .. offset "
        ".. one mapping; above 4 gib .. wrong .. dump; vmi .. 4gb; dump .. more than .. 4 gib",
        supports="4gb; 4 gib; 4g; offset; dump; introspection",
        against="gem5; m5 ops; se py; kvm cpu",
        seen="breaks with 4 GiB or more, with NUMA or hotplug; introspection, dump readers.",
        decides="RAM in more than one slot.",
        next="`memslots record -p PID -o vmm.rec; memslots map vmm.rec`.",
        kernels="PC machines split RAM at the hole below 4 GiB.",
        is_general=True,
    ),
    Cause(
        "migration-layout-mismatch",
        "Source and destination have different memory.",
        names="size mismatch .. ram; unknown ramblock; load of migration failed; size mismatch pc "
        "ram; length mismatch .. ram; ram block .. mismatch; ramblock .. not found; "
        "mismatched ram page size; received an unexpected .. ram; different .. memory layout "
        ".. migration; error while loading state .. ram",
        supports="migration; incoming; ram",
        against="postcopy .. userfaultfd",
        seen='"Size mismatch: pc.ram: 0x... != 0x...", "Unknown ramblock", "load of migration '
        'failed: Invalid argument".',
        decides="both command lines.",
        next="compare `info ramblock` of both sides.",
        kernels="the errno is QEMU's.",
    ),
    Cause(
        "memory-backend-in-use",
        "A memory backend is given to two users.",
        names="can t use already busy memdev; already busy memdev; is used multiple times; memory "
        "backend .. in use; memdev .. already in use; memory backend .. used by another; "
        "memory backend .. must not be used",
        supports="memdev; object",
        seen='"can\'t use already busy memdev", "memory backend ... is used multiple times".',
        decides="the ids.",
        next="one `-object` for each.",
        kernels="none.",
    ),
    Cause(
        "layout-pasted",
        "No failure at all: a memory map, a domain's XML or a command line.",
        names="flatview; flat view; as memory root system; root memory region system",
        supports="prio 0 ram; domain type",
        seen="FlatView, `<domain`, only options.",
        decides="what is to be known.",
        next="`memslots check FILE`.",
        kernels="none.",
    ),
)
"""In no order: what a paste says ranks them."""
