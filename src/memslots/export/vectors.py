"""Test vectors: random sequences of calls with the answers of one kernel, for other
implementations.

    from memslots.export.vectors import vectors
    for line in vectors("6.1/x86_64+pa46", seed=1, sequences=100):
        print(line)

The sequences look for boundaries of the state that they have made: slots that
touch, edges of ranges, ids at the limit.  A seed gives the same sequences again
with the same version of memslots.  Calls whose answer depends on something that
the kernel's name does not say are left out, and so is what they would have done.
"""

from __future__ import annotations

from random import Random

from .. import __version__
from ..errors import MemslotsError, errno_name
from ..kernel.names import find
from ..model.vm import Vm
from ..rules.answer import NO_CHANGE, Accepted, Refused
from ..units import U64_MAX
from ..verify.draw import Generator
from ..verify.draw_numbers import POOL_ADDRESS, POOL_BYTES
from .oracle import CLOSE, Oracle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..kernel.profile import Profile
    from ..trace.event import Event

    Row = dict[str, object]

SCHEMA = "memslots.vectors/1"
_UNPLAYED = frozenset({"KVM_SET_MSRS"})
"""Drawn for kernels that run: KVM writes guest memory itself."""
_EXACT = 1 << 53


def vectors(
    kernel: Profile | str, *, seed: int = 1, sequences: int = 100, calls: int = 60
) -> Iterator[str]:  # fmt: skip
    """Lines of JSON: a header, then one sequence a line.

    Raises UnknownKernelError for a kernel that is not known, ValueError for
    numbers below 1.
    """
    import json

    if sequences < 1 or calls < 1:
        raise ValueError("the numbers of sequences and calls are at least 1")
    profile = find(kernel) if isinstance(kernel, str) else kernel
    yield json.dumps(header(profile, seed, sequences))
    for number in range(sequences):
        # a text as seed: the sequence depends on nothing but the three, whatever came before it
        random = Random(f"{seed}:{number}:{profile.name}")
        yield json.dumps(
            {"id": f"{profile.name}-{seed}-{number}", "calls": sequence(profile, random, calls)}
        )


def header(profile: Profile, seed: int, sequences: int) -> Row:
    """What a reader must know: the kernel, the host that is assumed, the counts."""
    return {
        "schema": SCHEMA,
        "memslots": __version__,
        "kernel": profile.name,
        "arch": profile.arch.name,
        "long_bits": profile.arch.long_bits,
        "page_bytes": 1 << profile.page_shift,
        "options": {name: setting.value for name, setting in profile.options.items()},
        "host_memory": {"address": POOL_ADDRESS, "bytes": POOL_BYTES, "writable": True},
        "seed": seed,
        "sequences": sequences,
    }


def sequence(profile: Profile, random: Random, calls: int) -> list[Row]:
    """One sequence on a new VM: calls with results, page total and MMU budget."""
    oracle = Oracle(profile)
    generator = Generator(random, oracle.vm, many_slots=random.random() < 0.1)
    rows: list[Row] = [_row("KVM_CREATE_VM", {"type": 0}, NO_CHANGE, oracle.vm)]
    for _ in range(50 * calls):
        if len(rows) > calls:
            break
        row = _next(generator, oracle)
        if row is not None:
            rows.append(row)
    return rows


def _next(generator: Generator, oracle: Oracle) -> Row | None:
    try:
        event = generator.next()
    except MemslotsError:
        return None  # a limit that is not known for this architecture
    if event.call in _UNPLAYED or (
        event.call == "KVM_PRE_FAULT_MEMORY" and not oracle.vm.state.config.vcpu_ids
    ):
        return None  # the second: no vCPU to ask
    fields = _fields(event)
    # an answer that is neither changes nothing
    answer = oracle.call(event.call, fields)
    if not isinstance(answer, (Accepted, Refused)):
        return None
    if event.call == "KVM_CREATE_GUEST_MEMFD" and answer.accepted:
        generator.files[answer.result] = fields["size"]
    elif event.call == CLOSE:
        generator.files.pop(fields["fd"], None)
    return _row(event.call, fields, answer, oracle.vm)


def _fields(event: Event) -> dict[str, int]:
    if event.call == CLOSE:
        return {"fd": event.fd or 0}
    # what a clear clears does not show in results; sizes drawn for large pages may pass 64 bits
    return {name: value & U64_MAX for name, value in event.fields.items() if name != "mask"}


def _row(call: str, fields: dict[str, int], answer: Accepted | Refused, vm: Vm) -> Row:
    row: Row = {
        "call": call,
        "fields": {
            name: value if value <= _EXACT else hex(value) for name, value in fields.items()
        },
        "result": answer.result,
    }
    if isinstance(answer, Refused):
        row["errno"] = errno_name(answer.errno)
        row["rule"] = answer.rule.id
    row["pages"] = vm.total_pages
    if vm.mmu_budget is not None:
        row["mmu_budget"] = vm.mmu_budget
    return row


def check(lines: Iterator[str]) -> Iterator[tuple[str, int, object, object]]:
    """Play vectors on the model again: (id, number of the call, expected, found) where the results
    differ.

    The pattern for other implementations: see docs/vectors.md.
    """
    import json

    profile = find(json.loads(next(lines))["kernel"])
    for line in lines:
        one, oracle = json.loads(line), Oracle(profile)
        for number, row in enumerate(one["calls"]):
            found = json.loads(oracle.answer(json.dumps(row)))
            if found != row["result"]:
                yield one["id"], number, row["result"], found
