"""The report in a real browser: sliders, deep links, and that hostile text does nothing."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from requires import requires
from strace_lines import EEXIST, MIB, region, vm

from memslots.cli.main import main

TOP = Path(__file__).parents[2]
PATIENCE_SECONDS = 120


def browse(folder, *words):
    """Run the browser without a window; what it prints."""
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1300,1000", *words,
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS,
        env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    return done.stdout


def colours(png):
    """Width, and how many different pieces of 64 bytes a picture has: an empty page has few."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    data, at, width = b"", 8, 0
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        width = struct.unpack(">I", body[:4])[0] if kind == b"IHDR" else width
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    pixels = zlib.decompress(data)
    return width, len({pixels[row : row + 64] for row in range(0, len(pixels), 64)})


@pytest.fixture
def page(tmp_path):
    out = tmp_path / "report.html"
    assert main(["report", "-o", str(out), str(TOP / "examples/refused-overlap.strace")]) == 1
    return out


@requires("chromium")
def test_the_script_makes_sliders_and_follows_links(page, tmp_path):
    dom = browse(tmp_path, "--dump-dom", f"file://{page}#why-5")
    assert re.search(r'<label>VM 1<input type="range" min="0" max="3"></label>', dom)
    assert re.search(r'class="cursor" d="M\d+', dom)
    output = re.search(r"<output>(.*?)</output>", dom)[1]
    assert 'href="#step-5"' in output
    assert "EEXIST" in output


@requires("chromium")
def test_the_page_and_the_picture_are_not_empty(page, tmp_path):
    svg = tmp_path / "map.svg"
    recording = str(TOP / "examples/recordings/qemu72-q35-lifecycle.strace")
    assert main(["map", "--svg", str(svg), recording]) == 0
    for made in (page, svg):
        shot = tmp_path / "shot.png"
        browse(tmp_path, f"--screenshot={shot}", f"file://{made}")
        width, different = colours(shot.read_bytes())
        assert width == 1300
        assert different > 500


@requires("chromium")
def test_hostile_text_does_nothing(tmp_path):
    recording, out = tmp_path / "vmm.strace", tmp_path / "report.html"
    bad = "</script><script>document.title='taken'</script><img src=x onerror=document.title=1>"
    lines = [vm(), region(0, 0, MIB), region(1, 0, MIB, result=EEXIST) + f" {bad}"]
    recording.write_text("\n".join(lines))
    assert main(["report", "--title", bad, "-o", str(out), str(recording)]) == 1
    dom = browse(tmp_path, "--dump-dom", f"file://{out}")
    assert "<title>memslots: &lt;/script&gt;" in dom
    assert "<img" not in dom
