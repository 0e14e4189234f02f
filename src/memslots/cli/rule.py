"""`memslots rule`: the page of one rule."""

from __future__ import annotations

from ..explain.causes.catalogue import CAUSES
from ..explain.finding_kinds import KINDS
from ..rules.catalogue import find_rule
from ..views.cause_page import cause_json, cause_lines
from ..views.findings import finding_page
from ..views.rule_page import as_json, rule_lines
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "One rule, finding or cause: refuses when, why KVM checks it, what to do, on which kernels, "
    "where it stands."
)
EPILOG = """\
examples:
  memslots rule slot-overlap
  memslots rule page-total-cap --json
  memslots rule unbacked-window
  memslots rule vfio-memlock-limit

In Python: memslots.rules.catalogue.find_rule("slot-overlap")."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "rule", metavar="RULE", help="the id of a rule, finding or cause, as in every report"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Find and print; the exit code."""
    if options.rule in KINDS and not options.json:
        print("\n".join(finding_page(KINDS[options.rule])))
        return FINE
    if options.rule in CAUSES:
        cause = CAUSES[options.rule]
        if options.json:
            import json

            print(json.dumps(cause_json(cause)))
        else:
            print("\n".join(cause_lines(cause)))
        return FINE
    rule = find_rule(options.rule)
    print(as_json([rule]) if options.json else "\n".join(rule_lines(rule)))
    return FINE
