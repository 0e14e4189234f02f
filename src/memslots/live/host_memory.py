"""Host memory for slots: anonymous, memfd, file, huge pages, or huge and sparse.

A `HostMemory` is given back when it is unmapped or collected, but never below a
view: the range stays mapped until the last view of it is gone.  A VM that owns
it keeps it as long as a slot lies on it.
"""

from __future__ import annotations

import ctypes
import mmap as _page
import os

from . import libc
from .answer import MemoryInUseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE_BYTES = _page.PAGESIZE
SPARSE_UNIT_BYTES = 2 << 20


class _Mapping:
    """A mapped range, unmapped with the last reference to it: the memory's own, or a view's."""

    __slots__ = ("address", "nbytes")

    def __init__(self, address: int, nbytes: int) -> None:
        self.address = address
        self.nbytes = nbytes

    def __del__(self) -> None:
        libc.munmap(self.address, self.nbytes)


class HostMemory:
    """Bytes [address, address + nbytes) of this process."""

    __slots__ = ("_keepers", "_mapping", "address", "kind", "nbytes")

    def __init__(self, address: int, nbytes: int, kind: str) -> None:
        self.address = address
        """Of the first byte; 0 once it is unmapped."""
        self.nbytes = nbytes
        self.kind = kind
        """anonymous, memfd, file, hugetlb or sparse."""
        self._mapping: _Mapping | None = _Mapping(address, nbytes)
        self._keepers = 0

    @property
    def end(self) -> int:
        """First byte after it."""
        return self.address + self.nbytes

    def view(self) -> memoryview:
        """The bytes, writable.  The view keeps them mapped.  Raises ValueError after `unmap`."""
        if self._mapping is None:
            raise ValueError(f"{self!r} has no bytes to view")
        array = (ctypes.c_ubyte * self.nbytes).from_address(self.address)
        array._keeps = self._mapping  # type: ignore[attr-defined]
        return memoryview(array).cast("B")

    def unmap(self) -> None:
        """Give the range back, as soon as no view of it is left.  A second call does nothing.

        Raises MemoryInUseError while a VM owns it: `LiveVm.release` looks whether a slot lies on
        it.
        """
        if self._keepers:
            raise MemoryInUseError(f"a VM owns {self!r}: use its release(), or close it")
        self._mapping = None
        self.address = 0

    def keep(self) -> None:
        """One more VM owns it.  Raises ValueError after `unmap`."""
        if self._mapping is None:
            raise ValueError(f"{self!r} cannot be owned")
        self._keepers += 1

    def let_go(self) -> None:
        """A VM owns it no longer; the last one unmaps it."""
        self._keepers -= 1
        if not self._keepers:
            self.unmap()

    def __repr__(self) -> str:
        where = f"{self.address:#x}-{self.end:#x}" if self._mapping is not None else "unmapped"
        return f"<HostMemory {self.kind} {where}>"


def whole_pages(nbytes: int) -> int:
    """Bytes rounded up to pages.  Raises ValueError for nothing at all."""
    if nbytes <= 0:
        raise ValueError(f"memory needs a size of at least 1 byte, not {nbytes}")
    return -(-nbytes // PAGE_BYTES) * PAGE_BYTES


def anonymous(nbytes: int, *, hugetlb: bool = False) -> HostMemory:
    """Private zeroed memory; hugetlb takes reserved huge pages (OSError ENOMEM without any)."""
    nbytes = whole_pages(nbytes)
    flags = (
        libc.MAP_PRIVATE
        | libc.MAP_ANONYMOUS
        | (libc.MAP_HUGETLB if hugetlb else libc.MAP_NORESERVE)
    )
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
    return HostMemory(
        libc.mmap(0, nbytes, libc.PROT_READ | libc.PROT_WRITE, libc.MAP_SHARED, fd), nbytes, kind
    )


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
                address,
                SPARSE_UNIT_BYTES,
                libc.PROT_READ | libc.PROT_WRITE,
                libc.MAP_SHARED | libc.MAP_FIXED,
                fd,
            )
    finally:
        os.close(fd)
    return memory


def _units(memory: HostMemory) -> Iterator[int]:
    return iter(range(memory.address, memory.end, SPARSE_UNIT_BYTES))


class Guard:
    """Places data so that the byte after its readable part cannot be read: an argument cut
    short.
    """

    __slots__ = ("_area",)

    def __init__(self) -> None:
        self._area: HostMemory | None = None

    def place(self, data: bytes | bytearray, readable: int) -> int:
        """The address of data whose bytes after the first `readable` lie behind the end of the
        mapping.
        """
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


MAKERS: dict[str, Callable[[int], HostMemory]] = {
    "anonymous": anonymous,
    "memfd": memfd,
    "sparse": sparse,
}
