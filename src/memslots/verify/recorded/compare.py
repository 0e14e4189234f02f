"""Replay a folder of recorded answers and count where the model disagrees."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import shutil
import tarfile
import tempfile
from contextlib import contextmanager

from ...errors import TraceError
from ...units import U64_MAX
from .player import NotDecided, Player
from .profiles import profile_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .player import Seen

KINDS = {
    "": "sequences",
    "probe": "sequences",
    "totals": "sequences-totals",
    "corners": "sequences-corners",
}
"""Kind of answers, as in NAME.KIND.jsonl: the file of sequences that was asked."""
_ASKS_ONLY = ("check_ext", "check_ext_vm", "prefault")
"""Operations after which a VM is what it was, whatever they answered."""
_ENDINGS = (".jsonl.gz", ".jsonl.xz", ".jsonl")


class OtherAnswer:
    """One operation that the model answers otherwise than the kernel did."""

    __slots__ = ("expected", "index", "kernel", "observed", "operations", "reason", "sequence")

    def __init__(
        self,
        kernel: str,
        sequence: str,
        index: int,
        operations: list[list[object]],
        observed: object,
        expected: object,
        reason: str = "",
    ) -> None:
        self.kernel = kernel
        self.sequence = sequence
        self.index = index
        """Number of the operation in its sequence, from 0."""
        self.operations = operations
        """The whole sequence."""
        self.observed = observed
        """What the kernel answered."""
        self.expected = expected
        """What the model answers."""
        self.reason = reason
        """Why this one is excepted; empty for a true disagreement."""


class KernelResult:
    """The outcome for one file of answers."""

    __slots__ = ("disagreements", "excepted", "kernel", "operations", "skipped", "undecided")

    def __init__(self, kernel: str) -> None:
        self.kernel = kernel
        self.operations = 0
        self.skipped = 0
        """Operations that the recording itself says were not run."""
        self.undecided: dict[str, int] = {}
        """What the model does not tell: how often.  What may depend on it is not compared."""
        self.disagreements: list[OtherAnswer] = []
        self.excepted: list[OtherAnswer] = []


def read_lines(path: str) -> Iterator[str]:
    """The lines of a plain, gzip or xz file.  Raises TraceError if it cannot be read."""
    opener = gzip.open if path.endswith(".gz") else lzma.open if path.endswith(".xz") else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            yield from lines
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise TraceError(f"cannot read {path}: {error}") from error


@contextmanager
def open_answers(path: str) -> Iterator[str]:
    """A folder of recorded answers: as it is, or a tar archive unpacked for the time being.

    Raises TraceError for what is neither.
    """
    if os.path.isdir(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="memslots-") as folder:
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    unpacked = archive.extractfile(member) if member.isfile() else None
                    if unpacked is not None:
                        # the name alone: an archive cannot write anywhere else
                        with open(
                            os.path.join(folder, os.path.basename(member.name)), "wb"
                        ) as copy:
                            shutil.copyfileobj(unpacked, copy)
        except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as error:
            reason = str(error).splitlines()[0]
            raise TraceError(
                f"{path} is neither a folder nor a tar archive of answers: {reason}"
            ) from error
        yield folder


def compare_folder(path: str, kernel: str = "") -> Iterator[KernelResult]:
    """Replay every file of answers whose name contains `kernel`; `path` is a folder or a tar
    archive.
    """
    with open_answers(path) as folder:
        loaded: dict[str, dict[str, list[list[object]]]] = {}
        found = False
        for answers, kind in answer_files(folder):
            if kernel not in os.path.basename(answers):
                continue
            found = True
            name = KINDS[kind]
            if name not in loaded:
                loaded[name] = load_sequences(folder, kind)
            yield replay_file(answers, loaded[name])
        if not found:
            raise TraceError(f"no kernel in {path} has {kernel!r} in its name")


def answer_files(folder: str) -> list[tuple[str, str]]:
    """(path, kind) of the files of answers in a folder; kind is one of KINDS.

    Raises TraceError if there are none.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise TraceError(f"cannot read the folder {folder}: {error.strerror}") from error
    found = []
    for name in names:
        stem = _stem(name)
        if stem is None or stem.startswith("sequences"):
            continue
        ending = stem.rpartition(".")[2]
        kind = ending if ending in KINDS else ""
        found.append((os.path.join(folder, name), kind))
    if not found:
        raise TraceError(f"no recorded answers (*.jsonl, .gz or .xz) in {folder}")
    return found


def _stem(name: str) -> str | None:
    for ending in _ENDINGS:
        if name.endswith(ending):
            return name[: -len(ending)]
    return None


def load_sequences(folder: str, kind: str) -> dict[str, list[list[object]]]:
    """Sequence id -> operations, for a kind of answers.

    Raises TraceError if the file is missing or bad.
    """
    for ending in _ENDINGS:
        path = os.path.join(folder, KINDS[kind] + ending)
        if os.path.exists(path):
            break
    else:
        raise TraceError(f"{folder} has answers but no {KINDS[kind]}.jsonl")
    sequences: dict[str, list[list[object]]] = {}
    for number, line in enumerate(read_lines(path), 1):
        record = _json(path, number, line)
        if record is not None:
            try:
                sequences[str(record["id"])] = record["ops"]  # type: ignore[assignment]
            except KeyError as error:
                raise TraceError(f"{path}, line {number}: no {error}") from None
    return sequences


def _json(path: str, number: int, line: str) -> dict[str, object] | None:
    if not line.strip() or line.startswith("#"):
        return None
    try:
        record = json.loads(line)
    except ValueError as error:
        raise TraceError(f"{path}, line {number}: not JSON: {error}") from error
    if not isinstance(record, dict):
        raise TraceError(f"{path}, line {number}: not a JSON object")
    return record


def replay_file(path: str, sequences: dict[str, list[list[object]]]) -> KernelResult:
    """Replay one file of answers through the model of its kernel."""
    lines = read_lines(path)
    first = _json(path, 1, next(lines, "")) or {}
    try:
        name = str(first["meta"]["name"])  # type: ignore[index]
        profile = profile_of(name, first["kernel"])  # type: ignore[arg-type]
        probe = first["meta"].get("probe")  # type: ignore[attr-defined]
        word = probe["word"] if probe else -1
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TraceError(
            f"{path}: the first line is not a header of recorded answers: {error}"
        ) from error
    kept = {"budget"} if probe else set()
    if word != -1:
        kept.add("pages")
    result = KernelResult(os.path.basename(path).split(".jsonl")[0])
    for number, line in enumerate(lines, 2):
        record = _json(path, number, line)
        if record is None:
            continue
        name, answers = str(record.get("id")), record.get("res")
        operations = sequences.get(name)
        if operations is None:
            raise TraceError(f"{path}, line {number}: no sequence {name!r}")
        if not isinstance(answers, list):
            raise TraceError(f"{path}, line {number}: no list of answers `res`")
        _replay_sequence(result, Player(profile), name, operations, answers, kept)
    return result


def _replay_sequence(
    result: KernelResult,
    player: Player,
    name: str,
    operations: list[list[object]],
    answers: list[object],
    kept: set[str],
) -> None:
    for index, (operation, observed) in enumerate(zip(operations, answers)):
        if isinstance(observed, dict) and "skip" in observed:
            result.skipped += 1
            if observed["skip"] == "memory":
                return  # the program ended the sequence here
            continue
        try:
            expected = player.play(operation)
        except NotDecided as undecided:
            reason = str(undecided)
            result.undecided[reason] = result.undecided.get(reason, 0) + 1
            if operation[0] in _ASKS_ONLY or (
                operation[0] == "enable_cap" and _is_refusal(observed)
            ):
                continue
            return
        result.operations += 1
        seen = observable(expected, kept)
        if seen != observed:
            found = OtherAnswer(result.kernel, name, index, operations, observed, seen)
            found.reason = _exception(found)
            (result.excepted if found.reason else result.disagreements).append(found)


def _is_refusal(observed: object) -> bool:
    """Whether the kernel refused: a capability that was not enabled has changed nothing."""
    result = observed.get("r") if isinstance(observed, dict) else observed
    return isinstance(result, int) and result < 0


def observable(answer: Seen, kept: set[str]) -> object:
    """The answer without what this recording could not observe.

    A probe reports -1 for what it did not see, so it cannot report 2^64 - 1.
    """
    if not isinstance(answer, dict):
        return answer
    left = {
        key: value
        for key, value in answer.items()
        if key not in ("pages", "budget") or (key in kept and value != U64_MAX)
    }
    return left["r"] if set(left) == {"r"} else left


def _exception(found: OtherAnswer) -> str:
    """Why a disagreement says nothing about KVM; empty if it does."""
    return ""
