"""`memslots example`: the examples that came with memslots."""

from __future__ import annotations

from ..errors import MemslotsError
from .example_files import example_names, example_path, write_examples
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "The examples that the help of each command names: list them, print one, write them all."
EPILOG = """\
examples:
  memslots example
  memslots example refused-overlap.strace
  memslots example layouts/pc.toml
  memslots example --write DIR

Every command takes `examples/NAME` as a file, whether or not there is such a folder here: with
none, it is the example that came with memslots.
In Python: memslots.cli.example_files.example_path("layouts/pc.toml")."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the example to print")
    parser.add_argument("--write", metavar="DIR", help="write all of them below this folder")
    parser.add_argument("--json", action="store_true", help="the list as JSON")


def run(options: argparse.Namespace) -> int:
    """List, print or write; the exit code."""
    if options.write is not None:
        print("\n".join(write_examples(options.write)))
    elif options.name is not None:
        path = example_path(options.name)
        if path is None:
            raise MemslotsError(f"no example {options.name!r}; `memslots example` lists them")
        with open(path, encoding="utf-8") as file:
            print(file.read(), end="")
    elif options.json:
        import json

        print(json.dumps({"schema": "memslots.examples/1", "examples": example_names()}))
    else:
        print("\n".join(f"examples/{name}" for name in example_names()))
    return FINE
