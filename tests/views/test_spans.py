"""Runs of releases as text."""

from __future__ import annotations

from memslots.views.spans import release_spans

AMONG = ["4.19", "5.4", "5.10", "6.1", "6.12", "7.2"]


def test_runs_are_joined():
    assert release_spans(["4.19", "5.4", "5.10"], AMONG) == "4.19 to 5.10"
    assert release_spans(["4.19", "5.10"], AMONG) == "4.19, 5.10"
    assert release_spans(["5.10", "6.12", "7.2"], AMONG) == "5.10, 6.12 and later"
    assert release_spans(["7.2"], AMONG) == "7.2"
    assert release_spans([], AMONG) == ""


def test_all_and_open_ends_are_said_where_wanted():
    assert release_spans(AMONG, AMONG) == "all"
    assert release_spans(AMONG, AMONG, is_open=False) == "4.19 to 7.2"
    assert release_spans(["6.12", "7.2"], AMONG, is_open=False) == "6.12 to 7.2"


def test_releases_that_were_not_asked_stand_alone():
    assert release_spans(["5.4", "5.8", "5.10"], AMONG) == "5.4, 5.8, 5.10"
