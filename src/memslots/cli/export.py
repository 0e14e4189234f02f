"""`memslots export`: a recording in another form."""

from __future__ import annotations

import sys

from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "A recording as a stand-alone C program, a kernel selftest, Python script, JSONL, strace's "
    "text, or a Perfetto trace."
)
EPILOG = """\
examples:
  memslots export --format c examples/refused-overlap.strace -o calls.c
  memslots export --format selftest examples/refused-overlap.strace -o overlap_test.c
  memslots export --format python examples/refused-overlap.strace | python3 - 6.1/x86_64
  memslots export --format jsonl examples/refused-overlap.strace
  memslots export --format perfetto examples/recordings/qemu72-q35-lifecycle.strace -o vm.json

The C program (`gcc calls.c -o calls && ./calls`) and the script make the recorded calls again,
print what is answered, and end with 1 if anything is answered otherwise than recorded.  A selftest
does so as the tests of the kernel's tools/testing/selftests/kvm do: TAP, 4 without /dev/kvm.  The
trace opens in https://ui.perfetto.dev.
In Python: memslots.export.export(events, "c")."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from argparse import SUPPRESS

    parser.add_argument(
        "file", nargs="+", metavar="FILE", help="recordings, or - for standard input"
    )
    forms = ("c", "selftest", "python", "jsonl", "strace", "perfetto")
    parser.add_argument("--to", dest="format", choices=forms, help=SUPPRESS)
    parser.add_argument(
        "--format",
        choices=forms,
        help="c, python: programs that make the calls again; selftest: such a test of the "
        "kernel's; jsonl: an object for each call; strace: its text; perfetto: VMs, slots and "
        "totals over time",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write there instead of standard output"
    )
    parser.add_argument(
        "--kernel",
        metavar="NAME",
        help="kernel whose totals `perfetto` draws (default: the newest)",
    )


def run(options: argparse.Namespace) -> int:
    """Read, write; the exit code."""
    from ..errors import TraceError
    from ..export import export
    from ..kernel.names import find
    from ..trace import read

    if options.format is None:
        raise ValueError("--format says as what: c, python, jsonl, strace or perfetto")
    events = [event for name in options.file for event in read(name)]
    if not events:
        raise TraceError(f"no KVM call in {', '.join(options.file)}: nothing to export")
    lines = export(events, options.format, find(options.kernel) if options.kernel else None)
    if options.output is None:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    else:
        with open(options.output, "w") as file:
            file.writelines(f"{line}\n" for line in lines)
    return FINE
