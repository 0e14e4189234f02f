"""`memslots fleet scan`, `ingest` and `generate`: how recordings come into the tables."""

from __future__ import annotations

import sys

from .run import FINDINGS, FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..fleet.engines import Engine
    from ..fleet.scan import Scanned

_MOST = 200


def add_arguments(whats: Any) -> None:
    """Declare the commands."""
    scan = whats.add_parser("scan", help="recordings into tables")
    _add_inputs(scan)
    scan.add_argument("--kernel", default="", metavar="K", help="stated for all recordings")
    scan.add_argument("-j", "--jobs", type=int, default=0, metavar="N", help="worker processes")
    scan.add_argument(
        "--batch", type=int, default=_MOST, metavar="N", help=f"recordings of a part ({_MOST})"
    )
    scan.add_argument(
        "--dask", metavar="ADDRESS", help="the workers of a Dask scheduler, or `local`"
    )
    scan.add_argument(
        "--shard", metavar="I/N", help="only part I (from 0) of N; auto: of the job array"
    )
    ingest = whats.add_parser("ingest", help="this host's recordings into tables to ship")
    _add_inputs(ingest)
    ingest.add_argument("--prom", metavar="FILE", help="also write a Prometheus textfile")
    ingest.add_argument(
        "--remove", action="store_true", help="remove recordings that are finished and scanned"
    )
    units = whats.add_parser("units", help="systemd units that record a host all the time")
    units.add_argument("-o", "--output", metavar="DIR", help="write them there (default: print)")
    generate = whats.add_parser("generate", help="a made-up fleet to try things on")
    generate.add_argument("-o", "--output", required=True, metavar="DIR", help="its folder")
    generate.add_argument(
        "--seed", type=int, default=1, metavar="N", help="the same gives the same"
    )
    generate.add_argument("--recordings", type=int, default=200, metavar="N", help="how many")
    generate.add_argument(
        "--kernel",
        action="append",
        default=[],
        metavar="K",
        help="releases of the hosts (default: longterm ones)",
    )
    generate.add_argument(
        "--plant", type=int, default=0, metavar="N",
        help="recordings of each kind that differ between kernels",
    )  # fmt: skip


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="files, folders, archives (tar, zip); - for a list of them on standard input",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="the folder of the tables"
    )
    parser.add_argument("--host", default="", metavar="NAME", help="stated for all recordings")
    parser.add_argument("--json", action="store_true", help="JSON")


def run_scan(options: argparse.Namespace) -> int:
    """Scan and say what came of it; the exit code."""
    from ..fleet.scan import scan
    from ..fleet.shards import shard_of

    if options.batch < 1:
        raise ValueError(f"--batch takes a number from 1, not {options.batch}")
    found = scan(
        _sources(options.inputs),
        options.output,
        kernel=options.kernel,
        host=options.host,
        engine=_engine(options),
        most=options.batch,
        shard=shard_of(options.shard) if options.shard else (0, 1),
        told=_progress,
    )
    return _tell(found, options)


def _engine(options: argparse.Namespace) -> Engine | None:
    from ..fleet import engines

    if options.dask:
        return engines.dask(options.dask, options.jobs)
    if options.jobs == 1:
        return engines.here()
    return engines.pool(options.jobs) if options.jobs else None


def _sources(inputs: list[str]) -> list[str]:
    """What is named; `-` stands for the lines of standard input."""
    found: list[str] = []
    for each in inputs:
        if each != "-":
            found.append(each)
        elif sys.stdin is not None:
            text = sys.stdin.read()
            found += filter(None, text.split("\0") if "\0" in text else text.splitlines())
    return found


def _progress(found: Scanned) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        text = f"{found.recordings} recordings, {found.steps} steps"
        print(f"\r{text} ", end="", file=sys.stderr, flush=True)


def _tell(found: Scanned, options: argparse.Namespace) -> int:
    from ..views.fleet import scan_json, scan_lines

    if sys.stderr is not None and sys.stderr.isatty() and found.batches:
        print(file=sys.stderr)
    if options.json:
        import json

        print(json.dumps(scan_json(found)))
    else:
        print("\n".join(scan_lines(found)))
    return FINDINGS if found.failed or found.lost or found.problems else FINE


def run_ingest(options: argparse.Namespace) -> int:
    """Scan this host's recordings; the exit code."""
    from ..fleet.ingest import ingest

    found = ingest(
        _sources(options.inputs),
        options.output,
        host=options.host,
        prom=options.prom or "",
        is_removing=options.remove,
    )
    return _tell(found, options)


def run_generate(options: argparse.Namespace) -> int:
    """Write a made-up fleet; the exit code."""
    from ..fleet.faults import PLANTS
    from ..fleet.generate import generate

    planted = generate(
        options.output,
        seed=options.seed,
        recordings=options.recordings,
        kernels=options.kernel,
        plants=dict.fromkeys(PLANTS, options.plant) if options.plant else None,
    )
    print(f"{options.recordings} recordings, {len(planted)} of them with a planted difference")
    return FINE


def run_units(options: argparse.Namespace) -> int:
    """Write or print the units; the exit code."""
    from ..fleet.units import unit_texts, write_units

    if options.output:
        print("\n".join(write_units(options.output)))
    else:
        print("\n".join(f"# {name}\n{text}" for name, text in unit_texts().items()))
    return FINE


DOES = {"scan": run_scan, "ingest": run_ingest, "generate": run_generate, "units": run_units}
