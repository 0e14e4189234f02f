"""Layouts: what a VMM is going to ask of KVM, written down before it does.

    from memslots.layout import load
    layout = load("examples/layouts/pc.toml")
    layout.events("6.1/x86_64")       the calls, as a recording of them would show

docs/check.md has the format.
"""

from __future__ import annotations

from .model import Layout, Slot, Then
from .source import Recording, load, steps_of, steps_on

__all__ = ["Layout", "Recording", "Slot", "Then", "load", "steps_of", "steps_on"]
