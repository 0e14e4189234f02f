"""memslots: what KVM answers to a guest-memory call, on any kernel, and why.

Start here:
    Vm              one VM of the model (model/vm.py); every call returns an answer
    find            a kernel profile by name: "6.1/x86_64", "6.12/arm64+16k"
    Region          a region call as a value (uapi/region.py)
    Accepted, Refused, Undetermined, Unmodelled    the answers (rules/answer.py)
    Process, Mapping    what is known of the calling process (state/process.py)
    RefusedError    what `answer.unwrap()` raises: an OSError with the true errno

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
    from .state.process import Mapping, Process
    from .state.process import Process as Host
    from .state.slot import Slot
    from .uapi.region import Region
    from .uapi.region import Region as Request

__all__ = [
    "Accepted",
    "Host",
    "Mapping",
    "MemslotsError",
    "Process",
    "Profile",
    "Refused",
    "RefusedError",
    "Region",
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
    "Accepted": "rules.answer",
    "Mapping": "state.process",
    "MemslotsError": "errors",
    "Process": "state.process",
    "Profile": "kernel.profile",
    "Refused": "rules.answer",
    "RefusedError": "errors",
    "Region": "uapi.region",
    "Slot": "state.slot",
    "Undetermined": "rules.answer",
    "UnknownKernelError": "errors",
    "Unmodelled": "rules.answer",
    "Vm": "model.vm",
    "find": "kernel.names",
}
_EARLIER_NAMES = {"Host": "Process", "Request": "Region"}


def __getattr__(name: str) -> object:
    today = _EARLIER_NAMES.get(name, name)
    home = _HOMES.get(today)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), today)
    globals()[name] = value
    return value
