"""Sphinx's settings for the site.  `python website/site_build.py` runs it; see docs/site.md."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from pathlib import Path

from sphinx.search.en import SearchEnglish

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "src"))

from memslots import __version__  # noqa: E402

SearchEnglish.stem = lru_cache(1 << 16)(SearchEnglish.stem)  # the same words on hundreds of pages

project = "memslots"
version = release = __version__
copyright = "memslots developers, MIT licence"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
smartquotes = False
nitpicky = True
# types in signatures: names of Python and of modules without a page of their own
nitpick_ignore_regex = [("py:.*", ".*")]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
add_module_names = False
default_role = "code"

html_theme = "furo"
html_title = "memslots"
html_static_path = ["static"]
html_css_files = ["site.css"]
templates_path = ["templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/playground.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def _plain_text(_app, _what, _name, _of, _options, lines) -> None:  # type: ignore[no-untyped-def]
    """Docstrings here are plain English: parameters as `name: text`, code in backticks."""
    done: list[str] = []
    for paragraph in "\n".join(lines).split("\n\n"):
        own = paragraph.split("\n")
        if all(line.startswith("    ") for line in own):
            done += ["::", "", *own, ""]
            continue
        items: list[str] = []
        for line in own:
            if items and (line.startswith(" ") or not _PARAMETER.match(line)):
                items[-1] += f" {line.strip()}"
            else:
                items.append(line.strip())
        for item in items:
            named = _PARAMETER.match(item)
            text = item[named.end() :] if named else item
            text = _CODE.sub(r"``\1``", re.sub(r"([*|\\]|_\b)", r"\\\1", text))
            done += [f"* **{named[1]}**: {text}" if named else text, ""]
    lines[:] = done


_PARAMETER = re.compile(r"([a-z]\w*): (?=\S)")
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def _not_our_mapping(_app, _what, _name, _of, _options, *signature):  # type: ignore[no-untyped-def]
    """`Mapping[...]` is Python's; ours, a piece of memory, takes no types."""
    return tuple(
        text and re.sub(r"\bMapping\[", "collections.abc.Mapping[", text) for text in signature
    )


def setup(app) -> None:  # type: ignore[no-untyped-def]
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _plain_text)
    app.connect("autodoc-process-signature", _not_our_mapping)
