"""A layout as values, and as the calls that make it.

Addresses and sizes are in bytes.  Host addresses need not be given: then memory
is laid out one after the other where every such host has user space.
"""

from __future__ import annotations

from ...kernel.names import find
from ...trace.event import Event
from ...uapi.flags import KVM_MEM_GUEST_MEMFD
from ...units import round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...kernel.profile import Profile

VM_FD, FIRST_GMEM_FD = 3, 100
_RING, _RING_ACQ_REL, _MANUAL_PROTECT = 192, 223, 168
_HVA_ALIGNMENT = 1 << 21
# Where host memory begins: below the end of user space of every host, above what programs use.
_FIRST_HVA = {32: 0x0010_0000, 64: 0x10_0000_0000}
_NO_ROOM = 0xC000_0000
"""Where a 32-bit process ends at the latest."""


class LayoutSlot:
    """One or several equal slots."""

    __slots__ = (
        "alias",
        "count",
        "flags",
        "gpa",
        "hva",
        "id",
        "line",
        "name",
        "offset",
        "size",
        "space",
        "step",
    )

    def __init__(
        self,
        gpa: int,
        size: int,
        *,
        id: int | None = None,
        space: int = 0,
        flags: int = 0,
        hva: int | None = None,
        name: str = "",
        alias: str = "",
        offset: int = 0,
        count: int = 1,
        step: int | None = None,
        line: int = 0,
    ) -> None:
        self.gpa = gpa
        """Guest-physical address of the first, bytes."""
        self.size = size
        """Bytes of each."""
        self.id = id
        """Slot id of the first; None: the next that was not used."""
        self.space = space
        """Address space: 0, or 1 for SMM on x86."""
        self.flags = flags
        """KVM_MEM_* bits."""
        self.hva = hva
        """Host address of the first, bytes; None: chosen."""
        self.name = name
        self.alias = alias
        """Name of the slot whose host memory this one shows."""
        self.offset = offset
        """Bytes into that memory."""
        self.count = count
        self.step = size if step is None else step
        """Bytes from one guest-physical address to the next."""
        self.line = line
        """Line in the file; 0 if not known."""


class Then:
    """A call after the slots are made: delete, move, flags, vcpu."""

    __slots__ = ("do", "flags", "gpa", "line", "name", "slot", "space")

    def __init__(
        self, do: str, slot: int = 0, *, space: int = 0, gpa: int | None = None,
        flags: int | None = None,
        name: str = "", line: int = 0,
    ) -> None:  # fmt: skip
        self.do = do
        """`delete`, `move`, `flags` or `vcpu`."""
        self.slot = slot
        """Slot id; for `vcpu` the vCPU's id."""
        self.space = space
        self.gpa = gpa
        self.flags = flags
        self.name = name
        self.line = line


class Layout:
    """What is asked of one VM, in order: switches, slots, vCPUs, and what comes after."""

    __slots__ = ("kernels", "name", "notes", "slots", "source", "then", "vm")

    def __init__(
        self,
        slots: list[LayoutSlot],
        *,
        name: str = "",
        vm: Mapping[str, int | bool] | None = None,
        then: list[Then] | None = None,
        kernels: list[str] | None = None,
        source: str = "",
        notes: list[str] | None = None,
    ) -> None:
        self.slots = slots
        self.name = name
        self.vm: Mapping[str, int | bool] = vm or {}
        """Switches of the VM: type, irqchip, tss, identity-map, vcpus, vcpus-first, dirty-ring,
        manual-dirty-log.
        """
        self.then = then or []
        self.kernels = kernels or []
        """Kernels that the file names."""
        self.source = source
        self.notes = notes or []
        """What is not exact about it."""

    def events(self, kernel: Profile | str) -> list[Event]:
        """The calls, as a recording of them on this kernel would show, without results."""
        profile = find(kernel) if isinstance(kernel, str) else kernel
        return list(_Calls(self, profile))


class _Calls:
    """Turns a layout into calls: numbers slots and places host memory."""

    def __init__(self, layout: Layout, profile: Profile) -> None:
        self.layout = layout
        self.profile = profile
        self.narrow = profile.arch.long_bits == 32 or bool(profile.option("compat"))
        self.next_hva = _FIRST_HVA[32 if self.narrow else 64]
        self.next_fd = FIRST_GMEM_FD
        self.placed: dict[str, int] = {}
        self.made: dict[int, dict[str, int]] = {}
        self.used: dict[int, int] = {}

    def __iter__(self) -> Iterator[Event]:
        vm = self.layout.vm
        yield Event(
            "KVM_CREATE_VM", {"type": int(vm.get("type", 0))}, new_fd=VM_FD, text="create the VM"
        )
        yield from self._switches()
        if vm.get("vcpus-first"):
            yield from self._vcpus()
        for slot in self.layout.slots:
            yield from self._slots(slot)
        if not vm.get("vcpus-first"):
            yield from self._vcpus()
        for then in self.layout.then:
            yield self._then(then)

    def _switches(self) -> Iterator[Event]:
        vm = self.layout.vm
        if "dirty-ring" in vm:
            # hosts that may reorder stores have only the newer capability
            cap = _RING if self.profile.has("dirty-ring") else _RING_ACQ_REL
            yield _call("KVM_ENABLE_CAP", "dirty ring", cap=cap, arg0=int(vm["dirty-ring"]))
        if "manual-dirty-log" in vm:
            cap = _MANUAL_PROTECT
            yield _call(
                "KVM_ENABLE_CAP", "manual dirty log", cap=cap, arg0=int(vm["manual-dirty-log"])
            )
        if vm.get("irqchip"):
            yield _call("KVM_CREATE_IRQCHIP", "irqchip")
        if "identity-map" in vm:
            yield _call("KVM_SET_IDENTITY_MAP_ADDR", "identity map", addr=int(vm["identity-map"]))
        if "tss" in vm:
            yield _call("KVM_SET_TSS_ADDR", "TSS", addr=int(vm["tss"]))

    def _vcpus(self) -> Iterator[Event]:
        for number in range(int(self.layout.vm.get("vcpus", 0))):
            yield _call("KVM_CREATE_VCPU", f"vCPU {number}", vcpu_id=number)

    def _slots(self, slot: LayoutSlot) -> Iterator[Event]:
        hva, file = self._place(slot), 0
        first = self.used.get(slot.space, 0) if slot.id is None else slot.id
        if slot.flags & KVM_MEM_GUEST_MEMFD:
            file, self.next_fd = self.next_fd, self.next_fd + 1
            size = slot.size * slot.count
            yield _call(
                "KVM_CREATE_GUEST_MEMFD",
                f"guest_memfd of {slot.name}",
                new_fd=file,
                size=size,
                flags=0,
            )
        for number in range(slot.count):
            name = f"{slot.name} {number + 1}" if slot.count > 1 else slot.name
            fields = {
                "slot": slot.space << 16 | (first + number) & 0xFFFF,
                "flags": slot.flags,
                "guest_phys_addr": slot.gpa + number * slot.step,
                "memory_size": slot.size,
                "userspace_addr": hva if hva == _NO_ROOM else hva + number * slot.size,
            }
            call = "KVM_SET_USER_MEMORY_REGION"
            if file:
                call += "2"
                fields.update(guest_memfd=file, guest_memfd_offset=number * slot.size)
            self.made[fields["slot"]] = fields
            yield Event(call, fields, fd=VM_FD, text=name, line=slot.line)
        self.used[slot.space] = max(self.used.get(slot.space, 0), first + slot.count)

    def _place(self, slot: LayoutSlot) -> int:
        """Host address of a slot's memory."""
        if slot.alias:
            return self.placed[slot.alias] + slot.offset
        hva = slot.hva
        if hva is None:
            hva = round_up(self.next_hva, _HVA_ALIGNMENT)
            self.next_hva = hva + slot.size * slot.count
            if self.narrow and self.next_hva > _NO_ROOM:
                # no such process can map it: an address in the kernel's part says so for each slot
                self.next_hva = hva = _NO_ROOM
        if slot.name:
            self.placed[slot.name] = hva
        return hva

    def _then(self, then: Then) -> Event:
        if then.do == "vcpu":
            return _call(
                "KVM_CREATE_VCPU",
                then.name or f"vCPU {then.slot}",
                line=then.line,
                vcpu_id=then.slot,
            )
        word = then.space << 16 | then.slot
        # a slot that was never made is named all the same: KVM has an answer for that too
        fields = {
            "guest_phys_addr": 0,
            "memory_size": 0,
            "userspace_addr": 0,
            "flags": 0,
            **self.made.get(word, {}),
        }
        fields["slot"] = word
        if then.do == "delete":
            fields.update(memory_size=0)
        if then.gpa is not None:
            fields["guest_phys_addr"] = then.gpa
        if then.flags is not None:
            fields["flags"] = then.flags
        if then.do != "delete":
            self.made[word] = fields
        call = "KVM_SET_USER_MEMORY_REGION" + ("2" if fields.get("guest_memfd") else "")
        return Event(
            call, fields, fd=VM_FD, text=then.name or f"{then.do} slot {then.slot}", line=then.line
        )


def _call(
    call: str, text: str, *, new_fd: int | None = None, line: int = 0, **fields: int
) -> Event:
    return Event(call, fields, fd=VM_FD, new_fd=new_fd, text=text, line=line)
