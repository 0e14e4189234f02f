"""docs/page-total.md is what `memslots accounting --thread` prints; the recordings that it cites
say so.
"""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest

from memslots.cli.run import output_of
from memslots.views.page_total_review import SENTENCES, page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ARCHIVE = next(ROOT.glob("tests/**/answers.tar.xz"))


def test_the_page_is_what_the_commands_print(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert output_of("memslots accounting --thread") == (DOCS / "page-total.md").read_text(), (
        "run `memslots accounting --thread > docs/page-total.md`"
    )


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda sentence: sentence.said[:40])
def test_every_sentence_is_shown(sentence, monkeypatch):
    """By commands, each of whose words to look for is found, or it says that it is from source."""
    monkeypatch.chdir(ROOT)
    assert sentence.commands or "From source" in sentence.found
    for line, words in sentence.commands:
        printed = output_of(line)
        assert printed.strip()
        assert [word for word in words if word not in printed] == []


def test_links_lead_somewhere():
    text = (DOCS / "page-total.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (DOCS / target).exists(), target


def test_a_command_that_fails_fails_the_page():
    with pytest.raises(ValueError, match="exit code 2"):
        output_of("memslots accounting --pages x")
    with pytest.raises(ValueError, match="exit code 2"):
        page(lambda line: output_of(f"{line} --no-such-option"))


# -- the recordings


def _answers(member, sequence):
    """The operations of a sequence beside what the kernel answered."""
    with tarfile.open(ARCHIVE) as archive:
        names = {Path(name).name: name for name in archive.getnames()}

        def lines(name):
            return archive.extractfile(names[name]).read().decode().splitlines()

        found = next(json.loads(line) for line in lines(member) if f'"id":"{sequence}"' in line)
        asked = next(
            json.loads(line)
            for line in lines("sequences-totals.jsonl")
            if f'"id":"{sequence}"' in line
        )
    return list(zip(asked["ops"], found["res"]))


def test_a_32_bit_powerpc_takes_16_tib_of_aliases():
    played = _answers("built-sid-ppc32.totals.jsonl", "u-rest-1")
    (fill, filled), (rest, full), (one, refused) = played[1], played[3], played[5]
    assert fill == ["fill", 0, 6553, 0, 0, "0x9fff0000", 65536]
    assert filled == {"r": 6553, "pages": 6553 * 0x9FFF0}
    # all on the same host memory, far above 2^32 bytes of guest addresses
    assert rest[-1] == one[-1] == 65536
    assert int(rest[3], 0) > 1 << 32
    assert full == {"r": 0, "pages": 4294967295}
    assert (one[4], refused) == (4096, -22)


def test_linux_6_1_answers_the_same_and_5_10_has_too_few_slots():
    played = _answers("built-6.1-ppc32.totals.jsonl", "u-rest-1")
    assert [answer for _, answer in played[1:6:2]] == [6553, 0, -22]
    assert _answers("built-5.10-ppc32.totals.jsonl", "u-fill")[1][1]["r"] == 512


@pytest.mark.parametrize("kernel", ["built-6.1-ppc32", "built-sid-ppc32"])
def test_the_cap_comes_before_overlap(kernel):
    played = _answers(f"{kernel}.totals.jsonl", "u-move-when-full")
    over, answer = played[6]
    assert over == ["set_region", 8001, 0, 0, 4096, 65536]  # over the first slot of the fill
    assert played[1][0][1:5] == [0, 6553, 0, 0]
    assert answer == -22


def test_a_real_walk_wraps():
    for sequence, budget in (("w-some-409", 4288544), ("w-some-410", 4063)):
        fill, answer = _answers("built-5.10-i386-2g.totals.jsonl", sequence)[1]
        assert (int(fill[5], 0) >> 12, answer["budget"]) == (524272, budget)
