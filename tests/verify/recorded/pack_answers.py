"""Pack a folder of recorded answers into the archive beside this file.

    python tests/verify/recorded/pack_answers.py FOLDER

The same answers always give the same bytes.
"""

from __future__ import annotations

import os
import sys

from memslots.verify.recorded.pack import pack

ARCHIVE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "answers.tar.xz")

if __name__ == "__main__":
    print(pack(sys.argv[1], ARCHIVE), "files in", ARCHIVE)
