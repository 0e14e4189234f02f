"""Names that `uname -r` gives: exact where they say the release, open where they do not."""

from __future__ import annotations

import pytest

from memslots import UnknownKernelError, find
from memslots.kernel.vendors import release_of, vendor_of

EXACT = [
    ("6.12.38+deb13-amd64", "6.12.38", "x86_64"),
    ("6.12.9-amd64", "6.12.9", "x86_64"),
    ("7.2.3+deb14-cloud-arm64", "7.2.3", "arm64"),
    ("6.5.6-300.fc39.x86_64", "6.5.6", "x86_64"),
    ("6.11.5-arch1-1", "6.11.5", "x86_64"),
]
OPEN = [
    ("6.8.0-45-generic", "Ubuntu carries in its 6.8", "`6.8/x86_64`"),
    ("6.8.0-1021-aws", "Ubuntu", "`6.8/x86_64+fact`"),
    ("5.14.0-427.el9.x86_64", "Red Hat", "`5.14.0/x86_64`"),
    ("5.14.0-427.13.1.el9_4.aarch64", "Red Hat", "`5.14.0/arm64`"),
    ("6.4.0-150600.23.22-default", "SUSE", "`6.4.0/x86_64`"),
    ("6.1.79-99.164.amzn2023.x86_64", "Amazon Linux", "`6.1.79/x86_64`"),
    ("5.15.94-android13-8-g123", "Android", "`5.15.94/x86_64`"),
    ("5.10.0-30-amd64", "size-fits-ulong", "`5.10.N/x86_64`"),
]


@pytest.mark.parametrize(("name", "release", "arch"), EXACT)
def test_names_that_say_the_release(name, release, arch):
    profile = find(name)
    assert (str(profile.version), profile.arch.name) == (release, arch)
    assert set(profile.facts) == set(find(f"{release}/{arch}").facts)
    assert find(profile.name).name == profile.name


@pytest.mark.parametrize(("name", "open", "instead"), OPEN)
def test_names_that_do_not_say_what_is_open_and_what_to_take(name, open, instead):
    with pytest.raises(UnknownKernelError) as caught:
        find(name)
    assert open in str(caught.value)
    assert instead in str(caught.value)
    taken = instead.strip("`").removesuffix("+fact").replace("5.10.N", "5.10.223")
    assert find(taken)


def test_a_branch_whose_releases_all_behave_alike_needs_no_point_release():
    """6.1.0-18 may be any of 6.1, of which no fact of x86_64 changed."""
    profile = find("6.1.0-18-amd64")
    assert set(profile.facts) == set(find("6.1.0/x86_64").facts) == set(find("6.1").facts)
    assert profile.option("smm") is True  # as Debian builds it


def test_architecture_and_edits_behind_them():
    assert find("6.1.0-18-amd64/i386").arch.name == "i386"
    assert find("6.12.38+deb13-amd64/x86_64+intel-smm").option("smm") is False
    assert find("6.12.38+deb13-amd64+page-total-cap").has("page-total-cap")
    assert find("6.12/x86-64").arch is find("6.12/amd64").arch
    assert find("6.12/aarch64+16k").page_shift == 14


def test_a_suffix_of_nobody_is_not_taken_for_a_release():
    with pytest.raises(UnknownKernelError, match="no such fact"):
        find("6.1.0-18-vax")


@pytest.mark.parametrize(
    ("release", "version", "upstream"),
    [
        ("6.1.0-18-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)", "6.1.76"),
        ("7.3~rc7-amd64", "#1 SMP Debian 7.3~rc7-1~exp1", "7.3-rc7"),
        ("6.1.0-18-amd64", "", "6.1"),
        ("6.8.0-45-generic", "#45-Ubuntu SMP", "6.8"),
        ("6.18.44-fc-v657", "#1 SMP", "6.18.44"),
    ],
)
def test_one_way_from_uname_to_a_release(release, version, upstream):
    assert str(release_of(release, version)) == upstream


def test_who_carries_changes_that_nobody_has_listed():
    assert vendor_of("6.8.0-45-generic") == "Ubuntu"
    assert vendor_of("6.1.0-18-amd64") == vendor_of("6.18.44-fc-v657") == ""
