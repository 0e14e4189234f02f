"""A recording from end to end: evidence, replay, explanations and findings in one pass."""

from __future__ import annotations

from itertools import chain, islice

from ..kernel.names import find
from ..kernel.profile import Profile
from ..replay.replay import Replay
from ..replay.step import Step
from ..trace import read
from ..trace.event import Reading
from .diagnosis import Diagnosis
from .explain import Explanation, needs_explanation
from .findings import Watch
from .which_kernel import ASSUMED, MOST_EVENTS, Evidence, weigh

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..trace.event import Event


class Analysis:
    """One recording (or several files of one) under analysis.  `run()` yields the steps."""

    __slots__ = (
        "diagnosis",
        "evidence",
        "explained",
        "explanations",
        "left_out",
        "profile",
        "reading",
        "region_calls",
        "replay",
        "watch",
    )

    def __init__(
        self,
        source: object,
        profile: Profile | None = None,
        ignored: frozenset[str] = frozenset(),
        most: int = 200,
        host: Sequence[str] = (),
    ) -> None:
        """Open `source` (see trace.read).  Raises TraceError if it cannot be read.

        profile: the kernel, if the user states it; otherwise the newest one that the recording allows.
        most: explanations kept; more are only counted.
        host: what is known of the host, as the parts of a kernel's name (`intel`, `apicv`, `pa46`, `-smm`), and
            `irqchip` where VMs made before the recording have one in the kernel.
        """
        self.reading = Reading()
        events: Iterator[Event] = iter(read(source, reading=self.reading))  # type: ignore[arg-type]
        head = list(islice(events, MOST_EVENTS))
        self.diagnosis = Diagnosis(self.reading.excerpt.text())
        """What the text around the calls says."""
        self.evidence: Evidence | None = None
        if profile is None:
            self.evidence = weigh(
                head,
                release=self.reading.release,
                machine=self.reading.machine,
                page_bytes=self.reading.page_bytes,
                facts=self.diagnosis.facts,
            )
            profile = self.evidence.chosen
            self.diagnosis.facts.arch_is_known = self.evidence.arch_reason != ASSUMED
        edits = "".join(word if word[:1] in "+-" else f"+{word}" for word in host if word != "irqchip")
        if edits:
            profile = find(profile.name + edits)
        self.profile = profile
        told = self.diagnosis.events() if most else ()
        self.replay = Replay(chain(head, events, told), profile, irqchip="irqchip" in host, most_kept=most)
        self.watch = Watch(ignored)
        self.explanations: list[Explanation] = []
        self.explained = most
        self.left_out = 0
        """Explanations beyond the most that are kept."""
        self.region_calls = 0

    def run(self) -> Iterator[tuple[Step, Explanation | None]]:
        """Each step with its explanation, if it needs one."""
        for step in self.replay:
            self.region_calls += step.is_region and step.event.format != "text"
            self.watch.see(step, self.replay.tracked.vm)
            explanation = None
            if needs_explanation(step):
                if len(self.explanations) < self.explained:
                    explanation = self.diagnosis.explain(step)
                    if explanation is not None:
                        self.explanations.append(explanation)
                else:
                    self.left_out += 1
            yield step, explanation

    def finish(self) -> Analysis:
        """Run to the end."""
        for _ in self.run():
            pass
        return self

    @property
    def has_findings(self) -> bool:
        """Is there anything that a user should look at?"""
        warnings = any(finding.severity == "warning" for finding in self.watch.findings.values())
        return bool(self.explanations or self.left_out) or warnings
