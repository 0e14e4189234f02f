"""`memslots fleet query`, `report`, `upgrade` and `diff`: what the tables tell."""

from __future__ import annotations

from .run import FINDINGS, FINE, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def add_arguments(whats: Any) -> None:
    """Declare the commands."""
    whats.add_parser("tables", help="the tables and views there are, with their columns")
    query = whats.add_parser("query", help="SQL on the tables and views")
    query.add_argument("folder", metavar="DIR", help="the folder of the tables")
    query.add_argument("sql", metavar="SQL", help="as DuckDB takes it")
    query.add_argument("--json", action="store_true", help="one JSON object a row")
    report = whats.add_parser("report", help="one HTML file on the fleet")
    report.add_argument("folder", metavar="DIR", help="the folder of the tables")
    report.add_argument("-o", "--output", default="-", metavar="OUT", help="the file")
    report.add_argument("--title", default="", help="heading (default: the folder)")
    report.add_argument(
        "--upgrade", action="append", default=[], metavar="FROM:TO", help="with this question"
    )
    report.add_argument("--most", type=int, default=30, metavar="N", help="rows of a table (30)")
    upgrade = whats.add_parser("upgrade", help="which VMs change on another kernel, and where")
    upgrade.add_argument("folder", metavar="DIR", help="the folder of the tables")
    upgrade.add_argument("--from", dest="source", required=True, metavar="K", help="the kernel now")
    upgrade.add_argument("--to", dest="target", required=True, metavar="K", help="the other one")
    upgrade.add_argument(
        "--all", action="store_true", help="also recordings of other kernels than --from"
    )
    upgrade.add_argument("--most", type=int, default=50, metavar="N", help="VMs shown (50)")
    upgrade.add_argument("--json", action="store_true", help="JSON")
    diff = whats.add_parser("diff", help="numbers that differ between two fleets")
    diff.add_argument("before", metavar="DIR1", help="the folder of the tables before")
    diff.add_argument("after", metavar="DIR2", help="and after")
    diff.add_argument("--json", action="store_true", help="JSON")


def run_tables(_options: argparse.Namespace) -> int:
    """Print what may be asked; the exit code."""
    from ..fleet.tables import view_texts
    from ..views.fleet import catalogue_lines

    print("\n".join(catalogue_lines(view_texts())))
    return FINE


def run_query(options: argparse.Namespace) -> int:
    """Ask and print; the exit code."""
    from ..fleet.tables import Tables
    from ..views.fleet import table_lines

    answer = Tables(options.folder).ask(options.sql)
    if options.json:
        import json

        for row in answer.dicts():
            print(json.dumps(row, default=str))
    else:
        print("\n".join(table_lines(answer)))
    return FINE


def run_report(options: argparse.Namespace) -> int:
    """Write the page; the exit code."""
    from ..fleet.tables import Tables
    from ..fleet.upgrade import upgrade
    from ..views.fleet_page import fleet_page

    tables = Tables(options.folder)
    upgrades = []
    for text in options.upgrade:
        source, colon, target = text.partition(":")
        if not colon:
            raise ValueError(f"--upgrade takes FROM:TO, not {text!r}")
        upgrades.append(upgrade(tables, source, target))
    title = options.title or options.folder
    write_text(options.output, fleet_page(tables, title, upgrades, options.most))
    return FINE


def run_upgrade(options: argparse.Namespace) -> int:
    """Ask both kernels and print; the exit code."""
    from ..fleet.tables import Tables
    from ..fleet.upgrade import upgrade
    from ..views.fleet import upgrade_json, upgrade_lines

    found = upgrade(Tables(options.folder), options.source, options.target, every=options.all)
    if options.json:
        import json

        print(json.dumps(upgrade_json(found)))
    else:
        print("\n".join(upgrade_lines(found, options.most)))
    return FINDINGS if found.changed or not found.asked else FINE


def run_diff(options: argparse.Namespace) -> int:
    """Compare and print; the exit code."""
    from ..fleet.changes import changes
    from ..fleet.tables import Tables
    from ..views.fleet import diff_json, diff_lines

    found = changes(Tables(options.before), Tables(options.after))
    if options.json:
        import json

        print(json.dumps(diff_json(found)))
    else:
        print("\n".join(diff_lines(found)))
    return FINDINGS if found else FINE


DOES = {
    "tables": run_tables,
    "query": run_query,
    "report": run_report,
    "upgrade": run_upgrade,
    "diff": run_diff,
}
