"""`memslots rule`: the page of one rule."""

from __future__ import annotations

from ..explain.causes.catalogue import CAUSES
from ..explain.finding_kinds import KINDS
from ..rules.catalogue import rules_about
from ..views.cause_page import cause_lines, cause_page_json
from ..views.findings import finding_page, finding_page_json
from ..views.rule_page import as_json, list_lines, rule_lines
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
  memslots rule EEXIST
  memslots rule kvm_check_memslot_overlap
  memslots rule 27
  memslots rule page-total-cap --json
  memslots rule unbacked-window
  memslots rule vfio-memlock-limit

In Python: memslots.rules.catalogue.find_rule("slot-overlap")."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "rule",
        metavar="RULE",
        help="the id of a rule, finding or cause, as in every report; or an errno, a call, a "
        "function of the kernel, or a place in the order of the checks: the rules about it",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Find and print; the exit code."""
    name = options.rule.lower()
    if name in KINDS or name in CAUSES:
        if options.json:
            import json

            page = (
                finding_page_json(KINDS[name]) if name in KINDS else cause_page_json(CAUSES[name])
            )
            print(json.dumps(page))
        else:
            lines = finding_page(KINDS[name]) if name in KINDS else cause_lines(CAUSES[name])
            print("\n".join(lines))
        return FINE
    rules = rules_about(options.rule)
    lines = rule_lines(rules[0]) if len(rules) == 1 else list_lines(rules)
    print(as_json(rules) if options.json else "\n".join(lines))
    return FINE
