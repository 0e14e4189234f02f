"""Random numbers for calls: slots, sizes and addresses at the edges of what a VM has."""

from __future__ import annotations

from random import Random

from ..model.vm import Vm

POOL_ADDRESS, POOL_BYTES = 0x2000_0000, 64 << 20
"""Host memory that is really there; all other addresses are not mapped, which KVM does not mind."""
U64 = 1 << 64
EDGES = (0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 64, 1 << 63, U64 - 1)
"""Where numbers of 32 and 64 bits end, with and without a sign."""


class Numbers:
    """Draws numbers for the calls of a VM, which is looked at and left alone."""

    def __init__(self, random: Random, vm: Vm, *, many_slots: bool = False) -> None:
        self.random = random
        self.vm = vm
        machine = vm.state.machine
        self.page = machine.page_mask + 1
        self.ids = 300 if many_slots else random.choice((4, 8, 20))
        """Slot ids that are drawn most of the time."""
        self.span = self.ids * random.choice((2, 6, 40))
        """Guest pages over which slots are spread most of the time."""
        limit = vm.profile.number("task-size") or 1 << 47
        gfn_end = machine.gfn_end << machine.page_shift
        self._hosts = (
            0,
            limit,
            limit - self.page,
            limit - 2 * self.page,
            1 << 63,
            U64 - self.page,
            1 << 62,
        )
        self._guests = (
            0,
            gfn_end,
            gfn_end - self.page,
            U64 - self.page,
            1 << 63,
            1 << 40,
            0xFEE0_0000,
        )
        self._user_slots = machine.user_slots

    def _slot(self) -> int:
        random = self.random
        draw = random.random()
        if draw < 0.93:
            slot = random.randrange(self.ids)
        elif draw < 0.97:
            slot = self._user_slots + random.randrange(-2, 4)
        else:
            slot = random.choice((self._user_slots - 1, 0xFFFF, random.randrange(1 << 16)))
        if random.random() < 0.04:
            slot |= random.choice((1, 1, 2, 0xFFFF)) << 16
        return slot & 0xFFFF_FFFF

    def _size(self) -> int:
        random, page = self.random, self.page
        draw = random.random()
        if draw < 0.70:
            return random.choice((1, 1, 2, 3, 5, 8, 31, 63, 64, 65, 100)) * page
        if draw < 0.80:
            return random.randrange(1, self.span) * page
        if draw < 0.93:
            return 0
        if draw < 0.95:
            return random.choice((1, page - 1, page + 1, 100))
        if draw < 0.96:
            return random.choice((511, 512, 513, 1 << 12, 1 << 15, 1 << 18)) * page
        # 2^51 pages are 2^65 bytes where a page has 16 KiB: no C program can ask for that
        return (
            random.choice((1 << 31, (1 << 31) + 1, 1 << 32, 1 << 51)) * page
            + random.choice((0, 0, 1))
        ) % U64

    def _edge(self) -> int:
        """A guest page at or beside the edge of some slot."""
        slots = list(self.vm.slots(0))
        if not slots:
            return self.random.randrange(self.span)
        slot = self.random.choice(slots)
        return max(
            0,
            self.random.choice((slot.base_gfn, slot.base_gfn + slot.npages))
            + self.random.randrange(-2, 3),
        )

    def _gpa(self, nbytes: int = 0) -> int:
        random = self.random
        draw = random.random()
        if draw < 0.45:
            gpa = random.randrange(self.span) * self.page
        elif draw < 0.90:
            gpa = self._edge() * self.page - (nbytes if random.random() < 0.3 else 0)
        elif draw < 0.97:
            gpa = (
                random.choice(self._guests)
                - random.choice((0, 0, nbytes))
                + random.choice((0, 0, self.page))
            )
        else:
            gpa = random.randrange(self.span) * self.page + random.choice((1, 8, self.page - 1))
        return gpa % U64

    def _hva(self, nbytes: int) -> int:
        random = self.random
        draw = random.random()
        if draw < 0.85:
            return POOL_ADDRESS + random.randrange(16) * self.page
        if draw < 0.94:
            return (
                random.choice(self._hosts)
                - random.choice((0, 0, nbytes))
                + random.choice((0, self.page))
            ) % U64
        if draw < 0.97:
            return random.randrange(U64) & -self.page
        return POOL_ADDRESS + random.choice((1, 8, self.page // 2))

    def _flags(self) -> int:
        draw = self.random.random()
        if draw < 0.95:
            return self.random.choice((0, 0, 1, 1, 1, 2, 3))
        return self.random.choice((4, 8, 1 << 16, 1 << 17, 1 << 31, 5, 6))
