"""What an emulation has to say, as data: where it differs from the kernel that it stands for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# At the start
OTHER_ARCH, OTHER_PAGES, OTHER_WORDS = "other-arch", "other-pages", "other-words"
FEWER_SLOTS, FEWER_SPACES, NO_CAPABILITY = "fewer-slots", "fewer-spaces", "no-capability"
NO_HOST = "no-host"
# At a call
HOST_REFUSED, UNDECIDED, NOT_MODELLED = "host-refused", "undecided", "not-modelled"
HOST_LACKS_SPACE = "host-lacks-space"
UNKNOWN_VM, OTHER_BITMAP, NOT_FAKED = "unknown-vm", "other-bitmap", "not-faked"
AT_THE_START = (
    OTHER_ARCH, OTHER_PAGES, OTHER_WORDS, FEWER_SLOTS, FEWER_SPACES, NO_CAPABILITY, NO_HOST,
)  # fmt: skip
AT_A_CALL = (
    HOST_REFUSED, UNDECIDED, NOT_MODELLED, HOST_LACKS_SPACE, UNKNOWN_VM, OTHER_BITMAP, NOT_FAKED,
)  # fmt: skip


class Shortfall:
    """One way in which this machine is not the one that it stands for."""

    __slots__ = ("capability", "here", "kind", "there")

    def __init__(self, kind: str, there: int | str, here: int | str, capability: int = 0) -> None:
        self.kind = kind
        self.there = there
        """What the kernel has that is emulated: a number, or a name."""
        self.here = here
        self.capability = capability
        """Which one is lacking, for NO_CAPABILITY."""

    def __repr__(self) -> str:
        return f"<Shortfall {self.kind} {self.there} {self.here}>"


class Remark:
    """One call whose answer was not that of the kernel that is emulated, or may not be."""

    __slots__ = ("call", "fields", "kind", "question", "result", "step")

    def __init__(
        self, kind: str, step: int, call: str, fields: Mapping[str, int], result: int,
        question: str = "",
    ) -> None:  # fmt: skip
        self.kind = kind
        self.step = step
        """Its step in the recording."""
        self.call = call
        self.fields = fields
        self.result = result
        """What the program saw."""
        self.question = question
        """What would decide it, for UNDECIDED; what there is no model of, for NOT_MODELLED."""

    def __repr__(self) -> str:
        return f"<Remark {self.kind} step {self.step} {self.call}>"
