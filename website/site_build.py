"""Builds the site: `python website/site_build.py [--no-playground] [OUT]` (default: build/site).

Local files are all it takes; for the playground also npm, once, or the archive that it fetches.
A broken link or any other warning of Sphinx fails the build.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import site_pages
import site_playground

TOP = site_pages.TOP


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

    work = TOP / "build" / "site-work"
    write_source(work / "source")
    has_playground = with_playground and site_playground.write(out / "playground", work)
    options = ["-b", "html", "-W", "--keep-going", "-q", "-j", "auto"]
    options += ["-c", str(TOP / "website"), "-d", str(work / "doctrees")]
    options += ["-A", f"has_playground={int(has_playground)}" if has_playground else "no=0"]
    return sphinx([*options, str(work / "source"), str(out)])


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
