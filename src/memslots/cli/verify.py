"""`memslots verify`: the model beside the live kernel."""

from __future__ import annotations

import os
import sys

from .run import FINDINGS, FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..differential.run import Report

HELP = "Random calls on the live kernel beside the model; every disagreement is shrunk and written down."
EPILOG = """\
examples:
  memslots verify                                  for ten seconds
  memslots verify --operations 1000000 --seed 7    the same calls each time
  memslots verify --kernel 6.1/x86_64              does this host behave as another kernel?

Writes disagreement-SEED-N.jsonl (for `memslots explain`) and .c (compile and run it) into --folder.
Exit code 0 without a disagreement, 1 with one, 4 without /dev/kvm.
In Python: memslots.differential.run.verify(operations=..., seed=...)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--seconds", type=float, metavar="N", help="run so long (default: 10)")
    amount.add_argument("--operations", type=int, metavar="N", help="compare so many calls")
    parser.add_argument("--seed", type=int, metavar="S", help="random seed (default: a new one, printed)")
    parser.add_argument("--kernel", default="host", metavar="NAME", help="the model's kernel (default: probed)")
    parser.add_argument("--device", default="/dev/kvm", metavar="PATH", help="the device (default: /dev/kvm)")
    parser.add_argument("--folder", default=".", metavar="DIR", help="where disagreements are written")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Run and print; the exit code."""
    from ..differential import report as text
    from ..differential.run import verify
    from ..kernel.registry import find

    seed = int.from_bytes(os.urandom(4), "little") if options.seed is None else options.seed
    report = verify(
        operations=options.operations,
        seconds=options.seconds,
        seed=seed,
        profile=None if options.kernel == "host" else find(options.kernel),
        device_path=options.device,
        progress=_progress if sys.stderr.isatty() else None,
    )
    if options.json:
        import json

        print(json.dumps(text.json_value(report)))
    else:
        print("\n".join(text.summary_lines(report)))
    for name in text.write_files(report, options.folder):
        print(f"wrote {name}", file=sys.stderr)
    return FINDINGS if report.disagreements else FINE


def _progress(report: Report) -> None:
    if report.vms % 20 == 0:
        print(f"\r{report.operations:,} operations, seed {report.seed}", end="", file=sys.stderr, flush=True)
