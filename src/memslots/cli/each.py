"""Several recordings on one command line: each by itself, and one that fails is a line, no end."""

from __future__ import annotations

import argparse
import sys

from ..errors import MemslotsError
from ..trace.reader import recording_name, recordings_of
from .run import FINDINGS, FINE, UNDETERMINED, USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TEXT, JSON, JSONL = "text", "json", "jsonl"
SCHEMA = "memslots.unread/1"
_WORST = (FINDINGS, UNDETERMINED, USAGE, FINE)


def add_together(parser: argparse.ArgumentParser) -> None:
    """Declare --together."""
    parser.add_argument(
        "--together",
        action="store_true",
        help="the files are one recording (default: each is one; those of strace -ff are)",
    )


def each_recording(
    command: str,
    options: argparse.Namespace,
    one: Callable[[argparse.Namespace], int],
    form: str = TEXT,
) -> int:
    """Run a command on every recording that is named; the worst exit code: findings, what could
    not be decided, what could not be read.

    one: runs it on `options.files`, the files of one recording.  form: of several recordings,
    texts have headings, JSON is an array with an entry for each, JSONL goes on line by line.
    """
    if getattr(options, "together", False) or options.files == ["-"]:
        return one(_with_files(options, options.files, among=1))
    recordings = recordings_of(options.files)
    if len(recordings) == 1:
        return one(_with_files(options, recordings[0], among=1))
    codes, begin = [], "["
    for files in recordings:
        if form == JSON:
            print(begin)
            begin = ","
        elif form == TEXT:
            print(f"{'' if begin == '[' else chr(10)}=== {recording_name(files)}")
            begin = ""
        codes.append(_guarded(command, options, files, one, form, len(recordings)))
    if form == JSON:
        print("]" if codes else "[]")
    elif form == TEXT:
        print(f"\n{_counted(codes)}")
    return next(code for code in _WORST if code in codes) if codes else FINE


def _with_files(options: argparse.Namespace, files: list[str], among: int) -> argparse.Namespace:
    """The options for one recording; among: how many there are."""
    return argparse.Namespace(**{**vars(options), "files": files, "among": among})


def _guarded(
    command: str,
    options: argparse.Namespace,
    files: list[str],
    one: Callable[[argparse.Namespace], int],
    form: str,
    among: int,
) -> int:
    try:
        code = one(_with_files(options, files, among))
    except BrokenPipeError:
        raise  # whoever reads us has seen enough of all of them
    except (MemslotsError, ValueError, OSError) as error:
        name = recording_name(files)
        text = str(error).removeprefix(f"{name}: ")
        if form == TEXT:
            print(f"not read: {text}")
        else:
            import json

            print(json.dumps({"schema": SCHEMA, "file": name, "error": text}))
        print(f"memslots {command}: {name}: {text}", file=sys.stderr)
        return USAGE
    if sys.stdout is not None:
        sys.stdout.flush()
    return code if code in _WORST else FINDINGS


def _counted(codes: list[int]) -> str:
    words = {
        FINDINGS: "with something to look at",
        UNDETERMINED: "that could not be decided",
        USAGE: "not read",
        FINE: "fine",
    }
    parts = [f"{codes.count(code)} {words[code]}" for code in _WORST if code in codes]
    return f"{len(codes)} recordings: {', '.join(parts)}"
