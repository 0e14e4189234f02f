"""`python -m memslots.verify.farm`: ask the kernels again what they were asked for the recorded
answers.

    python -m memslots.verify.farm tests/verify/recorded/answers.tar.xz
    python -m memslots.verify.farm tests/verify/recorded/answers.tar.xz debian-6.1-i386 host
    python -m memslots.verify.farm dates
    python -m memslots.verify.farm --refresh tests/verify/recorded/answers.tar.xz debian-sid-x86_64
    python -m memslots.verify.farm --add corners tests/verify/recorded/answers.tar.xz
    debian-experimental-arm64

The last asks a kernel for the first time: `plain` the sequences of every kernel, `probe` the same
with the kernel's own page total and budget, `totals` those that fill a VM up, `corners` those made
by hand.  The newest kernels are Debian's candidates (debian-experimental-*); rare hosts end in
-pa36, -protected, -gicv2 and -mte. The kernels that can be booted: `memslots verify --kernels`.

`make conformance-live` is the first of these.  `dates` compares the dates of facts with
distributions' changelogs (`dates --help`).  Exit code 0 if all answers are the same, 1 if any
differ, 4 if no kernel could be asked.
"""

from __future__ import annotations

import argparse
import os
import sys

from ...errors import MemslotsError
from ..recorded.compare import KINDS, open_answers
from ..recorded.pack import pack
from .rerun import Rerun, record, rerun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHOWN = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["dates"]:
        from .dates import main as dates

        return dates(words[1:])
    parser = argparse.ArgumentParser(
        prog="python -m memslots.verify.farm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("answers", help="folder or tar archive of recorded answers")
    parser.add_argument(
        "kernels", nargs="*", metavar="KERNEL", help='only these; "host" is the one under us'
    )
    parser.add_argument(
        "--refresh", action="store_true", help="write what is answered now in place of what was"
    )
    parser.add_argument(
        "--add",
        choices=("plain", *filter(None, KINDS)),
        help="ask kernels for the first time, with these sequences",
    )
    parser.add_argument(
        "--no-fetch", action="store_true", help="only kernels that need no download"
    )
    options = parser.parse_intermixed_args(words)
    asked = differing = 0
    try:
        with open_answers(options.answers) as folder:
            for result in _results(folder, options):
                print("\n".join(_lines(result, is_new=bool(options.add))), flush=True)
                asked += not result.why_not
                differing += bool(result.differing)
            if (options.refresh or options.add) and asked and not os.path.isdir(options.answers):
                print(f"{pack(folder, options.answers)} files in {options.answers}")
    except (MemslotsError, OSError) as error:
        print(f"memslots.verify.farm: {error}", file=sys.stderr)
        return 2
    if not options.add:
        print(f"{asked} files of answers asked again, {differing} differ")
    return 4 if not asked else 1 if differing else 0


def _results(folder: str, options: argparse.Namespace) -> Iterator[Rerun]:
    if not options.add:
        yield from rerun(
            folder, options.kernels, refresh=options.refresh, may_fetch=not options.no_fetch
        )
        return
    for name in options.kernels:
        yield record(folder, name, options.add if options.add != "plain" else "")


def _lines(result: Rerun, *, is_new: bool) -> Iterator[str]:
    if result.why_not:
        yield f"{result.label:32} not asked: {result.why_not}"
        return
    verdict = (
        "recorded"
        if is_new
        else f"{len(result.differing)} sequences differ"
        if result.differing
        else "the same"
    )
    yield (
        f"{result.label:32} {result.sequences:,} sequences, {result.answers:,} answers"
        f" in {result.seconds:.0f} s: {verdict}"
    )
    if result.other_kernel:
        yield f"    another build: {result.other_kernel}"
    for sequence, index, before, now in result.differing[:_SHOWN]:
        yield (
            f"    {sequence}, operation {index}: recorded {before}, now "
            f"{'no answer' if now is None else now}"
        )
    if len(result.differing) > _SHOWN:
        yield f"    and {len(result.differing) - _SHOWN} more sequences"


if __name__ == "__main__":
    sys.exit(main())
