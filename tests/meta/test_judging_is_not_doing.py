"""`decide` changes nothing, for every call; only `state/` writes to a VM's state."""

from __future__ import annotations

import ast

import pytest
from test_layers import MODULES

from memslots.kernel.profile import Profile
from memslots.model.vm import Vm
from memslots.rules.answer import Accepted, Refused
from memslots.rules.decide import DECISIONS
from memslots.state.slot_set import SlotSet
from memslots.state.vm_config import VmConfig
from memslots.state.vm_state import VmState
from memslots.uapi.calls import CALLS, REGION_CALLS, SYSTEM, VCPU, VM

WRITERS = ("state.", "model.vm")
"""Who may assign: the state itself; a Vm holds one."""
_ATTRIBUTES = {*VmState.__slots__, *VmConfig.__slots__} - {"machine", "config", "state"}
_NOT_STATE = ("_bindings_shared", "_bitmaps_shared", "_design", "machine")
"""What copies share, what follows from the kernel and is kept once it was asked for."""
EDGES = (0, 1, 64, 168, 4096, 0xFFFB_D000, (1 << 64) - 4096)


def picture(vm):
    """Everything of a VM that a call could change, by value."""

    def plain(value):
        if isinstance(value, (int, str, bytes, bool, type(None), Profile)):
            return value
        if isinstance(value, dict):
            return {repr(key): plain(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(each) for each in value]
        if isinstance(value, SlotSet):
            return [repr(slot) for slot in value]
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        return {name: plain(getattr(value, name, None)) for name in slots if name not in _NOT_STATE}

    return plain(vm.state), plain(vm.process)


def used_vm(kernel):
    vm = Vm(kernel)
    vm.set_user_memory_region(0, 1, 0, 1 << 20, 1 << 30)
    vm.set_user_memory_region(1, 2, 1 << 21, 1 << 20, 1 << 31)
    vm.mark_dirty(0)
    return vm


@pytest.mark.parametrize(
    "kernel", ["7.2/x86_64+intel+apicv-unrestricted-guest", "5.4/i386", "6.12/arm64", "7.2/ppc64"]
)
@pytest.mark.parametrize("name", [*REGION_CALLS, *DECISIONS])
def test_judging_changes_nothing_and_is_repeatable(name, kernel):
    call = CALLS[name]
    on = VCPU if call.on == VCPU else SYSTEM if call.on == SYSTEM else VM
    for irqchip in (False, True):
        vm = used_vm(kernel)
        if irqchip:
            vm.create_irqchip()
        for edge in EDGES:
            fields = {field.name: edge & ((1 << field.bits) - 1) for field in call.fields}
            before = picture(vm)
            first = vm.what_if(name, fields, on=on)
            again = vm.what_if(name, fields, on=on)
            assert picture(vm) == before, (name, fields)
            assert repr(first) == repr(again)
            vm.check()


def test_doing_is_what_was_judged():
    """Carrying an answer out on an equal VM gives the same VM as making the call."""
    for name in DECISIONS:
        call = CALLS[name]
        on = VCPU if call.on == VCPU else SYSTEM if call.on == SYSTEM else VM
        for edge in EDGES:
            fields = {field.name: edge & ((1 << field.bits) - 1) for field in call.fields}
            one = used_vm("7.2/x86_64+intel+apicv-unrestricted-guest")
            one.create_irqchip()
            two = one.fork()
            answer = two.what_if(name, fields, on=on)
            assert repr(one.call(name, fields, on=on)) == repr(answer)
            if isinstance(answer, (Accepted, Refused)):
                two.carry_out(answer)
            assert picture(one) == picture(two), (name, fields)


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.startswith(WRITERS)))
def test_only_the_state_assigns_its_attributes(name):
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AugAssign)
            else []
        )
        for target in targets:
            if isinstance(target, ast.Attribute) and target.attr in _ATTRIBUTES:
                holder = getattr(target.value, "attr", getattr(target.value, "id", ""))
                assert holder not in ("state", "config"), (
                    f"line {node.lineno}: {ast.unparse(target)}"
                )
