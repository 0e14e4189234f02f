"""The memory of the program that asked the real kernels: its mappings, and what KVM wrote into
them.
"""

from __future__ import annotations

from zlib import crc32

from ...errnos import EBADF, EFBIG, EINVAL, ENODEV, ENOMEM
from ...model.vm import Vm
from ...state.dirty_bitmap import DirtyBitmap, bitmap_bytes
from ...state.process import PROT_READ, PROT_WRITE, Mapping, Process
from ...uapi.flags import GUEST_MEMFD_FLAG_MMAP
from ...units import U32_MAX, U64_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...state.guest_memfd import GuestMemfd

MAP_BASE, MAP_STEP = 0x2000_0000, 0x0400_0000
"""Host windows of the program: number N begins at MAP_BASE + N * MAP_STEP."""
MAP_SHARED = 1
DIRTY_BUFFER_BYTES = 1 << 20
_FILL_BYTE = 0xA5
_OFFSET_BITS = 63


class ProcessMemory:
    """Host memory with the bytes that KVM has written."""

    def __init__(self, process: Process, page_bytes: int) -> None:
        self.process = process
        self.page_bytes = page_bytes
        self.written: set[int] = set()
        """Host bytes that KVM has written."""

    def call(self, name: str, operands: Sequence[int]) -> int | None:
        """The answer of a call on host memory; None if it is none."""
        method: Callable[..., int] | None = getattr(self, "_op_" + name, None)
        return None if method is None else method(*operands)

    def copy(self, vm: Vm, gpa: int, nbytes: int, prot: int) -> bool:
        """kvm_read_guest() or kvm_write_guest(): page by page, up to the first that fails."""
        while nbytes:
            chunk = min(nbytes, self.page_bytes - gpa % self.page_bytes)
            hva = vm.gpa_to_hva(gpa, write=prot == PROT_WRITE)
            mapping = None if hva is None else self.process.at(hva)
            if hva is None or mapping is None or not mapping.prot & prot:
                return False
            if prot == PROT_WRITE:
                vm.mark_dirty(gpa)
                self.written.update(range(hva, hva + chunk))
            gpa, nbytes = gpa + chunk & U64_MAX, nbytes - chunk
        return True

    # -- calls on host memory

    def _op_mmap(self, window: int, size: int, prot: int, flags: int = 0) -> int:
        if not size:
            return -EINVAL
        # anonymous memory allows tags, shared or not
        self._map(window, size, prot, is_shared=bool(flags & MAP_SHARED), mte_allowed=True)
        return 0

    def mmap_file(self, window: int, file: GuestMemfd | None, nbytes: int, offset: int) -> int:
        """mmap(MAP_SHARED | MAP_FIXED) of a guest_memfd: its pages allow no tags."""
        if offset % self.page_bytes:
            return -EINVAL
        if file is None:
            return -EBADF
        if not nbytes:
            return -EINVAL
        self._map(window, nbytes, PROT_READ | PROT_WRITE, is_shared=True, mte_allowed=False)
        if file.flags & GUEST_MEMFD_FLAG_MMAP:
            return 0
        # what was there is gone before the file refuses
        self._op_munmap(MAP_BASE + window * MAP_STEP, nbytes)
        return -ENODEV

    def fallocate(self, file: GuestMemfd | None, offset: int, nbytes: int, *, punch: bool) -> int:
        """Allocate pages of a guest_memfd, or punch a hole, keeping its size: the answer."""
        # the generic layer looks at the range before the descriptor's file does
        if file is None:
            return -EBADF
        if offset >> _OFFSET_BITS or nbytes >> _OFFSET_BITS or not nbytes:
            return -EINVAL
        if (offset + nbytes) >> _OFFSET_BITS:
            return -EFBIG
        if (offset | nbytes) & (self.page_bytes - 1):
            return -EINVAL
        return 0 if punch or offset + nbytes <= file.size_bytes else -EINVAL

    def _map(
        self, window: int, size: int, prot: int, *, is_shared: bool, mte_allowed: bool
    ) -> None:
        start = MAP_BASE + window * MAP_STEP
        end = start + self._whole_pages(size)
        self.process.mmap(Mapping(start, end, prot, is_shared=is_shared, mte_allowed=mte_allowed))
        self._forget(start, end)

    def _whole_pages(self, size: int) -> int:
        return -(-size // self.page_bytes) * self.page_bytes

    def _forget(self, start: int, end: int) -> None:
        self.written = {byte for byte in self.written if not start <= byte < end}

    def _op_munmap(self, start: int, size: int) -> int:
        if start % self.page_bytes or not size:
            return -EINVAL
        end = start + self._whole_pages(size)
        self.process.munmap(start, end)
        self._forget(start, end)
        return 0

    def _op_mprotect(self, start: int, size: int, prot: int) -> int:
        if start % self.page_bytes:
            return -EINVAL
        return 0 if self.process.mprotect(start, start + self._whole_pages(size), prot) else -ENOMEM

    def _op_peek(self, hva: int) -> int:
        return int(any(byte in self.written for byte in range(hva, hva + 4)))

    def _op_poke(self, hva: int, value: int) -> int:
        self.written.difference_update(range(hva, hva + 4))
        if value & U32_MAX:
            self.written.update(range(hva, hva + 4))
        return 0


def seen_in_buffer(
    bitmap: DirtyBitmap, long_bits: int, *, checksum: bool = False
) -> dict[str, object]:
    """What the program sees of a bitmap in a buffer that was filled with a pattern.

    checksum: the CRC-32 of its bytes too, of a little-endian host.
    """
    nbytes = bitmap_bytes(bitmap.npages, long_bits)
    count = bitmap.count()
    if count or checksum:
        data = bitmap.to_bytes(long_bits)
        nbytes = len(data.rstrip(bytes((_FILL_BYTE,))))
        if nbytes < len(data):
            count = sum(bin(byte).count("1") for byte in data[:nbytes])
    seen: dict[str, object] = {"w": nbytes, "bits": count}
    if checksum and nbytes:
        seen["crc"] = crc32(data[:nbytes])
    if count:
        first = []
        for page in bitmap.pages():
            first.append(page)
            if len(first) == 8:
                break
        seen["set"] = first
    return seen
