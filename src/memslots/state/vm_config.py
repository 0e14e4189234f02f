"""What a VM has switched on: the second gate after what its kernel can do."""

from __future__ import annotations


class VmConfig:
    """The switches of one VM.  Only `VmState.apply` sets them."""

    __slots__ = (
        "arm64_mte",
        "hypervisor_vm_created",
        "identity_map_gpa",
        "irqchip",
        "manual_protect",
        "max_vcpu_id",
        "protected",
        "ring_bytes",
        "ring_with_bitmap",
        "secure",
        "split_irqchip",
        "tss_gpa",
        "ucontrol",
        "vcpu_ids",
    )

    def __init__(self) -> None:
        self.manual_protect = 0
        """KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: 0, 1, or 3 with all pages initially set."""
        self.ring_bytes = 0
        """Dirty ring of each vCPU; 0 is no ring."""
        self.ring_with_bitmap = False
        self.vcpu_ids: tuple[int, ...] = ()
        self.max_vcpu_id: int | None = None
        """KVM_CAP_MAX_VCPU_ID as enabled by user space."""
        self.irqchip = False
        """An in-kernel irqchip, whole or split."""
        self.split_irqchip = False
        self.tss_gpa: int | None = None
        self.identity_map_gpa = 0
        """0: the default, 0xfffbc000."""
        self.arm64_mte = False
        self.protected = False
        """arm64: a VM of the protected kind."""
        self.hypervisor_vm_created = False
        self.secure = False
        """s390: protected virtualisation is on."""
        self.ucontrol = False
        """s390: user-controlled VM."""

    def copy(self) -> VmConfig:
        """An independent equal configuration."""
        twin = VmConfig()
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    def suppose_protected(self) -> None:
        """What it would be as a protected VM (arm64) that has run."""
        self.protected = self.hypervisor_vm_created = True

    def suppose_memory_tagging(self) -> None:
        """What it would be with memory tagging on (arm64)."""
        self.arm64_mte = True
