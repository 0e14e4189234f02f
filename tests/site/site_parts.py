"""What the tests of the site share: the parts of website/, a playground, servers, a browser."""

from __future__ import annotations

import functools
import http.server
import shutil
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from requires import REQUIRED

TOP = Path(__file__).parents[2]
sys.path.insert(0, str(TOP / "website"))

import site_playground  # noqa: E402

CACHE = TOP / "build" / "site-work"
"""Where `make site` keeps Pyodide."""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    def __init__(self, *arguments, asked, **named):
        self._asked = asked
        super().__init__(*arguments, **named)

    def log_message(self, *_):
        self._asked.append(self.path)


@contextmanager
def served(folder):
    """(address of a folder, paths that were asked for)."""
    asked = []
    handler = functools.partial(_Quiet, directory=str(folder), asked=asked)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()


def made_playground(folder):
    """Write the playground; the test is skipped, with the reason, where there is no Pyodide."""
    if site_playground.write(folder, CACHE):
        return folder
    lacks = shutil.which("npm") is None or shutil.which("node") is None
    reason = "npm and node are not installed" if lacks else "npm has no Pyodide here"
    if "npm" in REQUIRED:
        raise RuntimeError(f"MEMSLOTS_REQUIRE: npm: {reason}")
    pytest.skip(reason)
