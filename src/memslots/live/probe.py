"""A profile of this host's KVM, by asking: capabilities first, then harmless trial calls.

Trials run on VMs made for them and closed at once; the largest slot tried has
one page, so nothing is left behind and no memory is spent.  What cannot be
asked is dated from the release that uname gives; every answer says which.
"""

from __future__ import annotations

import errno
import os

from ..kernel.arch import find_arch
from ..kernel.profile import Profile, dated
from ..kernel.vendors import release_of
from ..rules.create_vm import VM_TYPE_FACTS
from ..uapi.capabilities import (
    CAP_NAMES,
    KVM_CAP_ARM_VM_IPA_SIZE,
    KVM_CAP_DIRTY_LOG_RING,
    KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
    KVM_CAP_MAX_VCPU_ID,
    KVM_CAP_MAX_VCPUS,
    KVM_CAP_MEMORY_ATTRIBUTES,
    KVM_CAP_NR_MEMSLOTS,
    KVM_CAP_PRE_FAULT_MEMORY,
    KVM_CAP_USER_MEMORY2,
    KVM_CAP_VM_GPA_BITS,
    KVM_CAP_VM_TYPES,
    KVM_CAP_X86_SMM,
)
from . import host_facts
from .device import DEFAULT_PATH, Device
from .host_memory import PAGE_BYTES
from .live_vm import LiveVm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.profile import OptionValue

_SHIFT = PAGE_BYTES.bit_length() - 1
_TSS_GPA, _APIC_GPA = 0xFFFB_D000, 0xFEE0_0000


class Probed:
    """One thing the probe asked."""

    __slots__ = ("dated", "how", "name", "value")

    def __init__(self, name: str, value: OptionValue, how: str, dated: OptionValue = None) -> None:
        self.name = name
        self.value = value
        self.how = how
        """The call that told it."""
        self.dated = dated
        """What the release alone would have said; None for what no release says."""

    @property
    def differs(self) -> bool:
        """True if the host does not do what its release says."""
        return self.dated is not None and self.dated != self.value


class Probe:
    """What was asked and what came of it."""

    __slots__ = ("findings", "notes", "profile", "release")

    def __init__(
        self, profile: Profile, findings: list[Probed], notes: list[str], release: str
    ) -> None:
        self.profile = profile
        self.findings = findings
        self.notes = notes
        self.release = release


def probe(path: str = DEFAULT_PATH) -> Profile:
    """The profile of the KVM behind a device.  Raises DeviceUnavailableError."""
    return probe_in_detail(path).profile


def probe_in_detail(path: str = DEFAULT_PATH) -> Probe:
    """The profile with every question and answer.  Raises DeviceUnavailableError."""
    with Device(path) as device:
        uname = os.uname()
        arch = find_arch(uname.machine)
        base = dated(release_of(uname.release, uname.version), arch)
        asker = _Asker(device, base)
        asker.ask_facts()
        asker.ask_options()
        edits: dict[str, OptionValue] = {finding.name: finding.value for finding in asker.findings}
        profile = base.edited(edits, "probed", "host")
        return Probe(
            profile, asker.findings, asker.notes(profile), f"{uname.release} {uname.machine}"
        )


class _Asker:
    """Asks one device."""

    def __init__(self, device: Device, base: Profile) -> None:
        self.device = device
        self.base = base
        self.findings: list[Probed] = []

    def _fact(self, name: str, value: bool, how: str) -> None:
        self.findings.append(Probed(name, bool(value), how, bool(self.base.knows(name))))

    def _option(self, name: str, value: OptionValue, how: str) -> None:
        if value is not None:
            self.findings.append(Probed(name, value, how))

    def _trial(self, question: Callable[[LiveVm], int]) -> int:
        """The result of a question to a VM made for it."""
        with LiveVm(self.device) as vm:
            return question(vm)

    def ask_facts(self) -> None:
        """Behaviours that a capability or a call without effect tells."""
        device = self.device

        def errno_of(question: Callable[[LiveVm], int]) -> int:
            return -min(self._trial(question), 0)

        self._fact(
            "region2", device.check_extension(KVM_CAP_USER_MEMORY2) > 0, "KVM_CAP_USER_MEMORY2"
        )
        unknown = (errno.ENOTTY, self.base.arch.unknown_vm_ioctl)
        if self.base.arch.is_x86:
            answer = errno_of(lambda vm: vm.get_nr_mmu_pages().result)
            self._fact("get-nr-mmu-pages", answer not in unknown, "KVM_GET_NR_MMU_PAGES")
            types = device.check_extension(KVM_CAP_VM_TYPES)
            self._fact("vm-type-argument", types > 0, "KVM_CAP_VM_TYPES")
            for fact, mask in VM_TYPE_FACTS.items():
                if types & mask:
                    self._fact(fact, True, "KVM_CAP_VM_TYPES")
        manual = device.check_extension(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)
        self._fact("clear-dirty-log", manual > 0, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2")
        self._fact("dirty-log-initially-set", manual == 3, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2")
        self._fact(
            "dirty-ring",
            device.check_extension(KVM_CAP_DIRTY_LOG_RING) > 0,
            "KVM_CAP_DIRTY_LOG_RING",
        )
        self._fact(
            "dirty-ring-acq-rel",
            device.check_extension(KVM_CAP_DIRTY_LOG_RING_ACQ_REL) > 0,
            "KVM_CAP_DIRTY_LOG_RING_ACQ_REL",
        )
        self._ask_guest_memfd()

    def _ask_guest_memfd(self) -> None:
        if not self.base.has("guest-memfd"):
            return
        built = self._trial(lambda vm: vm.create_guest_memfd(PAGE_BYTES).result) >= 0
        self._option("guest-memfd-built", built, "KVM_CREATE_GUEST_MEMFD")
        if not built:
            return
        mappable = self._trial(lambda vm: vm.create_guest_memfd(PAGE_BYTES, 1).result) >= 0
        self._fact("guest-memfd-mmap", mappable, "KVM_CREATE_GUEST_MEMFD with MMAP")
        self._fact("guest-memfd-any-vm", self._trial(_bind) == 0, "a guest_memfd slot")
        if self._trial(_bind) == 0:
            self._fact(
                "guest-memfd-overlap-eexist",
                self._trial(_bind_twice) == -errno.EEXIST,
                "binding twice",
            )
            self._fact(
                "guest-memfd-toggle-refused", self._trial(_toggle) != 0, "a slot without its flag"
            )
            past_end = self._trial(_bind_past_end)
            self._fact("guest-memfd-offset-unsigned", past_end != 0, "an offset near 2^63")

    def ask_options(self) -> None:
        """What no release says: how the kernel was built and what the host is."""
        device, arch = self.device, self.base.arch
        self._option("page-shift", _SHIFT, "the page size")
        for capability, option in (
            (KVM_CAP_MAX_VCPUS, "max-vcpus"),
            (KVM_CAP_MAX_VCPU_ID, "max-vcpu-id"),
        ):
            self._option(option, device.check_extension(capability) or None, CAP_NAMES[capability])
        self._option("task-size", self._host_end(), "one page at host addresses")
        if arch.is_x86:
            self._ask_x86()
        if arch.name == "x86_64":
            self._option(
                "attributes-built",
                device.check_extension(KVM_CAP_MEMORY_ATTRIBUTES) > 0,
                "KVM_CAP_MEMORY_ATTRIBUTES",
            )
        if arch.name == "arm64":
            self._option(
                "gpa-bits",
                device.check_extension(KVM_CAP_ARM_VM_IPA_SIZE) or None,
                "KVM_CAP_ARM_VM_IPA_SIZE",
            )
        if arch.name == "riscv64":
            self._option(
                "gpa-bits",
                device.check_extension(KVM_CAP_VM_GPA_BITS) or None,
                "KVM_CAP_VM_GPA_BITS",
            )

    def _ask_x86(self) -> None:
        device = self.device
        vendor = host_facts.vendor()
        self._option("vendor", vendor, "/sys/module")
        self._option("smm", device.check_extension(KVM_CAP_X86_SMM) > 0, "KVM_CAP_X86_SMM")
        types = device.check_extension(KVM_CAP_VM_TYPES)
        self._option("vm-types", types or None, "KVM_CAP_VM_TYPES")
        # 4096 bytes are less than what page-modification logging reserves
        if device.check_extension(KVM_CAP_DIRTY_LOG_RING) > 0:
            self._option(
                "pml",
                self._trial(lambda vm: vm.enable_cap(KVM_CAP_DIRTY_LOG_RING, 4096).result) != 0,
                "a ring of one page",
            )
        self._option(
            "unrestricted-guest", self._trial(_tss_slot) != -errno.EEXIST, "a slot over the TSS"
        )
        apic_page = self._trial(_apic_slot) == -errno.EEXIST
        self._option(
            "flexpriority" if vendor == "intel" else "apicv", apic_page, "a slot over the APIC page"
        )
        end = self._guest_end()
        tdp = host_facts.tdp()
        if tdp is None:
            tdp = device.check_extension(KVM_CAP_PRE_FAULT_MEMORY) > 0 or (
                vendor != "pvm" and end != 52
            )
        self._option("tdp", tdp, "module parameter, KVM_CAP_PRE_FAULT_MEMORY, address bits")
        if end < 63:
            self._option("gpa-bits", end, "one page at guest addresses")

    def _guest_end(self) -> int:
        """Bits of guest-physical addresses that slots may have; 63 where nothing bounds them."""
        with LiveVm(self.device) as vm:
            for bits in range(32, 63):
                outcome = vm.set_user_memory_region(0, 0, 1 << bits, PAGE_BYTES, 0)
                if not outcome.accepted:
                    return bits
                vm.set_user_memory_region(0, 0, 0, 0, 0)
        return 63

    def _host_end(self) -> int | None:
        """First host byte that no slot may reach."""
        with LiveVm(self.device) as vm:

            def fits(page: int) -> bool:
                accepted = bool(
                    vm.set_user_memory_region(0, 0, 0, PAGE_BYTES, page << _SHIFT).accepted
                )
                if accepted:
                    vm.set_user_memory_region(0, 0, 0, 0, 0)
                return accepted

            low, high = 0, 1 << (self.base.arch.long_bits - _SHIFT)
            if fits(high - 1):
                return None
            while high - low > 1:  # fits(low), not fits(high)
                middle = (low + high) // 2
                low, high = (middle, high) if fits(middle) else (low, middle)
        end = (low + 1) << _SHIFT
        # the option is the end of user space; some releases accept one byte less, some only the
        # sign bit
        if self.base.knows("hva-sign-bit-only"):
            return None
        return end + PAGE_BYTES if self.base.knows("hva-limit-exclusive") else end

    def notes(self, profile: Profile) -> list[str]:
        """What does not fit the profile: things that no option can say."""
        found = []
        slots = self.device.check_extension(KVM_CAP_NR_MEMSLOTS)
        if slots != profile.limit("user-slots"):
            found.append(
                f"KVM_CAP_NR_MEMSLOTS is {slots}, the release has {profile.limit('user-slots')}"
            )
        return found


def _bind(vm: LiveVm) -> int:
    fd = vm.create_guest_memfd(4 * PAGE_BYTES).unwrap()
    return vm.set_user_memory_region2(0, 4, 0, PAGE_BYTES, 0, fd).result


def _bind_twice(vm: LiveVm) -> int:
    fd = vm.create_guest_memfd(4 * PAGE_BYTES).unwrap()
    vm.set_user_memory_region2(0, 4, 0, PAGE_BYTES, 0, fd)
    return vm.set_user_memory_region2(1, 4, 8 * PAGE_BYTES, PAGE_BYTES, 0, fd).result


def _toggle(vm: LiveVm) -> int:
    _bind(vm)
    return vm.set_user_memory_region2(0, 0, 0, PAGE_BYTES, 0).result


def _bind_past_end(vm: LiveVm) -> int:
    fd = vm.create_guest_memfd(4 * PAGE_BYTES).unwrap()
    return vm.set_user_memory_region2(0, 4, 0, PAGE_BYTES, 0, fd, (1 << 63) - PAGE_BYTES).result


def _tss_slot(vm: LiveVm) -> int:
    vm.set_tss_addr(_TSS_GPA)
    return vm.set_user_memory_region(0, 0, _TSS_GPA, PAGE_BYTES, 0).result


def _apic_slot(vm: LiveVm) -> int:
    vm.set_tss_addr(_TSS_GPA)
    vm.create_irqchip()
    vm.create_vcpu(0)
    return vm.set_user_memory_region(0, 0, _APIC_GPA, PAGE_BYTES, 0).result
