"""Questions to a fleet: SQL, the report, what an upgrade changes, what differs between two."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest
from fleets import made, planted
from requires import requires

from memslots.fleet import engines
from memslots.fleet.changes import changes
from memslots.fleet.scan import scan
from memslots.fleet.tables import Tables, view_meaning, view_texts
from memslots.fleet.upgrade import upgrade
from memslots.views.fleet_page import fleet_page

pytestmark = requires("duckdb")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "cli"))
from epilog import call  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A fleet with differences planted between 5.10 and 6.12."""
    folder = tmp_path_factory.mktemp("asked")
    scan([str(made())], str(folder), engine=engines.here())
    return folder


def relative(name):
    return os.path.relpath(name, made())


def test_an_upgrade_finds_what_was_planted_and_nothing_else(folder):
    tables = Tables(str(folder))
    found = upgrade(tables, "5.10", "6.12")
    kernels = dict(tables.ask("SELECT name, kernel FROM recordings").rows)
    wanted = {
        path: kind
        for kind, path in planted(made())
        if kernels[str(made() / path)].startswith("5.10/")
    }
    assert len(wanted) >= 4
    assert {relative(each.name) for each in found.changed} == set(wanted)
    rules = {
        "beyond-address-bits": "gfn-above-max",
        "vcpu-id": "vcpu-id-too-high",
        "slot-number": "slot-id-too-high",
        "budget-asked": "ioctl-unknown",
    }
    for each in found.changed:
        (one,) = each.answers
        assert each.is_certain
        said = {
            getattr(getattr(answer, "rule", None), "id", "") for answer in (one.before, one.after)
        }
        assert rules[wanted[relative(each.name)]] in said
    assert found.elsewhere > 20
    assert found.asked + found.elsewhere + found.unlike == 120


def test_nothing_changes_from_a_kernel_to_itself(folder):
    found = upgrade(Tables(str(folder)), "6.1", "6.1", every=True)
    assert (found.asked, found.changed) == (120, [])


def test_the_planted_call_is_the_one_that_is_named(folder):
    found = upgrade(Tables(str(folder)), "5.10", "6.12")
    for each in found.changed:
        _, out, _ = call(f"memslots replay --all --jsonl {each.name}")
        steps = {row["step"]: row for row in map(json.loads, out.splitlines())}
        assert steps[each.answers[0].step]["call"] == each.answers[0].call


@pytest.mark.parametrize("name", view_texts())
def test_every_view_answers_and_says_what_it_is(folder, name):
    answer = Tables(str(folder)).ask(f"SELECT * FROM {name}")
    assert answer.columns
    assert len(view_meaning(view_texts()[name])) > 20


def test_views_count_what_the_recordings_say(folder):
    from memslots.explain.analysis import Analysis

    tables = Tables(str(folder))
    name, number = tables.ask(
        "SELECT name, id FROM recordings WHERE refused_calls > 0 ORDER BY name"
    ).rows[0]
    analysis = Analysis(name).finish()
    rules = {each.explanation.rule.id for each in analysis.alike if each.explanation.rule}
    rows = tables.ask("SELECT rule FROM refusals WHERE recording = ?", [number]).rows
    assert {rule for (rule,) in rows} == rules
    summary = next(iter(analysis.summaries.values()))
    tracked = analysis.replay.vms[0]
    row = tables.ask(
        "SELECT most_slots, slots, pages, region_calls FROM vms WHERE recording = ?", [number]
    ).rows
    assert row == [
        (summary.most_slots, tracked.vm.state.nr_slots, tracked.vm.total_pages,
         summary.region_calls)
    ]  # fmt: skip


def test_metadata_is_what_cost_says(folder):
    from memslots.check.cost import cost_of_vms
    from memslots.check.metadata import Conditions
    from memslots.explain.analysis import Analysis

    rows = Tables(str(folder)).ask(
        "SELECT name, recordings.kernel, metadata_bytes FROM vms "
        "JOIN recordings ON recording = id ORDER BY name LIMIT 12"
    )
    from memslots.kernel.names import find

    for name, kernel, nbytes in rows.rows:
        profile = find(kernel)
        analysis = Analysis(name, profile, most=0).finish()
        vms = [tracked.vm for tracked in analysis.replay.vms]
        assert cost_of_vms(vms, profile, Conditions()).total == nbytes


def test_commands(folder, tmp_path):
    code, out, _ = call("memslots fleet tables")
    assert code == 0
    assert "refusals_by_rule" in out
    code, out, _ = call(
        f"memslots fleet query {folder} 'SELECT vmm, count(*) AS n FROM vms GROUP BY ALL'"
    )
    assert out.splitlines()[0].split() == ["vmm", "n"]
    _, out, _ = call(f"memslots fleet query {folder} --json 'SELECT 1 AS a, NULL AS b'")
    assert json.loads(out) == {"a": 1, "b": None}
    code, _, err = call(f"memslots fleet query {folder} 'SELECT nothing'")
    assert code == 2
    assert "nothing" in err
    code, out, _ = call(f"memslots fleet upgrade {folder} --from 5.10 --to 6.12")
    assert code == 1
    assert re.match(r"5.10 to 6.12: \d+ of \d+ VMs in \d+ recordings change", out)
    _, out, _ = call(f"memslots fleet upgrade {folder} --from 5.10 --to 6.12 --json")
    assert {each["certain"] for each in json.loads(out)["changed"]} == {True}
    code, out, _ = call(f"memslots fleet diff {folder} {folder}")
    assert (code, out) == (0, "no number differs\n")
    assert call(f"memslots fleet query {tmp_path}")[0] == 2
    assert call(f"memslots fleet upgrade {folder} --from 5.10 --to 99.1")[0] == 2
    code, out, _ = call(f"memslots fleet upgrade {folder} --from 4.20 --to 6.12")
    assert code == 1, "nothing was asked"
    assert "0 recordings change" in out
    assert "of other kernels than 4.20 (" in out


def test_the_report_needs_nothing_else(folder, tmp_path):
    page = tmp_path / "fleet.html"
    code, _, _ = call(f"memslots fleet report {folder} -o {page} --upgrade 5.10:6.12")
    assert code == 0
    text = page.read_text()
    assert "Content-Security-Policy" in text
    assert not re.search(r"(?:src|href)=\"(?!#)", text)
    for heading in ("Refusals", "Slots", "Kernel memory", "5.10 to 6.12"):
        assert f">{heading}</h2>" in text


def test_what_recordings_say_is_escaped(tmp_path):
    line = (
        "7 1.000001 ioctl(3, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=0, guest_phys_addr=0, "
        "memory_size=4097, userspace_addr=0x7f0000000000}) = -1 EINVAL (Invalid argument)\n"
    )
    host = tmp_path / "in" / "<script>alert(1)"
    host.mkdir(parents=True)
    (host / "a,\"b\n'c.strace").write_text(line)
    scan([str(tmp_path / "in")], str(tmp_path / "f"), engine=engines.here())
    tables = Tables(str(tmp_path / "f"))
    assert tables.ask("SELECT host FROM refusals").rows == [("<script>alert(1)",)]
    assert "<script>alert" not in fleet_page(tables, "<script>alert(2)")


def test_two_fleets_differ_where_they_do(tmp_path, folder):
    scan([str(made() / "host-0000")], str(tmp_path), engine=engines.here())
    found = changes(Tables(str(folder)), Tables(str(tmp_path)))
    numbers = {(each.chapter, each.name): (each.before, each.after) for each in found}
    assert numbers["totals", "hosts"] == (numbers["totals", "hosts"][0], 1)
    assert numbers["totals", "recordings"][0] == 120
