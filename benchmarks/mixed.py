"""The mixed trace that the replay benchmarks share: fill, then changes of all kinds.

Half of the calls delete a slot and create it again, 30 % change flags, 10 %
move, 6.7 % are refused (unaligned or overlapping), the rest change nothing;
over `nslots` slots of one page at every fourth frame.
"""

from __future__ import annotations

import random

HVA = 0x7F00_0000_0000
PAGE = 4096


def fill(
    nslots: int, *, shuffled: bool = True, seed: int = 1
) -> list[tuple[int, int, int, int, int]]:
    """Region calls that create `nslots` slots."""
    order = list(range(nslots))
    if shuffled:
        random.Random(seed).shuffle(order)
    return [(slot, 0, (slot * 4) * PAGE, PAGE, HVA + slot * PAGE) for slot in order]


def mixed(nslots: int, nevents: int, seed: int = 2) -> list[tuple[int, int, int, int, int]]:
    """About `nevents` region calls on a VM filled by `fill`."""
    rng = random.Random(seed)
    flags = [0] * nslots
    gfn = [slot * 4 for slot in range(nslots)]
    calls: list[tuple[int, int, int, int, int]] = []
    while len(calls) < nevents:
        slot, dice = rng.randrange(nslots), rng.random()
        hva = HVA + slot * PAGE
        if dice < 25 / 75:
            calls.append((slot, 0, gfn[slot] * PAGE, 0, hva))
            flags[slot] = 0
            calls.append((slot, 0, gfn[slot] * PAGE, PAGE, hva))
        elif dice < 55 / 75:
            flags[slot] ^= 1
            calls.append((slot, flags[slot], gfn[slot] * PAGE, PAGE, hva))
        elif dice < 65 / 75:
            gfn[slot] = slot * 4 + (gfn[slot] + 1) % 4
            calls.append((slot, flags[slot], gfn[slot] * PAGE, PAGE, hva))
        elif dice < 68.35 / 75:
            calls.append((slot, flags[slot], gfn[slot] * PAGE + 1, PAGE, hva))
        elif dice < 71.7 / 75:
            other = gfn[(slot + 1) % nslots]
            calls.append((slot, flags[slot], other * PAGE, PAGE, hva))
        else:
            calls.append((slot, flags[slot], gfn[slot] * PAGE, PAGE, hva))
    return calls
