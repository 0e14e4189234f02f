"""`python -m memslots`."""

from __future__ import annotations

import sys

from .cli.main import program

sys.exit(program())
