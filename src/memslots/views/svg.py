"""SVG by hand: escaping, elements, the style of the space-time map."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

RAM, READ_ONLY, LOGGED, GUEST_MEMFD = "ram", "ro", "log", "gmem"
OWN, POSSIBLE, INVALID, REFUSED, UNBACKED, ALIAS = (
    "own", "may", "inv", "refused", "gone", "alias"
)  # fmt: skip
KINDS = {
    RAM: ("slot (RAM)", "#7fb2dd", "#2f6ea8"),
    LOGGED: ("logs dirty pages", "#f2b24b", "#a86f12"),
    READ_ONLY: ("read-only", "#8fc9a3", "#2f7d53"),
    GUEST_MEMFD: ("guest_memfd", "#cfa3d8", "#84509a"),
    OWN: ("KVM's own", "#b9bec5", "#6b7280"),
    POSSIBLE: ("KVM's own, perhaps", "none", "none"),
    INVALID: ("left invalid", "#e7d6c3", "#6b5b49"),
}
"""Class of a life: (what the legend says, fill on light, fill on dark)."""
LEGENDS = {kind: text for kind, (text, _, _) in KINDS.items()} | {
    REFUSED: "refused request",
    UNBACKED: "no slot, a vCPU could see it",
    ALIAS: "same host memory",
}


def escaped(text: object) -> str:
    """Text for XML and HTML, in content and in attributes: nothing in it is markup."""
    plain = _NOT_XML.sub("\ufffd", str(text))
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        plain = plain.replace(sign, name)
    return plain


def rect(
    kind: str, x: float, y: float, width: float, height: float, title: str = ""
) -> str:  # fmt: skip
    """A rectangle of a class, with a title to hover over."""
    head = f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    return f"{head}><title>{escaped(title)}</title></rect>" if title else head + "/>"


def text_at(kind: str, x: float, y: float, text: object) -> str:
    """A text of a class."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escaped(text)}</text>'


def path(kind: str, points: str, title: str = "") -> str:
    """A path of a class."""
    head = f'<path class="{kind}" d="{points}"'
    return f"{head}><title>{escaped(title)}</title></path>" if title else head + "/>"


def _style() -> str:
    light = {
        "paper": "#ffffff", "ink": "#1f2328", "dim": "#6a737d", "edge": "#ffffff",
        "grid": "#e3e6ea", "red": "#d1242f", "line": "#2f6ea8",
    }  # fmt: skip
    dark = {
        "paper": "#14171c", "ink": "#e6e9ed", "dim": "#98a2ad", "edge": "#14171c",
        "grid": "#2b3138", "red": "#ff6b6b", "line": "#7fb2dd",
    }  # fmt: skip
    lines = [
        ".space-time{font:11px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}",
        ".space-time .h{font-size:14px;font-weight:bold}.space-time .e{text-anchor:end}",
        ".space-time .m{text-anchor:middle}.space-time rect{stroke-width:.6}",
        ".space-time .n{text-anchor:middle;font-size:10px;pointer-events:none}",
        ".space-time a{cursor:pointer}.space-time .refused{stroke-width:1.6;fill-opacity:.28}",
        ".space-time .gone{fill:url(#st-hatch)}.space-time .may{stroke-dasharray:3 2}",
        ".space-time .alias{fill:none;stroke-dasharray:1.5 2.5;stroke-width:1.4}",
        ".space-time .run{stroke-dasharray:5 3}.space-time .busy{fill-opacity:.35}",
        ".space-time .area{fill-opacity:.3}.space-time .curve{fill:none;stroke-width:1.2}",
        *_scheme(light, 1),
        "@media (prefers-color-scheme:dark){",
        *_scheme(dark, 2),
        "}",
        "@media print{.space-time .paper{fill:none}}",
    ]
    return "\n".join(lines)


def _scheme(colour: dict[str, str], column: int) -> Iterable[str]:
    ink, dim, red, line = colour["ink"], colour["dim"], colour["red"], colour["line"]
    yield f".space-time .paper{{fill:{colour['paper']}}}.space-time text{{fill:{ink}}}"
    yield f".space-time .d{{fill:{dim}}}.space-time .r{{fill:{red};"
    yield f"stroke:{colour['paper']};stroke-width:3px;paint-order:stroke}}"
    yield f".space-time .grid{{stroke:{colour['grid']};fill:none}}"
    yield f".space-time .run,.space-time .cursor{{stroke:{dim};fill:none}}"
    yield f".space-time .refused{{stroke:{red};fill:{red}}}.space-time .mark{{fill:{red}}}"
    yield f".space-time .gone{{stroke:{red};stroke-opacity:.5}}.space-time .alias{{stroke:{ink}}}"
    yield f".space-time .st-hatch{{stroke:{red};fill:none}}"
    yield f".space-time .area{{fill:{line}}}.space-time .curve{{stroke:{line}}}"
    yield f".space-time .busy{{fill:{ink}}}"
    for kind, fills in KINDS.items():
        edge = dim if kind == POSSIBLE else colour["edge"]
        yield f".space-time .{kind}{{fill:{fills[column]};stroke:{edge}}}"


STYLE = _style()
HATCH = (
    '<pattern id="st-hatch" width="5" height="5" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><path class="st-hatch" d="M0 0V5"/></pattern>'
)


def document(width: float, height: float, parts: Iterable[str], title: str) -> str:
    """A whole SVG file that needs nothing else; within HTML it stands as it is."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="space-time" role="img" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">'
    )
    return "\n".join(
        [
            head,
            f"<title>{escaped(title)}</title>",
            f"<style>{STYLE}</style>",
            f"<defs>{HATCH}</defs>",
            rect("paper", 0, 0, width, height),
            *parts,
            "</svg>",
            "",
        ]
    )
