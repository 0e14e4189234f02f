"""The pages of the site: docs/ as it is, README as the front page, and one page for each rule,
cause, finding, kernel and pair of neighbouring releases, from the functions behind `memslots rule`,
`kernel` and `diff`.

A page is Markdown.  Paths are below the root of the site, which is docs/ with a front page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from memslots.compare.difference import difference
from memslots.explain.causes.catalogue import CAUSES
from memslots.explain.finding_kinds import KINDS
from memslots.kernel.distributions import BUILDS
from memslots.kernel.names import find
from memslots.kernel.profile import Profile
from memslots.rules.catalogue import all_rules
from memslots.rules.presence import surveyed
from memslots.views.cause_page import cause_sections
from memslots.views.difference import difference_lines
from memslots.views.findings import finding_page
from memslots.views.kernel_page import kernel_lines

TOP = Path(__file__).resolve().parents[1]
ORPHAN = "---\norphan: true\n---\n\n"
"""Pages that an index links, and the side bar does not list."""

NAVIGATION = {
    "Start": ("tutorial", "install", "cookbook", "explain", "recordings", "failures", "pictures"),
    "Reference": ("rules/index", "findings", "causes", "kernels", "diff/index", "reference"),
    "Before a release": ("check", "ci", "cost", "accounting", "page-total", "change-cost"),
    "Recording and the real KVM": ("recording", "live", "emulate", "farm", "fuzzing"),
    "For programs": ("ask", "vectors", "export", "arrays", "fleet"),
    "How it is made": (
        "design",
        "reading",
        "diagnosis",
        "fuzzing",
        "performance",
        "site",
        "changelog",
    ),
}
"""Side bar; pages of docs/ that stand nowhere here come last."""

_IDS = sorted([*(rule.id for rule in all_rules()), *CAUSES, *KINDS], key=len, reverse=True)
_ID = re.compile(rf"(?<![\w/`-])(?:{'|'.join(map(re.escape, _IDS))})(?![\w`-])")
_LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)\s]+)(\))")


def path_of(page_id: str) -> str:
    """Path of the page of a rule, cause or finding, without its ending: of what `memslots rule`
    prints.
    """
    return f"rules/{page_id}"


def kernel_path(name: str) -> str:
    """`kernels/6.1-x86_64`."""
    return f"kernels/{name.replace('/', '-')}"


def pages() -> dict[str, str]:
    """Every page of the site: path with its ending, Markdown."""
    found = written_pages()
    found |= {f"{path_of(rule.id)}.md": _rule(found, rule.id) for rule in all_rules()}
    found |= {f"{path_of(cause)}.md": _cause(cause) for cause in CAUSES}
    found |= {f"{path_of(kind)}.md": _finding(kind) for kind in KINDS}
    found |= {f"{kernel_path(name)}.md": _kernel(find(name)) for name in kernel_names()}
    found |= dict(_differences())
    found["causes.md"] = _with_links(found["causes.md"], CAUSES)
    found["findings.md"] = _with_links(found["findings.md"], KINDS)
    found["kernels.md"] += _every_kernel()
    found["index.md"] += _navigation(found)
    return found


def written_pages() -> dict[str, str]:
    """What stands in the repository as Markdown, with links as they are on the site."""
    found = {}
    for path in sorted((TOP / "docs").rglob("*.md")):
        name = path.relative_to(TOP / "docs").as_posix()
        found[_moved(name)] = _relinked(path.read_text(encoding="utf-8"), f"docs/{name}")
    for name, moved in (("README.md", "index.md"), ("CHANGELOG.md", "changelog.md")):
        found[moved] = _relinked((TOP / name).read_text(encoding="utf-8"), name)
    for page in _linked_elsewhere():
        found[_on_site(page)] = ORPHAN + _relinked(page.read_text(encoding="utf-8"), _name(page))
    found["reference.md"] = (TOP / "website" / "reference.md").read_text(encoding="utf-8")
    return found


def linked_files() -> dict[str, Path]:
    """Files and pictures that pages link: path on the site, file of the repository."""
    return {_on_site(file): file for file in _targets() if file.suffix != ".md"}


def _linked_elsewhere() -> list[Path]:
    """Pages outside docs/ that pages link."""
    return [
        file
        for file in _targets()
        if file.suffix == ".md" and file.parent != TOP and TOP / "docs" not in file.parents
    ]


def _targets() -> Iterator[Path]:
    """Files of the repository that README and docs/ link; of a folder, its files."""
    for page in [TOP / "README.md", *(TOP / "docs").rglob("*.md")]:
        for _, target, _ in _LINK.findall(page.read_text(encoding="utf-8")):
            path = (page.parent / target.partition("#")[0]).resolve()
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                if file.is_file() and file.is_relative_to(TOP):
                    yield file


def kernel_names() -> list[str]:
    """Every kernel with a page: releases of all architectures, then distributions."""
    built = [f"{name}/{arch}" for name, build in BUILDS.items() for arch in build.arches]
    return [profile.name for profile in surveyed()] + built


def neighbours() -> dict[tuple[str, str], list[tuple[Profile, Profile]]]:
    """(release, the next one): the two kernels of each architecture that has both."""
    by_arch: dict[str, list[Profile]] = {}
    for profile in surveyed():
        by_arch.setdefault(profile.arch.name, []).append(profile)
    found: dict[tuple[str, str], list[tuple[Profile, Profile]]] = {}
    for profiles in by_arch.values():
        for before, after in pairwise(profiles):
            key = str(before.version), str(after.version)
            found.setdefault(key, []).append((before, after))
    return found


def as_markdown(lines: Iterable[str], root: str, level: int = 2) -> str:
    """A page of the terminal as Markdown: what stands at the margin is a heading, what is indented
    an item, what is indented further belongs to the item above it.

    Lists are HTML already: there are tens of thousands of items.  root: the way from the page to
    the root of the site, for links to rules, causes and findings.
    """
    text, items = "", ""

    def closed() -> str:
        return f"```{{raw}} html\n<ul>{items}</ul>\n```\n" if items else ""

    for line in lines:
        body, indent = line.strip(), len(line) - len(line.lstrip())
        if not body:
            continue
        if indent == 0:
            heading = f"{'#' * level} {body}" if not body.endswith(".") else _prose(body, root)
            text += f"{closed()}\n{heading}\n\n"
            items = ""
        elif indent <= 2:
            name, colon, rest = body.partition(": ")
            is_named = colon and " " not in name
            shown = f"<code>{escape(name)}</code>: " if is_named else ""
            items += f"\n<li>{shown}{linked(rest if is_named else body, root)}"
        else:
            items += f"<br>{linked(body, root)}"
    return text + closed()


def linked(text: str, root: str) -> str:
    """Plain text as HTML, with ids of rules, causes and findings as links, `code` as code."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(
        f"<code>{escape(part)}</code>" if at % 2 else _linked(part, root)
        for at, part in enumerate(parts)
    )


def _linked(text: str, root: str) -> str:
    return _ID.sub(
        lambda match: f'<a href="{root}{path_of(match.group())}.html">{match.group()}</a>',
        escape(text, quote=False),
    )


def _prose(text: str, root: str) -> str:
    """A paragraph, as HTML within a page of Markdown."""
    return f"```{{raw}} html\n<p>{linked(text, root)}</p>\n```"


def _rule(found: dict[str, str], rule_id: str) -> str:
    return ORPHAN + found[f"rules/{rule_id}.md"] + f"\n`memslots rule {rule_id}`\n"


def _cause(cause_id: str) -> str:
    parts = [f"## {heading}\n\n{_prose(text, '../')}\n" for heading, text in _sections(cause_id)]
    return f"{ORPHAN}# {cause_id}\n\n" + "\n".join(parts) + f"\n`memslots rule {cause_id}`\n"


def _sections(cause_id: str) -> list[tuple[str, str]]:
    return cause_sections(CAUSES[cause_id])


def _finding(kind_id: str) -> str:
    title, *lines = finding_page(KINDS[kind_id])
    _, _, title = title.partition(": ")
    paragraphs = "\n".join(line.strip() for line in lines).strip().split("\n\n")
    body = "\n".join(_prose(text, "../") for text in [title, *paragraphs])
    return (
        f"{ORPHAN}# {kind_id}\n\n{KINDS[kind_id].severity}\n\n{body}\n\n`memslots rule {kind_id}`\n"
    )


def _kernel(profile: Profile) -> str:
    head, *lines = kernel_lines(profile)
    title, _, what = head.partition(": ")
    return (
        f"{ORPHAN}# {title}\n\n{what}. `memslots kernel {title}` prints this page; "
        f"[all kernels](../kernels.md).\n{as_markdown(lines, '../')}"
    )


def _differences() -> Iterator[tuple[str, str]]:
    """One page for each pair of neighbouring releases, all architectures, and their index."""
    index = (
        "# From release to release\n\nWhat changes between neighbouring releases, by architecture: "
        "facts, limits, rules, and what a program notices.  `memslots diff K1 K2` compares any two "
        "kernels.\n\n"
    )
    for (before, after), pairs in neighbours().items():
        path = f"diff/{before}-{after}"
        title = f"{before} to {after}"
        body, same = "", []
        for old, new in pairs:
            found = difference(old, new)
            if found.is_empty:
                same.append(f"`{old.arch.name}`")
                continue
            _, *lines = difference_lines(found)
            body += (
                f"\n## {old.arch.name}\n\n`memslots diff {old.name} {new.name}`; "
                f"[{old.name}](../{kernel_path(old.name)}.md), "
                f"[{new.name}](../{kernel_path(new.name)}.md)\n" + as_markdown(lines, "../", 3)
            )
        if same:
            body += f"\nNo difference is known on {', '.join(same)}.\n"
        yield f"{path}.md", f"{ORPHAN}# {title}\n{body}"
        changed = len(pairs) - len(same)
        index += f"* [{title}]({before}-{after}.md): {changed} of {len(pairs)} architectures\n"
    yield "diff/index.md", index


def _every_kernel() -> str:
    by_release: dict[str, list[str]] = {}
    for name in kernel_names():
        by_release.setdefault(name.partition("/")[0], []).append(name)
    rows = [
        f"| {release} | "
        + " ".join(f"[{name.partition('/')[2]}]({kernel_path(name)}.md)" for name in names)
        + " |"
        for release, names in by_release.items()
    ]
    return "\n".join(["\n## The page of each kernel\n", "| release | kernels |", "| --- | --- |"]
                     + rows) + "\n"  # fmt: skip


def _with_links(text: str, ids: Iterable[str]) -> str:
    """A table or page of all, with a link from each to its own page."""
    for each in ids:
        text = text.replace(f"\n| {each} |", f"\n| [{each}]({path_of(each)}.md) |")
        text = text.replace(f"\n## {each}\n", f"\n## {each}\n\n[{each}]({path_of(each)}.md)\n")
    return text


def _navigation(found: Iterable[str]) -> str:
    listed = {name for names in NAVIGATION.values() for name in names}
    alone = [name[:-3] for name in found if name.endswith(".md") and "/" not in name]
    rest = [name for name in alone if name not in listed and name != "index"]
    groups = {**NAVIGATION, "More": tuple(rest)} if rest else NAVIGATION
    return "".join(_toctree(caption, names) for caption, names in groups.items())


def _toctree(caption: str, names: Sequence[str]) -> str:
    entries = "\n".join(names)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def _relinked(text: str, page: str) -> str:
    """Links of a page of the repository as they are on the site."""
    folder = Path(page).parent
    up = "../" * (len(Path(_on_site(TOP / page)).parents) - 1)

    def moved(match: re.Match[str]) -> str:
        target, hash_sign, anchor = match[2].partition("#")
        file = (TOP / folder / target).resolve()
        if not target or not file.is_relative_to(TOP):
            return match[0]
        if file.is_dir():  # the site has no lists of folders: its first file
            file = min(each for each in file.iterdir() if each.is_file())
        return f"{match[1]}{up}{_on_site(file)}{hash_sign}{anchor}{match[3]}"

    return _LINK.sub(moved, text)


def _on_site(file: Path) -> str:
    """Where a file of the repository stands on the site."""
    name = _name(file)
    if name in ("README.md", "CHANGELOG.md"):
        return {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}[name]
    return _moved(name.removeprefix("docs/"))


def _name(file: Path) -> str:
    return file.relative_to(TOP).as_posix()


def _moved(name: str) -> str:
    return name[: -len("README.md")] + "index.md" if name.endswith("/README.md") else name
