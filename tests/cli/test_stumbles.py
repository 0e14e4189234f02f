"""What new users stumbled over: each gets an answer that says what to do."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path
from random import Random

import pytest
from epilog import ROOT, call
from requires import requires

from memslots.views.text import Paint

REFUSED = "examples/refused-overlap.strace"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("memslots explian", 2, "did you mean 'explain'?"),
        ("memslots README.md", 2, "`memslots explain README.md`"),
        ("memslots nothing-of-the-kind", 2, "`memslots --help` lists them"),
        (f"memslots map {REFUSED} --at 9999", 2, "the recording has 6"),
        ("memslots map examples/layouts/pc.toml", 2, "memslots check examples/layouts/pc.toml"),
        ("memslots timeline examples/layouts/pc.toml", 2, "a layout, which is planned"),
        ("memslots report examples/layouts/pc.toml", 2, "memslots check examples/layouts/pc.toml"),
        ("memslots replay Makefile", 2, "memslots record -o vmm.rec"),
        (f"memslots explain --kern 6.1 --kernel 5.10 {REFUSED}", 2, "--kernel is given twice"),
        (f"memslots explain --ignore host-alais {REFUSED}", 2, "did you mean host-alias?"),
        (f"memslots explain --ignore bogus {REFUSED}", 2, "there are unbacked-window"),
        (f"memslots explain --kernel 6.1 --kernel 5.10 {REFUSED}", 2, "--kernel is given twice"),
        (f"memslots explain --kernel=6.1 --kernel 5.10 {REFUSED}", 2, "--kernel is given twice"),
        (f"memslots explain --kernel 6.8.0-45-generic {REFUSED}", 2, "`6.8/x86_64+fact`"),
        ("memslots kernel mainline", 2, "another kernel every day"),
        ("memslots kernel linux-next", 2, "memslots verify --image"),
        ("memslots rules nonsense", 2, "no rule 'nonsense'"),
        ("memslots check nofile.toml", 2, "memslots check: nofile.toml: No such file or directory"),
        ("memslots record nosuchprog", 2, "memslots record: nosuchprog: No such file"),
        (f"memslots export {REFUSED}", 2, "--format says as what"),
    ],
)
def test_a_wrong_word_is_told(line, code, said):
    found, _, err = call(line)
    assert found == code
    assert said in err


def test_rules_are_found_by_what_people_have():
    everything = call("memslots rules")[1]
    for word in (
        "EEXIST",
        "KVM_SET_NR_MMU_PAGES",
        "kvm_check_memslot_overlap",
        "Bitmap",
        "overlap",
    ):
        code, out, _ = call(f"memslots rules {word}")
        assert code == 0
        assert 0 < len(out.splitlines()) < len(everything.splitlines()) / 2
    assert "gmem-range-bound" in call("memslots rules EEXIST")[1]
    assert "gmem-range-bound" not in call("memslots rules EEXIST --kernel 6.1")[1]


def test_a_heading_ends_with_a_whole_word(tmp_path):
    path = tmp_path / "error.txt"
    path.write_text(
        "Error: the monitor cannot go on, as it failed to set up guest memory of the second node: "
        "Cannot allocate memory (os error 12)\n"
    )
    out = call(f"memslots explain {path}")[1]
    assert "failed to set up guest memory ... = ENOMEM" in out


def test_what_would_refuse_next_is_in_words():
    (line,) = (each for each in call(f"memslots explain {REFUSED}")[1].splitlines()
               if "then     EEXIST" in each)  # fmt: skip
    assert "request gfns [0x0, 0x100000)" in line
    assert "start_gfn" not in line


def test_one_of_the_architectures_of_x86_is_meant_by_x86():
    assert call("memslots kernel 6.1/x86")[1] == call("memslots kernel 6.1/x86_64")[1]


def test_help_of_a_command_and_the_short_version():
    assert "usage: memslots explain" in call("memslots help explain")[1]
    assert call("memslots -V")[1].startswith("memslots 0.")
    assert call("memslots version") == call("memslots --version")


def test_all_releases_of_an_architecture_by_any_name_of_it():
    named = [call(f"memslots check examples/layouts/pc.toml --kernel all/{arch} --json")[1]
             for arch in ("x86_64", "x86-64", "amd64")]  # fmt: skip
    assert named[0] == named[1] == named[2]
    assert '"7.2/x86_64"' in named[0]


def run(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "memslots", *words],
        cwd=ROOT, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


def test_a_closed_standard_input_is_told():
    done = run("explain", preexec_fn=lambda: os.close(0))
    assert (done.returncode, done.stderr) == (
        2,
        "memslots explain: standard input is closed: name a file\n",
    )


def test_an_output_of_ascii_loses_nothing():
    done = run("explain", REFUSED, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 1
    assert "slot-overlap" in done.stdout


def test_more_recordings_than_files_may_be_open(tmp_path):
    text = (Path(ROOT) / REFUSED).read_bytes()
    for number in range(300):
        (tmp_path / f"{number}.strace").write_bytes(text)
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))  # noqa: E731
    done = run("explain", str(tmp_path), preexec_fn=few)
    assert done.returncode == 1
    assert "300 recordings: 300 with something to look at" in done.stdout


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({"NO_COLOR": "", "FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),  # no terminal
    ],
)
def test_colours_as_the_environment_wants_them(monkeypatch, environment, on):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Paint().on is on


def test_one_file_has_every_command(tmp_path):
    """As `make pyz` makes it: no source tree, no site-packages."""
    folder = tmp_path / "build"
    shutil.copytree(Path(ROOT) / "src" / "memslots", folder / "memslots")
    (folder / "__main__.py").write_text(
        "import sys\nfrom memslots.cli.main import main\nsys.exit(main())\n"
    )
    target = tmp_path / "memslots.pyz"
    zipapp.create_archive(folder, target)
    for words, code, said in (
        (["--help"], 0, "explain"),
        (["explain", REFUSED], 1, "slot-overlap"),
        (["rule", "EEXIST"], 0, "slot-overlap"),
        (["check", "examples/layouts/pc.toml"], 0, "accepted"),
        (["kernel", "6.1"], 0, "user-slots"),
    ):
        done = subprocess.run(
            [sys.executable, "-S", "-E", str(target), *words],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert said in done.stdout


def test_the_core_needs_neither_uname_nor_modules_of_unix():
    """Windows, macOS and browsers read recordings, check layouts and ask the model."""
    program = (
        "import os, sys; del os.uname\n"
        "for name in ('fcntl', 'resource', 'termios', 'pwd', 'grp'): sys.modules[name] = None\n"
        "from memslots import Vm; assert Vm('6.1').total_pages == 0\n"
        "from memslots.cli.main import main\n"
        f"assert main(['explain', {REFUSED!r}]) == 1\n"
        "assert main(['check', 'examples/layouts/pc.toml']) == 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["pc.toml", "pc-guest-memfd.json"])
def test_a_layout_given_to_explain_is_asked_of_kernels(name):
    """As `check` does it, with its exit code."""
    code, out, _ = call(f"memslots explain examples/layouts/{name}")
    checked = call(f"memslots check examples/layouts/{name}")
    assert code == checked[0]
    head = "no call in it, but a layout: what kernels would answer, as of `memslots check`\n\n"
    assert out.startswith(head + checked[1])
    places = out.removeprefix(head + checked[1])  # the rest says where its slots lie
    assert places.split()[:3] == ["gpa", "end", "length"]
    assert "\n0x100000000  0x" in places


def test_a_domain_of_libvirt_given_to_explain(tmp_path):
    path = tmp_path / "vm.xml"
    path.write_text(
        "<domain type='kvm'><memory unit='GiB'>4</memory><os><type arch='x86_64' "
        "machine='pc-q35-7.2'>hvm</type></os></domain>"
    )
    code, out, _ = call(f"memslots explain {path}")
    assert code == 0
    assert "q35, 4 GiB" in out
    assert "approximate" in out


def test_a_recording_of_a_vendors_kernel_says_what_is_not_known(tmp_path):
    path = tmp_path / "r.txt"
    path.write_text(
        "Linux web 6.8.0-45-generic #45-Ubuntu SMP x86_64 GNU/Linux\n"
        + (Path(ROOT) / REFUSED).read_text()
    )
    out = call(f"memslots explain {path}")[1]
    assert "which later changes Ubuntu carries in it is not known" in " ".join(out.split())


def test_a_recording_without_a_call_is_no_empty_input(tmp_path):
    from memslots.record.file import RecordingFile

    with RecordingFile(str(tmp_path / "r"), ["true"], "by hand") as file:
        file.end(0)
    code, _, err = call(f"memslots explain {tmp_path / 'r'}")
    assert code == 2
    assert "a recording in which the program made no memory call" in err
    assert "memslots live vms" in err


@pytest.mark.parametrize("command", ["explain", "replay", "map", "timeline", "report"])
def test_binary_data_is_called_so(command, tmp_path):
    path = tmp_path / "junk"
    path.write_bytes(Random(5).randbytes(200_000))
    code, out, err = call(f"memslots {command} {path}")
    assert (code, out) == (2, "")
    assert "it is binary data of no kind that is read here" in err


def test_a_domain_that_is_cut_says_of_what_to_give_more(tmp_path):
    path = tmp_path / "vm.xml"
    path.write_text("<domain type='kvm'><memory unit='GiB'>4</memory>")
    code, _, err = call(f"memslots check {path}")
    assert code == 2
    assert f"{path}: the domain does not end: give all of `virsh dumpxml`" in err


@requires("kvm")
def test_live_run_of_no_recording_is_no_success():
    code, _, err = call("memslots live run Makefile")
    assert code == 2
    assert "no KVM call in Makefile: nothing to run" in err
