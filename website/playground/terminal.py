"""The command line of memslots for a page: words and a paste in, what a terminal would show out."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache

# what `memslots.views.links` and the colours ask for: links lead to pages of the site around us
os.environ |= {"FORCE_COLOR": "1", "FORCE_HYPERLINK": "1", "MEMSLOTS_DOCS": ".."}

from memslots.cli.main import main


def run(words: list[str], paste: object) -> tuple[str, int, str, str]:
    """(the command line, its exit code, its output, its errors); paste: bytes of the input."""
    words = list(words)
    data = paste.to_bytes() if hasattr(paste, "to_bytes") else bytes(paste)
    out, err, stdin = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data), "utf-8")
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main(words)
    finally:
        sys.stdin = stdin
    return f"memslots {shlex.join(words)}", code, out.getvalue(), err.getvalue()


@cache
def kernels() -> list[str]:
    """Names for the list to choose from, newest first."""
    _, _, out, _ = run(["kernels", "--json"], b"")
    found = json.loads(out)
    releases = [
        f"{each['release']}/{arch}"
        for arch, releases in found["architectures"].items()
        for each in reversed(releases)
    ]
    return releases + [
        f"{name}/{arch}"
        for name, build in found["distributions"].items()
        for arch in build["arches"]
    ]


@cache
def exit_codes() -> str:
    """What `memslots --help` says of exit codes."""
    _, _, out, _ = run(["--help"], b"")
    return out.strip().splitlines()[-1]
