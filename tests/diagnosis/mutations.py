"""Mutations of a case that must keep its verdict: the test against learning lines by heart.

Each mutation takes a case and a seeded `random.Random` and gives the text a person might have
posted instead, or None where it does not apply.  The same seed gives the same texts.
"""

from __future__ import annotations

import random
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from diagnosis.wordings import reworded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diagnosis.corpus import Case

SEED = 20261125
LAYOUT = frozenset(("layout",))


def wrap(case: Case, chance: random.Random) -> str | None:
    """Long lines folded at 72 to 100 columns, as mail programs and terminals do."""
    width = chance.randint(72, 100)
    lines = case.paste.split("\n")
    if all(len(line) <= width for line in lines):
        return None
    folded = []
    for line in lines:
        if len(line) <= width:
            folded.append(line)
        else:
            folded += textwrap.wrap(
                line, width, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
            )
    return "\n".join(folded)


def quote(case: Case, chance: random.Random) -> str:
    """Quoted in a mail, once or twice, below the line that names the sender."""
    mark = chance.choice(("> ", ">> ", "> > ", "| "))
    sender = chance.choice(
        ("On Thu, 6 Jun 2024 at 10:21, Alex wrote:", "Am 03.02.25 um 14:07 schrieb J. M.:", "Hi,")
    )
    return "\n".join(
        [sender, *((mark + line).rstrip() for line in case.paste.rstrip("\n").split("\n")), ""]
    )


def journal(case: Case, chance: random.Random) -> str:
    """Each line as a journal, a container's log, or a compose log shows it."""
    kind, minute, pid = chance.randrange(4), chance.randrange(10, 50), chance.randrange(900, 60000)
    lines = []
    for number, line in enumerate(case.paste.rstrip("\n").split("\n")):
        second = number % 60
        prefix = (
            f"Oct 14 09:{minute}:{second:02} node3 vmm-run[{pid}]: ",
            f"2025-10-14T09:{minute}:{second:02}.104228817Z stderr F ",
            "vm-1  | ",
            f"[2025-10-14 09:{minute}:{second:02}] [pod/vm-{pid}/compute] ",
        )[kind]
        lines.append(prefix + line)
    return "\n".join([*lines, ""])


def number_lines(case: Case, chance: random.Random) -> str:
    """Lines with their numbers, as pagers, paste sites and `grep -n` show them."""
    form = chance.choice(("{:5d}  ", "{:4d}: ", "{}:", "{:3d} | "))
    start = chance.choice((1, 1, 17, 230))
    lines = case.paste.rstrip("\n").split("\n")
    return "\n".join(
        [*(form.format(start + number) + line for number, line in enumerate(lines)), ""]
    )


def prompt(case: Case, chance: random.Random) -> str:
    """Between two prompts of a shell."""
    before, after = chance.choice(
        (
            ("ubuntu@host:~$ cat error.txt", "ubuntu@host:~$ "),
            ("[root@hv2 ~]# tail -n 40 vm.log", "[root@hv2 ~]# "),
        )
    )
    return f"{before}\n{case.paste.rstrip(chr(10))}\n{after}\n"


_HVA = re.compile(r"\b0x(7[0-9a-f]{11})\b")
_PID = re.compile(r"(\[pid +|\b[pt]id[= ]|(?<=[A-Za-z])\[)([1-9]\d{2,6})(?=[\] ]|$)", re.MULTILINE)
_SLOT = re.compile(r"\b([Ss]lot(?: ?[#=:] ?| ))(\d{1,3})(?![\dx])")
_CLOCK = re.compile(r"\b([01]\d|2[0-3]):([0-5]\d):([0-5]\d)\b")


def numbers(case: Case, chance: random.Random) -> str | None:
    """Other host addresses, process ids, slot numbers and times, each replaced consistently.

    Host addresses move by whole GiB, slots by a few, so that alignment, order, equality and limits
    stay as they are.
    """
    if case.kind in LAYOUT:
        return None
    moved = chance.randrange(1, 24) << 30
    plus_pid, plus_slot, plus_hour = (
        chance.randrange(11, 900),
        chance.randrange(1, 20),
        chance.randrange(1, 9),
    )

    if any(int(digits, 16) + moved >= 1 << 47 for digits in _HVA.findall(case.paste)):
        moved = -moved

    def hva(found: re.Match[str]) -> str:
        return f"{int(found.group(1), 16) + moved:#x}"

    def slot(found: re.Match[str]) -> str:
        number = int(found.group(2))
        return found.group(1) + str(number + plus_slot if number < 400 else number)

    text = _HVA.sub(hva, case.paste)
    text = _PID.sub(lambda found: found.group(1) + str(int(found.group(2)) + plus_pid), text)
    text = _CLOCK.sub(
        lambda found: f"{(int(found.group(1)) + plus_hour) % 24:02}:{found[2]}:{found[3]}", text
    )
    named = re.search(r"slot \d", case.other) or re.search(
        r"KVM_CAP_NR_MEMSLOTS|slots=|DIMM", case.paste
    )
    if not named and len(_SLOT.findall(text)) == len(re.findall(r"\b[Ss]lot\b(?=\W{0,3}\d)", text)):
        text = _SLOT.sub(slot, text)  # every mention is of a form that is replaced
    return text if text != case.paste else None


_PROSE = (Path(__file__).parent / "prose.txt").read_text(encoding="utf-8").split("====\n")
"""Greetings and closing sentences in other languages, `{}` for what stands between."""


def prose(case: Case, chance: random.Random) -> str:
    """A greeting and a closing sentence in another language around it."""
    return chance.choice(_PROSE).replace("{}", case.paste.rstrip("\n"))


def crlf(case: Case, chance: random.Random) -> str:
    """Line ends of Windows."""
    return case.paste.replace("\n", "\r\n")


def fence(case: Case, chance: random.Random) -> str:
    """A block of Markdown, with a sentence before it."""
    bar = chance.choice(("```", "~~~", "```text", "```console"))
    return f"Output:\n\n{bar}\n{case.paste.rstrip(chr(10))}\n{bar[:3]}\n"


def title(case: Case, chance: random.Random) -> str | None:
    """The title alone, where it is enough."""
    return case.title + "\n" if case.title_suffices else None


def words(case: Case, chance: random.Random) -> str | None:
    """The same failure in the words of another program."""
    return reworded(case.paste, chance)


MUTATIONS: dict[str, Callable[[Case, random.Random], str | None]] = {
    "wrap": wrap,
    "quote": quote,
    "journal": journal,
    "number-lines": number_lines,
    "prompt": prompt,
    "numbers": numbers,
    "prose": prose,
    "crlf": crlf,
    "fence": fence,
    "title": title,
    "words": words,
}
TIMES = {"wrap": 2, "quote": 2, "journal": 2, "numbers": 2, "prose": 2, "words": 2}
"""How often a mutation is drawn for each case, with other seeds; once if not named."""


def mutants(case: Case, seed: int = SEED) -> Iterator[tuple[str, str]]:
    """(name of the mutation, text) of a case; texts that equal the case's or another's are left
    out.
    """
    seen = {case.paste}
    for name, mutate in MUTATIONS.items():
        if name in case.no_mutation:
            continue
        for time in range(TIMES.get(name, 1)):
            text = mutate(case, random.Random(f"{seed} {case.id} {name} {time}"))
            if text is not None and text not in seen:
                seen.add(text)
                yield name, text
