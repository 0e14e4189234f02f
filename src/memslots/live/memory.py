"""Host memory for slots: anonymous, memfd, file, huge pages, or huge and sparse.

A `HostMemory` is unmapped when it is closed or collected, and its VM keeps it
as long as a slot lies on it.  Views of it keep it too.
"""

from __future__ import annotations

import ctypes
import mmap as _page
import os

from . import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE_BYTES = _page.PAGESIZE
SPARSE_UNIT_BYTES = 2 << 20


class HostMemory:
    """Bytes [address, address + nbytes) of this process."""

    __slots__ = ("address", "kind", "nbytes")

    def __init__(self, address: int, nbytes: int, kind: str) -> None:
        self.address = address
        self.nbytes = nbytes
        self.kind = kind
        """anonymous, memfd, file, hugetlb or sparse."""

    @property
    def end(self) -> int:
        """First byte after it."""
        return self.address + self.nbytes

    def view(self) -> memoryview:
        """The bytes, writable.  The view keeps the memory mapped."""
        array = (ctypes.c_ubyte * self.nbytes).from_address(self.address)
        array._keeps = self  # type: ignore[attr-defined]
        return memoryview(array).cast("B")

    def unmap(self) -> None:
        """Give the range back.  A second call does nothing."""
        if self.address:
            libc.munmap(self.address, self.nbytes)
            self.address = 0

    def __del__(self) -> None:
        self.unmap()

    def __repr__(self) -> str:
        return f"<HostMemory {self.kind} {self.address:#x}-{self.end:#x}>"


def whole_pages(nbytes: int) -> int:
    """Bytes rounded up to pages.  Raises ValueError for nothing at all."""
    if nbytes <= 0:
        raise ValueError(f"memory needs a size of at least 1 byte, not {nbytes}")
    return -(-nbytes // PAGE_BYTES) * PAGE_BYTES


def anonymous(nbytes: int, *, hugetlb: bool = False) -> HostMemory:
    """Private zeroed memory; hugetlb takes reserved huge pages (OSError ENOMEM without any)."""
    nbytes = whole_pages(nbytes)
    flags = libc.MAP_PRIVATE | libc.MAP_ANONYMOUS | (libc.MAP_HUGETLB if hugetlb else libc.MAP_NORESERVE)
    address = libc.mmap(0, nbytes, libc.PROT_READ | libc.PROT_WRITE, flags)
    return HostMemory(address, nbytes, "hugetlb" if hugetlb else "anonymous")


def memfd(nbytes: int, name: str = "memslots") -> HostMemory:
    """Shared memory of a memfd; its descriptor is closed, the mapping keeps it."""
    nbytes = whole_pages(nbytes)
    fd = os.memfd_create(name)
    try:
        os.ftruncate(fd, nbytes)
        return _shared(fd, nbytes, "memfd")
    finally:
        os.close(fd)


def file(path: str, nbytes: int | None = None) -> HostMemory:
    """A file's first bytes (all of it by default), shared and writable."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return _shared(fd, whole_pages(nbytes or os.fstat(fd).st_size), "file")
    finally:
        os.close(fd)


def _shared(fd: int, nbytes: int, kind: str) -> HostMemory:
    return HostMemory(libc.mmap(0, nbytes, libc.PROT_READ | libc.PROT_WRITE, libc.MAP_SHARED, fd), nbytes, kind)


def sparse(nbytes: int) -> HostMemory:
    """A range of any size on 2 MiB of memory, mapped over and over: for slots larger than the host.

    What is written at one place appears at every 2 MiB.
    """
    nbytes = -(-whole_pages(nbytes) // SPARSE_UNIT_BYTES) * SPARSE_UNIT_BYTES
    flags = libc.MAP_PRIVATE | libc.MAP_ANONYMOUS | libc.MAP_NORESERVE
    memory = HostMemory(libc.mmap(0, nbytes, libc.PROT_NONE, flags), nbytes, "sparse")
    fd = os.memfd_create("memslots-sparse")
    try:
        os.ftruncate(fd, SPARSE_UNIT_BYTES)
        for address in _units(memory):
            libc.mmap(
                address, SPARSE_UNIT_BYTES, libc.PROT_READ | libc.PROT_WRITE, libc.MAP_SHARED | libc.MAP_FIXED, fd
            )
    finally:
        os.close(fd)
    return memory


def _units(memory: HostMemory) -> Iterator[int]:
    return iter(range(memory.address, memory.end, SPARSE_UNIT_BYTES))


class Guard:
    """Places data so that the byte after its readable part cannot be read: an argument cut short."""

    __slots__ = ("_area",)

    def __init__(self) -> None:
        self._area: HostMemory | None = None

    def place(self, data: bytes | bytearray, readable: int) -> int:
        """The address of data whose bytes after the first `readable` lie behind the end of the mapping."""
        nbytes = whole_pages(max(readable, 1))
        if self._area is None or self._area.nbytes < nbytes + PAGE_BYTES:
            flags = libc.MAP_PRIVATE | libc.MAP_ANONYMOUS
            start = libc.mmap(0, nbytes + PAGE_BYTES, libc.PROT_NONE, flags)
            libc.mmap(start, nbytes, libc.PROT_READ | libc.PROT_WRITE, flags | libc.MAP_FIXED)
            self._area = HostMemory(start, nbytes + PAGE_BYTES, "guarded")
        address = self._area.end - PAGE_BYTES - readable
        part = bytes(data[:readable])
        ctypes.memmove(address, part, len(part))
        return address


MAKERS: dict[str, Callable[[int], HostMemory]] = {"anonymous": anonymous, "memfd": memfd, "sparse": sparse}
