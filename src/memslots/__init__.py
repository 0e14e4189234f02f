"""memslots: what KVM answers to a guest-memory call, on any kernel, and why.

Start here:
    Vm              one VM of the model (model/vm.py); every call returns an Outcome
    find            a kernel profile by name: "6.1/x86_64", "6.12/arm64+16k"
    Request         a region call as a value (uapi/region.py)
    Accepted, Refused, Undetermined, Unmodelled    the outcomes (rules/answer.py)
    Host, Mapping   what is known of the calling process (state/process.py)
    RefusedError    what `outcome.unwrap()` raises: an OSError with the true errno

Map of the package, each importing only what stands in its line or above:
    units errors     numbers and their kinds, exceptions
    uapi/            what user space and KVM say to each other
    kernel/          facts by release, profiles, machines
    state/           one VM and one process, as KVM keeps them
    rules/           every check of every call, in the kernel's order
    model/           `Vm`: decide, apply
    trace/           recordings in, as neutral events
    replay/          events through the model, step by step
    explain/         why a call was refused, what would pass, what a recording tells
    check/           layouts on kernels before it happens, and what they cost
    compare/         what differs between two kernels, and between accounting designs
    live/ record/    real devices, recorders
    verify/          the model beside kernels: recorded answers, live, booted under QEMU
    export/          calls as programs, for people and for other programs
    arrays/          numpy: gfns, dirty bitmaps, guest memory (extra `arrays`)
    views/ docs cli/ __main__     text out
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import MemslotsError, RefusedError, UnknownKernelError
    from .kernel.names import find
    from .kernel.profile import Profile
    from .model.vm import Vm
    from .rules.answer import Accepted, Refused, Undetermined, Unmodelled
    from .state.process import Host, Mapping
    from .state.slot import Slot
    from .uapi.region import Request

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
    "state.process": ("Host", "Mapping"),
    "kernel.profile": ("Profile",),
    "kernel.names": ("find",),
    "rules.answer": ("Accepted", "Refused", "Undetermined", "Unmodelled"),
    "uapi.region": ("Request",),
    "state.slot": ("Slot",),
    "model.vm": ("Vm",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            value = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
