"""One error for each call that a kernel can really give for want of something.

For most it is memory; where the kernel needs none, it is what the call answers
when it comes at the wrong time, or on a kernel that lacks it: the errno of one of
its rules, which a test looks up.
"""

from __future__ import annotations

from errno import EINVAL, EMFILE, ENOENT, ENOMEM, ENOTTY

from ..uapi.calls import CALLS, QUERIES

_OTHERS = {
    "KVM_ENABLE_CAP": EINVAL,
    "KVM_SET_IDENTITY_MAP_ADDR": EINVAL,
    "KVM_SET_NR_MMU_PAGES": EINVAL,
    "KVM_GET_NR_MMU_PAGES": ENOTTY,
    "KVM_GET_VCPU_MMAP_SIZE": EINVAL,
    "KVM_GET_DIRTY_LOG": ENOENT,
    "KVM_CLEAR_DIRTY_LOG": ENOENT,
    "KVM_RESET_DIRTY_RINGS": EINVAL,
    "KVM_CREATE_GUEST_MEMFD": EMFILE,
    "KVM_PRE_FAULT_MEMORY": ENOENT,
}


def refusal_of(name: str, *, queries: bool = False) -> int | None:
    """What a refused call returns: a negated errno, 0 for a question; None: it is not refused.

    queries: questions are refused too.
    """
    call = CALLS[name]
    if call.is_frequent or call.is_beside_memory or (name in QUERIES and not queries):
        return None
    if name in QUERIES and name not in _OTHERS:
        return 0
    return -_OTHERS.get(name, ENOMEM)
