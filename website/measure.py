"""How long the playground takes: `python website/measure.py`, after `make site`.

Prints, for a browser with an empty profile and then for the same page, the seconds from opening or
clicking to the explanation and to the last picture; beside them the CPU seconds of the browser.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from browser import Browser, Page, served

SITE = Path(__file__).resolve().parents[1] / "build" / "site"
ROUNDS = 2
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(session: int) -> float:
    """What all processes of a session have used so far."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[3]) == session:
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def clicked(page: Page, at: int, browser: Browser, what: str, begin: float | None = None) -> None:
    """Click an example and print how long it takes."""
    cpu = 0.0 if begin else cpu_seconds(browser.process_id)
    begin = begin or time.monotonic()
    page.until(f"document.querySelectorAll('#examples button').length > {at}")
    page.value(f"document.querySelectorAll('#examples button')[{at}].click()")
    page.until("document.getElementById('answer') && !document.getElementById('answer').hidden")
    first = time.monotonic() - begin
    page.until("document.getElementById('state').textContent === 'done'")
    used = cpu_seconds(browser.process_id) - cpu
    print(f"{what:32} {first:6.2f} s  all {time.monotonic() - begin:6.2f} s  CPU {used:5.2f} s")


def main() -> int:
    """Measure; the exit code."""
    if not (SITE / "playground" / "index.html").exists():
        print(f"no playground in {SITE}: `make site` builds it", file=sys.stderr)
        return 2
    with served(SITE) as (site, _):
        for _ in range(ROUNDS):
            with Browser() as browser:
                begin = time.monotonic()
                page = browser.open(f"{site}playground/index.html")
                clicked(page, 0, browser, "cold: two slots overlap", begin)
                clicked(page, 0, browser, "again")
                clicked(page, 1, browser, "a q35 machine, start to reset")
                clicked(page, 2, browser, "refusals by rule")
    return 0


if __name__ == "__main__":
    sys.exit(main())
