"""Several recordings are several: each has its own file, host, process, VM and kernel."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys

import pytest
from epilog import ROOT, call

from memslots.trace.reader import recording_name, recordings_of

REFUSED = "examples/refused-overlap.strace"
GVISOR = "examples/recordings/gvisor-kvm.strace"
THREADS = "examples/recordings/qemu72-pc-strace-ff"
OTHER = "examples/recordings/qemu72-q35-strace-f-T.strace"
SEVERAL = f"{REFUSED} {OTHER} Makefile {THREADS} /nowhere"


def test_each_has_its_own_kernel_and_vms():
    code, out, err = call(f"memslots explain {SEVERAL}")
    assert code == 1
    parts = out.split("=== ")[1:]
    assert [part.split("\n")[0] for part in parts] == [
        REFUSED,
        OTHER,
        "Makefile",
        f"{THREADS}/trace.*",
        "/nowhere",
    ]
    assert "explained as on" in parts[0]
    assert "built as -smm" in parts[1]
    assert "VM 1 (thread 30820" in parts[3]
    assert parts[2].split("\n")[1].startswith("not read: no KVM call")
    assert "not read: No such file" in parts[4]
    assert "5 recordings: 1 with something to look at, 2 not read, 2 fine" in out
    assert "memslots explain: /nowhere: No such file or directory" in err


def test_json_is_an_entry_for_each():
    _, out, _ = call(f"memslots explain --json {SEVERAL}")
    found = json.loads(out)
    assert [len(each.get("files", [])) for each in found] == [1, 1, 0, 2, 0]
    assert found[2]["schema"] == found[4]["schema"] == "memslots.unread/1"
    assert found[1]["kernel"].endswith("-smm")
    alone = json.loads(call(f"memslots explain --json {OTHER}")[1])
    assert found[1] == alone


@pytest.mark.parametrize("command", ["replay", "map", "timeline", "check"])
def test_json_of_others(command):
    code, out, _ = call(f"memslots {command} --json {REFUSED} Makefile {GVISOR}")
    found = json.loads(out)
    assert code in (1, 2, 3)
    assert len(found) == 3
    assert found[0] == json.loads(call(f"memslots {command} --json {REFUSED}")[1])
    assert found[2] == json.loads(call(f"memslots {command} --json {GVISOR}")[1])
    assert found[1]["error"]


def test_rows_say_file_thread_and_time():
    _, out, err = call(f"memslots replay --jsonl {GVISOR} Makefile {THREADS}")
    rows = [json.loads(line) for line in out.splitlines()]
    steps = [row for row in rows if row["schema"] == "memslots.step/1"]
    assert {row["file"] for row in steps} > {GVISOR}
    assert all(row["pid"] for row in steps)
    assert all(row["time_ns"] for row in steps)
    assert [row["file"] for row in rows if row not in steps] == ["Makefile"]
    assert "Makefile" in err


def test_together_they_are_one():
    _, out, _ = call(f"memslots explain --json --together {REFUSED} {GVISOR}")
    assert json.loads(out)["files"] == [REFUSED, GVISOR]


def test_the_report_is_a_folder(tmp_path):
    code, _, _ = call(f"memslots report -o {tmp_path}/pages {REFUSED} Makefile {THREADS}")
    assert code == 1
    index = (tmp_path / "pages" / "index.html").read_text()
    pages = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert len(pages) == 3
    assert all(f'href="{name}"' in index for name in pages[:2])
    assert "Makefile" in index
    code, _, err = call(f"memslots report {REFUSED} {GVISOR}")
    assert code == 2
    assert "-o FOLDER" in err


def test_forms_that_take_one_file_say_so():
    assert "is for one FILE" in call(f"memslots check --format sarif {REFUSED} {GVISOR}")[2]
    code, out, _ = call(f"memslots map --svg x.svg {REFUSED} {GVISOR}")
    assert code == 2
    assert "--svg draws one recording" in out


def test_rotated_logs_and_the_files_of_a_thread():
    assert recordings_of(["vm.log", "vm.log.1"]) == [["vm.log"], ["vm.log.1"]]
    assert recordings_of(["t.7", "x", "t.8"]) == [["t.7", "t.8"], ["x"]]
    assert recording_name(["t.7", "t.8"]) == "t.*"


def test_more_files_than_may_be_open(tmp_path):
    for number in range(120):
        shutil.copy(ROOT / REFUSED, tmp_path / f"{number:04}.strace")
    done = subprocess.run(
        [sys.executable, "-m", "memslots", "explain", "--kernel", "6.1", "--json", tmp_path],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (done.returncode, len(found)) == (1, 120)
    assert all(each["explanations"][0]["rule"] == "slot-overlap" for each in found)


def test_a_file_named_twice_is_one_recording():
    assert recordings_of([GVISOR, GVISOR, REFUSED]) == [[GVISOR], [REFUSED]]
    assert call(f"memslots explain {REFUSED} {REFUSED}") == call(f"memslots explain {REFUSED}")
