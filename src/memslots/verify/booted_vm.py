"""`BootedVm`: one VM of a kernel of the farm, call by call, with the interface of `memslots.Vm`.

    with Asking(find_kernel("debian-6.1-i386")) as asking:
        vm = BootedVm(asking)
        vm.call("KVM_CREATE_VCPU", {"vcpu_id": 0}).result

Each call boots the kernel and makes all calls so far again: right for a question
or two, not for thousands; `Booted` plans those and asks them in one boot.
"""

from __future__ import annotations

from ..errors import DeviceUnavailableError
from ..live.answer import answer_of
from ..state.slot import Slot
from ..uapi.calls import CALLS, GUEST_MEMFD, REGION_CALLS, VCPU, VM
from ..uapi.region import region_of
from .draw_numbers import POOL_BYTES
from .farm.boot import Asking
from .recorded.operations import OPERATIONS, operation_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..live.answer import LiveAnswer

    Operation = list[object]

SETUP: tuple[Operation, ...] = (["create_vm", 0], ["mmap", 0, POOL_BYTES, 3])
"""What every sequence begins with: a VM, and host memory for its slots."""


class BootedVm:
    """One VM; implements `model.kvm.Kvm`.  `asking` must have been entered."""

    def __init__(self, asking: Asking, page_shift: int = 12) -> None:
        self._asking = asking
        self._operations: list[Operation] = list(SETUP)
        self._files = 0
        self._slots: dict[int, Slot] = {}
        self.page_shift = page_shift

    def call(
        self,
        name: str,
        fields: Mapping[str, int] | None = None,
        *,
        on: str = VM,
        buffer_bytes: int | None = None,
        new_fd: int | None = None,
        by_other_process: bool = False,
    ) -> LiveAnswer:
        """Make a call; a guest_memfd is named by its number among those made, from 0.

        Raises ValueError for what the asking program cannot do: other buffers, calls by other
        processes.
        """
        given = dict(fields or {})
        missing = CALLS[name].missing(given)
        if missing:
            raise ValueError(f"{name} lacks {', '.join(missing)}")
        if buffer_bytes is not None or by_other_process or (on == VCPU) != (CALLS[name].on == VCPU):
            raise ValueError(
                f"{name} cannot be asked so: the program that asks makes plain calls only"
            )
        operation = operation_of(name, given)
        if "guest_memfd" in given:
            operation[1 + OPERATIONS["set_region2"][1].index("guest_memfd")] = (
                f"g{given['guest_memfd']}"
            )
        self._operations.append(operation)
        answers = self._asking.ask([self._operations]).sequence(0).in_order()
        if len(answers) < len(self._operations):
            raise DeviceUnavailableError(f"{self._asking.kernel.name} did not answer {name}")
        result = number_of(answers[-1])
        if CALLS[name].makes == GUEST_MEMFD:
            self._files += 1
            result = self._files - 1 if result == 0 else result
        if name in REGION_CALLS and result == 0:
            self._remember(name, given)
        return answer_of(result, name)

    def _remember(self, name: str, fields: Mapping[str, int]) -> None:
        region = region_of(name, fields)
        self._slots.pop(region.slot, None)
        if region.memory_size:
            self._slots[region.slot] = Slot(
                region.slot >> 16, region.slot & 0xFFFF, region.guest_phys_addr >> self.page_shift,
                region.memory_size >> self.page_shift, region.userspace_addr, region.flags,
            )  # fmt: skip

    def slots(self, as_id: int = 0) -> Iterator[Slot]:
        """The slots of an address space that its calls have made, in gfn order."""
        return iter(
            sorted(
                (s for s in self._slots.values() if s.as_id == as_id),
                key=lambda slot: slot.base_gfn,
            )
        )


def number_of(answer: object) -> int:
    """The return value or negated errno of an answer of the program."""
    value = answer.get("r") if isinstance(answer, dict) else answer
    return value if isinstance(value, int) else 0
