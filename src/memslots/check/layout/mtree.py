"""QEMU's `info mtree -f` as a layout: what its memory listeners register with KVM.

    FlatView #1
     AS "memory", root: system
     Root memory region: system
      0000000000000000-00000000000bffff (prio 0, ram): pc.ram KVM
      00000000000c0000-00000000000c3fff (prio 0, rom): pc.ram @00000000000c0000 KVM

Ranges that KVM backs end in `KVM`; where QEMU does not say so, all RAM and ROM
counts.  The view of `KVM-SMRAM` becomes address space 1.  Slot ids are given in
the order of the view, as QEMU gives them.
"""

from __future__ import annotations

import re

from ...uapi.flags import KVM_MEM_READONLY
from .model import Layout, LayoutSlot

_LINE = re.compile(
    r"\s+([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (ram|rom|romd|nv-ram|ramd|i/o)\): (.*?)"
    r"(?: @([0-9a-f]{16}))?(?: (KVM))?\s*$"
)
_SPACE = re.compile(r'\s+AS "([^"]+)"')
_MAPPED = {"ram": 0, "nv-ram": 0, "ramd": 0, "rom": KVM_MEM_READONLY, "romd": KVM_MEM_READONLY}
_HOST_STRIDE = 1 << 36
"""Bytes kept for each of QEMU's blocks: offsets within one are what counts."""
_FIRST_HVA = 0x20_0000_0000


def is_mtree(text: str) -> bool:
    """Whether this is the output of `info mtree -f`."""
    return "FlatView #" in text[:65536] and "Root memory region" in text


def layout_of_mtree(text: str, source: str = "") -> Layout:
    """The layout that the flat views of normal memory and of SMRAM amount to.

    Raises ValueError if there is no range in them.
    """
    views: dict[str, list[re.Match[str]]] = {}
    names: list[str] = []
    for line in text.splitlines():
        if line.startswith("FlatView"):
            names = []
        space = _SPACE.match(line)
        if space:
            names.append(space[1])
        found = _LINE.match(line)
        if found and found[3] in _MAPPED:
            for name in names:
                views.setdefault(name, []).append(found)
    by_kvm = any(found[6] for ranges in views.values() for found in ranges)
    blocks: dict[str, int] = {}
    slots = [
        _slot(found, space, blocks)
        for space, name in ((0, "memory"), (1, "KVM-SMRAM"))
        for found in views.get(name, [])
        if found[6] or not by_kvm
    ]
    if not slots:
        raise ValueError(
            f'{source or "mtree"}: no RAM or ROM in the view of address space "memory"'
        )
    return Layout(slots, name="QEMU's flat view", source=source)


def _slot(found: re.Match[str], space: int, blocks: dict[str, int]) -> LayoutSlot:
    start, end = int(found[1], 16), int(found[2], 16)
    hva = blocks.setdefault(found[4], _FIRST_HVA + len(blocks) * _HOST_STRIDE) + int(
        found[5] or "0", 16
    )
    return LayoutSlot(
        start, end - start + 1, space=space, flags=_MAPPED[found[3]], hva=hva, name=found[4]
    )
