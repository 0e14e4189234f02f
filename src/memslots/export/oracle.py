"""memslots as an oracle: calls in, one JSON value a line; answers out, line by line.

    from memslots.export.oracle import Oracle
    oracle = Oracle("6.1/x86_64")
    oracle.answer(b"[0, 0, 0, 4096, 65536]"), oracle.answer(b'{"call": "KVM_CREATE_VCPU", "fields":
    {"vcpu_id": 0}}')

A line is a region call as an array, `[slot, flags, guest_phys_addr, memory_size,
userspace_addr]` (with guest_memfd and guest_memfd_offset: the second form), or
any call as an object with `call` and `fields`.  The answer is the return value
or the negated errno, or null where it depends on the host; a line that is no
call is answered by an object with `error`.
"""

from __future__ import annotations

import json
import os

from ..errnos import EBADF
from ..errors import errno_name
from ..kernel.names import find
from ..model.vm import Vm
from ..rules.answer import NO_CHANGE, Refused, Undetermined, Unmodelled
from ..rules.decide import DECISIONS
from ..rules.raised import RefusedError
from ..rules.region.gmem_bind import GMEM_FD_CLOSED
from ..uapi.calls import BESIDE_MEMORY, CALLS, REGION_CALLS, VCPU, VM
from ..uapi.region import Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..kernel.profile import Profile
    from ..rules.answer import Answer


SCHEMA = "memslots.ask/1"
_CHUNK_BYTES, _LONGEST_LINE = 1 << 16, 1 << 20
_REGION = CALLS[REGION_CALLS[0]].names
_REGION2 = ("guest_memfd", "guest_memfd_offset")
CLOSE = "close"
"""close() of a guest_memfd: its field is `fd`."""
ASKED_CALLS = (*REGION_CALLS, *DECISIONS, *sorted(BESIDE_MEMORY), CLOSE)
"""Calls that the oracle answers."""


class Oracle:
    """One VM of the model that answers lines; KVM_CREATE_VM begins with a new one."""

    __slots__ = ("_scan", "bad_lines", "detail", "profile", "vm")

    def __init__(self, kernel: Profile | str, *, detail: bool = False) -> None:
        self.profile = find(kernel) if isinstance(kernel, str) else kernel
        self.detail = detail
        """Answer with objects: result, errno, rule, numbers, page total, MMU budget."""
        self.vm = Vm(self.profile)
        scan_once = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
        self._scan: Callable[[str, int], tuple[object, int]] = scan_once
        self.bad_lines = 0
        """Lines so far that were no calls."""

    def answer(self, line: str | bytes) -> str:
        """The answer to one line, without its end."""
        try:
            answer = self._ask(json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            self.bad_lines += 1
            return json.dumps({"error": str(error)})
        if self.detail:
            return json.dumps(self.describe(answer))
        result = answer.result
        return "null" if result is None else str(result)

    def answers(self, lines: list[str]) -> str:
        """The answers to many lines, each with its end; blank lines get none."""
        if self.detail:
            return "".join(
                [self.answer(line) + "\n" for line in lines if line and not line.isspace()]
            )
        scan, submit, take_plain = self._scan, self.vm.submit, self.vm.take_plain
        texts = []
        for line in lines:
            # the plain array, without what json.loads does around the scanner
            try:
                value, end = scan(line, 0)
                if (
                    value.__class__ is not list
                    or len(value) != 5
                    or end != len(line)
                    or "e" in line
                ):
                    raise ValueError
                if take_plain(*value) is not None:
                    texts.append("0")
                    continue
                request = Region(*value)
            except (ValueError, TypeError, StopIteration, RecursionError):
                if line and not line.isspace():
                    texts.append(self.answer(line))
                    submit, take_plain = self.vm.submit, self.vm.take_plain
                continue
            result = submit(request).result
            texts.append("null" if result is None else str(result))
        texts.append("")
        return "\n".join(texts)

    def _ask(self, value: object) -> Answer:
        if isinstance(value, list):
            if len(value) not in (5, 7):
                names = ", ".join((*_REGION, *_REGION2))
                raise ValueError(f"an array has 5 or 7 numbers ({names}), not {len(value)}")
            fields = dict(zip((*_REGION, *_REGION2), value))
            if "e" in str(value):  # true and false are integers to Python
                fields = {name: _number(name, each) for name, each in fields.items()}
            return self.vm.call(REGION_CALLS[len(value) == 7], fields)
        if not isinstance(value, dict) or not isinstance(value.get("call"), str):
            raise ValueError('a line is an array of numbers or an object with "call" and "fields"')
        fields = value.get("fields", {})
        if not isinstance(fields, dict):
            raise ValueError(f'"fields" is an object, not {fields!r}')
        return self.call(
            value["call"], {name: _number(name, each) for name, each in fields.items()}
        )

    def call(self, call: str, fields: Mapping[str, int]) -> Answer:
        """The answer to a call by name.

        Raises ValueError for one that is not known, or lacks a field.
        """
        if call not in ASKED_CALLS:
            raise ValueError(f"no such call: {call!r}; known: {', '.join(ASKED_CALLS)}")
        if call == "KVM_CREATE_VM":
            return self._create_vm(fields.get("type", 0))
        if call == CLOSE:
            return self._close(fields)
        return self.vm.call(call, fields, on=VCPU if CALLS[call].on == VCPU else VM)

    def _create_vm(self, vm_type: int) -> Answer:
        try:
            self.vm = Vm(self.profile, vm_type)
        except RefusedError as error:
            return error.refused
        return NO_CHANGE

    def _close(self, fields: Mapping[str, int]) -> Answer:
        if "fd" not in fields:
            raise ValueError(f"{CLOSE} lacks fd")
        closed = self.vm.close_guest_memfd(fields["fd"])
        return NO_CHANGE if closed else GMEM_FD_CLOSED.refuse(errno=EBADF, fd=fields["fd"])

    def describe(self, answer: Answer) -> dict[str, object]:
        """The answer and what the VM has after it, as a JSON object."""
        row: dict[str, object] = {"result": answer.result}
        if isinstance(answer, Refused):
            row["errno"] = errno_name(answer.errno)
            row["rule"] = answer.rule.id
            row["numbers"] = dict(answer.numbers)
        elif isinstance(answer, Undetermined):
            row["rule"] = answer.rule.id
            row["question"] = answer.question
        elif isinstance(answer, Unmodelled):
            row["not_modelled"] = answer.what
        row["pages"] = self.vm.total_pages
        if self.vm.mmu_budget is not None:
            row["mmu_budget"] = self.vm.mmu_budget
        return row


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
            # of a line that is too long its beginning is kept, which is no JSON value either
            rest = (rest + chunk)[:_LONGEST_LINE]
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
