"""Reading the memory of traced threads."""

from __future__ import annotations

import ctypes
import os

from memslots.record import memory


def test_descriptor_0_is_one_like_any_other(monkeypatch):
    """A recorder has closed the standard streams that it does not use."""
    mem, pread, seen = os.open("/proc/self/mem", os.O_RDONLY), os.pread, []
    word = ctypes.create_string_buffer(b"there it is")

    def read_by(fd, nbytes, address):
        seen.append(fd)
        return pread(mem, nbytes, address)

    monkeypatch.setattr(memory.os, "open", lambda path, flags: 0)
    monkeypatch.setattr(memory.os, "pread", read_by)
    found = memory.Memory().read(os.getpid(), ctypes.addressof(word), 11)
    os.close(mem)
    assert (found, seen) == (b"there it is", [0])


def test_where_proc_cannot_be_read_there_is_another_way(monkeypatch):
    word = ctypes.create_string_buffer(b"there it is")

    def refused(path, flags):
        raise PermissionError(13, "no")

    monkeypatch.setattr(memory.os, "open", refused)
    look = memory.Memory()
    assert look.read(os.getpid(), ctypes.addressof(word), 11) == b"there it is"
    assert look.read(os.getpid(), 8, 8) is None
