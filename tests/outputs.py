"""What commands print for every example, as digests: two builds that differ print other digests.

    python tests/outputs.py > outputs.json

Run with the package under test first on the path; the working directory is the top of the source.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sys
from pathlib import Path

from memslots.cli.main import main

TOP = Path(__file__).parents[1]
FORMS = (
    ("explain",),
    ("explain", "--json", "--evidence"),
    ("explain", "--elsewhere", "--kernel", "5.10/x86_64"),
    ("replay", "--jsonl"),
    ("check",),
    ("map",),
)
REST = (
    ("rules",),
    ("causes",),
    ("kernel", "6.1/arm64"),
    ("diff", "5.10", "6.12/x86_64"),
    ("vectors", "--kernel", "6.1/x86_64"),
    ("accounting", "--host-bits", "32", "--slot-pages", "524272", "--slots", "411"),
)


def examples():
    """Every example that is text, by its path."""
    found = (path for path in sorted((TOP / "examples").rglob("*")) if path.is_file())
    return [
        path.relative_to(TOP).as_posix()
        for path in found
        if path.suffix not in (".xz", ".c", ".py")
    ]


def digest(words):
    """The exit code, and the digest of what a command prints."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main(words)
    text = f"{out.getvalue()}\0{errors.getvalue()}"
    return [code, hashlib.sha256(text.encode()).hexdigest()[:20]]


def outputs():
    """Command line: what it comes to."""
    lines = [(*form, name) for name in examples() for form in FORMS]
    return {" ".join(words): digest(list(words)) for words in (*lines, *REST)}


if __name__ == "__main__":
    json.dump(outputs(), sys.stdout, indent=0)
