"""All benchmarks, one after the other; each prints ratios of one run against a named peer."""

from __future__ import annotations

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
HELPERS = {"run.py", "mixed.py", "mixtures.py"}


def main() -> int:
    failed = 0
    for name in sorted(os.listdir(HERE)):
        if name.endswith(".py") and name not in HELPERS:
            print(f"== {name}", flush=True)
            failed |= subprocess.run(
                [sys.executable, os.path.join(HERE, name), *sys.argv[1:]], check=False
            ).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
