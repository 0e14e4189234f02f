"""What mailers, browsers, terminals and log shippers do to lines, undone.

Each step leaves a line alone that does not show the damage, so that a clean
recording is never changed.  What looks like damage and may be clean (`=20`, `=3D`
as the beginning of a number) is told by what else the line has.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from .decode import ERRNO
from .error_texts import ERROR_TEXT

_ANSI = lazy(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)?|[@-Z\\-_])")
_DAMAGE = lazy(
    r"[\x00-\x08\x0b-\x1f\x7f\ufeff\u00a0]|&[a-zA-Z#]|<[a-zA-Z/][^<>]{0,200}>|=3D|=\Z"
    r"|[\u201c\u201d\u2018\u2019\u2212\u2013]"
)
_BREAK = lazy(r"<br ?/?>|</(?:p|div|li|tr|pre|blockquote)>", re.IGNORECASE)
_TAG = lazy(
    r"</?(?:p|pre|code|span|div|tt|b|i|em|strong|font|a|td|tr|th|table|li|ul|ol|blockquote|samp"
    r"|kbd|h[1-6])"
    r"(?: [^<>]{0,300})?>",
    re.IGNORECASE,
)
_ENTITY = lazy(r"&(lt|gt|amp|quot|apos|nbsp|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'", "nbsp": " "}
_HEX = lazy(r"(?:=[0-9A-F]{2})+")
_BARE = lazy(r"=(?![0-9A-F]{2}|\Z)")
"""An equals sign as quoted-printable cannot have it: there each stands as `=3D`."""
_NUMBERS = r"slot|flags|memory_size|errno|ret|rc|pid|tid|fd|size"
_ENCODED = lazy(rf"=3D(?:0x|(?![0-9A-Fa-f]))|\b(?:{_NUMBERS})=3D\d")
"""An encoded equals sign where no number can begin with 3D: hexadecimal ones begin with 0x, these
names have decimal ones."""
_ENCODED_AMONG_OTHERS = lazy(r"=3D0x| =3D(?: |\Z)")
"""The same where other equals signs of the line are bare, as when somebody has mended half of
it.
"""
_VALUE = lazy(r"\s*(?:-?\d|KVM_|NULL)")
_NAME_AT_END = lazy(
    r"\b\w*(?:slot|flags|addr|size|start|gpa|ua|hva|ret|fd|errno|offset|Slot|len) ?=\Z"
)
_QUOTE = lazy(r"^(?:\s{0,3}[>|](?!(?:KVM|MAP|PROT)_| /| \S{1,200}\(.{0,300}\) \[0x| \[0x) ?){1,16}")
_RECORD = lazy(
    r"ioctl[($]|\bsyscall\(|\*\(uint|\bKVM_[A-Z0-9_]{3,40} (?:IOCTL )?failed|error"
    r" (?:un)?registering slot"
    r"|<\.\.\. |^\s*\[pid|^\s*\d{1,10}(?: +[\d:.]+)? +\w+\(|kvm_\w+[: ]|qemu-(?:system|kvm)"
    r"|^\s*strace: |^\s*\+\+\+|^\s*---|^\s*```|^\s*\d+@\d+\.\d+:|^\s*\d{4}-\d\d-\d\d"
    r"|^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d |^\s*\w+\(.*\) += |^(?:Subject|From|Date|To|Cc|On) "
    r"|^--? ?$"
)
_PLAIN = {
    0x201C: '"',
    0x201D: '"',
    0x2018: "'",
    0x2019: "'",
    0x2212: "-",
    0x2013: "-",
    0xA0: " ",
    0xFEFF: "",
}
"""Typographical characters that editors put in place of those of a recording."""
NARROWEST = 40
"""Characters of a line that a terminal may have wrapped."""
_MAY_GO_ON = lazy(r"(?:KVM_?\w*:?\s*(?:f[aile]{0,4})?|kvm_?\w*:?\s*|(?:ret=|= )-?\d*)\Z", re.ASCII)
_WITHIN = lazy(r"[\w|]")
_CUT_RESULT = lazy(r"\) += -\Z")
_NUMBER_AT_END = lazy(r"[=#](?:0x[0-9a-fA-F]*|-?\d*)\Z")
_REST_OF_NUMBER = lazy(r"(?:x?[0-9a-f]{1,16})(?=[,:\s)]|\Z)")
"""No value is followed by another number: what looks so is the rest of it."""
_BEGUN_NAME = lazy(r"[A-Za-z_0-9]+\Z", re.ASCII)
_REST_OF_NAME = lazy(r"[A-Za-z_0-9]+", re.ASCII)
_CALL_AT_END = lazy(r"(?:\bKVM_[A-Z0-9_]{3,40}|\bkvm_set_user_memory):?\s*\Z")
_REST_OF_MESSAGE = lazy(
    r"(?i:ioctl )?failed\b|(?:AddrSpace|Slot)#|:? ?(?:Invalid|File|Cannot|Bad|Input|No"
    r"|Inappropriate)\b"
)
_LAST_NUMBER = lazy(r"(?:ret=|\) += )-?\d+\Z")
_ONLY_DIGITS = lazy(r"\s{0,4}\d{1,9}\s*\Z")
_FAILED = frozenset(("failed",))
_RECORD_NAMES = frozenset((
    "kvm_set_user_memory", "kvm_set_user_memory_region", "kvm_set_phys_mem", "kvm_vcpu_ioctl",
    "kvm_vm_ioctl",
    "kvm_run_exit", "KVM_SET_USER_MEMORY_REGION", "KVM_SET_USER_MEMORY_REGION2",
))  # fmt: skip
_NAMES = frozenset((
    *_RECORD_NAMES, "Slot", "AddrSpace", "flags", "gpa", "size", "ua", "ret", "slot", "start",
    "failed", "guest_memfd",
    "guest_memfd_offset", "memory_size", "userspace_addr", "guest_phys_addr", "hva", "errno",
    *ERRNO, *(word for text in ERROR_TEXT for word in (*text.split(), *text.capitalize().split())),
))  # fmt: skip
"""Words that a message of a region call may have cut in two."""
_CONTROL = lazy(r"[\x00-\x08\x0b-\x1f\x7f]")


def damaged(text: str) -> bool:
    """Whether the line shows anything that `split` mends."""
    if (
        text.isascii()
        and text.isprintable()
        and not ("&" in text or "=3D" in text or text.endswith("="))
        and ("<" not in text or "<" not in _without_labels(text))
    ):
        return False
    return _DAMAGE.search(text) is not None


def _without_labels(text: str) -> str:
    """The text without the beginnings of what strace -y says of descriptors, which are no tags."""
    return text.replace("</dev/", "").replace("<anon_inode:", "").replace("<pipe:", "")


def split(text: str) -> list[str]:
    """The line mended: colours, tags, entities, quoted-printable; several if it held breaks."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "<" in text:
        text = _TAG.sub("", _BREAK.sub("\n", text))
    if "&" in text:
        text = _ENTITY.sub(_entity, text)
        if "&" in text:  # mailing-list archives escape twice
            text = _ENTITY.sub(_entity, text)
        if "<br" in text:
            text = _BREAK.sub("\n", text)
    if "=3D" in text:
        text = _decoded(text)
    text = _CONTROL.sub(
        lambda found: "\n" if found.group() in "\r\x0b\x0c" else "", text.translate(_PLAIN)
    )
    parts = [part for part in text.split("\n") if part.strip()]
    return parts or [""]


def _entity(found: re.Match[str]) -> str:
    name = found.group(1)
    if name[0] != "#":
        return _ENTITIES[name]
    number = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "?"


def _octets(found: re.Match[str]) -> str:
    return bytes.fromhex(found.group().replace("=", "")).decode("utf-8", "replace")


def _decoded(text: str) -> str:
    """A line of quoted-printable in plain; a line that a recording may have as it is stays so."""
    if _BARE.search(text) is None:
        return _HEX.sub(_octets, text) if _ENCODED.search(text) else text
    return text.replace("=3D", "=") if _ENCODED_AMONG_OTHERS.search(text) else text


def soft_break(text: str, following: str) -> bool:
    """Whether the line ends in quoted-printable's mark for "goes on without a break".

    A clean line may end in an equals sign where a terminal wrapped it: then its other equals signs
    are bare, or it ends in a name whose value begins the next line.
    """
    if not text.endswith("="):
        return False
    if _ENCODED.search(text[:-1]) and (
        _BARE.search(text) is None or _ENCODED_AMONG_OTHERS.search(text)
    ):
        return True
    if len(text) < 60 or text.endswith(") =") or _BARE.search(text):
        return False
    return _NAME_AT_END.search(text) is None or _VALUE.match(following) is None


def unquoted(text: str) -> str:
    """The line without marks of mail quoting (`> `, `| `); a stack line of strace keeps its own."""
    return _QUOTE.sub("", text) if ">" in text[:12] or "|" in text[:12] else text


def begins_record(text: str) -> bool:
    """Whether this line starts something new, and is not the rest of a wrapped one."""
    return _RECORD.search(text) is not None


def join(first: str, second: str) -> str:
    """Two halves of a wrapped line of a recording.

    Mailers break at spaces, terminals in the middle of a word.  Inside an argument
    list words never follow each other with a space only.
    """
    second = second.strip()
    inside = first.rfind("(") > first.rfind(")")
    is_cut = inside and _WITHIN.match(first[-1:]) and _WITHIN.match(second)
    if (
        is_cut
        or _CUT_RESULT.search(first[-40:])
        or _cut_name(first, second, _NAMES)
        or _last_digits(first, second)
    ):
        return first.rstrip() + second
    return f"{first.rstrip()} {second}"


def join_message(first: str, second: str) -> str:
    """Two halves of a wrapped message: without a space where a number or a known word was cut in
    two.
    """
    first, second = first.rstrip(), second.strip()
    return f"{first}{'' if _is_cut(first, second) else ' '}{second}"


def may_go_on(text: str) -> bool:
    """Whether a line ends as those do of which `with_rest` finds the rest; cheap."""
    return len(text) >= NARROWEST and _MAY_GO_ON.search(text[-60:]) is not None


def with_rest(first: str, second: str) -> str | None:
    """Both lines as one, where the first ends within what begins a record, or within its last
    number.
    """
    second = second.strip()
    if _cut_name(first, second, _RECORD_NAMES) or _last_digits(first, second):
        return first + second
    if _CALL_AT_END.search(first[-60:]) and _REST_OF_MESSAGE.match(second):
        return f"{first} {second}"
    begun = _BEGUN_NAME.search(first[-6:])
    if (
        begun
        and _cut_name(first, second, _FAILED)
        and _CALL_AT_END.search(first[-60 : -len(begun.group())])
    ):
        return first + second
    return None


def _last_digits(first: str, second: str) -> bool:
    return _LAST_NUMBER.search(first[-40:]) is not None and _ONLY_DIGITS.match(second) is not None


def _is_cut(first: str, second: str) -> bool:
    if _NUMBER_AT_END.search(first) and _REST_OF_NUMBER.match(second):
        return True
    return (
        first.endswith(("=", "#"))
        or second.startswith(("=", "#"))
        or _cut_name(first, second, _NAMES)
    )


def _cut_name(first: str, second: str, names: frozenset[str]) -> bool:
    begun, rest = _BEGUN_NAME.search(first[-40:]), _REST_OF_NAME.match(second)
    if begun is None or rest is None or begun.group() in names:
        return False
    return begun.group() + rest.group() in names
