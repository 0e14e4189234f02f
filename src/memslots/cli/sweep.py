"""`memslots sweep`: each memory call of a program refused, one run a call."""

from __future__ import annotations

import sys

from .run import FINDINGS, FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..emulate.sweep import Ending

TEXT, JSON, JUNIT = "text", "json", "junit"
HELP = "Run a program once for each of its memory calls, with that call refused: how does it end?"
EPILOG = """\
examples:
  memslots sweep -- ./my-vmm --selftest
  memslots sweep --jobs 4 --seconds 60 --state sweep.d -- qemu-system-x86_64 -accel kvm ...
  memslots sweep --format junit -- ./my-vmm > sweep.xml
  memslots sweep --kernel 5.10/x86_64 -- ./my-vmm           refused calls on another kernel

The first run is undisturbed and tells which calls there are; each of the others has one of them
refused, with an error that a kernel can really give it.  A run may end with a clean error, a crash,
a hang (--seconds), success all the same (it was tried again, or did not matter), or success with a
guest that lacks memory.  The command must end by itself; its output is thrown away.
Ctrl-C ends the sweep and shows what is known; with --state the same command goes on from there.
Exit code: 0 nothing found, 1 a crash, a hang or a guest that lacks memory.
In Python: Sweep(command) of memslots.emulate.sweep.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--kernel", metavar="K", default="", help="answer as this kernel")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="runs side by side (default: as many as processors)"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N",
        help="the time a run may take (default: four times the undisturbed one, 10 at least)",
    )  # fmt: skip
    parser.add_argument(
        "--state", metavar="DIR", help="keep the endings there, and go on from there"
    )
    parser.add_argument(
        "--queries", action="store_true", help="also answer each question (capabilities) with 0"
    )
    parser.add_argument(
        "--format", choices=(TEXT, JSON, JUNIT), default=TEXT, help="form of the report"
    )
    parser.add_argument(
        "--json", dest="format", action="store_const", const=JSON, help="same as --format json"
    )
    parser.add_argument(
        "command", nargs="+", metavar="CMD", help="the program and its arguments, after --"
    )


def run(options: argparse.Namespace) -> int:
    """Sweep and print; the exit code."""
    import os

    from ..emulate.sweep import Sweep
    from ..views.sweep import ending_line, sweep_json, sweep_junit, sweep_lines

    def told(ending: Ending) -> None:
        if sys.stderr.isatty():
            print(ending_line(ending), file=sys.stderr, flush=True)

    jobs = os.cpu_count() or 1 if options.jobs is None else options.jobs
    if jobs < 1:
        raise ValueError(f"--jobs takes a number from 1, not {jobs}")
    with Sweep(
        options.command, kernel=options.kernel, seconds=options.seconds, queries=options.queries,
        state=options.state,
    ) as sweep:  # fmt: skip
        sweep.learn()
        sweep.run(jobs, told)
        if options.format == JSON:
            import json

            print(json.dumps(sweep_json(sweep), indent=1))
        elif options.format == JUNIT:
            print(sweep_junit(sweep), end="")
        else:
            print("\n".join(sweep_lines(sweep)))
        if sweep.is_interrupted:
            return 130
        return FINDINGS if sweep.has_faults else FINE
