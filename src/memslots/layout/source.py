"""What a command is given as FILE: a layout or a recording, put on one kernel."""

from __future__ import annotations

from ..kernel.registry import find
from ..replay import Replay
from ..trace import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..kernel.profile import Profile
    from ..replay import Step
    from ..trace import Event


def steps_of(source: str, kernel: str | Profile) -> Iterator[Step]:
    """The calls of a layout or recording on a kernel, each with the model's answer."""
    profile = find(kernel) if isinstance(kernel, str) else kernel
    events: Iterable[Event] = read(source)
    return iter(Replay(events, profile))
