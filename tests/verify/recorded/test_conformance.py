"""The model against recorded answers of 50 real kernels: every operation, no disagreement.

`answers.tar.xz` is made by `pack_answers.py`; one test a file of answers, so that
a failure names its kernel.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import sys
import tarfile

import pytest

from memslots.errors import TraceError
from memslots.model.vm import Vm
from memslots.rules.answer import Accepted
from memslots.rules.attempt import RegionAttempt
from memslots.rules.fast_path import PlainLimits, accept_plain
from memslots.rules.region.set_memory_region import decide
from memslots.state.process import Process
from memslots.uapi.calls import REGION_CALLS
from memslots.uapi.region import region_of
from memslots.verify.recorded import compare
from memslots.verify.recorded.player import NotDecided, Player
from memslots.verify.recorded.profiles import profile_of

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import corner_sequences

ARCHIVE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "answers.tar.xz")
KERNELS, ALL_OPERATIONS, ALL_SKIPPED, ALL_UNDECIDED = 50, 2_117_175, 27_255, 35_093
"""What the archive holds: a comparer that silently skips would show here.  Undecided are
capabilities with arguments, in the sequences made by hand alone."""


def _names() -> list[str]:
    with tarfile.open(ARCHIVE) as archive:
        return [name for name in archive.getnames() if not name.startswith("sequences")]


NAMES = _names()
_counts: dict[str, tuple[int, int, int]] = {}


@pytest.fixture(scope="module")
def folder():
    with compare.open_answers(ARCHIVE) as unpacked:
        yield unpacked


@pytest.fixture(scope="module")
def sequences(folder):
    return {kind: compare.load_sequences(folder, kind) for kind in compare.KINDS}


def _kind(name):
    ending = name.removesuffix(".jsonl").rpartition(".")[2]
    return ending if ending in compare.KINDS else ""


def _kernel(name):
    kind = _kind(name)
    return name.removesuffix(".jsonl").removesuffix(f".{kind}" if kind else "")


def _sequences_for(name, sequences):
    return sequences[_kind(name)]


@pytest.mark.parametrize("name", NAMES, ids=[name.removesuffix(".jsonl") for name in NAMES])
def test_agrees_with_the_real_kernel(name, folder, sequences):
    result = compare.replay_file(os.path.join(folder, name), _sequences_for(name, sequences))
    undecided = sum(result.undecided.values())
    _counts[name] = (result.operations, result.skipped, undecided)
    if _kind(name) != "corners":
        assert all(why.startswith("not modelled: KVM_ENABLE_CAP(") for why in result.undecided)
    shown = [
        f"{found.sequence} op {found.index} {found.operations[found.index]}: {found.observed} != "
        f"{found.expected}"
        for found in result.disagreements[:5]
    ]
    assert not result.disagreements, "\n".join(shown)
    assert not result.excepted
    assert result.operations


def test_every_operation_was_compared(record_property):
    """After all of the above: nothing was left out on the way."""
    if set(_counts) != set(NAMES):
        pytest.skip("needs the run over all files")
    operations, skipped, undecided = (sum(counts) for counts in zip(*_counts.values()))
    record_property("operations", operations)
    print(
        f"{operations} operations of {len(NAMES)} recordings, 0 disagreements, {skipped} not run "
        "by the recorder"
    )
    assert (operations, skipped, undecided) == (ALL_OPERATIONS, ALL_SKIPPED, ALL_UNDECIDED)


def test_hand_made_sequences_are_those_that_were_asked(folder):
    """The file in the archive can be made again: answers recorded later belong to the same
    questions.
    """
    with open(os.path.join(folder, "sequences-corners.jsonl"), encoding="utf-8") as recorded:
        assert recorded.read() == "".join(corner_sequences.lines())


def test_kernels_of_all_recorded_architectures_are_there():
    assert len({_kernel(name) for name in NAMES}) == KERNELS
    architectures = (
        "x86_64", "i386", "arm64", "arm64-16k", "riscv64", "ppc64el", "ppc64el-64k", "ppc32",
        "compat32",
    )  # fmt: skip
    for word in (*architectures, "experimental", "pa36", "protected", "gicv2", "mte"):
        assert any(word in name for name in NAMES), word


# -- the comparer can fail


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("debian-6.1-x86_64.jsonl", lambda answer: -22 if answer == 0 else 0),
        ("debian-5.10-arm64.jsonl", lambda answer: -17 if answer == 0 else 0),
        ("built-5.10-ppc32.totals.jsonl", lambda answer: -1 if answer == 0 else 0),
    ],
)
def test_one_changed_answer_is_one_disagreement(name, change, folder, sequences, tmp_path):
    with open(os.path.join(folder, name), encoding="utf-8") as opened:
        lines = opened.read().splitlines()
    lines = lines[:40]
    for at in range(1, len(lines)):
        record = json.loads(lines[at])
        last = len(record["res"]) - 1
        if isinstance(record["res"][last], int):
            break
    record["res"][last] = change(record["res"][last])
    lines[at] = json.dumps(record)
    copy = tmp_path / name
    copy.write_text("\n".join(lines) + "\n")
    found = compare.replay_file(str(copy), _sequences_for(name, sequences)).disagreements
    assert [(item.sequence, item.index, item.observed) for item in found] == [
        (record["id"], last, record["res"][last]),
    ]


@pytest.mark.parametrize("key", ["pages", "budget", "bits", "w", "set"])
def test_each_kind_of_observation_is_compared(key, folder, sequences, tmp_path):
    """A wrong page total, budget or bitmap is seen, not only a wrong errno."""
    name = "debian-6.12-x86_64-pa52.probe.jsonl"
    with open(os.path.join(folder, name), encoding="utf-8") as opened:
        header = next(opened)
        for line in opened:
            record = json.loads(line)
            places = [
                i
                for i, answer in enumerate(record["res"])
                if isinstance(answer, dict) and key in answer
            ]
            if places:
                break
    answer = record["res"][places[-1]]
    answer[key] = [*answer[key], 1] if isinstance(answer[key], list) else answer[key] + 1
    copy = tmp_path / name
    copy.write_text(header + json.dumps(record) + "\n")
    found = compare.replay_file(str(copy), _sequences_for(name, sequences)).disagreements
    assert [(item.sequence, item.index) for item in found] == [(record["id"], places[-1])]


# -- the quick path beside the decision


def _check_both(region, state, process):
    plain = accept_plain(region, state, PlainLimits(state.machine))
    if plain is None:
        return False
    slow = decide(RegionAttempt(region, state, process))
    assert isinstance(slow, Accepted), (region, slow)
    plain, slow = plain.change, slow.change
    if slow is None:
        assert plain is None, region
        return True
    assert (plain.kind, plain.old) == (slow.kind, slow.old), region
    if slow.new is None:
        assert plain.new is None
    else:
        for field in (
            "as_id",
            "id",
            "base_gfn",
            "npages",
            "userspace_addr",
            "flags",
            "binding",
            "owner",
        ):
            assert getattr(plain.new, field) == getattr(slow.new, field), (region, field)
    return True


@pytest.mark.parametrize(
    "name",
    [
        "debian-6.12-x86_64-pa52.probe.jsonl",
        "debian-5.10-i386.jsonl",
        "built-sid-i386-2g.totals.jsonl",
        "built-sid-ppc32.jsonl",
    ],
)
def test_quick_path_says_what_the_decision_says(name, folder, sequences, monkeypatch):
    counts = {True: 0, False: 0}
    step = Player._step

    def step_both_ways(player, call, fields, fd, new_fd=None):
        region = region_of(call, fields) if call in REGION_CALLS else None
        if region is not None and player.vm is not None:
            counts[_check_both(region, player.vm.state, player.vm.process)] += 1
        return step(player, call, fields, fd, new_fd)

    monkeypatch.setattr(Player, "_step", step_both_ways)
    with open(os.path.join(folder, name), encoding="utf-8") as opened:
        header = json.loads(next(opened))
        profile = profile_of(header["meta"]["name"], header["kernel"])
        for line in list(opened)[:700]:
            record = json.loads(line)
            player = Player(profile)
            for operation, answer in zip(
                _sequences_for(name, sequences)[record["id"]], record["res"]
            ):
                if isinstance(answer, dict) and answer.get("skip") == "memory":
                    break
                try:
                    player.play(operation)
                except NotDecided:
                    break
    assert counts[True] > 200, counts
    assert counts[False] > 50, counts


@pytest.mark.parametrize("name", ["debian-6.1-arm64.jsonl", "debian-sid-riscv64.jsonl"])
def test_quick_path_leaves_hooks_that_look_at_mappings_alone(name, folder):
    with open(os.path.join(folder, name), encoding="utf-8") as opened:
        header = json.loads(next(opened))
    vm = Vm(profile_of(header["meta"]["name"], header["kernel"]), process=Process())
    assert PlainLimits(vm.state.machine).slots == 0


# -- folders and archives


def _tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_a_folder_is_taken_as_it_is(tmp_path):
    with compare.open_answers(str(tmp_path)) as opened:
        assert opened == str(tmp_path)


@pytest.mark.parametrize(
    ("ending", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tar.xz", "w:xz")]
)
def test_an_archive_is_unpacked_and_goes_away(tmp_path, ending, mode):
    path = tmp_path / ("answers" + ending)
    _tar(path, [("a.jsonl", b"{}\n"), ("sequences.jsonl", b"")], mode)
    with compare.open_answers(str(path)) as opened:
        assert compare.answer_files(opened) == [(os.path.join(opened, "a.jsonl"), "")]
    assert not os.path.exists(opened)


def test_an_archive_cannot_write_elsewhere(tmp_path):
    path = tmp_path / "evil.tar"
    inside = tmp_path / "inside"
    inside.mkdir()
    outside = str(tmp_path / "outside.jsonl")
    link = tarfile.TarInfo("link.jsonl")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(path, "w") as archive:
        for name in ("../outside.jsonl", outside):
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
        archive.addfile(link)
    try:
        with compare.open_answers(str(path)) as opened:
            assert not any(
                os.path.islink(os.path.join(opened, name)) for name in os.listdir(opened)
            )
    except TraceError:
        pass
    assert sorted(os.listdir(tmp_path)) == ["evil.tar", "inside"]


@pytest.mark.parametrize("damage", ["missing", "text", "cut"])
def test_what_is_no_archive_is_said_with_its_name(tmp_path, damage):
    path = tmp_path / "answers.tar.xz"
    if damage == "text":
        path.write_text("hello")
    elif damage == "cut":
        with open(ARCHIVE, "rb") as whole:
            path.write_bytes(whole.read(5000))
    with pytest.raises(TraceError, match=r"answers\.tar\.xz"), compare.open_answers(str(path)):
        pass


def _header(name):
    with tarfile.open(ARCHIVE) as archive:
        return archive.extractfile(name).readline().decode()


def test_damaged_answers_are_said_with_file_and_line(tmp_path):
    (tmp_path / "sequences.jsonl").write_text('{"id": "a", "ops": [["create_vm", 0]]}\n')
    for text in ("", "{", "[]\n", '{"meta": {}}\n', "\xff\n"):
        path = tmp_path / "k.jsonl"
        path.write_text(text, encoding="latin-1")
        with pytest.raises(TraceError, match=r"k\.jsonl"):
            compare.replay_file(str(path), {})
    path.write_text(_header("debian-6.1-x86_64.jsonl") + '{"id": "a"}\n')
    with pytest.raises(TraceError, match="line 2"):
        compare.replay_file(str(path), {"a": []})
    path.write_text(_header("debian-6.1-x86_64.jsonl") + '{"res": []}\n')
    with pytest.raises(TraceError, match="line 2"):
        compare.replay_file(str(path), {"a": []})
    (tmp_path / "sequences.jsonl").unlink()
    with pytest.raises(TraceError, match="sequences"):
        compare.load_sequences(str(tmp_path), "")
    (tmp_path / "k.jsonl").unlink()
    with pytest.raises(TraceError, match="no recorded answers"):
        compare.answer_files(str(tmp_path))


def test_damaged_gzip_is_a_trace_error(tmp_path):
    for name, data in (("k.jsonl.gz", b"\x1f\x8b123"), ("k.jsonl.xz", lzma.compress(b"{}")[:10])):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(TraceError, match=name):
            list(compare.read_lines(str(path)))
