"""Random calls asked many VMs at a time: with a kernel that is the model itself, the one under us,
one under QEMU.
"""

from __future__ import annotations

import json
import os
import re
from random import Random

import pytest
from requires import farm_kernel, requires

from memslots.cli.main import main
from memslots.errors import DeviceUnavailableError
from memslots.kernel.names import find
from memslots.trace.event import Event
from memslots.verify.booted import Booted, Planned, own_source
from memslots.verify.draw import Generator
from memslots.verify.farm import rerun as rerun_module
from memslots.verify.farm.__main__ import main as farm_main
from memslots.verify.farm.boot import Asking
from memslots.verify.farm.kernels import NATIVE, cache_folder, find_kernel
from memslots.verify.farm.own_image import head_of, own_kernel, own_modules
from memslots.verify.farm.packages import fetch, image
from memslots.verify.farm.rerun import rerun
from memslots.verify.farm.script import Answers, script_of
from memslots.verify.pair import UNASKED
from memslots.verify.recorded.compare import load_sequences, observable, open_answers, replay_file
from memslots.verify.recorded.pack import pack
from memslots.verify.recorded.player import Player
from memslots.verify.verify import verify
from memslots.views.verify import json_value, summary_lines

CONFORMANCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorded")
ARCHIVE = os.path.join(CONFORMANCE, "answers.tar.xz")
PROFILES = {
    name: find(name)
    for name in (
        "6.12/x86_64+amd-apicv-pml+pa40+task-size=0x7ffffffff000",
        "5.10/i386+amd-apicv-pml+pa40",
        "6.12/arm64+16k+task-size=0x10000000000000",
        "7.2/riscv64+task-size=0x800000000000",
    )
}


def play(profile, operations, kept=()):
    player = Player(profile, checksums=True)
    return [observable(player.play(operation), set(kept)) for operation in operations]


class Model(Asking):
    """A kernel that answers as the model does, through script and lines; `change` spoils what is
    heard.
    """

    def __init__(self, profile, change=lambda answers: None):
        super().__init__(find_kernel(NATIVE), lambda text: None)
        self.real = profile
        self.change = change

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ask(self, sequences, *, limit_pages=None, probe=False, checksums=False, for_totals=False):
        self.boots += 1
        answers = Answers()
        answers.header = {"release": "1"}
        script = script_of(sequences, range(len(sequences)), limit_pages or 1, checksums=checksums)
        for part in script.split("S ")[1:]:
            number, *lines = part.split("\n")[:-2]
            # operands are words here, as they are for the program
            words = [
                [word if word.startswith(("g", "map")) else int(word) for word in line.split()[1:]]
                for line in lines
            ]
            operations = [[line.split()[0], *operands] for line, operands in zip(lines, words)]
            heard = answers.sequence(int(number))
            heard.results = dict(enumerate(play(self.real, operations)))
            heard.ended = True
        answers.is_done = True
        self.change(answers)
        return answers


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_drawn_is_asked_and_predicted(name):
    profile = PROFILES[name]
    report = verify(operations=2500, seed=3, source=Booted(Model(profile), profile))
    assert report.operations >= 2500
    assert report.verdicts["differed"] == 0
    assert set(report.unasked) <= {"KVM could write into the asking program itself"}
    assert len(report.calls) >= 12


def test_a_seed_gives_the_same_calls_again():
    profile = next(iter(PROFILES.values()))
    once, again = (
        verify(operations=1000, seed=5, source=Booted(Model(profile), profile)) for _ in range(2)
    )
    assert (once.calls, once.answers) == (again.calls, again.answers)


def test_a_kernel_that_is_another_is_found_out_and_shrunk_in_few_boots():
    profile = next(iter(PROFILES.values()))
    asking = Model(profile)
    source = Booted(asking, profile.edited({"clear-to-odd-end": False}, "stated"))
    report = verify(operations=6000, seed=4, source=source)
    assert report.verdicts["differed"] > 1
    (found,) = report.disagreements  # one of its kind
    assert [event.call for event in found.events] == [
        "KVM_SET_USER_MEMORY_REGION",
        "KVM_CLEAR_DIRTY_LOG",
    ]
    assert (found.steps[-1].event.result, found.steps[-1].expected) == (0, -22)
    assert asking.boots < 20
    assert any("one of each kind" in line for line in summary_lines(report))
    assert json_value(report)["differed"] == report.verdicts["differed"]


def test_a_wrong_bit_in_a_bitmap_is_seen():
    """Beyond the first eight pages, which are listed, a checksum covers all."""

    def spoil(answers):
        for heard in answers.heard.values():
            for answer in heard.results.values():
                if isinstance(answer, dict) and "crc" in answer:
                    answer["crc"] ^= 1

    profile = next(iter(PROFILES.values()))
    report = verify(operations=500, seed=1, source=Booted(Model(profile, spoil), profile))
    assert {found.events[-1].call for found in report.disagreements} == {"KVM_GET_DIRTY_LOG"}
    assert "crc" in report.disagreements[0].steps[-1].note


def test_what_a_crash_swallowed_is_counted():
    swallowed = []

    def crash(answers):
        if len(answers.heard) > 1:
            heard = answers.heard[0]
            swallowed.append(len(heard.results) - 3)
            heard.results = {0: 0, 1: 0, 2: heard.results[2]}
            heard.why_short = "the kernel ended (exit 0)"

    profile = next(iter(PROFILES.values()))
    report = verify(operations=400, seed=1, source=Booted(Model(profile, crash), profile))
    assert report.verdicts["differed"] == 0
    assert swallowed
    assert min(swallowed) > 0
    assert report.unasked["the kernel ended (exit 0)"] == sum(swallowed)
    assert any(line.startswith("not asked") for line in summary_lines(report))


def test_a_kernel_that_answers_no_more_ends_the_run():
    def nothing(answers):
        for heard in answers.heard.values():
            heard.results, heard.why_short = {}, "signal 11"

    profile = next(iter(PROFILES.values()))
    with pytest.raises(DeviceUnavailableError, match="signal 11"):
        verify(operations=400, seed=1, source=Booted(Model(profile, nothing), profile))


def planned(limit_pages=1 << 34):
    return Planned(next(iter(PROFILES.values())), limit_pages, set())


def region(slot, npages, gfn=0):
    fields = {"slot": slot, "flags": 0, "guest_phys_addr": gfn << 12, "memory_size": npages << 12}
    return Event("KVM_SET_USER_MEMORY_REGION", {**fields, "userspace_addr": 0x20000000})


def test_memory_that_the_machine_has_not_is_not_asked_for():
    plan = planned(limit_pages=100)
    assert plan.add(region(0, 60)) is not None
    assert plan.add(region(1, 41, 1000)) is None
    assert plan.add(region(0, 100)) is not None, "it would replace what is there"
    assert plan.add(region(1, 1 << 31, 1000)) is not None, "refused before anything is allocated"
    assert plan.add(Event("close", fd=77)) is None
    steps = [step for step in plan.plan if not isinstance(step, tuple)]
    assert [(step.verdict, step.note.split()[-1]) for step in steps] == [
        (UNASKED, "has"),
        (UNASKED, "file"),
    ]


def test_kvm_does_not_write_into_the_program():
    plan = planned()
    plan.add(Event("KVM_CREATE_VCPU", {"vcpu_id": 0}))
    asked = {0x20000000: True, 0x24000000: False, 0x400000: False, 0x7FFF00000000: True}
    for gfn, hva in enumerate(asked, 16):
        fields = {**region(gfn, 1, gfn).fields, "userspace_addr": hva}
        assert plan.add(Event("KVM_SET_USER_MEMORY_REGION", fields)) is not None
    for gfn, is_asked in enumerate(asked.values(), 16):
        write = plan.add(Event("KVM_SET_MSRS", {"index": 0x4B564D00, "data": gfn << 12}))
        assert (write is not None) == is_asked


def test_a_file_keeps_its_number_when_calls_before_it_are_dropped():
    plan = planned()
    make = Event("KVM_CREATE_GUEST_MEMFD", {"size": 1 << 12, "flags": 0}, new_fd=107)
    assert plan.add(make).new_fd == 107
    fields = {**region(0, 1).fields, "flags": 4, "guest_memfd": 107, "guest_memfd_offset": 0}
    plan.add(Event("KVM_SET_USER_MEMORY_REGION2", fields))
    assert plan.operations[-1][6] == "g0"
    assert plan.add(Event("KVM_CREATE_GUEST_MEMFD", {"size": 1 << 12, "flags": 0})).new_fd == 108
    plan.add(Event("close", fd=107))
    assert plan.operations[-1] == ["close_gmem", 0]


def test_every_call_of_the_generator_fits_a_c_program():
    for profile in PROFILES.values():
        plan = Planned(profile, 1 << 34, set())
        generator = Generator(Random(4), plan.vm)
        for _ in range(3000):
            assert all(0 <= value < 1 << 64 for value in generator.next().fields.values())


def test_an_unknown_kernel_lists_the_bootable_ones(capsys):
    assert main(["verify", "--kernel", "debian-6.1-m68k"]) == 2
    assert "debian-6.1-i386" in capsys.readouterr().err
    assert main(["verify", "--kernels"]) == 0
    assert "native                       here" in capsys.readouterr().out


def test_the_kernel_under_us_is_not_probed(capsys):
    for kernel in ("host", "native", "6.1/x86_64"):
        assert main(["verify", "--probe", "--kernel", kernel]) == 2
        assert "--probe" in capsys.readouterr().err


def test_what_booting_needs_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["verify", "--kernel", "debian-6.1-i386"]) == 4
    assert (
        "qemu-system-x86_64 is not installed: apt-get install qemu-system-x86"
        in capsys.readouterr().err
    )


# -- recorded answers, asked again


@pytest.fixture
def recorded(tmp_path):
    """A few recorded sequences of one kernel, and the folder they are in."""
    with open_answers(ARCHIVE) as folder:
        sequences = dict(list(load_sequences(folder, "").items())[:6])
        with open(os.path.join(folder, "debian-6.1-x86_64.jsonl"), encoding="utf-8") as file:
            lines = [next(file) for _ in range(7)]
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "sequences.jsonl").write_text(
        "".join(
            json.dumps({"id": name, "ops": operations}) + "\n"
            for name, operations in sequences.items()
        )
    )
    (folder / "debian-6.1-x86_64.jsonl").write_text("".join(lines))
    (folder / "built-5.10-ppc32.jsonl").write_text(
        lines[0].replace("debian-6.1-x86_64", "built-5.10-ppc32")
    )
    return folder


class Again(Asking):
    """A kernel that gives the recorded answers, but for what `change` does to them."""

    lines = ()
    change = staticmethod(lambda answers: None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ask(self, sequences, **options):
        answers = Answers()
        answers.header = json.loads(self.lines[0])["kernel"]
        for number, line in enumerate(self.lines[1:]):
            answers.sequence(number).results = dict(enumerate(json.loads(line)["res"]))
        self.change(answers)
        self.boots += 1
        return answers


@pytest.fixture
def again(recorded, monkeypatch):
    class This(Again):
        lines = (recorded / "debian-6.1-x86_64.jsonl").read_text().splitlines()

    monkeypatch.setattr(rerun_module, "Asking", This)
    return This


def test_the_same_answers_and_who_was_not_asked(recorded, again, capsys):
    assert farm_main([str(recorded)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"debian-6\.1-x86_64 +6 sequences, \d+ answers in 0 s: the same", out)
    assert (
        "built-5.10-ppc32                 not asked: built-5.10-ppc32 was compiled by hand" in out
    )
    assert "1 files of answers asked again, 0 differ" in out
    assert farm_main([str(recorded), "built-5.10-ppc32"]) == 4
    assert farm_main([str(recorded), "debian-1.0"]) == 2
    assert "no recorded answers of 'debian-1.0'" in capsys.readouterr().err


def test_nothing_is_downloaded_unless_it_may_be(recorded, again, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEMSLOTS_FARM_CACHE", str(tmp_path / "empty"))
    assert farm_main([str(recorded), "--no-fetch", "debian-6.1-x86_64"]) == 4
    assert "not asked: its package is not in the cache" in capsys.readouterr().out


def test_another_answer_is_shown_and_can_be_kept(recorded, again, tmp_path, capsys):
    def another(answers):
        answers.header = {**answers.header, "version": "#1 SMP Debian 6.1.999-1"}
        answers.sequence(2).results[1] = -99
        del answers.sequence(3).results[max(answers.sequence(3).results)]

    again.change = staticmethod(another)
    archive = tmp_path / "answers.tar.xz"
    pack(str(recorded), str(archive))
    assert farm_main([str(archive)]) == 1
    out = capsys.readouterr().out
    assert "2 sequences differ" in out
    assert "operation 1: recorded" in out
    assert "now -99" in out
    assert "now no answer" in out
    assert "Debian 6.1.999-1" in out
    before = archive.read_bytes()
    assert farm_main(["--refresh", str(archive)]) == 1
    assert archive.read_bytes() != before
    capsys.readouterr()
    assert farm_main([str(archive)]) == 0
    assert "another build" not in capsys.readouterr().out


def test_refreshed_answers_have_the_bytes_of_recorded_ones(recorded, again):
    before = (recorded / "debian-6.1-x86_64.jsonl").read_text().splitlines()
    (result,) = rerun(str(recorded), ["debian-6.1-x86_64"], refresh=True)
    assert not result.differing
    after = (recorded / "debian-6.1-x86_64.jsonl").read_text().splitlines()
    assert after[1:] == before[1:]
    assert json.loads(after[0])["kernel"] == json.loads(before[0])["kernel"]
    sequences = load_sequences(str(recorded), "")
    assert not replay_file(str(recorded / "debian-6.1-x86_64.jsonl"), sequences).disagreements


# -- real kernels


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def own_cache(compiled_once, monkeypatch):
    monkeypatch.setenv("MEMSLOTS_FARM_CACHE", str(compiled_once))
    return compiled_once


@requires("kvm", "gcc")
def test_the_kernel_under_us_asked_by_the_program(own_cache, capsys):
    code = main(["verify", "--kernel", "native", "--operations", "3000", "--seed", "4", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (code, found["differed"], found["disagreements"]) == (0, 0, [])
    assert found["operations"] >= 3000
    assert len(found["unasked"]) <= 2
    assert os.listdir(own_cache / "run") == [], "nothing is left behind"


@requires("kvm", "gcc")
def test_a_wrong_model_of_the_kernel_under_us_is_found_out(own_cache):
    source = Booted(Asking(find_kernel(NATIVE)), find("host-clear-to-odd-end"))
    report = verify(operations=6000, seed=2, source=source)
    assert [len(found.steps) for found in report.disagreements] == [2]


@requires("kvm", "gcc")
def test_recorded_operations_of_all_kinds_on_the_kernel_under_us(own_cache):
    """Every operation of the recorded sequences is one that the program knows."""
    with open_answers(ARCHIVE) as folder:
        sequences = load_sequences(folder, "")
    one_of_each = {}
    for operations in sequences.values():
        for operation in operations:
            one_of_each.setdefault(operation[0], operation)
    operations = [["create_vm", 0], ["mmap", 0, "64P", 3], ["vcpu", 0]]
    operations += [
        one_of_each[name]
        for name in sorted(one_of_each)
        if name not in ("peek", "poke", "raw", "close_vm")
    ]
    with Asking(find_kernel(NATIVE)) as asking:
        answers = asking.ask([operations]).sequence(0).in_order()
    assert len(answers) == len(operations)
    assert not any(
        isinstance(answer, dict) and answer.get("skip") == "no such op here" for answer in answers
    )


@requires("farm")
def test_a_kernel_under_qemu():
    name = farm_kernel()
    assert cache_folder()
    report = verify(operations=1500, seed=6, source=Booted(Asking(find_kernel(name))))
    assert report.operations >= 1500
    assert report.verdicts["differed"] == 0
    assert sum(report.unasked.values()) < 100


def fake_image(path, *, magic=b"", at=0, flags=None, release=b""):
    data = bytearray(4096)
    data[at : at + len(magic)] = magic
    if flags is not None:
        data[0x236:0x238] = flags.to_bytes(2, "little")
        data[0x20E:0x210] = (0x400).to_bytes(2, "little")
        data[0x600 : 0x600 + len(release)] = release
    path.write_bytes(data)
    return str(path)


def test_what_the_head_of_an_image_says(tmp_path):
    path = tmp_path / "image"
    bzimage = fake_image(path, magic=b"HdrS", at=0x202, flags=3, release=b"6.1.0-rc3+ (me@here) #1")
    assert (head_of(bzimage).arch, head_of(bzimage).release) == ("amd64", "6.1.0-rc3+")
    assert head_of(fake_image(path, magic=b"HdrS", at=0x202, flags=0)).arch == "i386"
    assert head_of(fake_image(path, magic=b"ARM\x64", at=56)).arch == "arm64"
    assert head_of(fake_image(path, magic=b"RSC\x05", at=56)).arch == "riscv64"
    ppc = b"\x7fELF\x02\x01" + bytes(12) + b"\x15\x00"
    assert head_of(fake_image(path, magic=ppc)).arch == "ppc64el"
    for magic in (b"\x1f\x8b", b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\x00", b""):
        with pytest.raises(ValueError, match="no kernel image that can be booted here"):
            head_of(fake_image(path, magic=magic))


def test_modules_of_another_release_are_told(tmp_path):
    path = fake_image(tmp_path / "i", magic=b"HdrS", at=0x202, flags=1, release=b"6.1.0 x")
    with pytest.raises(ValueError, match="has no lib/modules"):
        own_kernel(path, str(tmp_path))
    (tmp_path / "lib" / "modules" / "6.2.0").mkdir(parents=True)
    kernel = own_kernel(path, str(tmp_path))
    assert (kernel.name, kernel.is_native) == ("built-own-x86_64", False)
    with pytest.raises(DeviceUnavailableError, match=r"modules of 6\.2\.0, the image is 6\.1\.0"):
        own_modules(kernel)
    assert own_modules(own_kernel(path)) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--image /etc/passwd", "no kernel image that can be booted"),
        ("--image /nonexistent", "/nonexistent: No such file or directory"),
        ("--modules /", "--modules is for --image"),
    ],
)
def test_a_wrong_image_is_told(words, said, capsys):
    assert main(["verify", *words.split()]) == 2
    assert said in capsys.readouterr().err


@requires("farm")
def test_an_image_of_ones_own_beside_its_release_and_beside_another(tmp_path):
    kernel = find_kernel(farm_kernel())
    folder, release = fetch(kernel)
    own = own_source(image(folder, release), folder)
    report = verify(operations=1500, seed=6, source=own)
    assert report.operations >= 1500
    assert report.verdicts["differed"] == 0
    other = "7.2/" if not release.startswith("7.") else "5.10/"
    arch = report.profile.arch.name
    own = own_source(image(folder, release), folder, find(other + arch))
    report = verify(operations=1500, seed=6, source=own)
    assert report.disagreements
