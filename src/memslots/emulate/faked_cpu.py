"""A processor for programs that ask KVM which one it has: what every 64-bit x86 can do.

Facts of the processors' manuals and of the paravirtual leaves in
Documentation/virt/kvm/x86/cpuid.rst.
"""

from __future__ import annotations

import struct

_VENDOR = struct.unpack("<3I", b"GenuineIntel")
_KVM = struct.unpack("<3I", b"KVMKVMKVM\0\0\0")
_INDEXED = 1
_FPU_TO_SSE2 = 0x078B_FBFF
"""CPUID.1.EDX: from the FPU to SSE2, with FXSR, MMX, CLFLUSH, PAT, MTRR, APIC, TSC, MSRs, PAE."""
_PARAVIRTUAL = 1 << 24 | 0xFB
"""CPUID.40000001.EAX: clocks (stable), no I/O delay, async faults, stolen time, end of interrupt,
unhalt.
"""
MACHINE_CHECKS = 1 << 24 | 1 << 8
"""IA32_MCG_CAP that can be had: recovery by software, a control register."""
_SSE3_X2APIC_HYPERVISOR = 1 << 0 | 1 << 13 | 1 << 21 | 1 << 31
_SYSCALL_NX_LONG_MODE = 1 << 11 | 1 << 20 | 1 << 29
_PHYSICAL_AND_LINEAR_BITS = 46 | 48 << 8

CPUID_ENTRIES = (
    (0x0, 0, 0, 0x7, _VENDOR[0], _VENDOR[2], _VENDOR[1]),
    (0x1, 0, 0, 0x0006_06A6, 0x0000_0800, _SSE3_X2APIC_HYPERVISOR, _FPU_TO_SSE2),
    (0x4, 0, _INDEXED, 0, 0, 0, 0),
    (0x7, 0, _INDEXED, 0, 0, 0, 0),
    (0x4000_0000, 0, 0, 0x4000_0001, *_KVM),
    (0x4000_0001, 0, 0, _PARAVIRTUAL, 0, 0, 0),
    (0x8000_0000, 0, 0, 0x8000_0008, 0, 0, 0),
    (0x8000_0001, 0, 0, 0, 0, 1, _SYSCALL_NX_LONG_MODE),
    (0x8000_0008, 0, 0, _PHYSICAL_AND_LINEAR_BITS, 0, 0, 0),
)
"""function, index, flags, eax, ebx, ecx, edx, as in struct kvm_cpuid_entry2."""
MSR_INDEXES = (
    0x10, 0x174, 0x175, 0x176, 0x277, 0xC000_0080, 0xC000_0081, 0xC000_0082, 0xC000_0083,
    0xC000_0084, 0xC000_0100, 0xC000_0101, 0xC000_0102,
)  # fmt: skip
"""MSRs that are saved and restored: TSC, SYSENTER, PAT, EFER, SYSCALL and segment bases."""
CAPABILITIES = {
    0: 1, 1: 1, 7: 1, 8: 1, 9: 8, 14: 1, 16: 1, 22: 1, 23: 1, 24: 1, 25: 4096, 26: 1, 31: 32,
    32: 1, 33: 1, 34: 1, 35: 1, 36: 1, 39: 1, 40: 1, 41: 1, 50: 1, 51: 1, 54: 1, 55: 1, 56: 1,
    61: 1, 77: 1, 98: 1, 100: 1, 105: 1, 121: 1, 122: 1, 136: 1,
}  # fmt: skip
"""Capabilities that say nothing of memory and that a faked KVM can honour, as every release since
4.19 has them: interrupt controllers, events, routing, XSAVE, immediate exits and the like.
"""
