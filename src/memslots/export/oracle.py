"""memslots as an oracle: calls in, one JSON value a line; answers out, line by line.

    from memslots.export.oracle import Oracle
    oracle = Oracle("6.1/x86_64")
    oracle.answer(b"[0, 0, 0, 4096, 65536]"), oracle.answer(b'{"call": "KVM_CREATE_VCPU", "fields": {"vcpu_id": 0}}')

A line is a region call as an array, `[slot, flags, guest_phys_addr, memory_size,
userspace_addr]` (with guest_memfd and guest_memfd_offset: the second form), or
any call as an object with `call` and `fields`.  The answer is the return value
or the negated errno, or null where it depends on the host; a line that is no
call is answered by an object with `error`.
"""

from __future__ import annotations

import json
import os

from ..errors import RefusedError, errno_name
from ..kernel.names import find
from ..model.vm import Vm
from ..replay.calls import CONFIGURING_CALLS, answer_of
from ..replay.replay import REGION_CALLS
from ..rules.answer import Accepted, Refused, Undetermined, Unmodelled
from ..trace.event import Event
from ..uapi.region import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..kernel.profile import Profile

    Outcome = Accepted | Refused | Undetermined | Unmodelled

SCHEMA = "memslots.ask/1"
_CHUNK_BYTES, _LONGEST_LINE = 1 << 16, 1 << 20
_REQUIRED = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
_OPTIONAL = ("guest_memfd", "guest_memfd_offset")
NEEDS = {
    "KVM_CREATE_VM": (),
    "KVM_CHECK_EXTENSION": ("cap",),
    "KVM_ENABLE_CAP": ("cap", "arg0"),
    "KVM_CREATE_VCPU": ("vcpu_id",),
    "KVM_SET_TSS_ADDR": ("addr",),
    "KVM_SET_IDENTITY_MAP_ADDR": ("addr",),
    "KVM_CREATE_IRQCHIP": (),
    "KVM_GET_DIRTY_LOG": ("slot",),
    "KVM_CLEAR_DIRTY_LOG": ("slot", "first_page", "num_pages"),
    "KVM_SET_NR_MMU_PAGES": ("nr_pages",),
    "KVM_GET_NR_MMU_PAGES": (),
    "KVM_RESET_DIRTY_RINGS": (),
    "KVM_CREATE_GUEST_MEMFD": ("size",),
    "KVM_SET_MEMORY_ATTRIBUTES": ("address", "size"),
    "close": ("fd",),
}
"""Calls other than region calls, and the fields that each must have; `type`, `flags`, `attributes` may be added."""


class Oracle:
    """One VM of the model that answers lines; KVM_CREATE_VM begins with a new one."""

    __slots__ = ("_scan", "bad_lines", "detail", "profile", "vm")

    def __init__(self, kernel: Profile | str, *, detail: bool = False) -> None:
        self.profile = find(kernel) if isinstance(kernel, str) else kernel
        self.detail = detail
        """Answer with objects: result, errno, rule, numbers, page total, MMU budget."""
        self.vm = Vm(self.profile)
        self._scan: Callable[[str, int], tuple[object, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
        self.bad_lines = 0
        """Lines so far that were no calls."""

    def answer(self, line: str | bytes) -> str:
        """The answer to one line, without its end."""
        try:
            outcome = self._ask(json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            self.bad_lines += 1
            return json.dumps({"error": str(error)})
        if self.detail:
            return json.dumps(self.describe(outcome))
        result = outcome.result
        return "null" if result is None else str(result)

    def answers(self, lines: list[str]) -> str:
        """The answers to many lines, each with its end; blank lines get none."""
        if self.detail:
            return "".join([self.answer(line) + "\n" for line in lines if line and not line.isspace()])
        scan, submit = self._scan, self.vm.submit
        texts = []
        for line in lines:
            # the plain array, without what json.loads does around the scanner
            try:
                value, end = scan(line, 0)
                if value.__class__ is not list or len(value) != 5 or end != len(line):
                    raise ValueError
                request = Request(*value)
            except (ValueError, TypeError, StopIteration, RecursionError):
                if line and not line.isspace():
                    texts.append(self.answer(line))
                    submit = self.vm.submit
                continue
            result = submit(request).result
            texts.append("null" if result is None else str(result))
        texts.append("")
        return "\n".join(texts)

    def _ask(self, value: object) -> Outcome:
        if isinstance(value, list):
            if len(value) not in (5, 7):
                names = ", ".join((*_REQUIRED, *_OPTIONAL))
                raise ValueError(f"an array has 5 or 7 numbers ({names}), not {len(value)}")
            return self.vm.submit(_request(value, region2=len(value) == 7))
        if not isinstance(value, dict) or not isinstance(value.get("call"), str):
            raise ValueError('a line is an array of numbers or an object with "call" and "fields"')
        fields = value.get("fields", {})
        if not isinstance(fields, dict):
            raise ValueError(f'"fields" is an object, not {fields!r}')
        return self.call(value["call"], {name: _number(name, each) for name, each in fields.items()})

    def call(self, call: str, fields: Mapping[str, int]) -> Outcome:
        """The answer to a call by name.  Raises ValueError for one that is not known, or lacks a field."""
        if call == "KVM_CREATE_VM":
            return self._create_vm(fields.get("type", 0))
        return perform(self.vm, call, fields)

    def _create_vm(self, vm_type: int) -> Outcome:
        try:
            self.vm = Vm(self.profile, vm_type)
        except RefusedError as error:
            return error.refused
        return Accepted()

    def describe(self, outcome: Outcome) -> dict[str, object]:
        """The outcome and what the VM has after it, as a JSON object."""
        row: dict[str, object] = {"result": outcome.result}
        if isinstance(outcome, Refused):
            row["errno"] = errno_name(outcome.errno)
            row["rule"] = outcome.rule.id
            row["numbers"] = dict(outcome.numbers)
        elif isinstance(outcome, Undetermined):
            row["rule"] = outcome.rule.id
            row["question"] = outcome.question
        elif isinstance(outcome, Unmodelled):
            row["not_modelled"] = outcome.what
        row["pages"] = self.vm.total_pages
        if self.vm.mmu_budget is not None:
            row["mmu_budget"] = self.vm.mmu_budget
        return row


def perform(vm: Vm, call: str, fields: Mapping[str, int]) -> Outcome:
    """Put a call of a VM file descriptor to the model, by name.

    Raises ValueError for a call that is not known or lacks a field.
    """
    if call in REGION_CALLS:
        _check(call, fields, _REQUIRED)
        numbers = [fields[name] for name in _REQUIRED] + [fields.get(name, 0) for name in _OPTIONAL]
        return vm.submit(_request(numbers, region2=call == REGION_CALLS[1]))
    if call not in NEEDS or (call not in CONFIGURING_CALLS and call != "close"):
        raise ValueError(f"no such call: {call!r}; known: {', '.join((*REGION_CALLS, *NEEDS))}")
    _check(call, fields, NEEDS[call])
    if call == "close":
        from errno import EBADF

        from ..rules.region.overlap import GMEM_FD_CLOSED

        closed = vm.close_guest_memfd(fields["fd"])
        return Accepted() if closed else GMEM_FD_CLOSED.refuse(errno=EBADF, fd=fields["fd"])
    outcome = answer_of(Event(call, fields), vm)
    if outcome is None:
        raise ValueError(f"{call} lacks a field: it needs {', '.join(NEEDS[call])}")
    return outcome


def _request(numbers: list[int], *, region2: bool) -> Request:
    slot, flags, gpa, nbytes, hva = numbers[:5]
    file, offset = numbers[5:] or (0, 0)
    return Request(slot, flags, gpa, nbytes, hva, file, offset, region2)


def _check(call: str, fields: Mapping[str, int], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in fields]
    if missing:
        raise ValueError(f"{call} lacks {', '.join(missing)}")


def _number(name: str, value: object) -> int:
    if isinstance(value, str):
        try:
            value = int(value, 0)
        except ValueError:
            raise ValueError(f"{name} is no number: {value!r}") from None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise ValueError(f"{name} is no number between 0 and 2^64 - 1: {value!r}")
    return value


def serve(oracle: Oracle, source_fd: int = 0, sink_fd: int = 1) -> None:
    """Answer lines until the source ends.

    Whatever has arrived is answered at once and written in one piece, so that a
    program may wait for each answer, or send many lines and read later.
    """
    rest = b""
    while chunk := os.read(source_fd, _CHUNK_BYTES):
        whole, newline, after = chunk.rpartition(b"\n")
        if not newline:
            rest += chunk
            if len(rest) > _LONGEST_LINE:
                raise ValueError(f"a line of more than {_LONGEST_LINE} bytes is no call")
            continue
        text = (rest + whole).decode("utf-8", "replace")
        rest = after
        _write(sink_fd, oracle.answers(text.split("\n")).encode())
    if rest:
        _write(sink_fd, oracle.answers([rest.decode("utf-8", "replace")]).encode())


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
