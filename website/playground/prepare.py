"""Loads all that a page may ever import, before its memory is kept: `snapshot.mjs` runs it."""

import gc
import importlib
import sys
from pathlib import Path

sys.path.insert(0, "/memslots")
for name in Path("/memslots/modules.txt").read_text(encoding="utf-8").split():
    try:
        importlib.import_module(name)
    except ImportError:  # what Pyodide does not have, no command of the page asks for
        continue
terminal = sys.modules["terminal"]
terminal.kernels()
terminal.exit_codes()
for words in (["explain", "-"], ["map", "--svg=-", "-"], ["report", "-"]):
    terminal.run(words, b"KVM_SET_USER_MEMORY_REGION failed: File exists\n")
gc.collect()
