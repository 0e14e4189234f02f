"""Small fleets for tests: made once a session, scanned where it is asked."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from pathlib import Path

from memslots.fleet.generate import generate

PLANTS = ("beyond-address-bits", "budget-asked", "slot-number", "vcpu-id")


@functools.cache
def made(recordings: int = 120, seed: int = 7) -> Path:
    """A folder of recordings on 5.10 and 6.1 hosts, with three planted differences of each kind."""
    folder = Path(tempfile.mkdtemp(prefix="memslots-fleet-"))
    found = generate(
        str(folder),
        seed=seed,
        recordings=recordings,
        kernels=["5.10", "6.1"],
        plants=dict.fromkeys(PLANTS, 3),
    )
    _planted[folder] = [(each.kind, each.recording) for each in found]
    return folder


_planted: dict[Path, list[tuple[str, str]]] = {}


def planted(folder: Path) -> list[tuple[str, str]]:
    """(kind, path below the folder) of what was planted."""
    return _planted[folder]


def digest(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Path below a folder of tables: what is in the file, for all files that are tables."""
    top = Path(folder)
    return {
        str(path.relative_to(top)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(top.rglob("*.parquet"))
    }
