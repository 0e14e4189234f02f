"""The words in which people and programs say that a rule refused: evidence where the arguments are
not recorded.

Signs are read as those of a cause (`causes.cause`): `names` makes the rule a candidate by
itself, `supports` moves it up among rules with the same errno.
"""

from __future__ import annotations


class RuleSigns:
    """What in a text speaks for one rule."""

    __slots__ = ("names", "supports")

    def __init__(self, names: str = "", supports: str = "") -> None:
        self.names = tuple(names.split("; ")) if names else ()
        self.supports = tuple(supports.split("; ")) if supports else ()


RULE_SIGNS: dict[str, RuleSigns] = {
    "size-unaligned": RuleSigns(
        names="memory size .. fails .. works; memory size .. kib .. einval; memory size .. not a "
        "multiple; rejected region has memory size; page align~ .. memory size; size .. not "
        "page aligned; region size .. not aligned; memory size .. not aligned",
        supports="page align~; page aligned; multiple of the page; page size; host page size; "
        "round~ "
        "up; unaligned; not aligned; 64 kib; 64k; 16 kib; odd size; kib; plugged; align~",
    ),
    "gpa-unaligned": RuleSigns(
        names="guest phys addr .. not aligned; guest address .. not page aligned; gpa .. not "
        "aligned; guest phys addr .. unaligned",
        supports="align~; page size",
    ),
    "hva-unaligned": RuleSigns(
        names="create string buffer; userspace addr .. not aligned; host address .. not aligned; "
        "malloc .. einval; posix memalign; vec u8 .. userspace addr; userspace addr .. "
        "unaligned; memory from malloc; bytearray",
        supports="malloc; calloc; vec; string buffer; align~; heap; memalign; page align~; mmap "
        "instead",
    ),
    "size-change": RuleSigns(
        names="same slot .. larger; same slot .. bigger; resize .. slot; grow .. slot; same slot "
        ".. "
        "another size; slot .. different size; virtio pmem did not advance the slot counter",
        supports="resize; grow; enlarge; larger; update slot; update kvm slots; second call; "
        "existing "
        "slot; same slot; plugged; slot counter; user addresses; reus~",
    ),
    "userspace-addr-change": RuleSigns(
        names="slot counter .. uses next; did not advance the slot counter; same slot .. another "
        "address; slot .. mremap; reuses the slot; slot number .. reused; slot id .. used "
        "twice; same slot number .. twice; einval for host addresses",
        supports="mremap; slot counter; moved; existing slot; same slot; user addresses; host "
        "addresses; update slot; reus~",
    ),
    "readonly-change": RuleSigns(
        supports="readonly; read only; write protect; toggle~ .. readonly",
    ),
    "slot-id-too-high": RuleSigns(
        names="over kvm user mem slots; passes the kernel limit of user slots; maximum memory "
        "slots "
        "reported by kvm; compared with the maximum kvm reports; slot number .. nr memslots; "
        "slot id .. nr memslots; slot .. kvm user mem slots; slot counter only grows; slot id "
        "exceeds; exceeds kvm cap nr memslots; slot .. above the limit; slot .. 509",
        supports="509; 32764; nr memslots; user mem slots; memory slots; slot counter; maximum "
        "memory slots",
    ),
    "slot-overlap": RuleSigns(
        names="overlapping regions; set physical slots without overlapping; slots without "
        "overlapping; so it overlaps; check for overlapping; apic access page; guest address "
        "ranges for overlapping; validate guest address ranges",
        supports="overlap~; eexist; already; covers; duplicate; twice; apic",
    ),
    "flags-invalid": RuleSigns(
        names="matching kernel .. flag~; needs matching kernel; flag .. not supported by the "
        "kernel; unknown flag .. set user memory region; readonly .. not supported",
        supports="flags; flag; readonly; read only; uncached; needs matching kernel; patched "
        "kernel; 16k; snp; tdx",
    ),
    "flags-of-region2": RuleSigns(
        names="flags to 4 .. set user memory region; kvm mem guest memfd .. set user memory region "
        "einval; guest memfd .. short call",
        supports="kvm mem guest memfd; flags 4; flags to 4; region2",
    ),
    "gfn-above-max": RuleSigns(
        names="beyond the physical address~; above maxphyaddr; guest physical .. exceeds .. host "
        "physical bits; phys bits .. einval",
        supports="39 bit; 39 bits; 36 bits; 46 bits; address width; maxphyaddr; phys bits; "
        "physical "
        "address bits; physical bits; tib; high memory; hotplug",
    ),
    "slot-too-large": RuleSigns(
        names="larger than 8 tib; 8 tib limit; more than 8 tib",
        supports="8 tib; 9 tib; tib; tb; 12 tib; 16 tib",
    ),
    "delete-missing": RuleSigns(
        names="delete .. slot .. does not exist; deleting a slot twice; remove .. slot .. twice; "
        "delete~ .. non existent",
        supports="delete; deleting; remove; unmap; memory size 0; unplug; cleanup; hot unplug",
    ),
    "vma-mte": RuleSigns(
        names="kvm cap arm mte; mte is on; enable .. mte; memory tagging",
        supports="mte; map shared; memfd; tagging",
    ),
    "vma-pfn-logging": RuleSigns(
        names="dirty log on ram device; dirty log .. device region; dirty logging .. device "
        "memory; "
        "log dirty pages .. bar",
        supports="migration; dirty; ram device; vfio pci; bar; device memory; dirty log",
    ),
    "vma-not-writable": RuleSigns(
        supports="read only; mapped read only; prot read; o rdonly",
    ),
    "vma-pfn-cacheable": RuleSigns(
        supports="cacheable; device memory; gpu; grace",
    ),
    "protected-vm-change": RuleSigns(
        names="protected vm .. remove memory region; remov~ .. protected; pkvm .. delete .. slot"
        "protected vm .. remove memory region; remov~ .. protected; pkvm .. delete .. slot",
        supports="protected vm; pkvm; running; remove; delete; memory size 0",
    ),
    "gmem-fd-closed": RuleSigns(
        names="close range .. guest memfd; guest memfd .. closed; ebadf .. guest memfd",
        supports="close range; closed; ebadf",
    ),
    "gmem-fd-other-file": RuleSigns(
        names="guest memfd .. of another vm; guest memfd .. on the new vm; guest memfd .. other "
        "vm; "
        "created on the old vm; guest memfd .. old vm; guest memfd .. different vm; reuse .. "
        "guest memfd",
        supports="old vm; new vm; another vm; memfd create; reboot",
    ),
    "gmem-range": RuleSigns(
        supports="beyond the file; file size; offset",
    ),
    "gmem-range-bound": RuleSigns(
        names="same guest memfd .. twice; guest memfd .. already bound",
        supports="same guest memfd; bound; alias",
    ),
    "gmem-flags": RuleSigns(
        names="create guest memfd .. flag~",
        supports="guest memfd flag; mmap flag; flags; 6 18",
    ),
    "gmem-size": RuleSigns(
        names="memfd creation should succeed",
        supports="64kb; page size; 64k; size; multiple",
    ),
    "vm-type-unsupported": RuleSigns(
        names="create vm .. sw protected; vm type .. not supported; unsupported vm type; create vm "
        "1 .. einval; create vm .. type",
        supports="type; sw protected; snp; tdx; vm types",
    ),
    "ioctl-unknown": RuleSigns(
        names="set user memory region2 .. enotty; create guest memfd .. enotty; set memory "
        "attributes .. enotty; error registering slot enotty; set user memory region .. "
        "enotty",
        supports="old kernel; older; enotty; 6 1; 5 15; 5 14",
    ),
    "vm-dead": RuleSigns(
        names="kvm vm bugged; vm .. bugged; kvm bug on",
        supports="warning cpu; cut here; eio; end trace; kvm bug",
    ),
    "slot-not-logging": RuleSigns(
        names="clear dirty log .. enoent; get dirty log .. enoent; enoent .. kvm log clear one "
        "slot; dirty log .. enoent; enoent .. dirty log; kvm log clear one slot",
        supports="flags 0; log dirty pages; no dirty bitmap; enoent",
    ),
    "first-page-unaligned": RuleSigns(
        names="first page .. multiple of 64; first page .. einval",
        supports="first page; 64",
    ),
    "clear-range": RuleSigns(
        names="clear dirty log .. num pages .. einval",
        supports="num pages; end of the slot",
    ),
    "attributes-invalid": RuleSigns(
        names="set memory attributes .. einval; memory attributes .. einval; failed to set memory "
        ".. attr 0x8; with attr 0x8",
        supports="attribute private; plain vm; private; attr",
    ),
    "dirty-ring-too-late": RuleSigns(
        names="dirty log ring .. einval; dirty ring .. after .. vcpu",
        supports="vcpu; dirty log ring",
    ),
    "dirty-ring-size": RuleSigns(
        names="dirty ring .. power of two",
        supports="power of two; dirty ring size",
    ),
    "dirty-ring-too-large": RuleSigns(
        names="dirty ring .. e2big",
        supports="65536",
    ),
    "vcpu-id-too-high": RuleSigns(
        names="vcpu id .. max; vcpu id .. too",
        supports="max vcpus; vcpu id; smp",
    ),
    "vcpu-exists": RuleSigns(
        names="vcpu .. twice; vcpu .. already exists",
        supports="twice",
    ),
    "hva-out-of-range": RuleSigns(
        names="address comes from .. kernel; kernel address .. userspace addr",
        supports="beyond 2 47; kernel space; 0xffff888000000000; vmalloc",
    ),
    "hva-tagged": RuleSigns(
        names="tagged pointer; address tag; top byte",
        supports="hwasan; tag; tbi; mte",
    ),
    "address-space-unknown": RuleSigns(
        names="kvm arch nr memslot as ids; as id 1",
        supports="smm; slot 65536; slot 65537; as id; address space; tdx; private memory",
    ),
    "ipa-limit": RuleSigns(
        supports="ipa; 40 bit; highmem; ipa size; ipa limit",
    ),
    "stage2-limit": RuleSigns(
        supports="sv39; sv39 x4; sv48",
    ),
    "size-segment-unaligned": RuleSigns(
        supports="s390~; segment; 1 mib",
    ),
    "hva-segment-unaligned": RuleSigns(
        supports="s390~; segment; 1 mib",
    ),
    "foreign-process": RuleSigns(
        names="vm fd .. another process; fork .. vm fd .. eio; passed .. vm fd",
        supports="fork; another process; child",
    ),
    "argument-unreadable": RuleSigns(
        supports="pointer; bad pointer",
    ),
    "alias-bit": RuleSigns(
        supports="tdx; shared bit; gpaw",
    ),
}
