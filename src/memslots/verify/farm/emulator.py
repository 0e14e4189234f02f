"""QEMU with one value of its processors changed, for hosts that it does not offer.

A processor's identification register is a constant in the program.  The changed copy lies in the
cache; the program that is installed stays as it is.
"""

from __future__ import annotations

import hashlib
import os

from ...errors import DeviceUnavailableError
from .kernels import cache_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kernels import Changed


def changed_program(program: str, change: Changed) -> str:
    """The path of a copy of the program with the value changed wherever it stands.

    Raises DeviceUnavailableError if this build of the program does not hold it.
    """
    with open(program, "rb") as file:
        data = file.read()
    old, new = (value.to_bytes(8, "little") for value in (change.old, change.new))
    if old not in data:
        raise DeviceUnavailableError(
            f"{program} holds no {change.register} of {change.old:#x}: not the build it was"
        )
    version = hashlib.sha256(data).hexdigest()[:12]
    copy = os.path.join(
        cache_folder(), "bin", f"{os.path.basename(program)}-{change.new:x}-{version}"
    )
    if not os.path.exists(copy):
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        unfinished = f"{copy}.{os.getpid()}"
        with open(unfinished, "wb") as file:
            file.write(data.replace(old, new))
        os.chmod(unfinished, 0o755)
        os.replace(unfinished, copy)
    return copy
