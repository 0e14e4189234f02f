"""Runs of releases as text: `4.19 to 5.10, 6.1 and later`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = "all"
_FEW = 10
"""Up to so many kernels are named one by one."""


def release_spans(releases: Sequence[str], among: Sequence[str], *, is_open: bool = True) -> str:
    """`4.19 to 5.10, 6.1 and later`, or `all`: runs of releases that follow each other in `among`.

    is_open: say `and later` of a run that ends with the newest, and `all` of all; otherwise both
    ends are named.
    """
    if is_open and list(releases) == list(among):
        return ALL
    place = {name: number for number, name in enumerate(among)}
    runs: list[list[str]] = []
    for name in releases:
        if runs and name in place and place[name] - 1 == place.get(runs[-1][-1], -2):
            runs[-1].append(name)
        else:
            runs.append([name])
    newest = among[-1] if among and is_open else None
    return ", ".join(
        run[0]
        if len(run) == 1
        else f"{run[0]} and later"
        if run[-1] == newest
        else f"{run[0]} to {run[-1]}"
        for run in runs
    )


def kernel_spans(names: Sequence[str], among: Sequence[str]) -> str:
    """`4.19 to 5.11 (x86_64)`: kernels of a survey, neighbours joined."""
    if len(among) < _FEW:
        return ", ".join(name for name in among if name in names)
    by_kind: dict[str, tuple[list[str], list[str]]] = {}
    for name in among:
        release, _, kind = name.partition("/")
        here, all_of_kind = by_kind.setdefault(kind, ([], []))
        all_of_kind.append(release)
        if name in names:
            here.append(release)
    texts = []
    for kind, (here, all_of_kind) in by_kind.items():
        if not here:
            continue
        if here == all_of_kind:
            text = f"all {len(here)} releases" if len(here) > 1 else here[0]
        else:
            text = release_spans(here, all_of_kind)
        texts.append(f"{text} ({kind})")
    return ", ".join(texts)
