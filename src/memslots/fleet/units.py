"""The systemd units that record a host's VMs all the time: shipped as files, written out here."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

_SHIPPED_PROGRAM = "/usr/bin/memslots"


def unit_texts() -> dict[str, str]:
    """Name of a unit: its text, with the memslots that runs now."""
    from importlib.resources import files

    there = shutil.which("memslots")
    program = there or f"{shlex.quote(sys.executable)} -m memslots"
    return {
        file.name: file.read_text("utf-8").replace(_SHIPPED_PROGRAM, program)
        for file in sorted(
            files("memslots.fleet").joinpath("systemd").iterdir(), key=lambda one: one.name
        )
    }


def write_units(folder: str) -> list[str]:
    """Write the units into a folder, `/etc/systemd/system` for example; their paths."""
    os.makedirs(folder, exist_ok=True)
    paths = []
    for name, text in unit_texts().items():
        paths.append(os.path.join(folder, name))
        with open(paths[-1], "w", encoding="utf-8") as file:
            file.write(text)
    return paths
