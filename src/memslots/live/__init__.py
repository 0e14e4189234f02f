"""The real thing: `LiveVm` has the calls of `memslots.Vm` and asks /dev/kvm instead of the model."""

from __future__ import annotations

from .backend import LiveVm
from .device import Device
from .outcome import KernelMemoryError, LiveRefused, MemoryInUseError

__all__ = ["Device", "KernelMemoryError", "LiveRefused", "LiveVm", "MemoryInUseError"]
