"""The kernel of each recording, weighed once for all recordings of one host and release.

What was found for one recording is tried on the next of the same host.  It holds as long as it
answers every call as recorded; where it does not, that recording is weighed by itself.
"""

from __future__ import annotations

from ..explain.facts import Facts
from ..explain.which_kernel import arch_of, contradicts, weigh
from ..kernel.names import find
from .schema import ALIKE, HOST, RECORDED, STATED, TOLD, WEIGHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel.profile import Profile
    from ..replay.step import Step
    from ..trace.event import Event, Reading


class Chosen:
    """The kernel that a recording is put to, and how that is known."""

    __slots__ = ("how", "is_tried", "profile")

    def __init__(self, profile: Profile, how: str, *, is_tried: bool = True) -> None:
        self.profile = profile
        self.how = how
        """STATED, RECORDED, HOST, WEIGHED or ALIKE of the schema."""
        self.is_tried = is_tried
        """Whether it is known what this recording's calls say to it; if not, look while they are
        replayed.
        """

    def is_contradicted_by(self, step: Step) -> bool:
        """Whether a step shows that it is another kernel, and that is not known yet."""
        return not self.is_tried and contradicts(step)


class Kernels:
    """What is known of the kernels of some hosts; one for each batch, so that the same batch gives
    the same rows wherever it is scanned.
    """

    __slots__ = ("_found", "_stated")

    def __init__(self, stated: str = "") -> None:
        self._stated = find(stated) if stated else None
        self._found: dict[object, tuple[Profile, str]] = {}

    def first_choice(self, host: str, head: Sequence[Event], reading: Reading) -> Chosen:
        """The kernel to try; head: the first events."""
        if self._stated is not None:
            return Chosen(self._stated, STATED)
        known = self._found.get(_key(host, head, reading))
        if known is not None:
            profile, how = known
            return Chosen(profile, how if how in TOLD else ALIKE, is_tried=False)
        return self.weighed(host, head, reading)

    def weighed(self, host: str, head: Sequence[Event], reading: Reading) -> Chosen:
        """The kernel that this recording's own calls say, remembered for its host."""
        evidence = weigh(
            head,
            release=reading.release,
            machine=reading.machine,
            page_bytes=reading.page_bytes,
            host=reading.host,
            facts=Facts(reading.excerpt.text()),
        )
        is_told = bool(reading.release) and not evidence.contradictions
        how = RECORDED if is_told and len(evidence.consistent) == 1 else WEIGHED
        self._found[_key(host, head, reading)] = (evidence.chosen, how)
        if host and how == RECORDED:
            # and the first choice for those of the same host that do not say it
            self._found[host, evidence.arch] = (evidence.chosen, HOST)
        return Chosen(evidence.chosen, how)


def _key(host: str, head: Sequence[Event], reading: Reading) -> object:
    """What recordings have in common that one kernel made."""
    if reading.release:
        return host, reading.release, reading.machine, reading.page_bytes, reading.host
    return host, arch_of(head)
