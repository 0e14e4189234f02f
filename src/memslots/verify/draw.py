"""Random calls that look for boundaries of the state that earlier calls have made.

Everything is drawn from one seeded generator and from the model's state, so a
seed gives the same calls again on the same profile.
"""

from __future__ import annotations

from random import Random

from ..kernel.vm_capabilities import is_known
from ..live.live_vm import WALL_CLOCK_MSR
from ..model.vm import Vm
from ..rules.check_extension import ANSWERED
from ..trace.event import Event
from ..uapi.capabilities import (
    KVM_CAP_DIRTY_LOG_RING,
    KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
    KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
    KVM_CAP_MAX_VCPU_ID,
    KVM_CAP_NR_MEMSLOTS,
    KVM_CAP_SPLIT_IRQCHIP,
)
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_USER_FLAGS
from .draw_numbers import EDGES, U64, Numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

VM_CALLS = (40, 120, 400)
"""How many calls a VM takes: one of these."""
_RINGS = (KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL)
_SWITCHES = (
    *4 * (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,), *_RINGS, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP,
    KVM_CAP_MAX_VCPU_ID, KVM_CAP_NR_MEMSLOTS,
)  # fmt: skip
"""Capabilities that are enabled, as often as they stand here; no kernel enables the last one."""
_OTHER_CAPS = tuple(number for number in range(1 << 10) if is_known(number))
"""Capabilities of which the model knows what a call without arguments answers."""
_NO_FD = 0x3FFF_FFFF


class Generator(Numbers):
    """Draws the next call for a VM."""

    def __init__(self, random: Random, vm: Vm, *, many_slots: bool = False) -> None:
        super().__init__(random, vm, many_slots=many_slots)
        self.files: dict[int, int] = {}
        """guest_memfd files made: number, size in bytes."""
        # what is switched on before all else decides most: so in any order, and not too rarely
        self._first = self._switches() if random.random() < 0.4 else []

    def next(self) -> Event:
        """One call; the model's VM is looked at and left alone."""
        if self._first:
            return self._first.pop()()
        draw = self.random.random() * _TOTAL
        for weight, method in _WEIGHTS:
            draw -= weight
            if draw < 0:
                return method(self)
        return self._region()

    def _switches(self) -> list[Callable[[], Event]]:
        """Some of what a VM can be switched to, in any order."""
        random = self.random
        switches: list[Callable[[], Event]] = [
            lambda: _enabling(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, random.choice((1, 3))),
            lambda: _enabling(random.choice(_RINGS), random.choice((4096, 65536, 1 << 20))),
            lambda: _enabling(KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP),
            lambda: _enabling(KVM_CAP_SPLIT_IRQCHIP, 24),
            lambda: _enabling(KVM_CAP_MAX_VCPU_ID, 4),
            lambda: _enabling(random.choice(_OTHER_CAPS)),
            self._irqchip,
            self._tss,
            self._identity,
            self._vcpu,
            self._region,
            self._pre_fault,
        ]
        return random.sample(switches, random.randrange(1, len(switches)))

    # -- calls

    def _region(self) -> Event:
        random = self.random
        slot_word = self._slot()
        known = self.vm.slot(slot_word)
        if known is not None and random.random() < 0.75:
            fields = self._change(
                known.base_gfn * self.page,
                known.npages * self.page,
                known.userspace_addr,
                known.flags,
            )
        else:
            nbytes = self._size()
            fields = {
                "flags": self._flags(), "guest_phys_addr": self._gpa(nbytes), "memory_size": nbytes,
                "userspace_addr": self._hva(nbytes),
            }  # fmt: skip
        fields = {"slot": slot_word, **fields}
        if not self.vm.state.machine.region2 or random.random() < 0.8:
            return Event("KVM_SET_USER_MEMORY_REGION", fields)
        if random.random() < 0.5:
            fields["flags"] = random.choice((4, 4, 4, 4, 5, 6, 0))
            fields["guest_memfd"], fields["guest_memfd_offset"] = self._file_place(
                fields["memory_size"]
            )
        return Event("KVM_SET_USER_MEMORY_REGION2", fields)

    def _change(self, gpa: int, nbytes: int, hva: int, flags: int) -> dict[str, int]:
        """A call about a slot that is there: most often it differs from it in one thing."""
        random = self.random
        kind = random.random()
        flags &= KVM_MEM_USER_FLAGS
        if kind < 0.25:
            flags ^= KVM_MEM_LOG_DIRTY_PAGES
        elif kind < 0.60:
            gpa = self._gpa(nbytes)
            flags ^= random.choice((0, 0, 0, 1))
        elif kind < 0.85:
            nbytes = 0
            if random.random() < 0.3:
                gpa, hva, flags = self._gpa(), self._hva(0), self._flags()
        elif kind < 0.90:
            flags ^= random.choice((2, 4, 8, 3))
        elif kind < 0.95:
            nbytes = self._size()
        elif kind < 0.98:
            hva = self._hva(nbytes)
        return {
            "flags": flags,
            "guest_phys_addr": gpa,
            "memory_size": nbytes,
            "userspace_addr": hva,
        }

    def _file_place(self, nbytes: int) -> tuple[int, int]:
        random = self.random
        if not self.files or random.random() < 0.05:
            return random.choice((_NO_FD, 0xFFFF_FFFF, 0)), 0
        fd, size = random.choice(list(self.files.items()))
        draw = random.random()
        if draw < 0.7:
            return fd, random.randrange(0, size // self.page + 1) * self.page
        if draw < 0.85:
            return fd, (size - nbytes + random.choice((0, self.page))) % U64
        return fd, random.choice(
            (1, 1 << 63, (1 << 63) - self.page, U64 - self.page, self.page // 2)
        )

    def _get_dirty(self) -> Event:
        return Event("KVM_GET_DIRTY_LOG", {"slot": self._logging_slot()})

    def _logging_slot(self) -> int:
        logging = [
            slot.slot_word for slot in self.vm.slots(0) if slot.flags & KVM_MEM_LOG_DIRTY_PAGES
        ]
        return (
            self.random.choice(logging) if logging and self.random.random() < 0.8 else self._slot()
        )

    def _clear_dirty(self) -> Event:
        random = self.random
        slot_word = self._logging_slot()
        slot = self.vm.slot(slot_word)
        npages = slot.npages if slot is not None else 64
        words = npages // 64 + 1
        first = random.choice(
            (0, 0, 64 * random.randrange(words), npages & -64, 1, npages, npages + 64)
        )
        number = random.choice(
            (64, 64 * random.randrange(words), npages, max(npages - first, 0), npages + 1, 0, 1, 63)
        )
        if random.random() < 0.03:
            # a live call hands over a bit for each page: 2^32 of them are too many
            first, number = random.choice(EDGES), random.choice((0, 1, 64, 1 << 20))
        fields = {"slot": slot_word, "first_page": first, "num_pages": number}
        if number and random.random() < 0.6:
            fields["mask"] = random.getrandbits(min(number, 64))
        return Event("KVM_CLEAR_DIRTY_LOG", fields)

    def _write(self) -> Event:
        """KVM writes guest memory itself; not with a ring, which nobody would empty."""
        config = self.vm.state.config
        slots = list(self.vm.slots(0))
        if not config.vcpu_ids or config.ring_bytes or not slots or not self.vm.profile.arch.is_x86:
            return self._region()
        slot = self.random.choice(slots)
        gpa = (slot.base_gfn + self.random.randrange(slot.npages)) * self.page + self.random.choice(
            (0, 64, 2048)
        )
        if self.random.random() < 0.05:
            gpa = self._gpa() & -self.page
        return Event("KVM_SET_MSRS", {"index": WALL_CLOCK_MSR, "data": gpa or 64})

    def _enable(self) -> Event:
        random = self.random
        if random.random() < 0.2:
            # without arguments: of most only so much is known
            return _enabling(random.choice((*_OTHER_CAPS, KVM_CAP_SPLIT_IRQCHIP)))
        cap = random.choice(_SWITCHES)
        if cap == KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
            argument = random.choice((0, 1, 3, 0, 1, 3, 2, 4, 1 << 32))
        elif cap == KVM_CAP_MAX_VCPU_ID:
            argument = random.choice((0, 1, 4, 1 << 20, *EDGES))
        elif random.random() < 0.9:  # refused, so that most VMs keep their bitmaps
            argument = random.choice((0, 1024, 2048, 4097, 12288, 1 << 21, 1 << 31, 1 << 32))
        else:
            argument = random.choice((4096, 65536, 1 << 20, (1 << 32) + 4096))
        return _enabling(cap, argument, random.choice((0,) * 9 + (1,)))

    def _create_file(self) -> Event:
        size = self.random.choice((16, 16, 64, 1, 4)) * self.page
        if self.random.random() < 0.2:
            size = self.random.choice((0, 1, 1 << 63, (1 << 63) - self.page, self.page + 1))
        return Event(
            "KVM_CREATE_GUEST_MEMFD",
            {"size": size, "flags": self.random.choice((0, 0, 0, 1, 2, 3, 4, 1 << 63))},
        )

    def _close_file(self) -> Event:
        if not self.files:
            return self._create_file()
        return Event("close", fd=self.random.choice(list(self.files)))

    def _attributes(self) -> Event:
        fields = {
            "address": self._gpa(), "size": self._size(),
            "attributes": self.random.choice((0, 8, 1, 1 << 63)),
            "flags": self.random.choice((0, 0, 0, 1)),
        }  # fmt: skip
        return Event("KVM_SET_MEMORY_ATTRIBUTES", fields)

    def _vcpu(self) -> Event:
        random = self.random
        limit = self.vm.profile.limit("max-vcpu-id")
        vcpu_id = random.choice((0, 0, 0, 1, 2, 4, limit - 1, limit, random.choice(EDGES)))
        return Event("KVM_CREATE_VCPU", {"vcpu_id": vcpu_id})

    def _tss(self) -> Event:
        return Event(
            "KVM_SET_TSS_ADDR",
            {"addr": self.random.choice((0xFFFB_D000, 0xFFFF_D000, 0xFFFF_D001, *EDGES))},
        )

    def _identity(self) -> Event:
        return Event("KVM_SET_IDENTITY_MAP_ADDR", {"addr": self.random.choice((0, 0xFFFB_C000))})

    def _mmu_pages(self) -> Event:
        return Event(
            "KVM_SET_NR_MMU_PAGES",
            {"nr_pages": self.random.choice((63, 64, 100, (1 << 32) + 63, 1 << 40, *EDGES))},
        )

    def _get_mmu_pages(self) -> Event:
        return Event("KVM_GET_NR_MMU_PAGES")

    def _irqchip(self) -> Event:
        return Event("KVM_CREATE_IRQCHIP")

    def _reset(self) -> Event:
        return Event("KVM_RESET_DIRTY_RINGS")

    def _extension(self) -> Event:
        return Event("KVM_CHECK_EXTENSION", {"cap": self.random.choice(ANSWERED)})

    def _pre_fault(self) -> Event:
        """A call of a vCPU, if there is one, where no slot logs.

        A page that the host has written by then is mapped writable at once, and counts as dirty:
        that depends on the host's page tables, of which the model knows nothing.
        """
        random = self.random
        if not self.vm.state.config.vcpu_ids:
            return self._region()
        nbytes = random.choice((1, 1, 2, 16, 64, 100)) * self.page
        fields = {"gpa": self._gpa(nbytes), "size": nbytes, "flags": 0}
        if random.random() < 0.1:
            fields[random.choice(list(fields))] = random.choice(EDGES)
        start, end = fields["gpa"] // self.page, (fields["gpa"] + fields["size"]) // self.page
        for slot in self.vm.slots(0):
            if (
                slot.flags & KVM_MEM_LOG_DIRTY_PAGES
                and slot.base_gfn < end
                and start < slot.base_gfn + slot.npages
            ):
                return self._region()
        return Event("KVM_PRE_FAULT_MEMORY", fields)


def _enabling(capability: int, argument: int = 0, flags: int = 0) -> Event:
    return Event("KVM_ENABLE_CAP", {"cap": capability, "arg0": argument, "flags": flags})


_WEIGHTS: tuple[tuple[float, Callable[[Generator], Event]], ...] = (
    (60, Generator._region),
    (10, Generator._write),
    (7, Generator._get_dirty),
    (6, Generator._clear_dirty),
    (2, Generator._enable),
    (2, Generator._create_file),
    (1, Generator._close_file),
    (1, Generator._attributes),
    (0.7, Generator._vcpu),
    (0.3, Generator._irqchip),
    (0.5, Generator._tss),
    (0.5, Generator._identity),
    (1, Generator._mmu_pages),
    (0.5, Generator._get_mmu_pages),
    (0.5, Generator._reset),
    (1, Generator._extension),
    (1.5, Generator._pre_fault),
)
_TOTAL = sum(weight for weight, _ in _WEIGHTS)
