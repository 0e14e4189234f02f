"""The model and the live VM have one interface: `model.kvm.Kvm`, by signature, and the calls by
their names.
"""

from __future__ import annotations

import inspect

import pytest
from test_layers import MODULES

from memslots.live.live_vm import LiveVm
from memslots.model.kvm import Kvm
from memslots.model.vm import Vm
from memslots.rules.decide import DECISIONS
from memslots.uapi.calls import CALLS, REGION_CALLS
from memslots.verify.booted_vm import BootedVm

KERNELS = (Vm, LiveVm, BootedVm)
PROTOCOL = [
    name
    for name, member in vars(Kvm).items()
    if inspect.isfunction(member) and not name.startswith("_")
]


def _parameters(method):
    return [
        (name, each.kind, each.default)
        for name, each in inspect.signature(method).parameters.items()
        if name != "self"
    ]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("method", PROTOCOL)
def test_every_kernel_has_the_same_calls(kernel, method):
    assert _parameters(getattr(kernel, method)) == _parameters(getattr(Kvm, method))


@pytest.mark.parametrize("name", [*REGION_CALLS, *sorted(set(DECISIONS) - {"KVM_CREATE_VM"})])
def test_people_find_each_call_by_its_name(name):
    """The live VM chooses the numbers of its descriptors, so it has no parameter for them."""
    method = CALLS[name].method
    model, live = (_parameters(getattr(kernel, method)) for kernel in (Vm, LiveVm))
    assert [each for each in model if each[0] != "fd"] == live


def test_comparing_them_needs_no_any():
    for name, path in MODULES.items():
        if name.startswith("verify."):
            assert "import Any" not in path.read_text(), name
