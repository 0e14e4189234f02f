"""Which kernel a recording is explained for, and why, in a few lines."""

from __future__ import annotations

from ..kernel.history import BRANCHES
from .spans import release_spans
from .text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..explain.which_kernel import Evidence


def evidence_texts(evidence: Evidence) -> list[str]:
    """What the recording says, what its calls leave possible, and what was chosen."""
    chosen = evidence.chosen
    texts = [f"architecture {evidence.arch} ({evidence.arch_reason})"]
    if evidence.remark:
        texts.append(evidence.remark)
    if evidence.vendor:
        texts.append(
            f"which later changes {evidence.vendor} carries in it is not known: state them with "
            f"--kernel {chosen.name}+fact, or probe that host with `memslots live`"
        )
    if evidence.contradictions:
        texts.append(
            f"no known kernel gives all of these answers; {chosen.name} differs least "
            f"({counted(evidence.contradictions, 'call')})"
        )
    elif len(evidence.consistent) == 1 and evidence.remark:
        texts.append(f"explained as on {chosen.name}")
    elif not evidence.ruled_out:
        texts.append(f"consistent with all releases; explained as on {chosen.name}")
    else:
        releases = [str(profile.version) for profile in evidence.consistent]
        names = release_spans(releases, [str(version) for version in BRANCHES], is_open=False)
        build = f" built as {evidence.build}" if evidence.build else ""
        texts.append(f"consistent with {names}{build}; explained as on {chosen.name}")
    return texts


def ruled_out_lines(evidence: Evidence) -> list[str]:
    """Each kernel that the recording rules out, with the first call that it would have answered
    otherwise.
    """
    return [f"ruled out: {name}, {first}" for name, first in evidence.ruled_out.items()]
