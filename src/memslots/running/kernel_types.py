"""Where members of the kernel's structures lie: asked by name, so that one reader serves all
releases.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class KernelTypes(Protocol):
        """The types of one kernel: from BTF (`btf.Btf`), or from debug information (`drgn_vms`)."""

        def nbytes(self, name: str) -> int | None:
            """Bytes of a structure; None if there is none of this name."""

        def field(self, name: str, path: str) -> StructField | None:
            """A member of a structure; None if there is none."""


class StructField:
    """One member of a structure."""

    __slots__ = ("count", "nbytes", "offset")

    def __init__(self, offset: int, nbytes: int, count: int = 1) -> None:
        self.offset = offset
        """Bytes from the beginning of the structure that was asked."""
        self.nbytes = nbytes
        """Bytes of it; of an array: of each element."""
        self.count = count
        """Elements of an array; 1 for all else, 0 for an array without a length."""

    @property
    def end(self) -> int:
        """Bytes from the beginning of the structure to the member's end."""
        return self.offset + self.nbytes * self.count

    def __repr__(self) -> str:
        return f"StructField({self.offset}, {self.nbytes}, {self.count})"
