"""The JSON Schemas of what `--json` prints, as files: `memslots.NAME/1` is NAME.json."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def schema_names() -> list[str]:
    """Names as outputs have them in their `schema` key: `memslots.explain/1`."""
    return sorted(
        f"memslots.{each.name.removesuffix('.json')}/1"
        for each in _folder().iterdir()
        if each.name.endswith(".json")
    )


def schema_text(name: str) -> str | None:
    """The schema as JSON text, by `memslots.explain/1` or `explain`; None if there is none."""
    short = name.removeprefix("memslots.").removesuffix("/1")
    if f"memslots.{short}/1" not in schema_names():
        return None
    return (_folder() / f"{short}.json").read_text(encoding="utf-8")


def _folder() -> Traversable:
    from importlib.resources import files

    return files("memslots") / "schemas"
