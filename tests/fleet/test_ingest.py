"""Each host: finished recordings into small tables, metrics, and the units that run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from fleets import made
from requires import requires

from memslots.fleet.units import unit_texts, write_units

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "cli"))
from epilog import call

SAMPLE = re.compile(r'[a-z_]+\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\} \d+')


@requires("duckdb")
def test_finished_recordings_are_taken_and_removed(tmp_path):
    spool = tmp_path / "spool"
    shutil.copytree(made() / "host-0000", spool)
    grows = next(iter(sorted(spool.glob("*.rec"))))
    data = grows.read_bytes()
    grows.write_bytes(data[:-30])
    os.utime(grows)
    prom = tmp_path / "memslots.prom"
    line = f"memslots fleet ingest {spool} -o {tmp_path}/t --host here --prom {prom} --remove"
    code, _, _ = call(line)
    assert code == 0
    assert list(spool.iterdir()) == [grows]
    lines = prom.read_text().splitlines()
    assert all(each.startswith("# ") or SAMPLE.fullmatch(each) for each in lines)
    names = {re.match(r"\w+", each)[0] for each in lines if each[:1] != "#"}
    assert {"memslots_vm_slots_used", "memslots_vm_pages", "memslots_refusals_total"} <= names
    grows.write_bytes(data)
    assert "1 recording named, 0 known already, 1 scanned" in call(line)[1]
    assert not list(spool.iterdir())
    assert len(list((tmp_path / "t" / "parts").iterdir())) == 2
    more = prom.read_text()
    count = re.search(r'memslots_recordings_total\{host="here"\} (\d+)', more)
    assert int(count[1]) == len(list((made() / "host-0000").iterdir()))


@requires("duckdb")
def test_parts_of_hosts_are_put_together_by_copying(tmp_path):
    hosts = sorted(path for path in made().iterdir() if path.is_dir())
    for host in hosts:
        line = f"memslots fleet ingest {host} -o {tmp_path}/{host.name} --host {host.name}"
        assert call(line)[0] == 0
        shutil.copytree(tmp_path / host.name, tmp_path / "all", dirs_exist_ok=True)
    _, out, _ = call(f"memslots fleet query {tmp_path}/all 'SELECT count(*) AS n FROM recordings'")
    assert out.split() == ["n", "120"]


def test_units_are_complete(tmp_path):
    texts = unit_texts()
    assert set(texts) == {
        "memslots-record.service", "memslots-ingest.service", "memslots-ingest.timer",
    }  # fmt: skip
    words = " ".join(texts.values())
    assert "--arguments" not in words
    for name, text in texts.items():
        for command in re.findall(r"^ExecStart=\S+ (.*)$", text, re.MULTILINE):
            command = re.sub(r"^-m memslots ", "", command).replace("%S", str(tmp_path))
            what = command.split()[0]
            code, out, err = call(f"memslots {what} --help")
            assert code == 0, name
            assert not err
    code, out, _ = call(f"memslots fleet units -o {tmp_path}/units")
    assert code == 0
    assert len(out.splitlines()) == 3
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "verify", *write_units(str(tmp_path / "units"))],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "memslots" not in done.stderr, done.stderr


@pytest.mark.parametrize("words", ["--most-mib 1 -p 1", "--system --most-mib 0"])
def test_the_limit_of_a_recording_is_for_the_whole_machine(words):
    code, _, err = call(f"memslots record {words}")
    assert code == 2
    assert "--most-mib" in err


@requires("bpf")
def test_a_recording_ends_at_its_limit(tmp_path):
    path = tmp_path / "all.rec"
    done = subprocess.run(
        [sys.executable, "-m", "memslots", "record", "--system", "--seconds", "60",
         "--most-mib", "0.0001", "-o", path],
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert path.stat().st_size > 100
