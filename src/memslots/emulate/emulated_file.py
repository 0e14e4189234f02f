"""The recording of an emulated program: as any, and who answered each call."""

from __future__ import annotations

from ..record.file import RecordingFile
from ..trace.event import ANSWERERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_HOW = "memslots emulate"
_NUMBERS = {who: number for number, who in enumerate(ANSWERERS)}


class EmulatedFile(RecordingFile):
    """A recording whose calls say who answered them."""

    def __init__(
        self, path: str, command: Sequence[str], kernel: str, *, arguments: bool = False
    ) -> None:
        """kernel: which one is emulated; empty: none.  Raises OSError."""
        also: dict[str, object] = {"beside": ["duration_ns", "answered_by", "vcpus_in_run"]}
        if kernel:
            also["kernel"] = kernel
        super().__init__(path, command, _HOW, arguments=arguments, also=also)
        self.answered_by = ""
        """Who answered the next call that is added; empty: that is not worth saying."""

    def _beside(self) -> tuple[int, ...]:
        who, self.answered_by = self.answered_by, ""
        return (_NUMBERS.get(who, len(ANSWERERS)),)
