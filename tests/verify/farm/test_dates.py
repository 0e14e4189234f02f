"""The dates of facts beside changelogs: how two distributions quote stable updates, and what is
made of it.
"""

from __future__ import annotations

import gzip

import pytest

from memslots.errors import DeviceUnavailableError
from memslots.kernel.evidence import Bound, Commit, Read
from memslots.kernel.fact import Fact
from memslots.verify.farm import __main__ as farm
from memslots.verify.farm import dates
from memslots.verify.farm.changelogs import Changelogs, key_of, quoted_commits

DEBIAN = """\
linux (5.10.85-1) bullseye; urgency=medium

  * New upstream stable update:
    https://www.kernel.org/pub/linux/kernel/v5.x/ChangeLog-5.10.84
    - [x86] KVM: Disallow user memslot with size that exceeds "unsigned long"
    - [arm64,armhf] mm: a subject that
      goes on in the next line (CVE-2021-1)
    https://www.kernel.org/pub/linux/kernel/v5.x/ChangeLog-5.10.85
    - KVM: another change

  [ Somebody ]
  * A change of the package alone
    - KVM: not in any stable release

 -- Somebody <somebody@example.org>  Mon, 06 Dec 2021 12:00:00 +0100

linux (5.10.83-1) bullseye; urgency=medium

  * KVM: not quoted from upstream
""".splitlines(keepends=True)
UBUNTU = """\
linux (5.15.0-20.20) jammy; urgency=medium

  * Jammy update: v5.15.7 upstream stable release (LP: #1953370)
    - KVM: Disallow user memslot with size that exceeds "unsigned long"
    - Linux 5.15.7

  * Jammy update: upstream stable patchset 2022-01-01 (LP: #1)
    - KVM: from a mixture of releases

  * Disco update: 5.0.19 upstream stable release (LP: #1837516)
    - KVM: another change
""".splitlines(keepends=True)


@pytest.fixture
def changelogs():
    found = Changelogs()
    found.read(DEBIAN)
    found.read(UBUNTU)
    return found


def releases(changelogs, subject):
    return [str(release) for release in changelogs.releases_with(subject)]


def test_each_release_is_followed_by_its_commits():
    quoted = [(str(release), subject) for release, subject in quoted_commits(DEBIAN)]
    assert quoted == [
        ("5.10.84", ""),
        ("5.10.84", '[x86] KVM: Disallow user memslot with size that exceeds "unsigned long"'),
        ("5.10.84", "[arm64,armhf] mm: a subject that goes on in the next line (CVE-2021-1)"),
        ("5.10.85", ""),
        ("5.10.85", "KVM: another change"),
    ]


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        (
            'KVM: Disallow user memslot with size that exceeds "unsigned long"',
            ["5.10.84", "5.15.7"],
        ),
        ("KVM: Another change", ["5.0.19", "5.10.85"]),
        ("arm64: mm: a subject that goes on in the next line", ["5.10.84"]),
        ("KVM: not in any stable release", []),
        ("KVM: from a mixture of releases", []),
        ("KVM: not quoted from upstream", []),
        ("KVM: nowhere", []),
    ],
)
def test_a_subject_is_found_however_it_is_quoted(changelogs, subject, found):
    assert releases(changelogs, subject) == found


def test_the_first_release_of_a_branch_counts(changelogs):
    changelogs.read(
        [
            "  * Focal update: v5.10.90 upstream stable release (LP: #1)\n",
            "    - KVM: another change\n",
        ]
    )
    assert releases(changelogs, "KVM: another change") == ["5.0.19", "5.10.85"]


def test_releases_that_nobody_quotes(changelogs):
    assert changelogs.gaps((5, 10), 86) == (*range(1, 84), 86)
    assert changelogs.gaps((5, 15), 8) == (1, 2, 3, 4, 5, 6, 8)


def test_prefixes_tags_and_quotes_make_no_difference():
    assert key_of("[x86] KVM: Don't do `it`.") == key_of("KVM: x86: Dont do it") == "dont do it"


KNOWN = Commit(
    "6b285a558750", 'KVM: Disallow user memslot with size that exceeds "unsigned long"', "5.16",
    "5.10.84", "5.15.7", "4.19.300",
)  # fmt: skip
WRONG = Commit("", "KVM: another change", "5.14", "5.10.84")
UNSEEN = Fact("unseen", "No commit.", Bound("6.14", "6.17"), Read("6.17", "virt/kvm/kvm_main.c"))


def test_what_the_facts_say_is_compared(changelogs):
    known, wrong = dates.look(
        [Fact("a", ".", KNOWN), Fact("b", ".", KNOWN), Fact("c", ".", WRONG), UNSEEN], changelogs
    )
    assert known.facts == ["a", "b"]
    assert [*map(str, known.found)] == ["5.10.84", "5.15.7"]
    assert (known.unstated, known.missing) == ((), ())
    assert [*map(str, known.unquoted)] == ["4.19.300"]
    assert [*map(str, wrong.unstated)] == ["5.0.19", "5.10.85"]
    assert [*map(str, wrong.missing)] == ["5.10.84"]


def test_the_report_names_what_could_not_be_dated(changelogs):
    text = "\n".join(
        dates.report([Fact("a", ".", KNOWN), Fact("c", ".", WRONG), UNSEEN], changelogs)
    )
    assert "a: 6b285a558750 KVM: Disallow" in text
    assert "    mainline 5.16; stable branches: 5.10.84, 5.15.7\n" in text
    assert "    no changelog quotes 4.19.300: known otherwise" in text
    assert (
        "c: (no hash) KVM: another change\n    mainline 5.14; stable branches: 5.0.19, 5.10.85\n"
        in text
    )
    assert (
        "    DIFFERS: the fact says 5.10.84\n    quoted without it, so known otherwise: 5.10.84"
        in text
    )
    assert "1 facts without a commit" in text
    assert "    unseen (arm64, i386, " in text
    assert "not in 6.14, in 6.17" in text


def write(folder, suite, lines):
    (folder / suite).mkdir(parents=True)
    with gzip.open(folder / suite / "linux.gz", "wt") as file:
        file.writelines(lines)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMSLOTS_FARM_CACHE", str(tmp_path))

    def packages(suite):
        raise DeviceUnavailableError(f"no mirror for {suite}")

    monkeypatch.setattr(dates, "_packages_of", packages)
    return tmp_path / "changelogs"


def test_the_command_reads_what_is_in_the_cache_and_what_it_is_given(cache, tmp_path, capsys):
    write(cache, "bullseye-security", DEBIAN)
    other = tmp_path / "changelog"
    other.write_text("".join(UBUNTU))
    assert farm.main(["dates", "--changelog", str(other), "size-fits-ulong"]) == 0
    out, err = capsys.readouterr()
    assert "stable branches: 5.10.84, 5.15.7" in out
    assert "4 stable releases are quoted; 0 commits differ" in out
    assert "sid: not read: no mirror for sid" in err


def test_the_command_says_what_differs(cache, capsys):
    write(cache, "sid", [line.replace("5.10.84", "5.10.83") for line in DEBIAN])
    assert farm.main(["dates", "size-fits-ulong"]) == 1
    assert "DIFFERS: the fact says 5.10.84, 5.15.7" in capsys.readouterr().out


def test_without_any_changelog_there_is_no_verdict(cache, capsys):
    assert farm.main(["dates"]) == 4
    assert farm.main(["dates", "no-such-fact"]) == 2
    assert "no such fact: no-such-fact" in capsys.readouterr().err
