"""The JSON Schemas of what `--json` prints, as files: `memslots.NAME/1` is NAME.json."""

from __future__ import annotations


def schema_names() -> list[str]:
    """Names as outputs have them in their `schema` key: `memslots.explain/1`."""
    from importlib.resources import files

    return sorted(
        f"memslots.{each.name.removesuffix('.json')}/1"
        for each in files(__name__).iterdir()
        if each.name.endswith(".json")
    )


def schema_text(name: str) -> str | None:
    """The schema as JSON text, by `memslots.explain/1` or `explain`; None if there is none."""
    from importlib.resources import files

    short = name.removeprefix("memslots.").removesuffix("/1")
    if f"memslots.{short}/1" not in schema_names():
        return None
    return (files(__name__) / f"{short}.json").read_text(encoding="utf-8")
