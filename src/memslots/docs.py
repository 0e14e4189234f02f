"""Writes the generated pages: `python -m memslots.docs [DIR]`, from the root of the repository.

docs/rules/ID.md and docs/rules/README.md come from the rules, docs/kernels.md from the history,
docs/findings.md from the findings, docs/causes.md from the causes.  `--check` writes nothing and
exits with 1 if a page is stale.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_KERNELS_INTRODUCTION = """\
# Kernels

`memslots kernels` lists them, `memslots kernel K` says what one does and how that is known,
`memslots diff K1 K2` what changes between two. `K` is `6.1/x86_64`, `5.10/i386`, `6.12/arm64+16k`,
or a distribution's name where its kernel was asked; `+name`, `-name` and `+name=value` add and take
away facts and options, because distributions carry changes back. A release without a point release
stands for the newest one of its branch. What `uname -r` says is a name too (`6.12.38+deb13-amd64`,
`6.5.6-300.fc39.x86_64`, `6.1.0-18-amd64`); where it leaves open what decides, the error says what
that is and which names to take.

Each fact says how it is known: by which commit, with the stable releases in which it came; by which
source that was read, and in whose tree if it was a distribution's; by which recorded answers. Where
nobody looked at the releases between one without and one with a fact, `memslots kernel` says so,
and a call that needs the fact is undetermined: name the point release, or state `+fact` or `-fact`.
`python -m memslots.verify.farm dates` reads the stable releases off the changelogs of Debian again
(see [farm](farm.md)). `--json` prints `memslots.kernels/1` (releases by architecture,
distributions), `memslots.kernel/1` (one kernel: limits, facts and options with provenance, rules,
answers to the probes) and `memslots.diff/1` (facts, limits, options, rules, probes with two
values).

"""


_CAUSES_INTRODUCTION = """\
# Causes

What can be behind a failure of a VM's memory and is no [rule](rules/README.md) of the memory-slot
layer. `memslots causes` lists them, `memslots rule ID` shows the page of one, `memslots explain`
names those that a paste speaks for. How often that is right: [diagnosis](diagnosis.md).

A cause is data in one place, in the file of its chapter below `src/memslots/explain/causes/`: its
text, the calls and errnos with which it shows (`KVM_RUN:EFAULT`), and signs: words in lower case,
without punctuation, `; ` between one sign and the next, ` .. ` where other words may stand in
between, `~` for any ending; an errno is written as its name, however the paste has it. `names`
make it a candidate, `supports` make it likelier, `against` less likely. To add a spelling, add a
sign; to add a cause, add it to its chapter and give it a case below `tests/diagnosis/cases`: what
was pasted, the verdict, and why. What a text says for a rule stands in
`src/memslots/explain/rule_signs.py`. `python tests/diagnosis/score.py` shows what has changed.
"""


def pages() -> dict[str, str]:
    """Every generated page: path below docs/, text."""
    from .explain.causes.catalogue import CHAPTERS
    from .rules.catalogue import all_rules
    from .views.cause_page import catalogue_markdown
    from .views.findings import findings_markdown
    from .views.kernel_page import kernels_markdown
    from .views.rule_page import index_markdown, rule_markdown

    found = {f"rules/{rule.id}.md": rule_markdown(rule) for rule in all_rules()}
    found["rules/README.md"] = index_markdown()
    found["kernels.md"] = _KERNELS_INTRODUCTION + kernels_markdown()
    found["findings.md"] = findings_markdown()
    found["causes.md"] = _CAUSES_INTRODUCTION + "\n".join(catalogue_markdown(CHAPTERS)) + "\n"
    return found


def stale(folder: str) -> list[str]:
    """Paths of pages that differ from what would be written, or are there without a rule."""
    wanted = pages()
    found = [path for path, text in wanted.items() if _read(os.path.join(folder, path)) != text]
    rules = os.path.join(folder, "rules")
    there = os.listdir(rules) if os.path.isdir(rules) else []
    return found + [f"rules/{name}" for name in there if f"rules/{name}" not in wanted]


def write(folder: str) -> list[str]:
    """Write the pages that are stale and remove those without a rule; their paths."""
    wanted, changed = pages(), stale(folder)
    for path in changed:
        full = os.path.join(folder, path)
        if path not in wanted:
            os.remove(full)
            continue
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(wanted[path])
    return changed


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def main(words: Sequence[str]) -> int:
    """The command line; the exit code."""
    folders = [word for word in words if word != "--check"]
    if len(folders) > 1 or any(word.startswith("-") for word in folders):
        print("usage: python -m memslots.docs [--check] [DIR]", file=sys.stderr)
        return 2
    folder = folders[0] if folders else "docs"
    if not os.path.isdir(folder):
        print(
            f"memslots.docs: no folder {folder!r}; run it from the root of the repository",
            file=sys.stderr,
        )
        return 2
    changed = stale(folder) if "--check" in words else write(folder)
    for path in changed:
        print(path)
    return 1 if changed and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
