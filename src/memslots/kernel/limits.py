"""Dated limits: numbers that a release and an architecture decide."""

from __future__ import annotations

from .evidence import Asked, Commit, Read
from .version import NEWEST, Version

TYPE_CHECKING = False
if TYPE_CHECKING:
    Evidence = Commit | Read | Asked


class Limit:
    """A number with dates: what one kernel allows."""

    __slots__ = ("evidence", "name", "steps", "summary")

    def __init__(
        self,
        name: str,
        summary: str,
        steps: dict[str, tuple[tuple[str, int], ...]],
        *evidence: Evidence,
    ) -> None:
        self.name = name
        self.summary = summary
        self.steps = {
            arch: tuple((Version.parse(since), value) for since, value in dated)
            for arch, dated in steps.items()
        }
        """Architecture (or `*`): (first release, value), oldest first."""
        self.evidence = evidence

    def value(self, version: Version, arch: str) -> int | None:
        """The number for this release and architecture; None if it says nothing of it."""
        found = None
        for since, value in self.steps.get(arch, self.steps.get("*", ())):
            if version.branch > since.branch or (
                version.branch == since.branch and since.patch in (0, NEWEST)
            ):
                found = value
        return found

    @property
    def source(self) -> str:
        """All evidence as text."""
        return "; ".join(map(str, self.evidence))

    @property
    def kinds(self) -> tuple[str, ...]:
        """How it is known, in the words of `fact.EVIDENCE`."""
        return tuple(
            dict.fromkeys(
                ("commit" if item.hash else "subject") if isinstance(item, Commit) else item.kind
                for item in self.evidence
            )
        )


_MANY = Commit("4fc096a99e01", "KVM: Raise the maximum number of user memslots", "5.12")
_X86_SLOTS = (("2.6", 509), ("5.12", 32764))
_X86_INTERNAL = (("2.6", 3),)

# fmt: off
LIMITS = (
    Limit("user-slots", "Slots that user space may name, per address space (KVM_CAP_NR_MEMSLOTS).",
          {"x86_64": _X86_SLOTS, "i386": _X86_SLOTS, "arm64": (("2.6", 512), ("5.12", 32767)),
           "ppc64": (("2.6", 512), ("5.12", 32767)), "ppc32": (("2.6", 512), ("5.12", 32767)),
           "s390x": (("2.6", 32), ("5.12", 32767), ("6.14", 32766)),
           "mips": (("2.6", 8), ("5.8", 16), ("5.12", 32767)), "*": (("5.12", 32767),)}, _MANY,
          Commit("", "KVM: MIPS: Increase KVM_MAX_VCPUS and KVM_USER_MEM_SLOTS to 16", "5.8"),
          Read("5.10", "arch/mips/include/asm/kvm_host.h"),
          Read("6.14", "arch/s390/include/asm/kvm_host.h"),
          Asked("debian-5.10-x86_64", "debian-5.10-arm64", "built-5.10-ppc32", "debian-6.1-ppc64el",
                "debian-sid-riscv64")),
    Limit("internal-slots", "Slots that KVM keeps for itself, after the user slots.",
          {"x86_64": _X86_INTERNAL, "i386": _X86_INTERNAL, "s390x": (("2.6", 0), ("6.14", 1)),
           "*": (("2.6", 0),)}, Read("5.10", "arch/x86/include/asm/kvm_host.h"),
          Read("6.14", "arch/s390/include/asm/kvm_host.h")),
    Limit("max-vcpu-id",
          "First vCPU id that is refused (KVM_CAP_MAX_VCPU_ID); an option of newer x86 builds.",
          {"x86_64": (("2.6", 1023), ("5.15", 4096)), "i386": (("2.6", 1023), ("5.15", 4096)),
           "arm64": (("2.6", 512),), "riscv64": (("2.6", 1024),), "ppc64": (("2.6", 16384),),
           "ppc32": (("2.6", 1),)}, Read("5.10", "arch/x86/include/asm/kvm_host.h"),
          Read("5.15", "arch/x86/include/asm/kvm_host.h"),
          Asked("debian-5.10-x86_64", "debian-6.1-x86_64", "debian-sid-arm64", "debian-sid-riscv64",
                "debian-6.1-ppc64el", "built-6.1-ppc32")),
    Limit("max-vcpus", "vCPUs of one VM (KVM_CAP_MAX_VCPUS).",
          {"x86_64": (("2.6", 288), ("5.15", 1024)), "i386": (("2.6", 288), ("5.15", 1024)),
           "arm64": (("2.6", 512),), "riscv64": (("2.6", 1024),), "ppc64": (("2.6", 2048),),
           "ppc32": (("2.6", 1),)}, Read("5.10", "arch/x86/include/asm/kvm_host.h"),
          Read("5.15", "arch/x86/include/asm/kvm_host.h"),
          Asked("debian-5.10-x86_64", "debian-6.1-x86_64", "debian-sid-arm64", "debian-sid-riscv64",
                "debian-6.1-ppc64el", "built-6.1-ppc32")),
)
# fmt: on
