"""Kernels booted elsewhere, as far as it goes without booting one: archive, script, answers,
crashes, packages.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import stat
import sys
import tarfile

import pytest

from memslots.errors import DeviceUnavailableError, TraceError, UnknownKernelError
from memslots.verify.farm import __main__ as command
from memslots.verify.farm import boot, initramfs, packages, rerun
from memslots.verify.farm.boot import Asking, follow
from memslots.verify.farm.emulator import changed_program
from memslots.verify.farm.initramfs import SOURCE
from memslots.verify.farm.kernels import (
    KERNELS,
    MACHINES,
    NATIVE,
    Changed,
    fetched,
    find_kernel,
    kernel_folder,
    recorded_as,
)
from memslots.verify.farm.script import Answers, script_of
from memslots.verify.recorded.compare import KINDS, answer_files

ARCHIVE = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "recorded", "answers.tar.xz"
)
HEADER = (
    '@{"hdr":1,"release":"6.1.0","version":"v","machine":"x86_64","page_size":4096,'
    '"long_bits":64,"caps":{}}'
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMSLOTS_FARM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# -- the archive


def unpacked(data):
    """name -> (mode, content) of a newc archive."""
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, nbytes, name_bytes = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_bytes - 1].decode()
        at = -(-(at + 110 + name_bytes) // 4) * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, data[at : at + nbytes], tuple(fields[9:11]))
        at = -(-(at + nbytes) // 4) * 4


def test_the_archive_holds_what_the_program_needs():
    found = unpacked(
        initramfs.initramfs(
            b"\x7fELF1", [("kvm", b"K"), ("kvm_amd", b"AMD")], {"kvm_amd": "npt=0"}, "S 0\nE\n"
        )
    )
    assert found["init"][:2] == (0o100755, b"\x7fELF1")
    assert found["asker/modules"][1] == b"/asker/kvm.ko\n/asker/kvm_amd.ko npt=0\n"
    assert found["asker/kvm_amd.ko"][1] == b"AMD"
    assert found["asker/script"][1] == b"S 0\nE\n"
    assert found["dev/console"][2] == (5, 1)
    assert stat.S_ISCHR(found["dev/console"][0])
    assert stat.S_ISDIR(found["proc"][0])
    # the program looks for them there
    with open(initramfs.SOURCE, encoding="ascii") as source:
        text = source.read()
    assert all(f'"/{name}"' in text for name in ("asker/modules", "asker/script", "init"))


def test_modules_come_with_what_they_need(tmp_path):
    base = tmp_path / "lib" / "modules" / "6.1"
    (base / "kernel").mkdir(parents=True)
    (base / "modules.dep").write_text(
        "kernel/kvm-amd.ko.xz: kernel/kvm.ko.gz kernel/ccp.ko\nkernel/kvm.ko.gz: "
        "kernel/irqbypass.ko\n"
        "kernel/irqbypass.ko:\nkernel/ccp.ko:\nkernel/other.ko:\n"
    )
    (base / "kernel" / "kvm-amd.ko.xz").write_bytes(lzma.compress(b"amd"))
    (base / "kernel" / "kvm.ko.gz").write_bytes(gzip.compress(b"kvm"))
    for name in ("irqbypass", "ccp", "other"):
        (base / "kernel" / f"{name}.ko").write_bytes(name.encode())
    assert initramfs.module_files(str(tmp_path), "6.1", ("kvm-amd", "built-in")) == [
        ("irqbypass", b"irqbypass"), ("kvm", b"kvm"), ("ccp", b"ccp"), ("kvm_amd", b"amd"),
    ]  # fmt: skip


# -- the script and the answers


def test_the_script():
    sequences = [[["create_vm", 0]], [["set_region", 0, "1P", 0, "-1P", "map:0+1"], ["irqchip"]]]
    assert script_of(sequences, range(1, 2), 64, seconds=9, probe=True, checksums=True) == (
        "L 64\nT 9\nC\nP\nS 1\nset_region 0 1P 0 -1P map:0+1\nirqchip\nE\n"
    )


def test_answers_between_what_a_console_shows():
    answers = Answers()
    for line in (
        "[    0.1] Linux version", HEADER, '@{"module":"kvm","e":2}',
        '@{"probe":1,"budget":0,"word":5}',
        '@{"s":3,"i":0,"r":0}',
        '@{"s":3,"i":1,"r":-1,"e":22}',
        '@{"s":3,"i":2,"r@{"s":3,"i":3,"stop":17,"r":2}',   # the second of two lines survives
        '@{"s":3,"i":4,"skip":"memory"}',
        '@{"s":3,"kmsg":"warned"}', '@{"s":3,"died":"signal 11"}', '@{"s":3,"end":5}',
        "@{", '@{"s":', "@[1]", '@{"s":"x"}', '@{"s":4}', "@{}", '@{"s":3,"i":1,"r":',
    ):  # fmt: skip
        answers.take(line)
    heard = answers.sequence(3)
    assert answers.has_kvm
    assert answers.probe is not None
    assert [module["e"] for module in answers.failed_modules] == [2]
    assert heard.results == {
        0: 0,
        1: -22,
        3: {"r": 2, "stop": 17},
        4: {"r": None, "skip": "memory"},
    }
    assert heard.in_order() == [0, -22], (
        "what comes after a gap would be taken for another's answer"
    )
    assert heard.record("a") == {
        "id": "a",
        "res": [0, -22],
        "kmsg": ["warned"],
        "died": "signal 11",
    }
    assert heard.ended
    assert not answers.is_done
    assert not answers.is_off
    assert answers.take('@{"done":1}')
    assert answers.take('@{"bye":1}')
    assert (answers.is_done, answers.is_off) == (True, True)


def test_a_kernel_without_kvm():
    answers = Answers()
    assert not answers.has_kvm
    answers.take('@{"hdr":1,"open_kvm":-2}')
    assert not answers.has_kvm


# -- boots that end as they should not

FAKE = """
import sys, time
script = open(sys.argv[1]).read()
print({header!r}, flush=True)
for part in script.split("S ")[1:]:
    number = int(part.split()[0])
    for index in range(part.count("\\n") - 2):
        print('@{{"s":%d,"i":%d,"r":%d}}' % (number, index, number), flush=True)
    {trouble}
    print('@{{"s":%d,"end":1}}' % number, flush=True)
print('@{{"done":1}}', flush=True)
print('@{{"bye":1}}', flush=True)
time.sleep({sleep})
"""


class Fake(Asking):
    """Its "kernel" is a Python program."""

    def __init__(self, tmp_path, trouble="pass", header=HEADER, sleep=0):
        self.said = []
        super().__init__(find_kernel(NATIVE), self.said.append)
        self._folder = str(tmp_path)
        self.program = tmp_path / "fake.py"
        self.program.write_text(FAKE.format(header=header, trouble=trouble, sleep=sleep))

    def _command(self, script, *, for_totals):
        path = self.program.with_suffix(".script")
        path.write_text(script)
        return [sys.executable, str(self.program), str(path)]


SEQUENCES = [[["create_vm", 0]] * 2 for _ in range(4)]


def test_all_answers_of_one_boot(tmp_path):
    # it says bye and stays on: nobody waits for a machine that does not power off
    asking = Fake(tmp_path, sleep=60)
    answers = asking.ask(SEQUENCES)
    assert [answers.sequence(number).in_order() for number in range(4)] == [
        [n, n] for n in range(4)
    ]
    assert (asking.boots, asking.crashes) == (1, [])


def test_a_crash_costs_one_sequence(tmp_path):
    asking = Fake(tmp_path, trouble="number in (1, 2) and sys.exit(3)")
    answers = asking.ask(SEQUENCES)
    assert asking.crashes == [1, 2]
    assert asking.boots == 3
    assert answers.sequence(1).why_short == "the kernel ended (exit 3)"
    assert answers.sequence(3).in_order() == [3, 3]
    assert "exit 3 within sequence 1" in asking.said[0]


def test_a_crash_in_the_last_sequence_ends_it(tmp_path):
    asking = Fake(tmp_path, trouble="number == 3 and sys.exit(3)")
    assert asking.ask(SEQUENCES).sequence(2).ended
    assert (asking.boots, asking.crashes) == (1, [3])


def test_crashes_without_end_do_end(tmp_path, monkeypatch):
    monkeypatch.setattr(boot, "MOST_CRASHES", 2)
    asking = Fake(tmp_path, trouble="sys.exit(3)")
    asking.ask(SEQUENCES * 3)
    assert asking.boots == 3


def test_a_kernel_that_hangs_is_given_up(tmp_path):
    asking = Fake(tmp_path, trouble="number == 1 and time.sleep(60)")
    asking.quiet_seconds = 0.5
    assert asking.ask(SEQUENCES).sequence(1).why_short == "the kernel ended (silent)"


def test_a_kernel_that_goes_on_for_ever_is_given_up():
    program = "import time\nwhile True: print('tick', flush=True); time.sleep(0.01)"
    heard = []
    assert follow([sys.executable, "-c", program], Answers(), heard.append, 0.5, 60) == "too long"
    assert "tick\n" in heard


def test_a_kernel_that_does_not_start_shows_its_console(tmp_path):
    asking = Fake(tmp_path)
    asking.program.write_text("print('Kernel panic: no init'); raise SystemExit(1)")
    with pytest.raises(DeviceUnavailableError, match=r"did not start .*Kernel panic"):
        asking.ask([])


def test_no_kvm_says_why(tmp_path):
    header = (
        '@{"hdr":1,"open_kvm":-2}\n@{"s":0,"kmsg":"SVM not supported"}\n'
        '@{"module":"kvm_amd","e":95}'
    )
    with pytest.raises(
        DeviceUnavailableError, match=r"errno -2 SVM not supported kvm_amd errno 95"
    ):
        Fake(tmp_path, header=header).ask([])


def test_a_program_that_is_not_there():
    with pytest.raises(DeviceUnavailableError, match="cannot run"):
        follow(["./no-such-program"], Answers(), print, 1, 1)


# -- kernels and packages


def test_every_recorded_kernel_can_be_booted_or_says_why():
    with tarfile.open(ARCHIVE) as archive:
        members = [
            name.removesuffix(".jsonl")
            for name in archive.getnames()
            if not name.startswith("sequences")
        ]
    # releases have dots too: only the last word can be a kind
    kinds = tuple(f".{kind}" for kind in KINDS if kind)
    names = {name.rpartition(".")[0] if name.endswith(kinds) else name for name in members}
    for name in names:
        if name.startswith("built-"):
            with pytest.raises(
                UnknownKernelError, match=rf"{re.escape(name)} was compiled by hand"
            ):
                recorded_as(name)
        elif not name.startswith("host-"):
            assert recorded_as(name).name == name
    assert set(KERNELS) - names == {NATIVE, f"{NATIVE}-compat32"}


def test_the_kernel_under_us():
    here = ".".join(os.uname().release.split(".")[:2])
    assert recorded_as(f"host-{here}-x86_64").name == NATIVE
    assert recorded_as(f"host-{here}-compat32").program_arch == "i386"
    with pytest.raises(UnknownKernelError, match=f"on a 1.2 kernel, and this host runs {here}"):
        recorded_as("host-1.2-x86_64")


def test_unknown_names_list_the_known():
    with pytest.raises(UnknownKernelError, match=r"debian-6\.1-i386"):
        find_kernel("debian-6.1-m68k")


def test_every_kernel_has_a_machine():
    for kernel in KERNELS.values():
        assert kernel.arch in MACHINES
        assert kernel.program_arch in MACHINES
        assert kernel.limit_pages >= 1 << 23


def tool(folder, name, text):
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """apt and dpkg that know one kernel."""
    folder = tmp_path / "tools"
    folder.mkdir()
    tool(
        folder,
        "apt-get",
        """case "$*" in
*indextargets*) echo http://mirror.example/debian-security; echo http://mirror.example/debian;;
*update*) for o; do case $o in Dir::State::lists=*) touch "${o#*=}/x_Packages";; esac; done;;
*download*) touch linux-image-6.1.0_1.deb;; esac""",
    )
    tool(
        folder,
        "apt-cache",
        """case "$*" in
*show*linux-image-amd64) echo 'Package: linux-image-amd64'; \
    echo 'Depends: linux-image-6.1.0 (= 1), kmod';;
*) echo 'Package: linux-image-6.1.0'; echo 'Depends: kmod | mod, linux-base';; esac""",
    )
    tool(
        folder,
        "dpkg",
        'mkdir -p "$3/boot" "$3/usr/lib/modules/6.1.0"; echo K > "$3/boot/vmlinuz-6.1.0"',
    )
    tool(folder, "depmod", 'touch "$2/lib/modules/$3/modules.dep"')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_a_kernel_is_fetched_once(tools, cache):
    said = []
    kernel = find_kernel("debian-6.1-x86_64")
    folder, release = packages.fetch(kernel, said.append)
    assert (folder, release) == (kernel_folder(kernel), "6.1.0")
    assert said == ["debian-6.1-x86_64: fetching linux-image-6.1.0"]
    assert packages.image(folder, release).endswith("boot/vmlinuz-6.1.0")
    assert (
        "mirror.example/debian bookworm main"
        in (cache / "apt" / "bookworm-amd64" / "sources.list").read_text()
    )
    assert not os.path.exists(os.path.join(folder, "debs"))
    packages.fetch(find_kernel("debian-6.1-x86_64-shadow"), said.append)  # the same package
    assert len(said) == 1
    assert {"debian-6.1-x86_64", "debian-6.1-x86_64-shadow", NATIVE} <= set(fetched())
    with pytest.raises(DeviceUnavailableError, match=r"no kernel 5\.5"):
        packages.image(folder, "5.5")


def test_a_package_that_is_not_there_says_what_apt_says(tools):
    tool(tools, "apt-cache", "echo 'E: No packages found' >&2; exit 100")
    with pytest.raises(
        DeviceUnavailableError,
        match=r"bookworm has no linux-image-amd64 for amd64: .*E: No packages found",
    ):
        packages.fetch(find_kernel("debian-6.1-x86_64"))
    assert fetched() == [NATIVE, f"{NATIVE}-compat32"]


@pytest.mark.parametrize(
    ("complaint", "told"),
    [
        (
            "E: Failed to fetch http://m/x/Packages.xz  File has unexpected size (2 != 1). "
            "Mirror sync in progress?\n"
            "   Hashes of expected file:\n"
            "E: Some index files failed to download. They have been ignored, or old ones used "
            "instead.",
            r"Failed to fetch http://m/x/Packages\.xz  File has unexpected size "
            r".*\(the mirror is being renewed: try",
        ),
        (
            "E: The repository 'http://m bookworm Release' does not have a Release file.",
            "not have a Release file.$",
        ),
        (
            "W: Failed to fetch http://m/InRelease  Temporary failure resolving 'm'",
            "Temporary failure resolving 'm'$",
        ),
        ("E: Some index files failed to download.", "Some index files failed to download.$"),
        ("", "apt-get update says nothing"),
    ],
)
def test_lists_that_do_not_match_are_told_with_suite_and_cause(tools, complaint, told):
    text = (tools / "apt-get").read_text()
    failing = text.replace(
        "*update*)", f'*update*) cat >&2 <<"END"\n{complaint}\nEND\nexit 100;;\n*never*)'
    )
    (tools / "apt-get").write_text(failing)
    with pytest.raises(
        DeviceUnavailableError, match=f"no package lists of bookworm for amd64: .*{told}"
    ):
        packages.fetch(find_kernel("debian-6.1-x86_64"))


def test_an_update_that_brings_no_lists_is_no_success(tools):
    text = (tools / "apt-get").read_text()
    (tools / "apt-get").write_text(text.replace("touch", ": "))
    with pytest.raises(DeviceUnavailableError, match="no package lists of bookworm for amd64"):
        packages.fetch(find_kernel("debian-6.1-x86_64"))


def test_lists_that_have_grown_old_are_fetched_again(tools):
    text = (tools / "apt-get").read_text()
    once = text.replace(
        "*download*) touch",
        f"*download*) test -e {tools}/tried || {{ touch {tools}/tried; exit 100; }}; touch",
    )
    (tools / "apt-get").write_text(once)
    said = []
    packages.fetch(find_kernel("debian-6.1-x86_64"), said.append)
    assert len(said) == 2


def test_no_mirror(tools):
    tool(tools, "apt-get", "true")
    with pytest.raises(DeviceUnavailableError, match="apt-get update"):
        packages.mirror()


def test_a_missing_program_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(DeviceUnavailableError, match="apt-get install qemu-system-x86"),
        Asking(find_kernel("debian-6.1-x86_64")),
    ):
        pass
    with pytest.raises(
        DeviceUnavailableError, match="apt-get install gcc-i686-linux-gnu libc6-dev-i386-cross"
    ):
        initramfs.compiled("i386")


def test_a_compiler_that_fails_is_told(tools):
    tool(tools, "gcc", "echo 'no libc here' >&2; exit 1")
    with pytest.raises(DeviceUnavailableError, match="no libc here"):
        initramfs.compiled("amd64")


# -- rare hosts, and kernels that are asked for the first time


def test_a_processor_with_one_register_changed(tmp_path):
    change = Changed("ID", 0x10_1122, 0x10_1121)
    program = tmp_path / "qemu"
    program.write_bytes(b"\x7fELF" + 2 * (0x10_1122).to_bytes(8, "little") + b"end")
    copy = changed_program(str(program), change)
    with open(copy, "rb") as file:
        assert file.read() == b"\x7fELF" + 2 * (0x10_1121).to_bytes(8, "little") + b"end"
    assert os.access(copy, os.X_OK)
    assert changed_program(str(program), change) == copy
    assert program.read_bytes()[4] == 0x22
    program.write_bytes(b"another build")
    with pytest.raises(DeviceUnavailableError, match="holds no ID of 0x101122"):
        changed_program(str(program), change)


def test_a_host_tells_its_kernel_something(tmp_path, monkeypatch):
    monkeypatch.setattr(boot, "fetch", lambda kernel, say: (str(tmp_path), "1"))
    monkeypatch.setattr(boot, "compiled", lambda arch: SOURCE)
    monkeypatch.setattr(boot, "module_files", lambda *_: [])
    monkeypatch.setattr(boot, "image", lambda *_: "vmlinuz")
    asking = Asking(find_kernel("debian-sid-arm64-protected"))
    asking._folder = str(tmp_path)
    told = asking._command("", for_totals=False)
    assert told[-1].endswith(" kvm-arm.mode=protected")
    assert "kvm-arm" not in Asking(find_kernel("debian-sid-arm64")).kernel.command_line
    totals = Asking(find_kernel("debian-6.1-i386-pa52"))
    totals._folder = str(tmp_path)
    assert totals._command("", for_totals=True)[-1].endswith(" vmalloc=768M")
    assert "vmalloc" not in totals._command("", for_totals=False)[-1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two sequences, and a kernel under us that answers them."""
    folder = tmp_path / "answers"
    folder.mkdir()
    for kind in ("sequences", "sequences-corners"):
        (folder / f"{kind}.jsonl").write_text(
            "".join(
                f'{{"id": "{name}", "ops": [["create_vm", 0], ["create_vm", 0]]}}\n'
                for name in "ab"
            )
        )

    class Entered(Fake):
        def __init__(self, kernel, say):
            super().__init__(tmp_path)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(rerun, "Asking", Entered)
    return folder


@pytest.mark.parametrize("kind", ["", "corners"])
def test_a_new_kernel_is_recorded_once(folder, kind):
    result = rerun.record(str(folder), "debian-6.1-x86_64", kind)
    assert (result.sequences, result.answers) == (2, 4)
    ((path, found),) = answer_files(str(folder))
    assert found == kind
    recorded = rerun.RecordedFile(path, kind)
    assert recorded.name == "debian-6.1-x86_64"
    assert recorded.answers == {"a": [0, 0], "b": [1, 1]}
    assert recorded.header["release"] == "6.1.0"
    with pytest.raises(TraceError, match=r"there are answers of debian-6\.1-x86_64"):
        rerun.record(str(folder), "debian-6.1-x86_64", kind)
    # and is the same when asked again
    (again,) = rerun.rerun(str(folder))
    assert (again.answers, again.differing, again.why_not) == (4, [], "")


def test_the_command_records(folder, capsys):
    assert command.main(["--add", "corners", str(folder), "debian-6.1-x86_64"]) == 0
    assert "debian-6.1-x86_64.corners" in capsys.readouterr().out
    assert os.path.exists(folder / "debian-6.1-x86_64.corners.jsonl")
    assert command.main(["--add", "plain", str(folder), "no-such-kernel"]) == 2
    assert "no bootable kernel 'no-such-kernel'" in capsys.readouterr().err
    assert command.main(["--add", "totals", str(folder), "debian-6.1-x86_64"]) == 2
    assert "sequences-totals" in capsys.readouterr().err


def test_the_help_tells_where_rare_hosts_are(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    text = capsys.readouterr().out
    for ending in ("-pa36", "-protected", "-gicv2", "-mte"):
        assert ending in text
        assert any(name.endswith(ending) for name in KERNELS)
    assert "debian-experimental-" in text


def test_answers_of_this_host_are_kept_under_its_release(tmp_path):
    from memslots.verify.farm.rerun import record

    with pytest.raises(ValueError, match=r"host-6\.18-x86_64"):
        record(str(tmp_path), "native", "corners")
