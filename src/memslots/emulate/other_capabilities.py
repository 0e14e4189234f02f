"""Capabilities that say nothing of memory, but whose date is known, or whose number decides.

A kernel that refuses to enable a capability does not offer it, but for those of SEV: programs ask
first, and end where the two contradict each other.
"""

from __future__ import annotations

from ..errors import UnobservedError
from ..kernel.vm_capabilities import offered
from ..uapi.capabilities import KVM_CAP_MAX_VCPU_ID, KVM_CAP_MAX_VCPUS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.profile import Profile

_LIMITS = {KVM_CAP_MAX_VCPUS: "max-vcpus", KVM_CAP_MAX_VCPU_ID: "max-vcpu-id"}


def value_of(profile: Profile, capability: int) -> int | None:
    """What a kernel says of a capability; None where the host's answer is as good."""
    if capability in _LIMITS:
        return profile.limit(_LIMITS[capability]) if profile.arch.is_x86 else None
    try:
        return offered(profile, capability)
    except UnobservedError:
        return None
