"""What a command is given as FILE: a layout or a recording, put on one kernel."""

from __future__ import annotations

import os
import re
import sys

from ..errors import TraceError
from ..kernel.names import find
from ..replay.replay import Replay
from ..trace.event import Event
from ..uapi.calls import BESIDE_MEMORY, REGION_CALLS
from .layout.mistake import LayoutError
from .layout.model import Layout
from .layout.parse import layout_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from typing import IO

    from ..kernel.profile import Profile
    from ..replay.step import Step

_LINE = re.compile(r"\(at line (\d+), ")
_LARGEST_LAYOUT_BYTES = 16 << 20


class Recording:
    """A recording as something that can be asked of any kernel: its calls, without what they
    returned.
    """

    __slots__ = ("calls", "kernels", "name", "notes", "source")

    def __init__(self, calls: list[Event], source: str) -> None:
        self.calls = calls
        self.source = source
        self.name = os.path.basename(source)
        self.kernels: list[str] = []
        self.notes: list[str] = []

    def events(self, kernel: Profile | str) -> list[Event]:
        """The calls; the same on every kernel."""
        return self.calls


def load(source: str | os.PathLike[str] | Sequence[str]) -> Layout | Recording:
    """A layout or a recording, from a file or `-`, or from the files of one strace -ff.

    A layout is TOML, JSON, QEMU's `info mtree -f`, libvirt's domain XML or a QEMU command line.

    Raises ValueError or TraceError with the place of what is wrong, OSError for
    a file that cannot be read.
    """
    if not isinstance(source, (str, os.PathLike)):
        return _recording(list(source))
    path = os.fspath(source)
    if os.path.isdir(path):
        return _recording(path)
    if path != "-" and os.path.getsize(path) > _LARGEST_LAYOUT_BYTES:
        return _recording(path)
    data = _bytes(path)
    return _layout(data.decode("utf-8", "replace"), path) or _recording(
        path if os.path.isfile(path) else data, path
    )


def layout_in(source: str | os.PathLike[str]) -> Layout | None:
    """The layout that a file holds; None if it holds a recording or anything else.

    Raises ValueError with the place of what is wrong in a layout.
    """
    path = os.fspath(source)
    if not os.path.isfile(path) or os.path.getsize(path) > _LARGEST_LAYOUT_BYTES:
        return None
    return _layout(_bytes(path).decode("utf-8", "replace"), path)


def _layout(text: str, path: str) -> Layout | None:
    start = text.lstrip()[:1]
    if path.endswith(".toml"):
        return layout_of(_toml(text, path), path, text)
    if start == "{" and _is_one_object(text):
        import json

        return layout_of(json.loads(text), path)
    from .layout.mtree import is_mtree, layout_of_mtree

    if is_mtree(text):
        return layout_of_mtree(text, path)
    if path == "-" and ("[[slot]]" in text):
        return layout_of(_toml(text, path), path, text)
    return _described(text, path)


def _described(text: str, path: str) -> Layout | None:
    """The layout of a machine that the text describes and of which it records no call; None if
    there is none.
    """
    if "<domain" not in text and "-m" not in text:
        return None
    from ..trace import command_line, libvirt_domain

    is_domain = libvirt_domain.is_domain(text)
    if not (is_domain or command_line.is_command_line(text)) or _has_calls(text):
        return None
    read = libvirt_domain.machine_of_domain if is_domain else command_line.machine_of_command_line
    try:
        machine = read(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    from .layout.qemu_machine import layout_of_machine

    return layout_of_machine(machine, path)


def _has_calls(text: str) -> bool:
    """Whether a recording of region calls stands in the text, which is worth more than a
    description.
    """
    from ..trace import parse_text

    return any(
        event.call in REGION_CALLS and event.format != "message" for event in parse_text(text)
    )


def steps_of(source: str | os.PathLike[str], kernel: str | Profile) -> Iterator[Step]:
    """The calls of a layout or recording on a kernel, each with the model's answer."""
    return steps_on(load(source), find(kernel) if isinstance(kernel, str) else kernel)


def steps_on(
    plan: Layout | Recording, profile: Profile, kept_steps: Container[int] = ()
) -> Iterator[Step]:
    """The steps of `replay_of`."""
    return iter(replay_of(plan, profile, kept_steps))


def replay_of(
    plan: Layout | Recording, profile: Profile, kept_steps: Container[int] = ()
) -> Replay:
    """The calls on a kernel, not yet replayed; where the answer depends on the host, it is taken
    for accepted.

    kept_steps: numbers of steps that keep the VM before them.
    """
    return Replay(plan.events(profile), profile, assume_accepted=True, kept_steps=kept_steps)


def _bytes(path: str) -> bytes:
    if path == "-":
        if sys.stdin is None:
            raise TraceError("standard input is closed: name a file")
        return _all_of(sys.stdin.buffer, "standard input")
    with open(path, "rb") as file:
        return _all_of(file, path)


def _all_of(file: IO[bytes], name: str) -> bytes:
    """What a file holds, if that is not too much to be read at once."""
    data = file.read(_LARGEST_LAYOUT_BYTES + 1)
    if len(data) > _LARGEST_LAYOUT_BYTES:
        raise TraceError(
            f"{name}: more than {_LARGEST_LAYOUT_BYTES >> 20} MiB are no layout, and a recording "
            "of that length has to be a file"
        )
    return data


def _is_one_object(text: str) -> bool:
    """Whether it is a layout in JSON, and not a recording of one JSON object a line."""
    import json

    try:
        tables = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(tables, dict) and "slot" in tables and isinstance(tables["slot"], list)


def _toml(text: str, path: str) -> object:
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        place = _LINE.search(str(error))
        raise LayoutError(str(error), path, int(place[1]) if place else 0) from None


def _recording(source: str | bytes | list[str], path: str = "") -> Recording:
    from ..trace import read  # the readers compile many patterns, layouts need none of them
    from ..trace.reader import recording_name

    name = (
        path if path not in ("", "-") else source if isinstance(source, str) else "standard input"
    )
    if isinstance(source, list):
        name = recording_name(source)
    events = list(read(source))
    # an error message repeats a call that another line shows
    if any(event.format != "message" for event in events):
        events = [event for event in events if event.format != "message"]
    calls = [_unanswered(event) for event in events if event.call not in BESIDE_MEMORY]
    if not calls:
        raise TraceError(f"{name}: neither a layout nor a recording of memory calls")
    return Recording(calls, name)


def _unanswered(event: Event) -> Event:
    """The call without its result: what another kernel is asked."""
    return Event(
        event.call, event.fields, None, fd=event.fd, pid=event.pid, source=event.source,
        line=event.line,
        text=event.text, new_fd=event.new_fd, process=event.process, format=event.format,
    )  # fmt: skip
