"""A recording as a C program that makes the same calls on any kernel and says what differs."""

from __future__ import annotations

from ..errors import errno_name
from ..trace.event import Event
from ..uapi.calls import CALLS, VALUE_CALLS
from .c_prelude import PRELUDE
from .sequence import Sequence, SequenceCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_STEPS_A_FUNCTION = 500
_POOL = (0x2000_0000, 64 << 20)


def c_lines(events: Iterable[Event], *, is_selftest: bool = False) -> Iterator[str]:
    """The program: stand-alone, for gcc or clang with Linux headers of any age.

    is_selftest: it prints TAP, as the tests of tools/testing/selftests do.
    """
    sequence = Sequence(events)
    calls = list(sequence.calls())
    steps = [line for call in calls for line in _step(call)]
    if is_selftest:
        yield "/* SPDX-License-Identifier: MIT */"
        yield f"#define SELFTEST {len(calls)}"
    yield from PRELUDE.splitlines()
    yield f"static int vm[{max(sequence.vms, 1)}];"
    yield f"MAYBE_UNUSED static int file[{max(sequence.files, 1)}];"
    yield ""
    parts = [steps[at : at + _STEPS_A_FUNCTION] for at in range(0, len(steps), _STEPS_A_FUNCTION)]
    for number, part in enumerate(parts):
        yield f"static void part_{number}(void)"
        yield "{"
        yield from part
        yield "}"
        yield ""
    yield "int main(void)"
    yield "{"
    yield "    begin();"
    if any("write_clock(" in line for line in steps):
        yield f"    map_memory({_POOL[0]:#x}UL, {_POOL[1]:#x}UL);"
    for number in range(len(parts)):
        yield f"    part_{number}();"
    yield "    return end();"
    yield "}"


def _step(call: SequenceCall) -> Iterator[str]:
    event = call.event
    if call.implicit:
        yield f"    vm[{call.vm}] = kvm_ioctl(kvm, KVM_CREATE_VM_, 0); /* not recorded */"
    recorded = "UNKNOWN" if event.result is None else str(event.result)
    note = (
        f" /* {errno_name(event.result)} */"
        if event.result is not None and event.result < 0
        else ""
    )
    arguments = f'{call.number}, "{event.call}", {_expression(call)}, {recorded}, {_kind(event)}'
    yield f"    step({arguments});{note}"


def _kind(event: Event) -> str:
    return "VALUE" if event.call in VALUE_CALLS else "DONE_OR_FD"


def _number(value: int) -> str:
    return f"{value:#x}ULL" if value > 0x7FFF_FFFF else (hex(value) if value > 9 else str(value))


def _expression(call: SequenceCall) -> str:
    event, fields = call.event, call.event.fields
    vm = "kvm" if call.vm < 0 else f"vm[{call.vm}]"

    def arguments(*names: str) -> str:
        return ", ".join(_number(fields.get(name, 0)) for name in names)

    name = event.call
    if name == "KVM_CREATE_VM":
        return f"vm[{call.vm}] = kvm_ioctl(kvm, KVM_CREATE_VM_, {arguments('type')})"
    if name.startswith("KVM_SET_USER_MEMORY_REGION"):
        region = arguments("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
        if not name.endswith("2"):
            return f"set_region({vm}, {region})"
        fd = (
            f"file[{call.file}]" if call.file is not None else _number(fields.get("guest_memfd", 0))
        )
        return f"set_region2({vm}, {region}, {fd}, {arguments('guest_memfd_offset')})"
    if name == "KVM_CREATE_GUEST_MEMFD":
        return f"file[{call.file}] = create_guest_memfd({vm}, {arguments('size', 'flags')})"
    if name == "close":
        return f"close_file(&file[{call.file}])"
    if name == "KVM_SET_MSRS":
        return f"write_clock({vm}, {arguments('data')})"
    if name == "KVM_CLEAR_DIRTY_LOG":
        words = _mask_words(fields.get("mask"))
        return f"clear_dirty_log({vm}, {arguments('slot', 'first_page', 'num_pages')}, {words})"
    known = CALLS[name]
    return f"{known.method}({', '.join((vm, *filter(None, [arguments(*known.names)])))})"


def _mask_words(mask: int | None) -> str:
    """The bits to clear as an array; a null pointer means all."""
    if mask is None:
        return "0, 0"
    words = [mask >> at & (1 << 64) - 1 for at in range(0, max(mask.bit_length(), 1), 64)]
    return f"(uint64_t[]){{{', '.join(map(_number, words))}}}, {len(words)}"
