"""A scan: nothing lost, nothing twice, the same tables from every engine."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest
from fleets import digest, made
from requires import requires

from memslots.errors import TraceError
from memslots.fleet import engines
from memslots.fleet.inputs import find_inputs
from memslots.fleet.scan import scan
from memslots.fleet.schema import TABLES
from memslots.fleet.shards import batches, shard_of
from memslots.fleet.tables import Tables

pytestmark = requires("duckdb")
SOURCE = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir)
COMMAND = [sys.executable, "-m", "memslots", "fleet"]


def run(*words, **options):
    return subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, check=False, **options
    )


def plain(folder, **options):
    return scan([str(made())], str(folder), engine=engines.here(), most=25, **options)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once")
    plain(folder)
    return folder


def test_every_recording_once(once):
    tables = Tables(str(once))
    names = sorted(name for (name,) in tables.ask("SELECT name FROM recordings").rows)
    assert names == sorted(str(path) for path in made().rglob("[!.]*") if path.is_file())
    for table in TABLES:
        answer = tables.ask(f"SELECT * FROM {table.name}")
        assert answer.columns == list(table.columns)
        assert len(set(map(repr, answer.rows))) == len(answer.rows)


def test_what_is_generated_is_no_surprise(once):
    tables = Tables(str(once))
    assert tables.ask("SELECT sum(surprises), count(error) FROM recordings").rows == [(0, 0)]
    assert tables.ask("SELECT count(*) FROM recordings WHERE how = 'recorded'").rows[0][0] > 50


def test_a_second_scan_takes_what_is_new(tmp_path, once):
    shutil.copytree(once, tmp_path / "fleet")
    again = plain(tmp_path / "fleet")
    assert (again.known, again.recordings, again.batches) == (120, 0, 0)
    assert digest(tmp_path / "fleet") == digest(once)
    more = tmp_path / "more"
    shutil.copytree(made(), more)
    one = next(path for path in more.rglob("*.strace"))
    found = scan([str(made()), str(one)], str(tmp_path / "fleet"), engine=engines.here(), most=25)
    assert (found.known, found.recordings) == (120, 1)


def test_a_recording_that_has_grown_counts_once(tmp_path):
    path = tmp_path / "in" / "host" / "vm.strace"
    path.parent.mkdir(parents=True)
    whole = next(made().rglob("*q35.strace")).read_bytes()
    for share in (2, 1):
        path.write_bytes(whole[: len(whole) // share])
        scan([str(tmp_path / "in")], str(tmp_path / "fleet"), engine=engines.here())
    tables = Tables(str(tmp_path / "fleet"))
    assert tables.ask("SELECT count(*), max(file_bytes) FROM recordings").rows == [(1, len(whole))]
    assert tables.ask("SELECT count(DISTINCT recording) FROM steps").rows == [(1,)]
    assert tables.ask("SELECT count(*) FROM all_recordings").rows == [(2,)]


def test_a_pool_makes_the_same_tables(tmp_path, once):
    scan([str(made())], str(tmp_path), engine=engines.pool(2), most=25)
    assert digest(tmp_path) == digest(once)


@requires("dask")
def test_dask_makes_the_same_tables(tmp_path, once):
    done = run("scan", made(), "-o", tmp_path, "--batch", 25, "--dask", "local", "-j", 2)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path) == digest(once)


def test_shards_make_the_same_tables(tmp_path, once):
    # the last shard begins when the first has ended already, and they know of each other's parts
    for index in (2, 0, 1):
        plain(tmp_path, shard=(index, 3))
    assert digest(tmp_path) == digest(once)


def test_shards_of_a_grown_fleet_do_each_thing_once(tmp_path):
    half = tmp_path / "in"
    for number, path in enumerate(sorted(made().rglob("*.*"))):
        if number % 2 and path.is_file():
            (half / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, half / path.parent.name / path.name)
    scan([str(half)], str(tmp_path / "fleet"), engine=engines.here(), most=7)
    for path in made().rglob("*.*"):
        if path.is_file():
            (half / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, half / path.parent.name / path.name)
    for index in range(3):
        scan([str(half)], str(tmp_path / "fleet"), engine=engines.here(), most=7, shard=(index, 3))
    tables = Tables(str(tmp_path / "fleet"))
    rows = tables.ask("SELECT count(*), count(DISTINCT id) FROM recordings").rows
    assert rows == [(120, 120)]


def test_the_shard_of_a_job_array(monkeypatch):
    assert shard_of("2/8") == (2, 8)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "4")
    assert shard_of("auto") == (2, 4)
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    monkeypatch.setenv("JOB_COMPLETIONS", "5")
    assert shard_of("auto") == (0, 5)
    for wrong in ("8/8", "x", "1/0"):
        with pytest.raises(ValueError, match="shard"):
            shard_of(wrong)


def test_a_worker_that_is_killed_costs_nothing(tmp_path, once):
    scanning = subprocess.Popen(
        [*COMMAND, "scan", made(), "-o", tmp_path, "--batch", "25", "-j", "2"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    killed = 0
    while scanning.poll() is None and not killed:
        aside = tmp_path / "unfinished"
        for child in _workers(scanning.pid):
            if aside.exists() and any(aside.iterdir()):
                os.kill(child, signal.SIGKILL)
                killed += 1
                break
        time.sleep(0.002)
    out, _ = scanning.communicate(timeout=120)
    assert killed
    assert scanning.returncode == 0, out
    assert digest(tmp_path) == digest(once)


def _workers(pid):
    """Processes that do the work: below the fork server."""
    found = []
    for parent in _children(pid):
        found += _children(parent)
    return found


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return list(map(int, file.read().split()))
    except OSError:
        return []


def test_a_batch_that_kills_every_worker_is_told(tmp_path, once):
    class KillerError(Exception):
        pass

    class Broken:
        def submit(self, work, batch):
            from concurrent.futures import Future

            future = Future()
            if "host-0001" in batch.inputs[0].name:
                future.set_exception(KillerError("gone"))
            else:
                future.set_result(work(batch))
            return future

    from contextlib import contextmanager

    found = scan(
        [str(made())], str(tmp_path), engine=contextmanager(lambda: (yield Broken())), most=5
    )
    assert found.lost
    assert all("KillerError: gone" in why for _, why in found.lost)
    plain(tmp_path)
    rows = Tables(str(tmp_path)).ask("SELECT count(*), count(DISTINCT id) FROM recordings").rows
    assert rows == [(120, 120)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_scan_that_is_interrupted_goes_on(tmp_path, once, number):
    scanning = subprocess.Popen(
        [*COMMAND, "scan", made(), "-o", tmp_path, "--batch", "25", "-j", "1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while scanning.poll() is None:
        if (tmp_path / "parts").exists() and any((tmp_path / "parts").iterdir()):
            scanning.send_signal(number)
            break
        time.sleep(0.001)
    scanning.wait(60)
    there = digest(tmp_path)
    assert 0 < len(there) < len(digest(once))
    plain(tmp_path)
    assert digest(tmp_path) == digest(once)


def test_more_recordings_than_may_be_open(tmp_path):
    done = run(
        "scan", made(), "-o", tmp_path, "-j", 2,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "120 recordings named, 0 known already, 120 scanned" in done.stdout


def test_archives_hold_the_same(tmp_path, once):
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")):
        with tarfile.open(tmp_path / name, mode) as archive:
            archive.add(made(), arcname="", filter=lambda each: each)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in made().rglob("*.*"):
            archive.write(path, path.relative_to(made()))
    query = (
        "SELECT host, vm, slot, gpa, bytes, result, rule, verdict, kernel FROM steps "
        "JOIN recordings ON recording = id ORDER BY ALL"
    )
    wanted = Tables(str(once)).ask(query).rows
    for name in ("a.tar", "a.tar.gz", "a.tar.xz", "a.zip"):
        found = scan([str(tmp_path / name)], str(tmp_path / f"{name}.fleet"), engine=engines.here())
        assert found.recordings == 120
        assert not found.failed
        assert Tables(str(tmp_path / f"{name}.fleet")).ask(query).rows == wanted


def test_thread_files_in_an_archive_are_one_recording(tmp_path):
    folder = os.path.join(SOURCE, "examples", "recordings", "qemu72-pc-strace-ff")
    with tarfile.open(tmp_path / "ff.tar", "w") as archive:
        archive.add(folder, arcname="host-a/run")
    scan([str(tmp_path / "ff.tar")], str(tmp_path / "fleet"), engine=engines.here())
    rows = Tables(str(tmp_path / "fleet")).ask("SELECT host, name, region_calls FROM recordings")
    assert rows.rows == [("host-a", f"{tmp_path}/ff.tar!host-a/run/trace.*", 20)]


def test_a_list_on_standard_input(tmp_path):
    names = sorted(str(path) for path in made().rglob("*.rec"))[:9]
    done = run("scan", "-", "-o", tmp_path, "-j", 1, input="\n".join(names))
    assert "9 recordings named" in done.stdout
    done = run("scan", "-", "-o", tmp_path, "-j", 1, input="\0".join(names))
    assert "9 recordings named, 9 known" in done.stdout


def test_what_cannot_be_read_is_a_row(tmp_path):
    folder = tmp_path / "in" / "host"
    folder.mkdir(parents=True)
    whole = next(made().rglob("*.rec")).read_bytes()
    (folder / "cut.rec").write_bytes(whole[:40])
    (folder / "noise").write_bytes(bytes(range(256)) * 40)
    (folder / "empty").write_bytes(b"")
    (folder / "ends-early.rec").write_bytes(whole[:-60])
    (folder / "bad.xz").write_bytes(b"\xfd7zXZ\0" + b"nothing of the kind")
    (folder / "gone").symlink_to("/nowhere")
    (folder / "bad.tar.gz").write_bytes(b"no archive")
    found = scan([str(tmp_path / "in"), "/nowhere"], str(tmp_path / "f"), engine=engines.here())
    assert found.recordings == 5
    assert {os.path.basename(name) for name, _ in found.failed} >= {"cut.rec"}
    assert len(found.problems) == 2
    rows = Tables(str(tmp_path / "f")).ask("SELECT name, error FROM recordings").rows
    assert len(rows) == 5


def test_two_that_write_the_same_part_leave_one(tmp_path, once):
    from memslots.fleet.batch import scan_batch

    inputs = find_inputs([str(made())]).found
    (tmp_path / "fleet").mkdir()
    first, *_ = batches(inputs, (), str(tmp_path / "fleet"), most=25)
    assert scan_batch(first).recordings == 25
    assert scan_batch(first).recordings == 25
    assert len(digest(tmp_path / "fleet")) == len(TABLES)
    assert not list((tmp_path / "fleet" / "unfinished").iterdir())


def test_tables_of_another_version_are_refused(tmp_path, once):
    shutil.copytree(once, tmp_path / "fleet")
    (tmp_path / "fleet" / "fleet.json").write_text('{"schema": "memslots.fleet/0"}')
    with pytest.raises(TraceError, match="into a new folder"):
        plain(tmp_path / "fleet")
    with pytest.raises(TraceError, match="no fleet"):
        Tables(str(tmp_path))


def test_a_stated_kernel_and_host(tmp_path):
    scan([str(made())], str(tmp_path), kernel="6.1/x86_64+pa46", host="here", engine=engines.here())
    rows = Tables(str(tmp_path)).ask("SELECT DISTINCT host, kernel, how FROM recordings").rows
    assert rows == [("here", "6.1/x86_64+pa46", "stated")]


def test_kernels_are_what_explain_says(tmp_path):
    """Recordings of one host are weighed once; alone, each gives a kernel that contradicts
    nothing.
    """
    folder = os.path.join(SOURCE, "examples", "recordings")
    scan([folder], str(tmp_path), engine=engines.here())
    from memslots.explain.analysis import Analysis

    rows = Tables(str(tmp_path)).ask("SELECT name, kernel, surprises FROM recordings").rows
    for name, _, surprises in rows:
        if "strace-ff" in name:
            continue
        analysis = Analysis(name, most=0)
        alone = sum(step.verdict == "differs" for step, _ in analysis.run())
        assert surprises <= alone, name
