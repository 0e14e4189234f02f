"""KVM's calls that are not about memory, by name: registers, interrupts, clocks.

Numbers of include/uapi/linux/kvm.h.  The same number may be two calls, told apart by the kind of
descriptor or by the direction of the argument.  Calls of memory are in `calls`.
"""

from __future__ import annotations

from .calls import SYSTEM, VCPU, VM

STATE_CALLS = {
    SYSTEM: {
        "KVM_GET_MSR_INDEX_LIST": 0x02, "KVM_GET_SUPPORTED_CPUID": 0x05,
        "KVM_GET_EMULATED_CPUID": 0x09, "KVM_GET_MSR_FEATURE_INDEX_LIST": 0x0A,
        "KVM_GET_MSRS": 0x88, "KVM_X86_GET_MCE_CAP_SUPPORTED": 0x9D,
    },
    VM: {
        "KVM_IRQ_LINE": 0x61, "KVM_GET_IRQCHIP": 0x62, "KVM_SET_IRQCHIP": 0x63,
        "KVM_CREATE_PIT": 0x64, "KVM_GET_PIT": 0x65, "KVM_SET_PIT": 0x66,
        "KVM_IRQ_LINE_STATUS": 0x67, "KVM_REGISTER_COALESCED_MMIO": 0x67,
        "KVM_UNREGISTER_COALESCED_MMIO": 0x68, "KVM_SET_GSI_ROUTING": 0x6A,
        "KVM_REINJECT_CONTROL": 0x71, "KVM_SET_CLOCK": 0x7B, "KVM_GET_CLOCK": 0x7C,
        "KVM_GET_PIT2": 0x9F, "KVM_SET_PIT2": 0xA0, "KVM_SIGNAL_MSI": 0xA5,
        "KVM_SET_PMU_EVENT_FILTER": 0xB2, "KVM_X86_SET_MSR_FILTER": 0xC6,
    },
    VCPU: {
        "KVM_GET_REGS": 0x81, "KVM_SET_REGS": 0x82, "KVM_GET_SREGS": 0x83, "KVM_SET_SREGS": 0x84,
        "KVM_INTERRUPT": 0x86, "KVM_GET_MSRS": 0x88,
        "KVM_SET_SIGNAL_MASK": 0x8B, "KVM_GET_FPU": 0x8C, "KVM_SET_FPU": 0x8D,
        "KVM_GET_LAPIC": 0x8E, "KVM_SET_LAPIC": 0x8F, "KVM_SET_CPUID2": 0x90,
        "KVM_GET_CPUID2": 0x91, "KVM_TPR_ACCESS_REPORTING": 0x92, "KVM_SET_VAPIC_ADDR": 0x93,
        "KVM_GET_MP_STATE": 0x98, "KVM_SET_MP_STATE": 0x99, "KVM_NMI": 0x9A,
        "KVM_SET_GUEST_DEBUG": 0x9B, "KVM_X86_SETUP_MCE": 0x9C, "KVM_X86_SET_MCE": 0x9E,
        "KVM_GET_VCPU_EVENTS": 0x9F, "KVM_SET_VCPU_EVENTS": 0xA0, "KVM_GET_DEBUGREGS": 0xA1,
        "KVM_SET_DEBUGREGS": 0xA2, "KVM_SET_TSC_KHZ": 0xA2, "KVM_GET_TSC_KHZ": 0xA3,
        "KVM_GET_XSAVE": 0xA4, "KVM_SET_XSAVE": 0xA5, "KVM_GET_XCRS": 0xA6, "KVM_SET_XCRS": 0xA7,
        "KVM_KVMCLOCK_CTRL": 0xAD, "KVM_GET_SREGS2": 0xCC, "KVM_SET_SREGS2": 0xCD,
        "KVM_GET_XSAVE2": 0xCF,
    },
}  # fmt: skip
"""Kind of descriptor: name of a call, its number."""
