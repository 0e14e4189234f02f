"""What came of an emulation, in words: where it could not be the kernel that it stands for."""

from __future__ import annotations

from ..emulate.words import (
    AT_A_CALL,
    AT_THE_START,
    FEWER_SLOTS,
    FEWER_SPACES,
    HOST_LACKS_SPACE,
    HOST_REFUSED,
    NO_CAPABILITY,
    NO_HOST,
    NOT_FAKED,
    NOT_MODELLED,
    OTHER_ARCH,
    OTHER_BITMAP,
    OTHER_PAGES,
    OTHER_WORDS,
    UNDECIDED,
    UNKNOWN_VM,
)
from ..trace.event import HOST, INJECTED, MODEL
from ..uapi.fields import capability_text
from ..units import format_bytes
from .explanation import result_text
from .text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..emulate.emulation import Emulated
    from ..emulate.words import Remark, Shortfall

MOST_SHOWN = 4
"""Calls of one kind of remark that are shown; all are counted."""
_AT_THE_START = {
    OTHER_ARCH: "the rules are those of {there}; the program and all other calls are {here}",
    OTHER_PAGES: "pages of {there} are asked for; mmap and sysconf know of {here} only",
    OTHER_WORDS: "words of {there} bits: only a {there}-bit program has addresses that fit",
    FEWER_SLOTS: "{there} slots, but the host has {here}: it refuses those beyond",
    FEWER_SPACES: (
        "{there} address spaces, but the host has {here}: slots of the others are kept by the model"
        " alone, and no guest sees them"
    ),
    NO_CAPABILITY: "{capability} is offered, but the host lacks it: it refuses what needs it",
    NO_HOST: "there is no host to ask: {here}",
}
_AT_A_CALL = {
    HOST_REFUSED: "accepted there, refused by the host",
    UNDECIDED: "the model cannot tell; the host answered",
    NOT_MODELLED: "there is no model of it; the host answered",
    HOST_LACKS_SPACE: "accepted by the model alone, in an address space that the host lacks",
    UNKNOWN_VM: "on a VM that was not seen made; the host answered",
    OTHER_BITMAP: "a dirty bitmap with the host's pages, not with those asked for",
    NOT_FAKED: "no answer is known without /dev/kvm: refused",
}
_WHO = {HOST: "by the host", MODEL: "by the model", INJECTED: "injected"}
assert set(_AT_THE_START) == set(AT_THE_START)
assert set(_AT_A_CALL) == set(AT_A_CALL)


def difference_lines(kernel: str, differences: Sequence[Shortfall]) -> list[str]:
    """What is said before the program starts."""
    return [f"not as on {kernel}: {_difference(each)}" for each in differences]


def _difference(each: Shortfall) -> str:
    there, here = each.there, each.here
    if each.kind == OTHER_PAGES:
        there, here = format_bytes(int(there)), format_bytes(int(here))
    capability = capability_text(each.capability)
    return _AT_THE_START[each.kind].format(there=there, here=here, capability=capability)


def emulated_lines(emulated: Emulated, *, quiet: bool = False) -> list[str]:
    """What is said when it has ended: places where the answer was not that kernel's, injections
    that hit nothing; unless quiet also who answered how many calls.
    """
    lines = []
    for kind in AT_A_CALL:
        found = [remark for remark in emulated.remarks if remark.kind == kind]
        if not found:
            continue
        lines.append(f"{counted(len(found), 'call')}: {_AT_A_CALL[kind]}")
        lines += [f"  {_remark(remark)}" for remark in found[:MOST_SHOWN]]
        if len(found) > MOST_SHOWN:
            lines.append(f"  and {len(found) - MOST_SHOWN} more")
    if emulated.remarks_left_out:
        lines.append(f"{counted(emulated.remarks_left_out, 'more such call')} not kept")
    for injection in emulated.injections:
        if not injection.times:
            lines.append(f"--inject {injection.text}: no call was hit")
    if not quiet:
        answered = ", ".join(
            f"{number} {_WHO[who]}" for who, number in emulated.answered.items() if number
        )
        if answered:
            lines.append(f"calls answered: {answered}")
    return lines


def _remark(remark: Remark) -> str:
    fields = ", ".join(f"{name} {value:#x}" for name, value in remark.fields.items())
    text = f"step {remark.step}  {remark.call}({fields}) = {result_text(remark.result)}"
    return f"{text}; {remark.question}" if remark.question else text
