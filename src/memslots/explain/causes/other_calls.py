"""Calls that look like a memory slot's, and the kernel's own faults."""

from __future__ import annotations

from .cause import Cause

CAUSES = (
    Cause(
        "ioeventfd-exists",
        "KVM_IOEVENTFD: an eventfd with this address and length is there.",
        calls="KVM_IOEVENTFD:EEXIST",
        names="ioevent~ .. eexist; register ioevent .. eexist; eexist .. ioevent~; ioeventfd .. "
        "already; adding ioeventfd .. eexist",
        supports="bar; notify; virtio",
        seen="EEXIST with ioevent, ioeventfd.",
        decides="the old registration after a BAR moved.",
        next="`strace -f -e trace=ioctl COMMAND 2>&1 | grep IOEVENTFD`.",
        kernels="all.",
    ),
    Cause(
        "ioeventfd-limit",
        "KVM's I/O bus is full.",
        calls="KVM_IOEVENTFD:ENOSPC KVM_REGISTER_COALESCED_MMIO:ENOSPC",
        names="ioevent~ .. enospc; register ioevent .. enospc; enospc .. ioevent~; adding "
        "ioeventfd "
        ".. enospc; coalesced mmio .. enospc; nr iobus devs; io bus .. full",
        supports="queue; disk; virtio; 1000",
        seen="ENOSPC (28) from KVM_IOEVENTFD. Against it: -28 from VFIO, df.",
        decides="count of eventfds and coalesced zones.",
        next="fewer queues, or one eventfd for several.",
        kernels="NR_IOBUS_DEVS, 1000 devices on a bus.",
    ),
    Cause(
        "irqfd-refused",
        "KVM_IRQFD: no irqchip, no route, or in use.",
        calls="KVM_IRQFD:EINVAL KVM_IRQFD:EBUSY KVM_IRQFD:EBADF KVM_IRQFD:ENODEV KVM_IRQFD:ENOENT",
        names="irqfd .. einval; irqfd .. ebusy; irqfd failed; register irqfd; irqfd .. failed; "
        "irqfd .. ebadf; irqfd .. eagain; irqfd .. enoent; register irq fd; irqfd .. enospc; "
        "set gsi routing .. e~; gsi routing .. failed",
        supports="msi; gsi; irqchip; eventfd",
        seen="kvm_irqchip_add_irqfd failed, RegisterIrqfd.",
        decides="EINVAL: gsi out of range or no irqchip; EBUSY: eventfd registered already.",
        next="`strace -f -e trace=ioctl COMMAND 2>&1 | grep -e IRQFD -e GSI_ROUTING`.",
        kernels="all.",
    ),
    Cause(
        "dirty-log-read-clears",
        "KVM_GET_DIRTY_LOG clears what it reads.",
        names="dirty log .. cleared; log is read .. cleared; diff snapshots .. not; get dirty log "
        ".. clears; dirty bitmap .. lost; dirty pages .. lost; dirty pages .. missing; "
        "snapshot .. missing .. dirty; incremental snapshot .. missing; dirty .. read .. "
        "twice; diff snapshot .. incomplete; second get dirty log .. empty",
        supports="snapshot; dirty; transactional; manual; diff",
        against="enoent",
        seen="dirty pages missing after a failed snapshot.",
        decides="is KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 enabled?",
        next="`memslots record -o vmm.rec -- COMMAND`; with it, clear by KVM_CLEAR_DIRTY_LOG "
        "after the data is safe.",
        kernels="capability since 5.2.",
    ),
    Cause(
        "slow-region-calls",
        "Region calls take milliseconds while vCPUs run: each waits for an SRCU grace period.",
        names="set user memory region .. takes; set user memory region .. slow; synchronize srcu; "
        "region calls .. slow; region .. takes .. ms; memslot .. slow; memslot update .. "
        "slow; memory region .. takes .. ms; set user memory region .. latency; srcu .. grace "
        "period; set user memory region .. milliseconds; set user memory region .. 0 0; "
        "memslot .. takes; slow .. set user memory region",
        supports="ms; srcu; vcpus running; latency; strace t",
        seen='`<0.04>` in strace -T, "takes ms", many small slots.',
        decides="durations with vCPUs stopped.",
        next="`strace -f -T -e trace=ioctl -p PID`; fewer, larger slots; batch before the guest "
        "runs.",
        kernels="all; deletes also drop page tables, on x86 all of them unless "
        "KVM_X86_QUIRK_SLOT_ZAP_ALL (6.12) is off.",
    ),
    Cause(
        "kernel-warning-dirty-without-vcpu",
        "WARN in mark_page_dirty_in_slot: a page was marked dirty without a running vCPU.",
        names="mark page dirty in slot",
        supports="hyperv clock; set clock; 5 17; warning cpu",
        seen="that name in a splat, KVM_SET_CLOCK, hyperv_clock.",
        decides="the release.",
        next="`uname -r`; harmless.",
        kernels="introduced by 03c0304a86bc (5.17), fixed by 42dcbe7d8bac (5.18).",
    ),
    Cause(
        "kernel-oops",
        "A warning or oops of the kernel itself.",
        names="cut here .. warning cpu; warning cpu .. kvm; oops .. kvm; bug unable to handle; bug "
        "kernel null pointer; general protection fault; kernel bug at; call trace .. kvm; rcu "
        "stall .. kvm; warning cpu .. arch x86 kvm; warning .. virt kvm; kasan; ubsan; kernel "
        "panic .. kvm; internal error oops; unable to handle kernel",
        supports="rip; call trace; tainted; end trace",
        against="tdx init mem region",
        seen='"------------[ cut here ]", "WARNING: CPU", "BUG:", "Oops", Call Trace with kvm.',
        decides="function and release; registers at the entry of the call: RSI is the request "
        "(4020ae46 region, 40a0ae49 REGION2), RDX its argument, RAX -errno.",
        next="`uname -r; git log --oneline v6.1.. -- virt/kvm arch/x86/kvm | grep FUNCTION`.",
        kernels="later calls on the VM may be EIO (rule vm-dead).",
        is_general=True,
    ),
    Cause(
        "selftest-assertion",
        "An assertion of one of KVM's selftests failed, and not on the result of a call.",
        names="test assertion failure; aborting test program",
        supports="errno 0; selftest~; tools testing",
        against="ioctl failed",
        seen='"==== Test Assertion Failure ====" whose condition names no return value.',
        decides="the line of the test's source that is named, and whether the same test of the "
        "kernel's own release passes.",
        next="`uname -r; memslots record -o vmm.rec -- COMMAND; memslots explain vmm.rec`; run "
        "the selftests of the release that runs, not newer ones.",
        kernels="a test of a newer release may test what an older kernel does not do.",
        is_general=True,
    ),
    Cause(
        "vcpu-state-refused",
        "KVM refused a vCPU's state (registers, MSRs, CPUID, features), not memory.",
        calls="KVM_SET_REGS:EINVAL KVM_SET_SREGS:EINVAL KVM_SET_SREGS2:EINVAL KVM_SET_MSRS:EINVAL "
        "KVM_SET_CPUID2:EINVAL KVM_SET_CPUID2:E2BIG KVM_SET_XSAVE:EINVAL KVM_SET_XCRS:EINVAL "
        "KVM_SET_LAPIC:EINVAL KVM_SET_VCPU_EVENTS:EINVAL KVM_SET_ONE_REG:EINVAL "
        "KVM_SET_ONE_REG:ENOENT KVM_SET_NESTED_STATE:EINVAL KVM_ARM_VCPU_INIT:EINVAL",
        names="failed to put registers; failed to put .. registers; failed to get registers; "
        "failed to set special registers; failed to set xcrs; failed to set msr; "
        "failed to get msr; kvm buf set msrs; kvm put msrs; kvm set msrs .. failed; "
        "set sregs .. einval; set regs .. einval; set msrs .. einval; set cpuid2 .. e~; "
        "setting sregs; setting registers .. e~; kvm set one reg .. e~; set nested state .. e~; "
        "failed to set vcpu events; kvm arm vcpu init .. e~; kvm arch init vcpu failed; "
        "failed to load cpu",
        supports="after init; after reset; migration; cpu host; nested; msr; register",
        against="memory region; memslot; set user memory region",
        seen='"Failed to put registers after init", "failed to set MSR 0x..", KVM_SET_SREGS or '
        "KVM_SET_MSRS with EINVAL.",
        decides="which register, and whether the host's CPU and KVM know it: another CPU model, "
        "a migration from a newer host, a control register with bits that exclude each other.",
        next="`strace -f -e trace=ioctl COMMAND 2>&1 | grep -e _SET_ -e VCPU_INIT | grep -v '= 0'; "
        "dmesg | grep -i kvm`; a CPU model that both hosts have.",
        kernels="which registers there are follows the release, the CPU and the CPUID that the VMM "
        "has set.",
    ),
    Cause(
        "msr-unhandled",
        "The kernel log notes that a guest used an MSR that KVM does not have.",
        names="unhandled rdmsr; unhandled wrmsr; ignored rdmsr; ignored wrmsr; "
        "kvm set msr common; kvm get msr common",
        supports="guest rip; vcpu0; disabled perfctr; msr",
        against="set user memory region; failed to set msr",
        seen='"unhandled rdmsr: 0x..", "ignored wrmsr" after "kvm [PID]: vcpuN".',
        decides="nothing as a rule: guests probe MSRs and go on after the fault.",
        next="`cat /sys/module/kvm/parameters/ignore_msrs`; look for another message.",
        kernels="only told unless report_ignored_msrs is off; memory takes no part.",
        is_general=True,
    ),
    Cause(
        "ppc-hash-table-allocation",
        "Power: the host cannot allocate the guest's hashed page table.",
        calls="KVM_PPC_ALLOCATE_HTAB:ENOMEM",
        names="failed to allocate kvm hpt; allocate kvm hpt; kvm hpt of order; "
        "ppc allocate htab; hpt order .. enomem; htab .. enomem; failed to allocate htab; htab of "
        "requested size; spapr alloc htab",
        supports="maxmem; cma; ppc64; pseries",
        seen='"Failed to allocate KVM HPT of order N (try smaller maxmem?)".',
        decides="the order (2^order bytes, contiguous) against the memory that is reserved for it.",
        next="`grep -i cma /proc/meminfo; cat /proc/cmdline`; a smaller maxmem, or more by the "
        "kernel parameter kvm_cma_resv_ratio; guests with radix tables need none.",
        kernels="all of Power with hashed page tables; its size follows maxmem, not the memory "
        "that is given.",
    ),
    Cause(
        "s390-memory-limit",
        "s390: the VM's memory limit refuses, or is refused.",
        calls="KVM_S390_VM_MEM_LIMIT_SIZE:E2BIG KVM_S390_VM_MEM_LIMIT_SIZE:EBUSY",
        names="s390 mem limit; s390 vm mem limit; mem limit size; mem limit .. e2big; "
        "kvm host supports a maximum of; host supports a maximum of .. gb",
        supports="s390~; kvm set device attr; e2big; maxmem",
        seen='E2BIG of KVM_SET_DEVICE_ATTR for KVM_S390_VM_MEM_LIMIT_SIZE, "host supports a '
        'maximum of N GB".',
        decides="guest memory with maxmem against the limit that KVM_GET_DEVICE_ATTR reports.",
        next="`strace -f -e trace=ioctl COMMAND 2>&1 | grep DEVICE_ATTR`; a smaller maxmem.",
        kernels="E2BIG beyond the limit of the VM, EBUSY once it has a vCPU; a slot beyond the "
        "limit is rule memory-limit.",
    ),
    Cause(
        "ioeventfd-refused",
        "KVM_IOEVENTFD is refused for a reason of its own.",
        calls="KVM_IOEVENTFD:EINVAL KVM_IOEVENTFD:EFAULT KVM_IOEVENTFD:ENOENT "
        "KVM_IOEVENTFD:ENOMEM KVM_IOEVENTFD:EBADF",
        names="ioevent~ .. einval; ioevent~ .. enoent; ioevent~ .. enomem; adding ioeventfd .. "
        "failed; ioevent~ .. ebadf; deleting ioeventfd .. error; ioeventfd del .. error",
        supports="eventfd; notify",
        seen="EINVAL, ENOENT or ENOMEM with ioeventfd; not EEXIST, not ENOSPC.",
        decides="EINVAL: length or flags; ENOENT: nothing of the kind is registered.",
        next="`strace -f -e trace=ioctl COMMAND 2>&1 | grep IOEVENTFD`",
        kernels="all.",
        is_general=True,
    ),
)
"""In no order: what a paste says ranks them."""
