"""The conformance table: kernel, operations, disagreements, and the first of them in full."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..verify.recorded.compare import KernelResult, OtherAnswer


def conformance_lines(
    results: Iterable[KernelResult], first: int, *, as_json: bool = False
) -> Iterator[tuple[str, int]]:  # fmt: skip
    """Lines of the report, each with the disagreements that it adds to the count."""
    seen = []
    if not as_json:
        heads = (
            f"{'operations':>10} {'not run':>8} {'undecided':>9} {'disagree':>8} {'excepted':>8}"
        )
        yield f"{'kernel':42} {heads}", 0
    for result in results:
        seen.append(result)
        if as_json:
            continue
        counts = f"{result.operations:10} {result.skipped:8} {sum(result.undecided.values()):9}"
        verdicts = f"{len(result.disagreements):8} {len(result.excepted):8}"
        yield f"{result.kernel:42} {counts} {verdicts}", len(result.disagreements)
        for found in result.disagreements[:first]:
            yield _disagreement_text(found), 0
        for found in result.excepted:
            yield f"    excepted: {found.sequence}, operation {found.index}: {found.reason}", 0
    operations = sum(result.operations for result in seen)
    disagreements = sum(len(result.disagreements) for result in seen)
    excepted = sum(len(result.excepted) for result in seen)
    if as_json:
        yield _as_json(seen), disagreements
    else:
        yield f"{operations} operations, {disagreements} disagreements, {excepted} excepted", 0


def _disagreement_text(found: OtherAnswer) -> str:
    lines = [
        f"    {found.sequence}, operation {found.index}: kernel {found.observed}, model "
        f"{found.expected}"
    ]
    start = max(0, found.index - 6)
    for index in range(start, found.index + 1):
        mark = ">" if index == found.index else " "
        lines.append(f"     {mark} {index:3} {' '.join(map(str, found.operations[index]))}")
    return "\n".join(lines)


def _as_json(results: list[KernelResult]) -> str:
    import json

    return json.dumps(
        {
            "schema": "memslots.conformance/1",
            "kernels": [
                {
                    "kernel": result.kernel,
                    "operations": result.operations,
                    "not_run": result.skipped,
                    "undecided": result.undecided,
                    "disagreements": [
                        {
                            "sequence": found.sequence,
                            "operation": found.index,
                            "kernel": found.observed,
                            "model": found.expected,
                        }
                        for found in result.disagreements
                    ],
                    "excepted": len(result.excepted),
                }
                for result in results
            ],
        }
    )
