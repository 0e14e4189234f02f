"""Packs a folder of recorded answers into one archive.

Plain JSON lines in one xz'd tar, sorted, without dates or owners: the same
answers always give the same bytes.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile


def pack(folder: str, archive: str) -> int:
    """Write the archive; the number of files in it.  Raises OSError."""
    names = sorted(
        name for name in os.listdir(folder) if name.endswith((".jsonl", ".jsonl.gz", ".jsonl.xz"))
    )
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            path = os.path.join(folder, name)
            opener = (
                gzip.open if name.endswith(".gz") else lzma.open if name.endswith(".xz") else open
            )
            with opener(path, "rb") as opened:
                data = opened.read()
            member = tarfile.TarInfo(name.removesuffix(".gz").removesuffix(".xz"))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    packed = lzma.compress(tar_bytes.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    unfinished = f"{archive}.new"
    with open(unfinished, "wb") as out:
        out.write(packed)
    os.replace(unfinished, archive)
    return len(names)
