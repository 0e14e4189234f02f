"""KVM_RUN that comes back with an exit which the VMM does not survive."""

from __future__ import annotations

from .cause import Cause

CAUSES = (
    Cause(
        "run-internal-error",
        "KVM_EXIT_INTERNAL_ERROR (17).",
        "Suberror 1 emulation failed: often code fetched from an address without a slot or "
        "from MMIO; 2 simultaneous exceptions; 3 delivery of an event met an exit (stack or "
        "IDT without memory); 4 unexpected exit.",
        calls="KVM_RUN:INTERNAL_ERROR",
        names="kvm internal error; suberror; internal error suberror; kvm exit internal error; "
        "internal error when running; vcpu exit internal error; exit reason 17; exit reason "
        ".. internal error; emulation failure; emulation failed .. kvm; vcpu .. internal "
        "error; kvm .. emulation error; unhandled .. internal error",
        supports="extra data; emulation; eip; rip; simultaneous",
        against="entry failed; qemu command; to monitor; the monitor",
        seen='"KVM internal error. Suberror: N", InternalError.',
        decides="rip or EIP and the address in extra data against the slots.",
        next="`memslots map FILE`, compare with EIP; `-trace kvm_set_user_memory`.",
        kernels="the bytes of the instruction follow since 5.15.",
    ),
    Cause(
        "run-entry-failed",
        "The processor refused the guest state.",
        calls="KVM_RUN:FAIL_ENTRY",
        names="entry failed hardware error; kvm entry failed; fail entry; kvm exit fail entry; "
        "hardware entry failure; hardware entry fail~ reason; 0x80000021; vm entry failed; "
        "failed vm entry; vmentry failed; exit reason 9; invalid guest state; failed entry",
        supports="0x80000021; vmcs; unrestricted guest; dump invalid vmcs",
        seen='"KVM: entry failed, hardware error 0x80000021" (Intel), 0xffffffff (AMD), FailEntry.',
        decides="dump of the VMCS in dmesg.",
        next="`dmesg | grep -A40 'Guest State'` with kvm_intel.dump_invalid_vmcs=1.",
        kernels="dump off by default since 5.2; memory slots are not involved.",
    ),
    Cause(
        "run-triple-fault",
        "Exit 8, KVM_EXIT_SHUTDOWN: the guest triple-faulted.",
        calls="KVM_RUN:SHUTDOWN",
        names="triple fault; triple faulted; triple faults; kvm exit shutdown; exit reason 8; vcpu "
        "exit shutdown; unexpected exit exit reason 8; exit shutdown; reason 8; exited with "
        ".. shutdown; vcpu .. shutdown exit",
        supports="reboot loop; rip; idt; page tables",
        against="reason 80",
        seen='"exit reason 8", KVM_EXIT_SHUTDOWN, reboot loops, panic: Unexpected exit.',
        decides="what the guest executed last; are its page tables, IDT and stack in slots?",
        next="`perf kvm stat record -p PID; memslots map FILE`.",
        kernels='8 is also bit number of other things: only beside "exit".',
    ),
    Cause(
        "run-unknown-exit",
        "An exit reason that this VMM does not know: it is older than the kernel's interface "
        "it enabled, or trees do not match.",
        names="unknown exit reason; unhandled exit reason; unhandled vcpu exit; unexpected exit "
        "reason; unhandled kvm exit; unexpected kvm exit; unknown kvm exit; unsupported exit "
        "reason; unexpected vcpu exit; unhandled vm exit; unexpected exit exit reason",
        supports="older; version",
        against="internal error; fail entry; shutdown; exit reason 8; upm; restricted memory; exit "
        "reason 31; memory fault flags; exit reason 17; exit reason 9; exit reason 6",
        seen='"unknown exit reason N", unhandled exit.',
        decides="N: 24 SYSTEM_EVENT, 31 DIRTY_RING_FULL, 28 ARM_NISV, 29 and 30 X86 MSRs, 33 "
        "X86_BUS_LOCK, 37 NOTIFY, 38 LOONGARCH_IOCSR, 39 MEMORY_FAULT, 40 TDX.",
        next="`qemu-system-x86_64 --version; uname -r`.",
        kernels="numbers of development trees differ (24 was used for conversion of private "
        "memory in early trees).",
        is_general=True,
    ),
    Cause(
        "run-dirty-ring-full",
        "Exit 31, KVM_EXIT_DIRTY_RING_FULL: the ring must be collected and reset.",
        names="dirty ring full; exit reason 31; dirty ring .. full; exit dirty ring; kvm exit "
        "dirty ring full",
        supports="dirty ring size; reset dirty rings",
        seen="exit reason 31, dirty-ring-size=.",
        decides="is KVM_RESET_DIRTY_RINGS called?",
        next="`memslots record -o vmm.rec -- COMMAND`.",
        kernels="since 5.11.",
    ),
    Cause(
        "guest-access-without-slot",
        "The guest touched an address without a slot: KVM_EXIT_MMIO (6), to the VMM a device "
        "access.",
        names="unhandled mmio; kvm exit mmio .. phys addr; unexpected mmio; mmio exit; unmapped .. "
        "guest physical; mmio exits; no memslot .. gpa; mmio .. should be ram; outside of .. "
        "guest memory; exit mmio .. expected; outside memslots; unmapped mmio; invalid guest "
        "physical address; address .. not backed by; no memory slot for",
        supports="phys addr; is write; mmio; slots; expected .. ram",
        against="mmio range; ioeventfd; syndrome",
        seen='MMIO exit for what should be RAM, "unhandled mmio", lazy mapping.',
        decides="gpa of the exit against the slots.",
        next="`memslots map FILE`.",
        kernels="reads of holes are ones in most VMMs; instruction fetches become "
        "run-internal-error.",
        is_general=True,
    ),
    Cause(
        "mmio-window-covered",
        "A slot covers addresses where a device should be: accesses reach RAM and never exit.",
        names="overlap physical mem; overlap .. mmio window; ram covers .. device; memory overlaps "
        ".. mmio; overlaps .. device window; works with 3gb .. 4gb; 3gb memory .. 4gb; mem "
        "size 4gb .. crash~; memory size greater than .. 4gb; m5 ops; ram .. over the ioapic; "
        "ram .. over the .. apic; device .. never exits; covers the .. mmio; mmio .. reach~ "
        "ram; slot covers .. device; mmio hole .. ram",
        supports="4gb; 3gb; window; hang; mem size; mmio; device",
        against="eexist",
        seen="works below 3 or 4 GiB of memory, not with more; a device window named in the text "
        "(0xfee00000, 0xfec00000, m5ops 0xffff0000).",
        decides="window against slots.",
        next="`memslots check FILE`.",
        kernels="KVM does not know the VMM's devices and refuses nothing (but for its own APIC "
        "page, "
        "rule slot-overlap).",
        is_general=True,
    ),
)
"""In no order: what a paste says ranks them."""
