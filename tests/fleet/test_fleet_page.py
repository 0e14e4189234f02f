"""The commands of docs/fleet.md and of the help are run as they stand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fleets import digest, made
from requires import requires

from memslots.cli.fleet import EPILOG

pytestmark = requires("duckdb")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fleet.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path):
    """A folder with `memslots` on the path, as on a machine where it is installed."""
    program = tmp_path / "bin" / "memslots"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m memslots "$@"\n')
    program.chmod(0o755)
    return tmp_path


def run(place, text, **environment):
    done = subprocess.run(
        ["sh", "-ec", text], cwd=place, capture_output=True, text=True, check=False,
        env={
            **os.environ, "PATH": f"{place}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"), **environment,
        },
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def blocks(kind, word):
    return [text for name, text in BLOCKS if name == kind and word in text]


def test_a_laptop(place):
    shutil.copytree(made(), place / "before")
    for text in blocks("sh", "memslots fleet"):
        if "--shard" in text:
            continue
        for line in text.splitlines():
            code, out, err = run(place, line)
            assert code == (1 if " upgrade " in line else 0), (line, err)
            assert out or "report" in line, line
    assert (place / "fleet.html").stat().st_size > 10_000
    assert len(list((place / "units").iterdir())) == 3
    assert (place / "memslots.prom").exists()


def test_examples_of_the_help(place):
    for line in EPILOG.splitlines():
        if line.startswith("  memslots fleet"):
            line = re.sub(r" {3,}.*", "", line.strip())
            code, _, err = run(place, line)
            assert code in (0, 1), (line, err)
            assert not err, line


def test_slurm(place):
    (script,) = blocks("sh", "#SBATCH")
    shutil.copytree(made(), place / "recordings")
    for index in (2, 1, 0):
        code, _, err = run(
            place, script, SLURM_ARRAY_TASK_ID=str(index), SLURM_ARRAY_TASK_COUNT="3",
            SLURM_ARRAY_TASK_MIN="0",
        )  # fmt: skip
        assert code == 0, err
    _, out, _ = run(place, "memslots fleet query fleet 'SELECT count(*) FROM recordings' --json")
    assert list(json.loads(out).values()) == [120]


def test_kubernetes(place):
    (manifest,) = blocks("yaml", "kind: Job")
    (line,) = re.findall(r"^ +(memslots fleet scan .*)$", manifest, re.MULTILINE)
    name = re.search(r"env: \[\{name: (\w+), value", manifest)[1]
    shutil.copytree(made(), place / "recordings")
    line = line.replace("/data/", "")
    for index in range(2):
        code, _, err = run(place, line, JOB_COMPLETION_INDEX=str(index), **{name: "2"})
        assert code == 0, err
    _, out, _ = run(place, "memslots fleet query fleet 'SELECT count(*) FROM recordings' --json")
    assert list(json.loads(out).values()) == [120]


def test_gnu_parallel(place):
    """Its command line, with a loop in its place."""
    (line,) = re.findall(r"^parallel .*$", PAGE, re.MULTILINE)
    command = re.search(r"(memslots .*) :::", line)[1]
    command = command.replace("/shared/recordings", str(made())).replace("/shared/", "")
    indexes = line.split(":::")[1].split()
    assert len(indexes) == 8
    for index in indexes[:2]:
        code, _, err = run(place, command.replace("{}", index))
        assert code == 0, err


@requires("dask")
def test_a_dask_cluster(place):
    scheduler_file = place / "scheduler.json"
    started = []
    dask = [sys.executable, "-m", "dask"]
    try:
        started.append(
            subprocess.Popen(
                [*dask, "scheduler", "--port", "0", "--scheduler-file", str(scheduler_file),
                 "--no-dashboard"],
                stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
        for _ in range(600):
            if scheduler_file.exists():
                break
            time.sleep(0.1)
        started.append(
            subprocess.Popen(
                [*dask, "worker", "--scheduler-file", str(scheduler_file), "--nworkers", "2",
                 "--nthreads", "1", "--no-dashboard"],
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            )
        )  # fmt: skip
        address = json.loads(scheduler_file.read_text())["address"]
        assert address.startswith("tcp://")
        (line,) = re.findall(r"^memslots fleet scan .* --dask tcp.*$", PAGE, re.MULTILINE)
        line = line.replace("/shared/recordings", str(made())).replace("/shared/", "")
        code, out, err = run(place, line.replace("tcp://head:8786", address))
        assert code == 0, err
        assert "120 scanned" in out
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)
    run(place, f"memslots fleet scan {made()} -o alone -j 1")
    assert digest(place / "fleet") == digest(place / "alone")


def test_an_executor_of_ones_own(place):
    (program,) = blocks("python", "ThreadPoolExecutor")
    shutil.copytree(made(), place / "recordings")
    program += "\nassert found.recordings == 120\n"
    code, _, err = run(place, f"{sys.executable} - <<'END'\n{program}END")
    assert code == 0, err
