"""guest_memfd files and the slots that are bound to parts of them."""

from __future__ import annotations


class Binding:
    """Pages [start, end) of a guest_memfd file that back one slot."""

    __slots__ = ("end", "file", "slot_word", "start")

    def __init__(self, file: GuestMemfd, start: int, end: int, slot_word: int) -> None:
        self.file = file
        self.start = start
        self.end = end
        self.slot_word = slot_word


class GuestMemfd:
    """One file of KVM_CREATE_GUEST_MEMFD: `size_bytes` is fixed for life."""

    __slots__ = ("bindings", "flags", "is_open", "page_shift", "size_bytes", "vm")

    def __init__(self, size_bytes: int, flags: int, vm: object, page_shift: int) -> None:
        self.size_bytes = size_bytes
        self.flags = flags
        self.vm = vm
        """The VM that it was made by: no other can bind it."""
        self.page_shift = page_shift
        self.bindings: list[Binding] = []
        self.is_open = True

    def bound_at(self, start: int, end: int) -> Binding | None:
        """A binding that meets pages [start, end) of the file."""
        for binding in self.bindings:
            if binding.start < end and start < binding.end:
                return binding
        return None

    def close(self) -> None:
        """The last file descriptor is gone: its slots stay, but nothing backs them."""
        self.is_open = False
        self.bindings.clear()

    def unbind(self, binding: Binding) -> None:
        """Free the pages of a binding."""
        if binding in self.bindings:
            self.bindings.remove(binding)
