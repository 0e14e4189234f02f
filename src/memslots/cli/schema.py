"""`memslots schema`: the JSON Schema of what commands print."""

from __future__ import annotations

from ..errors import MemslotsError
from ..views.schemas import schema_names, schema_text
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "The JSON Schema of each JSON output, by the name that its `schema` key has."
EPILOG = """\
examples:
  memslots schema
  memslots schema memslots.explain/1
  memslots schema check

The schemas are of draft 2020-12.  A number after the slash changes when a key goes or changes its
meaning; keys may be added without.
In Python: json.loads(memslots.views.schemas.schema_text("explain"))."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", metavar="SCHEMA", help="memslots.explain/1 or explain")
    parser.add_argument("--json", action="store_true", help="the list as JSON")


def run(options: argparse.Namespace) -> int:
    """List or print; the exit code."""
    if options.name is None:
        names = schema_names()
        if options.json:
            import json

            print(json.dumps({"schema": "memslots.schemas/1", "schemas": names}))
        else:
            print("\n".join(names))
        return FINE
    text = schema_text(options.name)
    if text is None:
        raise MemslotsError(f"no schema {options.name!r}; there are {', '.join(schema_names())}")
    print(text, end="")
    return FINE
