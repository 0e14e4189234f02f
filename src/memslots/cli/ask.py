"""`memslots ask`: answers calls from standard input, line by line."""

from __future__ import annotations

import sys

from ..export.oracle import Oracle, serve
from .run import FINE, USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "Answer calls from standard input, one JSON value a line, as a kernel would: an oracle for "
    "fuzzers."
)
EPILOG = """\
examples:
  echo '[0, 0, 0, 4096, 65536]' | memslots ask --kernel 6.1/x86_64
  echo '[0, 0, 0, 100, 65536]' | memslots ask --detail
  echo '{"call": "KVM_SET_NR_MMU_PAGES", "fields": {"nr_pages": 63}}' | memslots ask

A line is [slot, flags, guest_phys_addr, memory_size, userspace_addr], with guest_memfd and
guest_memfd_offset for the second form of the call, or an object with "call" and "fields".
{"call": "KVM_CREATE_VM"} begins with a new VM.  The answer is the return value or the negated
errno; null where it depends on the host; {"error": ...} for a line that is no call.
Exit code 0, or 2 if a line was no call.  In Python:
memslots.export.oracle.Oracle("6.1/x86_64").answer(line).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--kernel", default="6.1/x86_64", metavar="K", help="kernel (default 6.1/x86_64)"
    )
    parser.add_argument(
        "--detail",
        action="store_true",
        help="answer with objects: rule, numbers, page total, budget",
    )
    parser.add_argument("--json", action="store_true", help="the same as --detail")


def run(options: argparse.Namespace) -> int:
    """Serve until the input ends; the exit code."""
    if sys.stdin is None:
        raise OSError("standard input is closed: nothing can be asked")
    oracle = Oracle(options.kernel, detail=options.detail or options.json)
    serve(oracle, sys.stdin.fileno(), sys.stdout.fileno())
    return USAGE if oracle.bad_lines else FINE
