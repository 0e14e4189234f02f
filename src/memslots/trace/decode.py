"""Words of recordings and their numbers: errnos, flags, request codes, protections.

Facts of Linux' user-space headers (generic numbers) and of the C libraries' error
texts.  Nothing here raises: what cannot be understood is None.
"""

from __future__ import annotations

import re

from ..errnos import NUMBERS
from ..patterns import lazy
from ..uapi.calls import CALLS, REGION_CALLS, REQUEST_CODES
from ..uapi.capabilities import CAPS
from ..uapi.flags import FLAGS_BY_NAME
from .error_texts import ERROR_TEXT

U64_MAX = (1 << 64) - 1

ERRNO = {
    **NUMBERS,
    # the kernel keeps these for itself; a tracer sees them
    "ENOTSUPP": 524, "ERESTARTSYS": 512, "ERESTARTNOINTR": 513, "ERESTARTNOHAND": 514,
    "ERESTART_RESTARTBLOCK": 516,
}  # fmt: skip

RUST_KINDS = {
    "AlreadyExists": 17, "InvalidInput": 22, "NotFound": 2, "PermissionDenied": 13,
    "OutOfMemory": 12,
    "ResourceBusy": 16, "StorageFull": 28, "WouldBlock": 11, "Interrupted": 4, "Unsupported": 95,
}  # fmt: skip
"""std::io::ErrorKind, used where no number stands beside it."""

PROT = {"PROT_NONE": 0, "PROT_READ": 1, "PROT_WRITE": 2, "PROT_EXEC": 4, "PROT_SEM": 8,
        "PROT_GROWSDOWN": 1 << 24, "PROT_GROWSUP": 1 << 25}  # fmt: skip

MAP = {
    "MAP_FILE": 0, "MAP_SHARED": 1, "MAP_PRIVATE": 2, "MAP_SHARED_VALIDATE": 3, "MAP_FIXED": 0x10,
    "MAP_ANONYMOUS": 0x20, "MAP_ANON": 0x20, "MAP_32BIT": 0x40, "MAP_GROWSDOWN": 0x100,
    "MAP_DENYWRITE": 0x800, "MAP_LOCKED": 0x2000, "MAP_NORESERVE": 0x4000, "MAP_POPULATE": 0x8000,
    "MAP_NONBLOCK": 0x10000, "MAP_STACK": 0x20000, "MAP_HUGETLB": 0x40000, "MAP_SYNC": 0x80000,
    "MAP_FIXED_NOREPLACE": 0x100000,
}  # fmt: skip

CLONE = {
    "CLONE_VM": 0x100, "CLONE_FS": 0x200, "CLONE_FILES": 0x400, "CLONE_SIGHAND": 0x800,
    "CLONE_VFORK": 0x4000, "CLONE_PARENT": 0x8000, "CLONE_THREAD": 0x10000,
}  # fmt: skip

LOOKALIKES = {
    0xAEBB: "KVM_MEMORY_ENCRYPT_REG_REGION",
    0xAEBA: "KVM_MEMORY_ENCRYPT_OP", 0xAE67: "KVM_REGISTER_COALESCED_MMIO",
    0x3B71: "VFIO_IOMMU_MAP_DMA", 0x3B72: "VFIO_IOMMU_UNMAP_DMA", 0x3B85: "IOMMU_IOAS_MAP",
    0xAF03: "VHOST_SET_MEM_TABLE",
}  # fmt: skip
"""Request code (type and number): calls that are not about slots, though their failures
look like it.  They become events only when they fail."""
LOOKALIKE_NAMES = frozenset(LOOKALIKES.values())
REQUESTS = LOOKALIKE_NAMES | frozenset(CALLS)
"""Names of requests that are known."""

_ANY_SIZE = frozenset(
    code
    for code, call in REQUEST_CODES.items()
    if call.name in (*REGION_CALLS, "KVM_SET_MEMORY_REGION")
)
"""Region calls keep their name with a wrong structure size: the size is then the finding."""

_NUMBER = lazy(r"[+-]?(?:0[xX][0-9a-fA-F]{1,32}|\d{1,39})")
ERRNO_NUMBER = (
    r"\bos error (\d{1,3})\b|\bcode: (\d{1,3})\b"
    r"|\b(?:sys|os)?(?:error|errno|error::new)\((\d{1,3})\)"
    r"|\b(?:ret|retval|result|rc|return(?:s|ed)?|errno|error|returning|err|code|with|status"
    r"|fail(?:ed|ure|s)?)\b[\s:=(]{1,6}-(?!1\b)(\d{1,3})\b"
    r"|\berrno\b(?: is| was| of)?[\s:=(]{0,8}(\d{1,3})\b"
    r"|(?:[\s)]=|->) ?-(?!1\b)(\d{1,3})\b(?! ?e[a-z0-9]{2,})"
    r"|\bbroken: -(\d{1,3})\b|\berror \(?(\d{1,3})\)"
)
"""An errno as a number, in letters of any case: in which words programs give it.  -1 is none."""
_ERRNO_HERE = lazy(ERRNO_NUMBER, re.IGNORECASE)
_NAME_HERE = lazy(r"(?<![A-Z0-9_])(E(?:2BIG|[A-Z]{2,}(?:_[A-Z]+)?))(?![A-Z0-9_])")
_KIND_HERE = lazy(r"\bkind: ([A-Z][A-Za-z]+)|\bErrorKind::([A-Z][A-Za-z]+)")
_TEXT_HERE = lazy(
    r"(?<![a-z])(?:"
    + "|".join(sorted(map(re.escape, ERROR_TEXT), key=len, reverse=True))
    + r")(?![a-z])",
    re.IGNORECASE,
)


def integer(text: str) -> int | None:
    """A decimal or hexadecimal number that fits 64 bits, signed or not; else None."""
    text = text.strip()
    if len(text) < 20 and text.isdecimal() and text.isascii():
        return int(text)
    if text[:2] == "0x" and len(text) <= 18 and text.isalnum() and text.isascii():
        try:
            return int(text, 16)
        except ValueError:
            return None
    if not _NUMBER.fullmatch(text):
        return 0 if text in ("NULL", "(nil)") else None
    digits = text.lstrip("+-")
    value = int(digits, 16) if digits[:2] in ("0x", "0X") else int(digits)
    if value > U64_MAX:
        return None
    return -value if text[0] == "-" else value


def bits(text: str, table: dict[str, int]) -> int | None:
    """Flags as names and numbers joined with `|`; comments and `<<` are understood."""
    if "/*" in text:
        text = re.sub(r"/\*.{0,200}?(?:\*/|$)", "", text)
    total = 0
    for part in text.split("|"):
        part = part.strip()
        value = table.get(part)
        if value is None:
            left, shift, right = part.partition("<<")
            value = integer(left)
            amount = integer(right) if shift else 0
            if value is None or amount is None or not 0 <= amount < 64:
                return None
            value <<= amount
        if value < 0:
            return None
        total |= value
    return total if total <= U64_MAX else None


def flags(text: str) -> int | None:
    """Flags of the memory calls: `KVM_MEM_READONLY|0x8 /* KVM_MEM_??? */` is 0xa."""
    text = text.strip()
    return integer(text) if text.isdigit() else bits(text, FLAGS_BY_NAME)


def capability(text: str) -> int | None:
    """A capability's number, by name, number, or number with the name in a comment."""
    if "/*" in text:
        text = text[: text.index("/*")]
    text = text.strip()
    number = CAPS.get(text)
    return number if number is not None else integer(text)


def request_name(code: int) -> str | None:
    """The name of an ioctl request number of any architecture, if it concerns memory."""
    call = REQUEST_CODES.get(code & 0xFFFF)
    if call is None:
        return LOOKALIKES.get(code & 0xFFFF) if code <= 0xFFFFFFFF else None
    # The size has 14 bits; on powerpc and mips 13, with a direction bit above them.
    size = code >> 16 & 0x1FFF
    if code <= 0xFFFFFFFF and (size == call.argument_bytes or code & 0xFFFF in _ANY_SIZE):
        return call.name
    return None


def errno_in(text: str) -> int | None:
    """The first errno (positive) that a text names, by number, name, kind or sentence."""
    found = _ERRNO_HERE.search(text)
    if found:
        number = int(next(group for group in found.groups() if group))
        if 0 < number < 600:
            return number
    for name in _NAME_HERE.findall(text):
        if name in ERRNO:
            return ERRNO[name]
    found = _TEXT_HERE.search(text)
    if found:
        return ERROR_TEXT[found.group().lower()]
    kind = _KIND_HERE.search(text)
    return RUST_KINDS.get(kind.group(1) or kind.group(2)) if kind else None


def result_in(text: str) -> int | None:
    """What follows ` = `: `8`, `0x8`, `-1 EEXIST (File exists)`, `-EEXIST`, `-17`, `?`."""
    text = text.strip()
    found = _NUMBER.match(text)
    if not found:
        name = _NAME_HERE.match(text.lstrip("-?").strip())
        return -ERRNO[name.group(1)] if name and name.group(1) in ERRNO else None
    value = integer(found.group())
    if value is not None and value > U64_MAX - 4095:  # undecoded: an errno as an unsigned number
        return value - U64_MAX - 1
    if value == -1:
        # The number alone would be EPERM: -1 is strace's way of announcing an errno.
        number = errno_in(text[found.end() : found.end() + 200])
        return -number if number else -1
    return value
