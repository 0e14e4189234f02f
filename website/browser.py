"""Chromium without a window, driven through the pipe of its DevTools protocol: for tests of the
site and for its screenshots.

    with Browser() as browser:
        page = browser.open("http://127.0.0.1:8000/")
        page.until("document.title")            # the value, as soon as it is true
"""

from __future__ import annotations

import base64
import functools
import http.server
import json
import os
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PROGRAM = "chromium"
_PATIENCE_SECONDS = 120.0


class BrowserError(Exception):
    """The browser refused a command, an expression failed, or nothing came in time."""


class Browser:
    """A browser with a profile of its own; a context manager."""

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        self._folder = tempfile.mkdtemp(prefix="memslots-browser-")
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        command = [
            PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--remote-debugging-pipe", f"--user-data-dir={self._folder}",
            f"--window-size={width},{height}", "about:blank",
        ]  # fmt: skip
        self._program = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(3, 4),
            stderr=subprocess.DEVNULL, env={**os.environ, "HOME": self._folder},
            preexec_fn=_placed(theirs_in, theirs_out), start_new_session=True,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = ours_in, ours_out
        self._rest, self._number = b"", 0
        self.events: list[dict[str, object]] = []
        """What it told without being asked."""

    @property
    def process_id(self) -> int:
        """The browser's process, which leads a session of its own."""
        return self._program.pid

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._program.terminate()
        try:
            self._program.wait(10)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict:
        """One command of the protocol; its result."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            answer = self._read(end)
            if answer.get("id") != self._number:
                self.events.append(answer)
                continue
            if "error" in answer:
                raise BrowserError(f"{method}: {answer['error']}")
            return answer["result"]

    def open(self, url: str) -> Page:
        """A new tab, with the workers that it starts."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call(
            "Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True
        )
        page.call("Page.navigate", url=url)
        return page

    def _read(self, end: float) -> dict:
        """The next message."""
        while b"\0" not in self._rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._in], [], [], left)[0]:
                raise BrowserError("the browser does not answer")
            block = os.read(self._in, 1 << 20)
            if not block:
                raise BrowserError("the browser has ended")
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser = browser
        self.session = session

    def call(self, method: str, **parameters: object) -> dict:
        """One command of the protocol, for this tab."""
        return self.browser.call(method, self.session, **parameters)

    def value(self, expression: str, session: str | None = None) -> object:
        """The value of an expression of JavaScript; a promise is waited for."""
        found = self.browser.call(
            "Runtime.evaluate", session or self.session, expression=expression,
            awaitPromise=True, returnByValue=True,
        )  # fmt: skip
        if "exceptionDetails" in found:
            raise BrowserError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = _PATIENCE_SECONDS) -> object:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while True:
            found = self.value(expression)
            if found:
                return found
            if time.monotonic() > end:
                raise BrowserError(f"not within {seconds} s: {expression}")
            time.sleep(0.02)

    def picture(self, width: int, height: int, *, is_dark: bool = False) -> bytes:
        """What it looks like, as PNG."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        time.sleep(0.5)  # frames are drawn by processes of their own
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def requests(self) -> list[str]:
        """Addresses that it and its workers have asked for."""
        self.value("1")
        return [
            event["params"]["request"]["url"]  # type: ignore[index]
            for event in self.browser.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    def attached(self, kind: str) -> list[str]:
        """Sessions of its workers (`worker`) or of frames with rights of their own (`iframe`)."""
        self.value("1")
        found: list[str] = []
        for event in self.browser.events:
            parameters: dict = event.get("params", {})  # type: ignore[assignment]
            if event.get("method") == "Target.detachedFromTarget":
                found = [each for each in found if each != parameters["sessionId"]]
            elif event.get("method") == "Target.attachedToTarget":
                found += [parameters["sessionId"]] * (parameters["targetInfo"]["type"] == kind)
        return found


def _placed(reads: int, writes: int) -> Callable[[], None]:
    """The browser speaks on descriptors 3 and 4."""

    def place() -> None:
        first, second = os.dup(reads), os.dup(writes)
        os.dup2(first, 3)
        os.dup2(second, 4)

    return place


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    def __init__(self, *arguments: Any, asked: list[str], **named: Any) -> None:
        self._asked = asked
        super().__init__(*arguments, **named)

    def log_message(self, *_: object) -> None:
        """Remember instead of telling."""
        self._asked.append(self.path)


@contextmanager
def served(folder: object) -> Iterator[tuple[str, list[str]]]:
    """(address of a folder on a server of this machine, the paths that were asked for)."""
    asked: list[str] = []
    handler = functools.partial(_Handler, directory=str(folder), asked=asked)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()
