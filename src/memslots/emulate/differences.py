"""Before a program starts: what of another kernel cannot be had on this machine."""

from __future__ import annotations

import os
import re

from ..errors import DeviceUnavailableError
from ..kernel.machine import Machine
from ..kernel.names import find
from ..kernel.vendors import release_of
from ..live import host_facts
from ..live.device import Device
from ..rules.answer import Accepted
from ..rules.check_extension import ANSWERED, check_extension
from ..state.vm_state import VmState
from ..uapi.capabilities import (
    KVM_CAP_MULTI_ADDRESS_SPACE,
    KVM_CAP_NR_MEMSLOTS,
)
from .words import (
    FEWER_SLOTS,
    FEWER_SPACES,
    NO_CAPABILITY,
    NO_HOST,
    OTHER_ARCH,
    OTHER_PAGES,
    OTHER_WORDS,
    Shortfall,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel.profile import Profile

_WORD_BITS = 64
_HERE = "x86_64"
MOST_SLOTS = 32767
"""KVM keeps the ids of slots as `short` (struct kvm_memory_slot, include/linux/kvm_host.h)."""


def profile_like_here(
    name: str, *, slots: int | None = None, facts: Sequence[str] = (), host: Sequence[str] = ()
) -> Profile:
    """The kernel of that name on this machine: what the name does not say of the host is as here;
    `host` is the release that runs here.

    slots, facts, host: single things to change, facts and host as in a kernel's name with or
    without the sign.  Raises UnknownKernelError, ValueError for a number of slots that no kernel
    can have.
    """
    if slots is not None and not 0 < slots <= MOST_SLOTS:
        raise ValueError(f"a kernel has 1 to {MOST_SLOTS} slots (--slots), not {slots}")
    if re.match("host(?:[+-]|$)", name):  # a recording is read elsewhere, where "host" is another
        uname = os.uname()
        name = f"{release_of(uname.release, uname.version)}/{_HERE}{name[4:]}"
    words = [word if word[:1] in "+-" else f"+{word}" for word in (*facts, *host)]
    if slots is not None:
        words.append(f"+user-slots={slots}")
    name += "".join(words)
    profile = find(name)
    if not profile.arch.is_x86:
        return profile
    stated = set(profile.options)
    here = host_facts.edits()
    if "vendor" in stated and f"+{profile.option('vendor')}" not in here:
        here = [edit for edit in here if edit.startswith("+pa")]  # another processor
    fitting = [edit for edit in here if _option(edit) not in stated]
    return find(name + "".join(fitting))


def _option(edit: str) -> str:
    """The option that an edit of `host_facts` states."""
    word = edit[1:]
    if word[:2] == "pa" and word[2:].isdigit():
        return "gpa-bits"
    return "vendor" if word in host_facts.MODULES.values() else word


def differences(profile: Profile, *, has_kvm: bool = True) -> list[Shortfall]:
    """What a program will find otherwise than on that kernel."""
    found = []
    if profile.arch.name != _HERE and profile.arch.long_bits == _WORD_BITS:
        found.append(Shortfall(OTHER_ARCH, profile.arch.name, _HERE))
    if profile.arch.long_bits != _WORD_BITS:
        found.append(Shortfall(OTHER_WORDS, profile.arch.long_bits, _WORD_BITS))
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    if 1 << profile.page_shift != page_bytes:
        found.append(Shortfall(OTHER_PAGES, 1 << profile.page_shift, page_bytes))
    if not has_kvm:
        return found
    try:
        with Device(is_unseen=True) as device:
            return found + _lacking(profile, device)
    except DeviceUnavailableError as error:
        return [*found, Shortfall(NO_HOST, "/dev/kvm", str(error))]


def _lacking(profile: Profile, device: Device) -> list[Shortfall]:
    """Capabilities that the kernel offers and this host does not have."""
    found = []
    state = VmState(Machine(profile))
    for capability in ANSWERED:
        answer = check_extension(state, capability, on_system=True)
        there = answer.value if isinstance(answer, Accepted) else 0
        here = device.check_extension(capability)
        if capability == KVM_CAP_NR_MEMSLOTS and there > here:
            found.append(Shortfall(FEWER_SLOTS, there, here))
        elif capability == KVM_CAP_MULTI_ADDRESS_SPACE:
            if there > max(here, 1):
                found.append(Shortfall(FEWER_SPACES, there, max(here, 1)))
        elif there > 0 >= here:
            found.append(Shortfall(NO_CAPABILITY, there, here, capability))
    return found


def host_spaces() -> int:
    """Address spaces of a VM on this host."""
    try:
        with Device(is_unseen=True) as device:
            return max(device.check_extension(KVM_CAP_MULTI_ADDRESS_SPACE), 1)
    except DeviceUnavailableError:
        return 1
