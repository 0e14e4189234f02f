"""Both forms of slots on real kernels: booted under QEMU, with a VM in them that is read from
outside it.
"""

from __future__ import annotations

import os

import pytest
from other_kernel import seen_on
from requires import requires

from memslots.verify.farm.kernels import KERNELS, fetched

pytestmark = requires("farm", "qemu")
NAMES = [
    name
    for name in (fetched() if os.environ.get("MEMSLOTS_FARM_CACHE") else ())
    if KERNELS[name].arch == os.uname().machine.replace("x86_64", "amd64")
    and not KERNELS[name].is_native
    and KERNELS[name].program_arch == KERNELS[name].arch
]


@pytest.mark.parametrize("name", NAMES)
def test_a_vm_is_read_as_it_was_made(tmp_path, name):
    seen = seen_on(KERNELS[name], tmp_path)
    assert "error" not in seen, seen["error"]
    assert seen["slots"] == seen["made"]
    assert seen["disagreements"] == []
    assert seen["consistent"]
    assert seen["vcpu_ids"] == [0, 3]
    assert seen["bitmaps"] == sum(flags & 1 for *_, flags in seen["made"].values())
