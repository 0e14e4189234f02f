"""`memslots rules`: the catalogue of rules."""

from __future__ import annotations

from ..kernel.names import find
from ..rules.catalogue import all_rules, rules_with
from ..rules.presence import rules_of
from ..views.rule_page import as_json, list_lines
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "Every reason for which KVM refuses a guest-memory call, in the order of its checks."
EPILOG = """\
examples:
  memslots rules
  memslots rules EEXIST
  memslots rules bitmap --kernel 6.1
  memslots rules --kernel 5.10/arm64
  memslots rules --json

In Python: memslots.rules.catalogue.all_rules()."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "word",
        nargs="?",
        metavar="WORD",
        help="only those with this errno, call or function of the kernel, or the word in id or "
        "title",
    )
    parser.add_argument("--kernel", metavar="K", help="only the rules that exist on this kernel")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, with the page of each rule"
    )


def run(options: argparse.Namespace) -> int:
    """List and print; the exit code."""
    rules = all_rules() if options.kernel is None else rules_of(find(options.kernel))
    if options.word is not None:
        wanted = rules_with(options.word)
        rules = tuple(rule for rule in rules if rule in wanted)
    print(as_json(rules) if options.json else "\n".join(list_lines(rules)))
    return FINE
