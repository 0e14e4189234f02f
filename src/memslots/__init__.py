"""memslots: what KVM answers to a guest-memory call, on any kernel, and why.

Start here:
    Vm              one VM of the model (vm.py); every call returns an Outcome
    find            a kernel profile by name: "6.1/x86_64", "6.12/arm64+16k"
    Request         a region call as a value (request.py)
    Accepted, Refused, Undetermined, Unmodelled    the outcomes (outcome.py)
    Host, Mapping   what is known of the calling process (host.py)
    RefusedError    what `outcome.unwrap()` raises: an OSError with the true errno

Map of the package, each importing only what stands in its line or above:
    units abi errors                    numbers and their kinds, the ABI, exceptions
    kernel/                             facts by release, profiles, machines
    change slot hva_index slot_set      what is done to slots, one slot, the index of all
    request host guest_memfd            what user space asked, and from where
    accounting/                         page total, MMU budget, their designs, metadata
    attributes dirty_bitmap outcome     what hangs on slots; what a call answers
    state attempt                       one VM; what a decision sees
    rules/ decide quick                 the checks in the kernel's order
    internal_slots vm                   the calls of a VM
    trace/                              recordings in, as neutral events
    conformance/                        recorded answers of real kernels
    follow replay_calls replay          events through the model, step by step
    elsewhere lookalikes possibilities remedies explain     why a call was refused, and what would pass
    evidence findings analysis          what a recording tells as a whole
    probes difference                   what differs between two kernels
    live/ record/ layout/ cost          real devices, recorders; layouts and what they cost
    farm/                               other kernels, booted under QEMU and asked
    arrays/                             numpy: gfns, dirty bitmaps, guest memory (extra `arrays`)
    export/ differential/ survey        calls as programs; model beside kernel; many kernels
    ask vectors                         the model as an oracle for other programs
    views/ docs cli/ __main__           text out
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import MemslotsError, RefusedError, UnknownKernelError
    from .host import Host, Mapping
    from .kernel.profile import Profile
    from .kernel.registry import find
    from .outcome import Accepted, Refused, Undetermined, Unmodelled
    from .request import Request
    from .slot import Slot
    from .vm import Vm

__all__ = [
    "Accepted",
    "Host",
    "Mapping",
    "MemslotsError",
    "Profile",
    "Refused",
    "RefusedError",
    "Request",
    "Slot",
    "Undetermined",
    "UnknownKernelError",
    "Unmodelled",
    "Vm",
    "__version__",
    "find",
]

# Names are loaded when first asked for, so that `memslots --help` loads no model.
_HOMES = {
    "errors": ("MemslotsError", "RefusedError", "UnknownKernelError"),
    "host": ("Host", "Mapping"),
    "kernel.profile": ("Profile",),
    "kernel.registry": ("find",),
    "outcome": ("Accepted", "Refused", "Undetermined", "Unmodelled"),
    "request": ("Request",),
    "slot": ("Slot",),
    "vm": ("Vm",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            value = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
