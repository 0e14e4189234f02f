"""The real thing: `LiveVm` has the calls of `memslots.Vm` and asks /dev/kvm instead of the
model.
"""

from __future__ import annotations

from .answer import KernelMemoryError, LiveRefused, MemoryInUseError
from .device import Device
from .live_vm import LiveVm

__all__ = ["Device", "KernelMemoryError", "LiveRefused", "LiveVm", "MemoryInUseError"]
