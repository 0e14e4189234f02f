"""The smallest changes after which a refused request would be accepted, each tried on the model."""

from __future__ import annotations

from ..model.vm import Vm
from ..rules.answer import Accepted, Refused, Undetermined
from ..uapi.flags import (
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_MAX_NR_PAGES,
    KVM_MEM_USER_FLAGS,
    flag_text,
)
from ..uapi.region import Region
from ..units import format_bytes, round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Candidate = tuple[str, tuple[Region, ...]]


def remedies(vm: Vm, request: Region, refused: Refused, most: int = 3) -> list[str]:
    """Changes that pass, in words; every one has been accepted by a copy of the VM."""
    maker = _MAKERS.get(refused.rule.id)
    found: list[str] = []
    for text, requests in maker(vm, request, refused) if maker else ():
        condition = passes(vm, requests)
        if condition is not None and text + condition not in found:
            found.append(text + condition)
            if len(found) == most:
                break
    return found


def candidates(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    """Changes worth trying, in words and as requests; none has been tried yet."""
    maker = _MAKERS.get(refused.rule.id)
    return maker(vm, request, refused) if maker else iter(())


def passes(vm: Vm, requests: tuple[Region, ...]) -> str | None:
    """Whether the requests would be accepted, one after the other.  The VM stays as it is.

    None if not; a condition, empty or to be added to the text, if so.
    """
    trial = vm.fork()
    condition = ""
    for request in requests:
        outcome = trial.submit(request)
        if isinstance(outcome, Undetermined) and outcome.rule.id == "gfn-above-max":
            bits = (request.guest_phys_addr + request.memory_size - 1).bit_length()
            condition = f", provided the host has {bits} physical address bits"
        elif not isinstance(outcome, Accepted):
            return None
    return condition


def next_refusal(vm: Vm, request: Region, refused: Refused) -> Refused | None:
    """What refuses the request once the first fault is mended; None if nothing does."""
    maker = _MAKERS.get(refused.rule.id)
    for _, requests in maker(vm, request, refused) if maker else ():
        trial = vm.fork()
        outcome = None
        for each in requests:
            outcome = trial.submit(each)
        if isinstance(outcome, Refused) and outcome.rule is not refused.rule:
            return outcome
        if isinstance(outcome, Accepted):
            return None
    return None


def _overlap(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    shift = vm.page_shift
    page = 1 << shift
    gpa, nbytes = request.guest_phys_addr, request.memory_size
    end = gpa + nbytes
    others = vm.state.spaces[request.slot >> 16].overlaps(
        gpa >> shift, end >> shift, request.slot & 0xFFFF
    )
    if not others:
        return
    first, last = others[0].base_gfn << shift, others[-1].end_gfn << shift
    if vm.slot(request.slot) is None:
        if gpa < first:
            text = f"if the region ends at or below {first:#x} (memory_size {first - gpa:#x})"
            yield text, (request.replace(memory_size=first - gpa),)
        if last < end:
            text = f"if the region starts at {last:#x} (memory_size {end - last:#x})"
            moved = request.replace(
                guest_phys_addr=last, memory_size=end - last,
                userspace_addr=(request.userspace_addr + last - gpa) % (1 << 64),
            )  # fmt: skip
            yield text, (moved,)
    deletable = [slot for slot in others if not slot.owner]
    if len(deletable) == len(others) <= 4:
        names = " and ".join(
            f"slot {slot.slot_word:#x}" if slot.as_id else f"slot {slot.id}" for slot in others
        )
        deletions = tuple(Region(slot.slot_word, 0, 0, 0, 0) for slot in others)
        yield (
            f"if {names} {'is' if len(others) == 1 else 'are'} deleted first",
            (*deletions, request),
        )
    free = _free_place(vm, request, page)
    if free is not None:
        yield (
            f"at the next free place of this size, {free:#x}",
            (request.replace(guest_phys_addr=free),),
        )


def _free_place(vm: Vm, request: Region, page: int) -> int | None:
    shift = vm.page_shift
    at, npages = request.guest_phys_addr >> shift, request.memory_size >> shift
    for slot in vm.state.spaces[request.slot >> 16].in_range(at, 1 << (64 - shift)):
        if slot.base_gfn - at >= npages:
            break
        at = max(at, slot.end_gfn)
    return at << shift if (at + npages) << shift < 1 << 64 else None


def _size_unaligned(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    page = 1 << vm.page_shift
    up, down = round_up(request.memory_size, page), request.memory_size // page * page
    if up >> 64 == 0:
        yield (
            f"with memory_size {up:#x} (rounded up; the backing must be as long)",
            (request.replace(memory_size=up),),
        )
    if down:
        yield f"with memory_size {down:#x} (rounded down)", (request.replace(memory_size=down),)


def _aligned(name: str) -> Callable[[Vm, Region, Refused], Iterator[Candidate]]:
    def make(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
        page = 1 << vm.page_shift
        value = getattr(request, name)
        down, up = value // page * page, round_up(value, page)
        yield f"with {name} {down:#x} (rounded down)", (request.replace(**{name: down}),)
        if up >> 64 == 0:
            yield f"with {name} {up:#x} (rounded up)", (request.replace(**{name: up}),)

    return make


def _slot_id(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    as_id = request.slot >> 16
    for slot_id in range(vm.state.machine.user_slots):
        if as_id < len(vm.state.spaces) and vm.state.spaces[as_id].by_id(slot_id) is None:
            yield (
                f"with slot id {slot_id}, the lowest that is free",
                (request.replace(slot=as_id << 16 | slot_id),),
            )
            return


def _flags(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    machine = vm.state.machine
    kept = request.flags & machine.flags_plain
    yield f"with flags {flag_text(kept)}", (request.replace(flags=kept),)


def _address_space(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    slot_id = request.slot & 0xFFFF
    yield f"in address space 0, as slot {slot_id}", (request.replace(slot=slot_id),)
    yield from _slot_id(vm, request.replace(slot=slot_id), refused)


def _too_large(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    shift = vm.page_shift
    # 2^31 - 1 pages, and on 32-bit hosts what fits an unsigned long
    most = min(
        KVM_MEM_MAX_NR_PAGES << shift, (vm.state.machine.ulong_max + 1 >> shift) - 1 << shift
    )
    text = (
        f"split in slots of at most {most:#x} bytes ({format_bytes(most)}, {most >> shift} pages)"
    )
    rest = request.memory_size - most
    free = next(_slot_id(vm, request, refused), None)
    if free is not None and 0 < rest <= most and (request.userspace_addr + most) >> 64 == 0:
        second = free[1][0].replace(
            guest_phys_addr=request.guest_phys_addr + most,
            memory_size=rest,
            userspace_addr=request.userspace_addr + most,
        )
        if second.slot == request.slot:
            second = second.replace(slot=second.slot + 1)
        yield text, (request.replace(memory_size=most), second)
    yield text, (request.replace(memory_size=most),)


def _beyond_end(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    shift = vm.page_shift
    end = min(vm.state.machine.gfn_end, 1 << (63 - shift)) << shift
    if request.guest_phys_addr < end:
        left = end - request.guest_phys_addr
        yield (
            f"if the region ends at or below {end:#x} (memory_size {left:#x})",
            (request.replace(memory_size=left),),
        )
    if request.memory_size <= end:
        text = f"if the region lies below {end:#x}, e.g. at {end - request.memory_size:#x}"
        yield text, (request.replace(guest_phys_addr=end - request.memory_size),)


def _recreate(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    slot = request.slot & 0xFFFF
    yield f"if slot {slot} is deleted first", (Region(request.slot, 0, 0, 0, 0), request)
    old = vm.slot(request.slot)
    if old is not None:
        same = request.replace(
            userspace_addr=old.userspace_addr, memory_size=old.npages << vm.page_shift,
            flags=request.flags & KVM_MEM_LOG_DIRTY_PAGES
            | old.flags & KVM_MEM_USER_FLAGS & ~KVM_MEM_LOG_DIRTY_PAGES,
        )  # fmt: skip
        text = f"as a change of what slot {slot} is: memory_size {same.memory_size:#x}, "
        yield (
            text + f"userspace_addr {same.userspace_addr:#x}, flags {flag_text(same.flags)}",
            (same,),
        )


def _binding(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    number = refused.numbers.get("bound_slot")
    if isinstance(number, int):
        yield f"if slot {number} is deleted first", (Region(number, 0, 0, 0, 0), request)
    end = refused.numbers.get("file_bytes")
    if isinstance(end, int) and end >= request.memory_size:
        offset = end - request.memory_size
        yield (
            f"with guest_memfd_offset {offset:#x} or less",
            (request.replace(guest_memfd_offset=offset),),
        )


def _smaller_total(vm: Vm, request: Region, refused: Refused) -> Iterator[Candidate]:
    left = vm.state.machine.ulong_max - vm.total_pages
    if left:
        text = f"with at most {left} pages (memory_size {left << vm.page_shift:#x})"
        yield text, (request.replace(memory_size=left << vm.page_shift),)


_MAKERS: dict[str, Callable[[Vm, Region, Refused], Iterator[Candidate]]] = {
    "slot-overlap": _overlap,
    "size-unaligned": _size_unaligned,
    "gpa-unaligned": _aligned("guest_phys_addr"),
    "hva-unaligned": _aligned("userspace_addr"),
    "gmem-offset-unaligned": _aligned("guest_memfd_offset"),
    "slot-id-too-high": _slot_id,
    "flags-invalid": _flags,
    "flags-of-region2": _flags,
    "address-space-unknown": _address_space,
    "slot-too-large": _too_large,
    "size-exceeds-ulong": _too_large,
    "gfn-above-max": _beyond_end,
    "ipa-limit": _beyond_end,
    "stage2-limit": _beyond_end,
    "gpa-size-limit": _beyond_end,
    "memory-limit": _beyond_end,
    "gpa-wraps": _beyond_end,
    "userspace-addr-change": _recreate,
    "size-change": _recreate,
    "readonly-change": _recreate,
    "guest-memfd-change": _recreate,
    "guest-memfd-toggle": _recreate,
    "gmem-range-bound": _binding,
    "gmem-range": _binding,
    "page-total-cap": _smaller_total,
}
