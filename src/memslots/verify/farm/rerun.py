"""Asks the kernels again what they were asked for the recorded answers, and compares; or asks a
new one.
"""

from __future__ import annotations

import json
import os
import time

from ...errors import DeviceUnavailableError, TraceError, UnknownKernelError
from ..recorded.compare import answer_files, load_sequences, read_lines
from .boot import Asking
from .kernels import fetched, recorded_as
from .packages import say_on_stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .script import Answers

_NATIVE_WORD = "host"
"""What stands for all recorded answers of the kernel under us."""


class RecordedFile:
    """One file of recorded answers."""

    __slots__ = ("answers", "header", "kind", "label", "meta", "name", "path")

    def __init__(self, path: str, kind: str) -> None:
        """kind: "", "probe", "totals" or "corners".  Raises TraceError for what is no such file."""
        self.path = path
        self.kind = kind
        self.label = os.path.basename(path).split(".jsonl")[0]
        lines = read_lines(path)
        try:
            first = json.loads(next(lines))
            self.meta: dict[str, object] = first["meta"]
            self.header: dict[str, object] = first["kernel"]
            self.name = str(self.meta["name"])
            records = [json.loads(line) for line in lines if line.strip()]
            self.answers: dict[str, list[object]] = {
                str(record["id"]): record["res"] for record in records
            }
        except (StopIteration, KeyError, TypeError, ValueError) as error:
            raise TraceError(f"{path} is no file of recorded answers: {error}") from error

    @property
    def limit_pages(self) -> int | None:
        """Guest pages of one VM up to which slots were asked for."""
        limit = self.meta.get("limit_pages")
        return limit if isinstance(limit, int) else None


class Rerun:
    """What a kernel answers now, beside what it answered."""

    __slots__ = ("answers", "differing", "label", "other_kernel", "seconds", "sequences", "why_not")

    def __init__(self, label: str) -> None:
        self.label = label
        self.why_not = ""
        """Why it was not asked; empty if it was."""
        self.sequences = 0
        self.answers = 0
        """Answers that were compared."""
        self.differing: list[tuple[str, int, object, object]] = []
        """Sequence, operation, recorded answer, answer of now (None: none): the first of each
        sequence.
        """
        self.other_kernel = ""
        """If it is not the build that was recorded: which was, and which is it."""
        self.seconds = 0.0


def rerun(
    folder: str,
    names: Sequence[str] = (),
    *,
    refresh: bool = False,
    may_fetch: bool = True,
    say: Callable[[str], None] = say_on_stderr,
) -> Iterator[Rerun]:
    """Ask again, file by file.

    folder: unpacked recorded answers; names: kernels (default: all; "host" is the one under us);
    refresh: write what is answered now into the folder.  Raises UnknownKernelError for a name
    without recorded answers.
    """
    recordings = [RecordedFile(path, kind) for path, kind in answer_files(folder)]
    _check_names(names, {recorded.name for recorded in recordings})
    for recorded in recordings:
        if names and not _is_named(recorded.name, names):
            continue
        result = Rerun(recorded.label)
        try:
            _ask_again(recorded, folder, result, refresh=refresh, may_fetch=may_fetch, say=say)
        except (DeviceUnavailableError, UnknownKernelError) as error:
            result.why_not = str(error)
        yield result


def _is_named(name: str, names: Sequence[str]) -> bool:
    return name in names or (_NATIVE_WORD in names and name.startswith(f"{_NATIVE_WORD}-"))


def _check_names(names: Sequence[str], known: set[str]) -> None:
    for name in names:
        if not any(_is_named(one, [name]) for one in known):
            raise UnknownKernelError(
                f"no recorded answers of {name!r}; there are {', '.join(sorted(known))}"
            )


def _ask_again(
    recorded: RecordedFile,
    folder: str,
    result: Rerun,
    *,
    refresh: bool,
    may_fetch: bool,
    say: Callable[[str], None],
) -> None:
    kernel = recorded_as(recorded.name)
    if not may_fetch and kernel.name not in fetched():
        raise DeviceUnavailableError("its package is not in the cache")
    sequences = load_sequences(folder, recorded.kind)
    asked = [name for name in sequences if name in recorded.answers]
    start = time.monotonic()
    with Asking(kernel, say) as asking:
        answers = asking.ask(
            [sequences[name] for name in asked],
            limit_pages=recorded.limit_pages,
            probe="probe" in recorded.meta,
            for_totals=recorded.kind == "totals",
        )
        result.seconds = time.monotonic() - start
        _compare(recorded, asked, answers, result)
        if refresh:
            limit = (
                asking.kernel.limit_pages if recorded.limit_pages is None else recorded.limit_pages
            )
            path = os.path.join(os.path.dirname(recorded.path), f"{recorded.label}.jsonl")
            lines = _lines_of(recorded.name, limit, asked, answers, asking, result.seconds)
            _write(f"{path}.new", lines)
            os.remove(recorded.path)
            os.replace(f"{path}.new", path)


def record(
    folder: str, name: str, kind: str, *, say: Callable[[str], None] = say_on_stderr
) -> Rerun:
    """Ask a kernel for the first time, and write a file of answers into the folder.

    kind: "", "probe", "totals" or "corners".  Raises UnknownKernelError, DeviceUnavailableError,
    and TraceError where the folder has no such sequences, or has the answers already.
    """
    kernel = recorded_as(name)
    if kernel.is_native and kernel.name == name:
        raise ValueError(f"{name}: name its release, as recordings do: host-6.18-x86_64")
    label = f"{name}.{kind}" if kind else name
    path = os.path.join(folder, f"{label}.jsonl")
    if os.path.exists(path):
        raise TraceError(f"there are answers of {label} already: --refresh asks for them again")
    sequences = load_sequences(folder, kind)
    result = Rerun(label)
    start = time.monotonic()
    with Asking(kernel, say) as asking:
        answers = asking.ask(
            list(sequences.values()), probe=kind in ("probe", "totals"), for_totals=kind == "totals"
        )  # fmt: skip
        result.seconds = time.monotonic() - start
        result.sequences = len(sequences)
        result.answers = sum(
            len(answers.sequence(number).in_order()) for number in range(len(sequences))
        )
        _write(
            path,
            _lines_of(name, kernel.limit_pages, list(sequences), answers, asking, result.seconds),
        )
    return result


def _compare(recorded: RecordedFile, asked: list[str], answers: Answers, result: Rerun) -> None:
    header = answers.header or {}
    if _build(recorded.header) != _build(header):
        result.other_kernel = f"recorded {_build(recorded.header)}, now {_build(header)}"
    for number, name in enumerate(asked):
        before, now = recorded.answers[name], answers.sequence(number).in_order()
        result.sequences += 1
        result.answers += len(before)
        if before == now:
            continue
        index = next(
            (index for index, pair in enumerate(zip(before, now)) if pair[0] != pair[1]),
            min(len(before), len(now)),
        )
        result.differing.append((name, index, _at(before, index), _at(now, index)))


def _build(header: dict[str, object]) -> str:
    return f"{header.get('release')} {header.get('version')}"


def _at(answers: list[object], index: int) -> object:
    return answers[index] if index < len(answers) else None


def _lines_of(
    name: str, limit_pages: int, asked: list[str], answers: Answers, asking: Asking, seconds: float
) -> Iterator[dict[str, object]]:
    """A file of answers, line by line: a header, then each sequence."""
    meta: dict[str, object] = {
        "name": name,
        "seconds": round(seconds, 1),
        "boots": asking.boots,
        "limit_pages": limit_pages,
        "crashes": [asked[number] for number in asking.crashes],
    }
    if answers.failed_modules:
        meta["modules"] = answers.failed_modules
    if answers.probe:
        meta["probe"] = answers.probe
    yield {"meta": meta, "kernel": answers.header}
    for number, sequence in enumerate(asked):
        yield answers.sequence(number).record(sequence)


def _write(path: str, lines: Iterable[dict[str, object]]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
