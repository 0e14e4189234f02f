"""guest_memfd files and the slots that are bound to parts of them."""

from __future__ import annotations


class GuestMemfd:
    """One file of KVM_CREATE_GUEST_MEMFD.  Size and flags are fixed for life."""

    __slots__ = ("flags", "size_bytes", "vm_uid")

    def __init__(self, size_bytes: int, flags: int, vm_uid: int) -> None:
        self.size_bytes = size_bytes
        self.flags = flags
        self.vm_uid = vm_uid
        """The VM that made it: no other can bind it."""

    def __repr__(self) -> str:
        return f"<GuestMemfd of {self.size_bytes:#x} bytes, flags {self.flags}>"


class Binding:
    """Pages [start, end) of a guest_memfd file that back one slot."""

    __slots__ = ("end", "file", "slot_word", "start")

    def __init__(self, file: GuestMemfd, start: int, end: int, slot_word: int) -> None:
        self.file = file
        self.start = start
        self.end = end
        self.slot_word = slot_word

    def __repr__(self) -> str:
        return f"<Binding of pages [{self.start:#x}, {self.end:#x}) to slot {self.slot_word:#x}>"
