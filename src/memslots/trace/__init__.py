"""Readers: what a VMM did with its memory slots, out of any recording or pasted text.

    from memslots.trace import read, Reading

    reading = Reading()
    for event in read("vmm.strace", reading=reading):
        print(event.call, dict(event.fields), event.result)

`read` takes a path, a list of paths, a directory (`strace -ff`), `-`, a binary
file or bytes, finds the formats from the content and yields one `Event` for each
call, in the order of the recording.  `parse_text` does the same for a string.
What could not be read is counted in a `Reading`, never raised; TraceError is for
what cannot be opened.  Memory does not grow with the size of the recording.
"""

from __future__ import annotations

from .event import Event, Reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .jsonl import event_from_json, event_to_json
    from .reader import parse_text, read

__all__ = ["Event", "Reading", "event_from_json", "event_to_json", "parse_text", "read"]


def __getattr__(name: str) -> object:
    # The readers compile many patterns: they are loaded when first asked for.
    if name in ("read", "parse_text"):
        from . import reader

        return getattr(reader, name)
    if name in ("event_to_json", "event_from_json"):
        from . import jsonl

        return getattr(jsonl, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
