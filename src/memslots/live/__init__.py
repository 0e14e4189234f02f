"""The real thing: `LiveVm` has the calls of `memslots.Vm` and asks /dev/kvm instead of the model."""

from __future__ import annotations

from .device import Device
from .live_vm import LiveVm
from .outcome import KernelMemoryError, LiveRefused, MemoryInUseError

__all__ = ["Device", "KernelMemoryError", "LiveRefused", "LiveVm", "MemoryInUseError"]
