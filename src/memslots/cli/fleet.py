"""`memslots fleet`: thousands of recordings as tables, and questions to them."""

from __future__ import annotations

from . import fleet_ask, fleet_scan
from .run import USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "Thousands of recordings: scan them into tables, ask SQL, compare kernels and days."
EPILOG = """\
examples:
  memslots fleet generate -o recordings --recordings 200      a fleet to try it on
  memslots fleet scan recordings -o fleet                     every processor of this machine
  memslots fleet query fleet "SELECT * FROM refusals_by_rule LIMIT 10"
  memslots fleet tables                                       what may be asked
  memslots fleet report fleet -o fleet.html
  memslots fleet upgrade fleet --from 5.10 --to 6.12          which VMs change, at which call, why
  memslots fleet diff fleet fleet                             two days, two sites
  memslots fleet ingest recordings -o host --prom memslots.prom    on each host: kilobytes to ship
  memslots fleet units                                        systemd: record each host all the time

A scan that is begun again takes only what is new; a lost worker costs one batch.  On a cluster:
--dask tcp://HEAD:8786, or --shard I/N of a job array (docs/fleet.md).
Needs DuckDB: pip install 'memslots[fleet]'.  `memslots fleet WHAT --help` has the options.
Exit code: 0 fine, 1 something was not read, scanned or asked, or VMs change, 2 usage.
In Python: memslots.fleet.scan.scan(sources, folder), memslots.fleet.tables.Tables(folder)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what there is to do, each with its options."""
    whats = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    fleet_scan.add_arguments(whats)
    fleet_ask.add_arguments(whats)


def run(options: argparse.Namespace) -> int:
    """Do it and print (--json: as JSON); the exit code."""
    does = {**fleet_scan.DOES, **fleet_ask.DOES}.get(options.what)
    return does(options) if does is not None else USAGE
