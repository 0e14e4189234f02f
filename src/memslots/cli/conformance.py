"""`memslots conformance`: recorded answers of real kernels, replayed."""

from __future__ import annotations

from ..verify.recorded.compare import compare_folder
from ..views.conformance import conformance_lines
from .run import FINDINGS, FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "Replay recorded answers of real kernels through the model and count where they differ."
EPILOG = """\
examples:
  memslots conformance examples/answers.tar.xz
  memslots conformance --kernel debian-6.1 examples/answers.tar.xz

The folder (or tar archive) holds sequences.jsonl, sequences-totals.jsonl and one file of
answers for each kernel, plain or compressed.  Exit code 0 only without a disagreement.
`make conformance-live` (python -m memslots.verify.farm) boots the kernels and asks them again.
In Python: memslots.verify.recorded.compare.compare_folder(path)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", metavar="DIR", help="folder or tar archive of recorded answers")
    parser.add_argument(
        "--kernel", default="", metavar="TEXT", help="only kernels whose name contains this"
    )
    parser.add_argument(
        "--first", type=int, default=5, metavar="N", help="disagreements shown for each kernel"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Compare and print; the exit code."""
    found = 0
    for line, disagreements in conformance_lines(
        compare_folder(options.folder, options.kernel), options.first, as_json=options.json
    ):
        found += disagreements
        print(line, flush=True)
    return FINDINGS if found else FINE
