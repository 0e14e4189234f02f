"""What is known of the host and of the process that calls: mappings and files.

A model that made everything itself knows all of it (a closed world).  A
recording shows some of it; the rest is not known, and no rule may guess.
"""

from __future__ import annotations

from bisect import bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .guest_memfd import GuestMemfd

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4


class Mapping:
    """One mapping (VMA) of the calling process: bytes [start, end)."""

    __slots__ = ("end", "is_pfn", "is_shared", "mte_allowed", "prot", "start")

    def __init__(
        self,
        start: int,
        end: int,
        prot: int = PROT_READ | PROT_WRITE,
        *,
        is_shared: bool = False,
        is_pfn: bool = False,
        mte_allowed: bool = False,
    ) -> None:
        self.start = start
        self.end = end
        self.prot = prot
        """PROT_* bits."""
        self.is_shared = is_shared
        self.is_pfn = is_pfn
        """A raw PFN mapping of a device (VM_PFNMAP)."""
        self.mte_allowed = mte_allowed
        """Memory tagging may be used on it (VM_MTE_ALLOWED)."""

    def part(self, start: int, end: int, prot: int | None = None) -> Mapping:
        """The same mapping cut to [start, end), perhaps with another protection."""
        return Mapping(
            start,
            end,
            self.prot if prot is None else prot,
            is_shared=self.is_shared,
            is_pfn=self.is_pfn,
            mte_allowed=self.mte_allowed,
        )


class Process:
    """The calling process, as far as it is known."""

    __slots__ = ("fds", "fds_known", "mappings", "mappings_known", "tagged_addresses")

    def __init__(self, *, mappings_known: bool = False, fds_known: bool = True) -> None:
        self.mappings: list[Mapping] = []
        """Known mappings, by address, never overlapping."""
        self.mappings_known = mappings_known
        """Whether everything outside `mappings` is known to be unmapped."""
        self.fds: dict[int, GuestMemfd | None] = {}
        """Open file descriptors: a guest_memfd, or None for any other file."""
        self.fds_known = fds_known
        """Whether every other number is known to be closed."""
        self.tagged_addresses = False
        """arm64: the process has the tagged-address ABI on."""

    def copy(self) -> Process:
        """An independent equal process."""
        twin = Process(mappings_known=self.mappings_known, fds_known=self.fds_known)
        twin.mappings = list(self.mappings)
        twin.fds = dict(self.fds)
        twin.tagged_addresses = self.tagged_addresses
        return twin

    def free_fd(self) -> int:
        """A number that no descriptor of the process has."""
        return max((2, *self.fds)) + 1

    def open(self, fd: int, file: GuestMemfd | None) -> None:
        """A descriptor of a guest_memfd, or of any other file (None)."""
        self.fds[fd] = file

    def close(self, fd: int) -> GuestMemfd | None:
        """Close a descriptor; the guest_memfd that it was the last one of."""
        return self.fds.pop(fd, None)

    def mmap(self, mapping: Mapping) -> None:
        """Map a range, in place of whatever was there (MAP_FIXED)."""
        self.munmap(mapping.start, mapping.end)
        at = bisect_right([known.start for known in self.mappings], mapping.start)
        self.mappings.insert(at, mapping)

    def munmap(self, start: int, end: int) -> None:
        """Unmap bytes [start, end)."""
        self.mappings = [piece for piece, inside in self._cut(start, end) if not inside]

    def mprotect(self, start: int, end: int, prot: int) -> bool:
        """Change the protection of bytes [start, end); False (ENOMEM) at the first hole, as
        mprotect does.
        """
        reached = start
        pieces = []
        for piece, inside in self._cut(start, end):
            if inside and piece.start == reached:
                pieces.append(piece.part(piece.start, piece.end, prot))
                reached = piece.end
            else:
                pieces.append(piece)
        self.mappings = pieces
        return reached >= end

    def _cut(self, start: int, end: int) -> Iterator[tuple[Mapping, bool]]:
        """The mappings cut at both ends, each with whether it lies in [start, end)."""
        for mapping in self.mappings:
            low, high = max(mapping.start, start), min(mapping.end, end)
            if low >= high:
                yield mapping, False
                continue
            if mapping.start < low:
                yield mapping.part(mapping.start, low), False
            yield mapping.part(low, high), True
            if high < mapping.end:
                yield mapping.part(high, mapping.end), False

    def walk(self, start: int, end: int) -> Iterator[Mapping]:
        """The mappings from `start` on, up to the first hole or `end`, as a prepare hook sees them.

        It looks for a mapping that meets the range, goes on behind its end, and
        stops where no further one meets the range.
        """
        for mapping in self.mappings:
            if mapping.end > start and mapping.start < end:
                yield mapping

    def at(self, hva: int) -> Mapping | None:
        """The mapping that holds this host address."""
        for mapping in self.mappings:
            if mapping.start <= hva < mapping.end:
                return mapping
        return None
