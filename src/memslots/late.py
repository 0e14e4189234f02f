"""What is loaded when it is first asked for.

The package has some three hundred files and an answer needs a third of them; loading one takes
longer than most answers.  So a file imports at its top what each of its answers needs, and
within a function what only that one needs.  Where a table names one function or class of many, it
has them by their places, and `load` gives the object.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@cache
def load(place: str) -> Any:
    """The object at a place in this package: `rules.create_vm:decide`."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"memslots.{module}"), name)
