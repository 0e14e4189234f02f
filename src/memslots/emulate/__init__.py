"""Running programs as if on another kernel, and breaking their calls one by one.

from memslots.emulate import run
run(["my-vmm", "--test"], kernel="5.10/x86_64", inject=["KVM_CREATE_VCPU:error=ENOMEM:when=2"])
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .emulation import Emulated, run

__all__ = ["Emulated", "run"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import emulation

    return getattr(emulation, name)
