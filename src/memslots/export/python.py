"""A recording as a Python script for the live kernel or a kernel of the model."""

from __future__ import annotations

from ..trace.event import Event
from ..uapi.calls import CALLS
from .sequence import Sequence, SequenceCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEAD = '''\
"""Calls of a recording, made again.  Exported by memslots.

    python3 calls.py              on this machine's /dev/kvm
    python3 calls.py 6.1/x86_64   on a kernel of the model
"""

import sys

from memslots import MemslotsError

if len(sys.argv) > 1:
    from memslots import Vm

    make_vm = lambda vm_type: Vm(sys.argv[1], vm_type)
else:
    from memslots.live import LiveVm

    make_vm = lambda vm_type: LiveVm(vm_type=vm_type)

differing = 0


def new_vm(number, vm_type=0, recorded=0):
    try:
        vm, result = make_vm(vm_type), 0
    except OSError as error:
        vm, result = None, -error.errno
    show(number, "KVM_CREATE_VM", result, recorded, "")
    return vm


def step(number, name, call, recorded):
    try:
        outcome = call()
    except MemslotsError as error:
        print(number, name, "not made:", error)
        return None
    show(number, name, outcome.result, recorded, "" if outcome.accepted else outcome.reason)
    return outcome.result


def show(number, name, result, recorded, note):
    global differing
    same = None in (recorded, result) or result == recorded or (result >= 0 and recorded >= 0)
    differing += not same
    print(number, name, "=", result, note, "" if same else f"recorded: {recorded}")

'''


def python_lines(events: Iterable[Event]) -> Iterator[str]:
    """The script."""
    yield from _HEAD.splitlines()
    sequence = Sequence(events)
    for call in sequence.calls():
        yield from _step(call)
    yield ""
    yield 'print(f"{differing} answered otherwise than recorded")'
    yield "sys.exit(differing > 0)"


def _step(call: SequenceCall) -> Iterator[str]:
    event = call.event
    if event.call == "KVM_CREATE_VM":
        yield f"vm{call.vm} = new_vm({call.number}, {event.fields.get('type', 0)}, {event.result})"
        return
    if event.call == "close":
        yield f"vm{call.vm}.close_guest_memfd(file{call.file})"
        return
    if event.call == "KVM_SET_MSRS":
        yield (
            f"vm{call.vm}.mark_dirty({event.fields['data']:#x})  # KVM writes its wall clock there"
        )
        return
    if call.vm < 0:
        return  # capabilities of /dev/kvm itself
    if call.implicit:
        yield f"vm{call.vm} = new_vm(0)  # not recorded"
    done = (
        f'step({call.number}, "{event.call}", lambda: vm{call.vm}.{_method(call)}, {event.result})'
    )
    yield f"file{call.file} = {done}" if event.call == "KVM_CREATE_GUEST_MEMFD" else done


def _method(call: SequenceCall) -> str:
    """The call of a method of `Vm` or `LiveVm`: its arguments are the fields in the order of the
    table.
    """
    event, fields = call.event, call.event.fields
    known = CALLS[event.call]
    arguments = {name: _number(fields.get(name, 0)) for name in known.names}
    if event.call == "KVM_ENABLE_CAP":
        flags = arguments.pop("flags")
        arguments["flags"] = f"flags={flags}"
        if not fields.get("flags"):
            del arguments["flags"]
    if event.call == "KVM_CLEAR_DIRTY_LOG":
        place = [arguments[name] for name in ("slot", "first_page", "num_pages")]
        return (
            f"{known.method}({', '.join(place)}, "
            f"{hex(fields['mask']) if 'mask' in fields else 'None'})"
        )
    if event.call == "KVM_SET_USER_MEMORY_REGION2":
        offset, file = arguments.pop("guest_memfd_offset"), arguments.pop("guest_memfd")
        arguments["guest_memfd"] = file if call.file is None else f"file{call.file}"
        arguments["guest_memfd_offset"] = offset
    return f"{known.method}({', '.join(arguments.values())})"


def _number(value: int) -> str:
    return hex(value) if value > 9 else str(value)
