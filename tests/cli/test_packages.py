"""What is installed: wheel, source distribution, examples, man pages, completions."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from argparse import SUPPRESS
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from epilog import ROOT, call, examples

from memslots.cli import example_files
from memslots.cli.all_parsers import all_parsers
from memslots.cli.main import COMMANDS, main
from memslots.cli.parsers import parser_of
from memslots.cli.shell_files import write_shell_files

NEEDS_MORE = {"emulate", "fleet", "live", "record", "sweep", "verify", "watch"}
"""Commands whose examples need /dev/kvm, root, an extra or a program of one's own."""
BUILDS = find_spec("build") is not None and find_spec("setuptools") is not None
needs_build = pytest.mark.skipif(
    not BUILDS, reason="the packages `build`, `setuptools` are missing"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and source distribution of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "-o", str(folder), str(source)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """An environment that holds nothing but the wheel."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(site)
    return folder / "bin" / "python"


@needs_build
@pytest.mark.parametrize(
    "line",
    [line for name in COMMANDS if name not in NEEDS_MORE for line in examples(name)],
)
def test_every_example_of_every_help_works_after_an_installation(line, installed, tmp_path):
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    words = line.split("#")[0].split(" | ")[0].removeprefix("memslots ")
    done = subprocess.run(
        f"{installed} -I -m memslots {words}", shell=True, cwd=tmp_path, env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1, 3), done.stderr
    assert not done.stderr
    wrote = any(tmp_path.iterdir())
    assert done.stdout or wrote


@pytest.mark.parametrize("name", sorted(NEEDS_MORE))
def test_examples_that_need_more_are_understood(name, tmp_path, monkeypatch):
    """What they do is run where it can be: by the tests of each command."""
    monkeypatch.chdir(tmp_path)
    for line in examples(name):
        words = shlex.split(re.split(r" {3,}| \| | > ", line)[0])
        module = import_module(f"memslots.cli.{words[1]}")
        assert parser_of(words[1], module).parse_args(words[2:])


@needs_build
def test_the_source_distribution_has_what_its_tests_need(built):
    with tarfile.open(built[1]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    kept = {name for name in done.stdout.split("\0") if name and not name.startswith(".")}
    assert kept - names == set()


@needs_build
def test_the_wheel_says_who_and_where(built):
    with zipfile.ZipFile(built[0]) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        text = wheel.read(metadata).decode()
    said = ("License-Expression: MIT", "Requires-Python: >=3.11", "Author: memslots developers")
    for line in said:
        assert f"\n{line}" in text
    assert any(name.endswith("data/share/man/man1/memslots-explain.1") for name in names)
    assert any(name.endswith("data/share/doc/memslots/rules/slot-overlap.md") for name in names)
    assert "Project-URL" not in text  # as long as nobody owns an address
    assert any(name.endswith("share/bash-completion/completions/memslots") for name in names)
    assert "memslots/examples/layouts/pc.toml" in names
    assert "memslots/schemas/explain.json" in names


def test_an_example_is_found_from_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "examples/refused-overlap.strace"]) == 1
    assert "slot-overlap" in capsys.readouterr().out
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "refused-overlap.strace").write_text("nothing of the kind\n")
    assert main(["explain", "examples/refused-overlap.strace"]) == 2  # the one that is here


def test_examples_are_listed_printed_and_written(tmp_path):
    names = call("memslots example")[1].split()
    assert "examples/layouts/pc.toml" in names
    text = (Path(ROOT) / "examples" / "layouts" / "pc.toml").read_text()
    assert call("memslots example layouts/pc.toml")[1] == text
    assert call("memslots example examples/layouts/pc.toml")[1] == text
    assert call("memslots example pc.toml")[1] == text
    written = call(f"memslots example --write {tmp_path}")[1].split()
    assert len(written) == len(names)
    assert (tmp_path / "layouts" / "pc.toml").read_text() == text
    (tmp_path / "layouts" / "pc.toml").write_text("mine")
    code, _, err = call(f"memslots example --write {tmp_path}")
    assert (code, "is there and differs" in err) == (2, True)


@pytest.mark.parametrize(
    "name", ["no.such", "../README.md", "/etc/passwd", "layouts/../../README.md"]
)
def test_only_examples_are_examples(name):
    assert example_files.example_path(name) is None
    assert call(f"memslots example {name}")[0] == 2


def test_one_file_carries_its_examples(tmp_path):
    folder = tmp_path / "build"
    shutil.copytree(Path(ROOT) / "src" / "memslots", folder / "memslots")
    shutil.copytree(Path(ROOT) / "examples", folder / "memslots" / "examples")
    (folder / "__main__.py").write_text(
        "import sys\nfrom memslots.cli.main import main\nsys.exit(main())\n"
    )
    target = tmp_path / "memslots.pyz"
    shutil.make_archive(str(target), "zip", folder)
    os.rename(f"{target}.zip", target)
    for words, code in ((["explain", "examples/refused-overlap.strace"], 1),
                        (["explain", "examples/recordings/qemu72-pc-strace-ff"], 0)):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-I", str(target), *words],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert "consistent with" in done.stdout
    done = subprocess.run(
        [sys.executable, "-I", str(target), "schema", "check"], capture_output=True, check=False
    )
    assert done.returncode == 0


@pytest.fixture(scope="module")
def shell_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("share")
    write_shell_files(str(folder))
    return folder / "share"


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_a_man_page_is_clean_and_complete(name, shell_files):
    page = shell_files / "man" / "man1" / f"memslots{'-' if name else ''}{name}.1"
    text = page.read_text()
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"):
        assert f"\n.SH {section}\n" in text
    if name:
        plain = text.replace("\\-", "-").replace("\\(ti", "~").replace("\\&", "")
        shown = (action for action in all_parsers()[name]._actions if action.help != SUPPRESS)
        for action in shown:
            assert all(option in plain for option in action.option_strings)
        module = import_module(f"memslots.cli.{COMMANDS[name][0]}")
        assert module.EPILOG.splitlines()[1].strip().split()[1] in plain
    if shutil.which("groff"):
        done = subprocess.run(
            ["groff", "-man", "-ww", "-Wbreak", "-Tutf8", str(page)],
            capture_output=True,
            check=True,
        )
        assert not done.stderr


def completed(shell, shell_files, line):
    """What a shell offers for a line that ends in the middle of a word."""
    if shell == "bash":
        script = (
            'source $1; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _memslots 2>/dev/null; '
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        path = shell_files / "bash-completion" / "completions" / "memslots"
        command = ["bash", "-c", script, "bash", str(path), *line.split(" ")]
    else:
        path = shell_files / "fish" / "vendor_completions.d" / "memslots.fish"
        command = ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [each.split("\t")[0] for each in done.stdout.split("\n") if each]


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("memslots exp", "explain"),
        ("memslots explain --kern", "--kernel"),
        ("memslots explain --kernel 6.1/x", "6.1/x86_64"),
        ("memslots rule slot-over", "slot-overlap"),
        ("memslots check --format sar", "sarif"),
        ("memslots diff 6.1/x", "6.1/x86_64"),
    ],
)
def test_a_shell_completes(shell, line, offered, shell_files):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert offered in completed(shell, shell_files, line)


def test_zsh_reads_its_completion(shell_files):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    path = shell_files / "zsh" / "site-functions" / "_memslots"
    subprocess.run(["zsh", "-n", str(path)], check=True)
    script = f"autoload -Uz compinit; compinit -u -D; source {path}; print ${{_comps[memslots]}}"
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "_memslots\n"


def test_the_readme_shows_what_is_printed():
    """First the installation, then one paste and its answer, then the picture."""
    text = (Path(ROOT) / "README.md").read_text()
    shown = call("memslots explain examples/refused-overlap.strace")[1].split("\n\n")[0].strip()
    places = [text.index(each) for each in ("pip install memslots", shown, "![")]
    assert places == sorted(places)
