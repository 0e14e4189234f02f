"""Takes the pictures of docs/images again: `python website/screenshots.py`, after `make site`.

Chromium draws them; Pillow keeps them small.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from browser import Browser, Page, served
from PIL import Image

from memslots.cli.main import main as memslots

TOP = Path(__file__).resolve().parents[1]
SITE, IMAGES = TOP / "build" / "site", TOP / "docs" / "images"
RECORDING = "examples/recordings/qemu72-q35-lifecycle.strace"
REFUSED = "examples/refused-overlap.strace"
COLOURS, MOST_BYTES = 256, 150_000


def keep(name: str, png: bytes) -> None:
    """Write a picture with few colours."""
    picture = (
        Image.open(io.BytesIO(png))
        .convert("RGB")
        .quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    path = IMAGES / f"{name}.png"
    picture.save(path, optimize=True)
    nbytes = path.stat().st_size
    print(f"{path.relative_to(TOP)}: {picture.width} x {picture.height}, {nbytes} bytes")
    if nbytes > MOST_BYTES:
        raise ValueError(f"{path} is larger than {MOST_BYTES} bytes")


@contextmanager
def _folder() -> Iterator[Path]:
    """Where the report and the map are made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        memslots(["report", "--title", "two slots overlap", "-o", str(folder / "report.html"),
                  REFUSED])  # fmt: skip
        memslots(["map", "--svg", str(folder / "map.svg"), "--kernel", "7.2/x86_64-smm", RECORDING])
        yield folder


def _explained(page: Page, at: int) -> None:
    page.until("document.querySelectorAll('#examples button').length")
    page.until("document.getElementById('state').textContent === 'ready'")
    page.value(f"document.querySelectorAll('#examples button')[{at}].click()")
    page.until("document.getElementById('state').textContent === 'done'")


def _mapped(page: Page) -> None:
    _explained(page, 1)
    page.value("document.querySelector('[data-tab=map]').click()")


def main() -> int:
    """Take all pictures; the exit code."""
    if not (SITE / "playground" / "index.html").is_file():
        print("screenshots: build the site with its playground first: make site", file=sys.stderr)
        return 2
    IMAGES.mkdir(exist_ok=True)
    os.chdir(TOP)  # the report names the files as they were given
    nothing: Callable[[Page], None] = lambda page: None  # noqa: E731
    with _folder() as folder, served(folder) as (made, _), served(SITE) as (site, _), \
            Browser() as browser:  # fmt: skip
        for name, url, act, width, height, is_dark in (
            ("report", f"{made}report.html", nothing, 1200, 1000, False),
            ("map", f"{made}map.svg", nothing, 1238, 600, True),
            ("site", f"{site}index.html", nothing, 1200, 900, False),
            ("site-diff", f"{site}diff/5.16-5.17.html", nothing, 1200, 900, True),
            ("playground", f"{site}playground/index.html", lambda page: _explained(page, 0), 1140,
             1010, False),
            ("playground-map", f"{site}playground/index.html", _mapped, 1140, 980, False),
        ):  # fmt: skip
            page = browser.open(url)
            page.until("document.readyState === 'complete'")
            act(page)
            keep(name, page.picture(width, height, is_dark=is_dark))
    return 0


if __name__ == "__main__":
    sys.exit(main())
