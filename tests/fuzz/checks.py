"""What must hold of whatever memslots prints."""

from __future__ import annotations

import json
import re
import unicodedata
import xml.dom.minidom
from html.parser import HTMLParser

_HARMFUL = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
"""Unicode's categories of characters that are not shown but do something."""
_TAGS = frozenset(
    re.findall(
        r"\w+",
        "html head meta title style body header h1 h2 h3 h4 p nav a main section div span table "
        "thead tbody tr td th ul ol li pre code details summary button input label svg g rect "
        "text line path polyline polygon circle defs pattern clippath script b i em strong br hr "
        "small select option tspan desc use symbol figure figcaption dl dt dd footer kbd sup sub",
    )
)


class Fault(Exception):  # noqa: N818 (a finding, not an error of the fuzzer)
    """A property that does not hold."""


def printable(text: str, what: str) -> None:
    """Nothing in it that a terminal, a pager or a reader would obey."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return
    for letter in sorted(set(text)):
        if letter not in "\n\t" and unicodedata.category(letter) in _HARMFUL:
            at = text.index(letter)
            raise Fault(f"{what}: prints U+{ord(letter):04X}: {text[max(0, at - 40) : at + 20]!r}")


def is_json(text: str, what: str, *, lines: bool = False) -> object:
    """Strict JSON, as other languages read it; or one value a line."""
    try:
        values = [
            json.loads(each, parse_constant=_no_constant)
            for each in (text.splitlines() if lines else [text])
        ]
    except ValueError as error:
        raise Fault(f"{what}: no JSON: {error}") from None
    return values if lines else values[0]


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not in JSON")


def is_xml(text: str, what: str) -> None:
    """Well-formed XML."""
    try:
        xml.dom.minidom.parseString(text.encode("utf-8", "surrogatepass"))
    except Exception as error:
        raise Fault(f"{what}: no XML: {error}") from None


class _Tags(HTMLParser):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that the report makes, without anything that runs."""
        if tag not in _TAGS or any(name.startswith("on") for name, _ in attrs):
            raise Fault(f"{self.what}: the page has a tag of the input's: {tag} {attrs}")


def is_page(text: str, what: str) -> None:
    """HTML of our own tags only."""
    _Tags(what).feed(text)


def is_markdown(text: str, what: str) -> None:
    """No tag of the input's, but in code."""
    outside = re.sub(r"`[^`\n]*`", "", text)
    if "<" in outside or "![" in outside:
        raise Fault(
            f"{what}: a tag or an image: {outside[max(0, outside.find('<') - 30) :][:90]!r}"
        )


def is_python(text: str, what: str) -> None:
    """A program that compiles."""
    try:
        compile(text, "export", "exec")
    except (SyntaxError, ValueError) as error:
        raise Fault(f"{what}: no Python: {error}") from None
