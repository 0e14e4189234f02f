"""What the tests of the site share: the parts of website/, a playground, servers, a browser."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from requires import REQUIRED

TOP = Path(__file__).parents[2]
sys.path.insert(0, str(TOP / "website"))

import site_playground  # noqa: E402

CACHE = TOP / "build" / "site-work"
"""Where `make site` keeps Pyodide."""


def made_playground(folder):
    """Write the playground; the test is skipped, with the reason, where there is no Pyodide."""
    if site_playground.write(folder, CACHE):
        return folder
    lacks = shutil.which("npm") is None or shutil.which("node") is None
    reason = "npm and node are not installed" if lacks else "npm has no Pyodide here"
    if "npm" in REQUIRED:
        raise RuntimeError(f"MEMSLOTS_REQUIRE: npm: {reason}")
    pytest.skip(reason)
