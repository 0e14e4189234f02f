"""Builds the site: `python website/site_build.py [--no-playground] [OUT]` (default: build/site).

Local files are all it takes; for the playground also npm, once, or the archive that it fetches.
A broken link or any other warning of Sphinx fails the build.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import site_pages
import site_playground

TOP = site_pages.TOP
CACHE = TOP / "build" / "site-work"
"""Where what npm fetched is kept, and what was compiled."""
_LINK = re.compile(r'\b(?:href|src)="([^"]*)"')
_ID = re.compile(r'\bid="([^"]*)"')
_LOADED = re.compile(
    r'<(?:script|img|iframe|source)\b[^>]*\bsrc="(https?:[^"]*|//[^"]*)"|'
    r'<link\b(?![^>]*rel="(?:canonical|prev|next)")[^>]*href="(https?:[^"]*)"'
)


def write_source(folder: Path) -> None:
    """Write what Sphinx reads: pages, pictures, files that pages link."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in site_pages.pages().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name, file in site_pages.linked_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, path)


def build(out: Path, *, with_playground: bool = True) -> int:
    """Build everything; the exit code of Sphinx."""
    from sphinx.cmd.build import main as sphinx

    work = out.parent / f"{out.name}-work"
    write_source(work / "source")
    has_playground = with_playground and site_playground.write(out / "playground", CACHE)
    options = ["-b", "html", "-W", "--keep-going", "-q", "-j", "auto"]
    options += ["-c", str(TOP / "website"), "-d", str(work / "doctrees")]
    options += ["-A", f"has_playground={int(has_playground)}" if has_playground else "no=0"]
    code = sphinx([*options, str(work / "source"), str(out)])
    broken = list(broken_links(out))
    print("".join(f"{line}\n" for line in broken), end="", file=sys.stderr)
    return code or bool(broken)


def broken_links(out: Path) -> Iterator[str]:
    """Links within the site that lead nowhere, and anything that would be loaded from elsewhere."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(out.rglob("*.html"))}
    ids = {path: set(_ID.findall(text)) for path, text in pages.items()}
    for path, text in pages.items():
        for link in set(_LINK.findall(text)):
            target, _, anchor = unquote(unescape(link)).partition("#")
            target = target.partition("?")[0]
            if re.match(r"(https?|mailto|data):", target):
                continue
            file = (path.parent / target).resolve() if target else path
            if not file.exists() or (anchor and anchor not in ids.get(file, {anchor})):
                yield f"{path.relative_to(out)}: {link} is not there"
        for addresses in _LOADED.findall(text):
            yield f"{path.relative_to(out)}: would load {''.join(addresses)}"


def main(words: list[str]) -> int:
    """The command line; the exit code."""
    with_playground = "--no-playground" not in words
    folders = [word for word in words if word != "--no-playground"]
    if len(folders) > 1 or any(word.startswith("-") for word in folders):
        print("usage: python website/site_build.py [--no-playground] [OUT]", file=sys.stderr)
        return 2
    out = Path(folders[0]).resolve() if folders else TOP / "build" / "site"
    code = build(out, with_playground=with_playground)
    print(f"{out}/index.html" if code == 0 else "the site is not built", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
