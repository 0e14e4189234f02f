"""Pack a folder of recorded answers into the archive beside this file.

    python tests/conformance/pack_answers.py FOLDER

Plain JSON lines in one xz'd tar, sorted, without dates or owners: the same
answers always give the same bytes.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import sys
import tarfile

ARCHIVE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "answers.tar.xz")


def pack(folder: str, archive: str = ARCHIVE) -> int:
    """Write the archive; the number of files in it."""
    names = sorted(name for name in os.listdir(folder) if name.endswith((".jsonl", ".jsonl.gz", ".jsonl.xz")))
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            path = os.path.join(folder, name)
            opener = gzip.open if name.endswith(".gz") else lzma.open if name.endswith(".xz") else open
            with opener(path, "rb") as opened:
                data = opened.read()
            member = tarfile.TarInfo(name.removesuffix(".gz").removesuffix(".xz"))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with open(archive, "wb") as out:
        out.write(lzma.compress(tar_bytes.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    return len(names)


if __name__ == "__main__":
    print(pack(*sys.argv[1:2]), "files in", ARCHIVE)
