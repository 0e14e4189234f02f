"""What `unwrap()` of an answer raises."""

from __future__ import annotations

from ..errnos import errno_text
from ..errors import MemslotsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .answer import Refused, Undetermined


class RefusedError(MemslotsError, OSError):
    """KVM would refuse the call; `errno` is the real one, `refused` the reason."""

    def __init__(self, refused: Refused) -> None:
        OSError.__init__(self, refused.errno, f"{errno_text(refused.errno)}: {refused.reason}")
        self.refused = refused

    def __reduce__(self) -> tuple[type[RefusedError], tuple[Refused]]:
        return RefusedError, (self.refused,)


class UndeterminedError(MemslotsError):
    """The answer depends on something that was not observed."""

    def __init__(self, undetermined: Undetermined) -> None:
        super().__init__(undetermined.question)
        self.undetermined = undetermined


class UnmodelledError(MemslotsError):
    """memslots has no model of this; it does not guess."""
