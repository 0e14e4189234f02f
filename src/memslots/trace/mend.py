"""What mailers, browsers, terminals and log shippers do to lines, undone.

Each step leaves a line alone that does not show the damage, so that a clean
recording is never changed.
"""

from __future__ import annotations

import re

from .patterns import lazy

_ANSI = lazy(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)?|[@-Z\\-_])")
_DAMAGE = lazy(
    r"[\x00-\x08\x0b-\x1f\x7f\ufeff\u00a0]|&[a-zA-Z#]|<[a-zA-Z/][^<>]{0,200}>|=3D|=20|=\Z"
    r"|[\u201c\u201d\u2018\u2019\u2212\u2013]"
)
_BREAK = lazy(r"<br ?/?>|</(?:p|div|li|tr|pre|blockquote)>", re.IGNORECASE)
_TAG = lazy(
    r"</?(?:p|pre|code|span|div|tt|b|i|em|strong|font|a|td|tr|th|table|li|ul|ol|blockquote|samp|kbd|h[1-6])"
    r"(?: [^<>]{0,300})?>",
    re.IGNORECASE,
)
_ENTITY = lazy(r"&(lt|gt|amp|quot|apos|nbsp|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'", "nbsp": " "}
_HEX = lazy(r"(?:=[0-9A-F]{2})+")
_QUOTE = lazy(r"^(?:\s{0,3}[>|](?! /| \S{1,200}\(.{0,300}\) \[0x| \[0x) ?){1,16}")
_RECORD = lazy(
    r"ioctl\(|\bKVM_[A-Z0-9_]{3,40} (?:IOCTL )?failed|error (?:un)?registering slot"
    r"|<\.\.\. |^\s*\[pid|^\s*\d{1,10}(?: +[\d:.]+)? +\w+\(|kvm_\w+[: ]|qemu-(?:system|kvm)"
    r"|^\s*strace: |^\s*\+\+\+|^\s*---|^\s*```|^\s*\d+@\d+\.\d+:|^\s*\d{4}-\d\d-\d\d"
    r"|^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d |^\s*\w+\(.*\) += |^(?:Subject|From|Date|To|Cc|On) |^--? ?$"
)
_PLAIN = {0x201C: '"', 0x201D: '"', 0x2018: "'", 0x2019: "'", 0x2212: "-", 0x2013: "-", 0xA0: " ", 0xFEFF: ""}
"""Typographical characters that editors put in place of those of a recording."""
_WORD = lazy(r"\w")
_CONTROL = lazy(r"[\x00-\x08\x0b-\x1f\x7f]")


def damaged(text: str) -> bool:
    """Whether the line shows anything that `split` mends."""
    return _DAMAGE.search(text) is not None


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
    if "=3D" in text or "=20" in text:
        text = _HEX.sub(_octets, text)
    text = _CONTROL.sub(lambda found: "\n" if found.group() in "\r\x0b\x0c" else "", text.translate(_PLAIN))
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


def soft_break(text: str) -> bool:
    """Whether the line ends in quoted-printable's mark for "goes on without a break"."""
    return text.endswith("=") and not text.endswith(" =") and (len(text) >= 60 or "=3D" in text)


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
    glue = "" if inside and _WORD.match(first[-1:]) and _WORD.match(second) else " "
    return f"{first.rstrip()}{glue}{second}"
