"""What tests need of the machine: without it they are skipped, with the reason.

MEMSLOTS_REQUIRE=kvm,qemu turns the skips for these names into failures, so that
a machine that is meant to run everything cannot pass by skipping.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

REQUIRED = frozenset(filter(None, os.environ.get("MEMSLOTS_REQUIRE", "").split(",")))
_PROGRAMS = {"qemu": "qemu-system-x86_64", "strace": "strace", "gcc": "gcc", "chromium": "chromium",
             "npm": "npm"}  # fmt: skip


def missing(name: str) -> str | None:
    """Why something is not there, or None if it is: kvm, ptrace, bpf, guest, running, qemu,
    strace, gcc, farm, chromium, npm, duckdb, dask.
    """
    if name in _PROGRAMS:
        return None if shutil.which(_PROGRAMS[name]) else f"{_PROGRAMS[name]} is not installed"
    return _CHECKS[name]()


def requires(*names: str) -> pytest.MarkDecorator:
    """Skip a test unless all of these are there; fail it if MEMSLOTS_REQUIRE names one that is
    not.
    """
    reasons = [(name, missing(name)) for name in names]
    lacking = [(name, reason) for name, reason in reasons if reason]
    must = [f"{name}: {reason}" for name, reason in lacking if name in REQUIRED]
    if must:
        raise RuntimeError("MEMSLOTS_REQUIRE: " + "; ".join(must))
    text = "; ".join(reason for _, reason in lacking if reason)
    return pytest.mark.skipif(bool(lacking), reason=text or "everything is there")


def _kvm() -> str | None:
    from memslots.errors import DeviceUnavailableError
    from memslots.live.device import Device

    try:
        Device().close()
    except DeviceUnavailableError as error:
        return str(error)
    return None


def _guest() -> str | None:
    from memslots.errors import MemslotsError
    from memslots.live.guest_demo import show

    try:
        show()
    except MemslotsError as error:
        return str(error)
    return None


def _records(module: str) -> str | None:
    """Why a recorder cannot record here."""
    if sys.platform != "linux":
        return "the recorder needs Linux"
    from importlib import import_module

    from memslots.errors import MemslotsError

    try:
        with tempfile.TemporaryDirectory() as folder:
            import_module(module).record(
                ["true"], os.path.join(folder, "probe"), stdout=subprocess.DEVNULL
            )
    except MemslotsError as error:
        return str(error)
    return None


@functools.cache
def _ptrace() -> str | None:
    return _records("memslots.record.recorder")


@functools.cache
def _bpf() -> str | None:
    return _records("memslots.record.bpf")


def farm_kernel() -> str | None:
    """A kernel that can be booted under QEMU with what is here; none is downloaded for a test."""
    from memslots.verify.farm.kernels import KERNELS, MACHINES, fetched

    if not os.environ.get("MEMSLOTS_FARM_CACHE"):
        return None
    for name in fetched():
        kernel = KERNELS[name]
        programs = (kernel.qemu[0], MACHINES[kernel.program_arch].compiler)
        if not kernel.is_native and all(map(shutil.which, programs)):
            return name
    return None


def _farm() -> str | None:
    return (
        None
        if farm_kernel()
        else "MEMSLOTS_FARM_CACHE names no folder with a kernel that can be booted here"
    )


@functools.cache
def _running() -> str | None:
    """Why the slots of running VMs cannot be read here."""
    from memslots.errors import MemslotsError
    from memslots.running.look import Looker

    try:
        Looker().close()
    except MemslotsError as error:
        return str(error)
    return None


def _duckdb() -> str | None:
    from importlib.util import find_spec

    return None if find_spec("duckdb") else "duckdb is not installed: pip install 'memslots[fleet]'"


def _dask() -> str | None:
    from importlib.util import find_spec

    if find_spec("distributed"):
        return _duckdb()
    return "distributed is not installed: pip install 'memslots[fleet-dask]'"


_CHECKS = {
    "duckdb": _duckdb,
    "dask": _dask,
    "running": _running,
    "kvm": _kvm,
    "guest": _guest,
    "ptrace": _ptrace,
    "bpf": _bpf,
    "farm": _farm,
}
