"""One recorded sequence, operation by operation, through the model.

The operations are those of the program that asked the real kernels.  Answers
have its form: a return value or negated errno, or a table with `r` and what
else was observed.
"""

from __future__ import annotations

from itertools import chain, repeat

from ...errnos import EBADF, EINVAL
from ...kernel.profile import Profile
from ...model.vm import Vm
from ...replay.replay import Replay
from ...rules.answer import Accepted, Refused, Undetermined, Unmodelled
from ...rules.check_extension import check_extension
from ...rules.create_vm import usual_vm_type
from ...rules.dirty_log import BITMAP_UNREADABLE
from ...state.dirty_bitmap import DirtyBitmap
from ...state.process import PROT_READ, PROT_WRITE
from ...trace.event import Event
from ...uapi.calls import CALLS, REGION_CALLS
from ...uapi.capabilities import KVM_CAP_MULTI_ADDRESS_SPACE, KVM_CAP_NR_MEMSLOTS
from ...units import U32_MAX, U64_MAX
from .operands import Operands
from .operations import OPERATIONS
from .process_memory import DIRTY_BUFFER_BYTES, ProcessMemory, seen_in_buffer
from .profiles import process_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...replay.step import Step
    from ...state.guest_memfd import GuestMemfd

    Operation = Sequence[object]
    Seen = int | str | dict[str, object]

_MOST_VMS, _MOST_VCPUS, _MOST_FILES = 8, 16, 32
_FIRST_FD = 10
_SYSTEM_FD = 3
_API_VERSION = 12


class Player:
    """Plays one sequence on a fresh process with no VM: each call as an event through `Replay`."""

    def __init__(self, profile: Profile, *, checksums: bool = False) -> None:
        """checksums: answer a bitmap with the CRC-32 of all its bytes too, as the program does if
        told to.
        """
        self.profile = profile
        self.checksums = checksums
        self.process = process_of(profile)
        self.memory = ProcessMemory(self.process, 1 << profile.page_shift)
        self.ulong_max = U32_MAX if profile.option("compat") else (1 << profile.arch.long_bits) - 1
        system = Vm(profile, usual_vm_type(profile), process=self.process).state
        max_slots = check_extension(system, KVM_CAP_NR_MEMSLOTS, on_system=False).result or 32
        max_spaces = check_extension(system, KVM_CAP_MULTI_ADDRESS_SPACE, on_system=False).result
        self.numbers = Operands(
            1 << profile.page_shift,
            {"MAXS": max_slots, "MAXAS": max_spaces or 1, "ULMAX": self.ulong_max},
        )
        self.replay = Replay((), profile, process=self.process, most_kept=0)
        self.calls = 0
        self.vms: list[Vm | None] = []
        """The VMs made; None for one that was closed."""
        self.vm_fds: list[int] = []
        self.vcpus: list[list[int]] = []
        """File descriptors of each VM's vCPUs."""
        self.current = -1
        self.files: list[int] = []
        """File descriptors of the guest_memfd files made; -1 where that failed."""
        self.observed: dict[str, object] = {}

    def play(self, operation: Operation) -> Seen:
        """The model's answer to one operation."""
        name = str(operation[0])
        method: Callable[..., Seen] | None = getattr(self, "_op_" + name, None)
        self.observed = {}
        if name == "kvm_write" and not self.profile.arch.is_x86:
            return {"skip": "no such op here"}
        if name in ("raw", "set_region2") and method is not None:
            value = method(*operation[1:])
        else:
            operands = [self.numbers.value(operand) for operand in operation[1:]]
            if method is not None:
                value = method(*operands)
            elif name in OPERATIONS:
                value = self._call_of(name, operands)
            else:
                memory = self.memory.call(name, operands)
                value = {"skip": "no such op here"} if memory is None else memory
        if isinstance(value, dict) or not self.observed:
            return value
        return {"r": value, **self.observed}

    # -- calls

    @property
    def vm(self) -> Vm | None:
        """The current VM; None if there is none, or it was closed."""
        return self.vms[self.current] if self.current >= 0 else None

    def _step(self, call: str, fields: dict[str, int], fd: int, new_fd: int | None = None) -> Step:
        """Put a call to the model as a recording would show it."""
        self.calls += 1
        step = self.replay.take(self.calls, Event(call, fields, fd=fd, new_fd=new_fd))
        if step.answer is None:
            raise NotDecided(Unmodelled(f"{call} with {fields}"))
        return step

    def _ask(self, call: str, fields: dict[str, int], *, on_vcpu: bool = False) -> int:
        """The answer of a call on the current VM's file descriptor, or on that of its first
        vCPU.
        """
        if self.vm is None:
            return -EBADF
        fd = self.vcpus[self.current][0] if on_vcpu else self.vm_fds[self.current]
        return self._result(self._step(call, fields, fd))

    def _call_of(self, name: str, operands: Sequence[int]) -> int:
        """An operation that is one call."""
        call, names = OPERATIONS[name]
        known = CALLS[call]
        fields: dict[str, int] = {}
        # what an operation leaves out, the program passes as 0
        for field_name, value in zip(names, chain(operands, repeat(0))):
            field = known.field(field_name)
            # as a C program passes it: cut to the field, or to its own unsigned long
            mask = (
                self.ulong_max
                if known.is_number
                else U64_MAX
                if field is None
                else (1 << field.bits) - 1
            )
            fields[field_name] = value & mask
        return self._ask(call, fields)

    def _result(self, step: Step) -> int:
        answer = step.answer
        if not isinstance(answer, (Accepted, Refused)):
            raise NotDecided(answer or Unmodelled(step.event.call))
        self._note(step)
        return answer.result

    def _note(self, step: Step) -> None:
        """What a probe inside the kernel would see of this call."""
        if step.change is None or self.vm is None:
            return
        state = self.vm.state
        self.observed["pages"] = state.total_pages
        if (
            self.profile.arch.is_x86
            and not state.budget.n_requested
            and step.change.kind & state.design.commits_on
        ):
            self.observed["budget"] = state.n_max_mmu_pages

    # -- VMs

    def _new_fd(self) -> int:
        """The lowest number that is free: closed ones come back, under which the program may still
        know a file.
        """
        fd = _FIRST_FD
        while fd in self.process.fds:
            fd += 1
        return fd

    def _op_create_vm(self, vm_type: int) -> int:
        if len(self.vms) >= _MOST_VMS:
            return -1
        fd = self._new_fd()
        answer = self._result(
            self._step("KVM_CREATE_VM", {"type": vm_type & self.ulong_max}, _SYSTEM_FD, fd)
        )
        if answer < 0:
            return answer
        self.current = len(self.vms)
        self.process.open(fd, None)
        self.vms.append(self.replay.tracked.vm)
        self.vm_fds.append(fd)
        self.vcpus.append([])
        return 0

    def _op_use_vm(self, number: int) -> int:
        if number >= len(self.vms):
            return -1
        self.current = number
        return 0

    def _op_close_vm(self, number: int) -> int:
        if number >= len(self.vms):
            return -1
        for fd in (self.vm_fds[number], *self.vcpus[number]):
            self._close(fd)
        self.vms[number] = None
        self.vm_fds[number] = -1
        self.vcpus[number] = []
        return 0

    def _close(self, fd: int) -> None:
        self.calls += 1
        self.replay.take(self.calls, Event("close", {}, 0, fd=fd))

    def _op_check_ext(self, capability: int) -> int:
        return self._result(
            self._step("KVM_CHECK_EXTENSION", {"cap": capability & self.ulong_max}, _SYSTEM_FD)
        )

    # -- slots

    def _op_set_region2(self, *operands: object) -> int:
        numbers = [self.numbers.value(operand) for operand in operands[:5]]
        fd = self._file(operands[5]) if len(operands) > 5 else 0
        offset = self.numbers.value(operands[6]) if len(operands) > 6 else 0
        return self._call_of("set_region2", [*numbers, fd, offset])

    def _file(self, operand: object) -> int:
        text = str(operand)
        if text.startswith("g"):
            number = int(text[1:])
            return self.files[number] if number < len(self.files) else -1
        if text == "vmfd":
            return self.vm_fds[self.current] if self.current >= 0 else -1
        return self.numbers.value(operand)

    def _op_fill(
        self, first: int, number: int, flags: int, gpa: int, size: int, hva: int,
        step: int | None = None
    ) -> Seen:  # fmt: skip
        if step is None:
            step = size
        answer, accepted = 0, 0
        for accepted in range(number + 1):
            if accepted == number:
                break
            slot = first + accepted & U32_MAX
            answer = self._call_of(
                "set_region", [slot, flags, gpa + accepted * step & U64_MAX, size, hva]
            )
            if answer < 0:
                break
        found: dict[str, object] = {"r": accepted, **self.observed}
        if accepted < number:
            found["stop"] = -answer
        return found if len(found) > 1 else accepted

    # -- dirty logging

    def _op_get_dirty(self, slot: int) -> Seen:
        if self.vm is None:
            return {"r": -EBADF, "w": 0, "bits": 0}
        fields = {"slot": slot & U32_MAX, "buffer_bytes": DIRTY_BUFFER_BYTES}
        step = self._step("KVM_GET_DIRTY_LOG", fields, self.vm_fds[self.current])
        found: dict[str, object] = {"r": self._result(step)}
        answer = step.answer
        bitmap = answer.data if isinstance(answer, Accepted) else None
        if isinstance(bitmap, DirtyBitmap):
            found.update(
                seen_in_buffer(bitmap, self.vm.state.machine.long_bits, checksum=self.checksums)
            )
        else:
            # a copy that hits the end of the buffer has filled it
            is_full = isinstance(answer, Refused) and answer.rule is BITMAP_UNREADABLE
            found.update(w=DIRTY_BUFFER_BYTES if is_full else 0, bits=0)
        return found

    def _op_clear_dirty(self, slot: int, first: int, number: int, ones: int) -> int:
        return self._clear(slot, first, number, None if ones else 0)

    def _op_clear_mask(self, slot: int, first: int, number: int, mask: int) -> int:
        """The first 64 bits are given, the others are 0."""
        return self._clear(slot, first, number, mask)

    def _clear(self, slot: int, first: int, number: int, mask: int | None) -> int:
        fields = {
            "slot": slot & U32_MAX, "first_page": first, "num_pages": number & U32_MAX,
            "buffer_bytes": DIRTY_BUFFER_BYTES,
        }  # fmt: skip
        if mask is not None:
            fields["mask"] = mask
        return self._ask("KVM_CLEAR_DIRTY_LOG", fields)

    # -- guest_memfd

    def _op_create_gmem(self, size: int, flags: int, reserved: int = 0) -> int:
        if len(self.files) >= _MOST_FILES:
            return -1
        fd, answer = -1, -EBADF
        if self.vm is not None:
            free = self._new_fd()
            fields = {"size": size, "flags": flags}
            answer = self._result(
                self._step("KVM_CREATE_GUEST_MEMFD", fields, self.vm_fds[self.current], free)
            )
            if answer >= 0:
                fd, answer = free, 0
        self.files.append(fd)
        return answer

    def _op_close_gmem(self, number: int) -> int:
        fd = self.files[number] if number < len(self.files) else -1
        if fd not in self.process.fds:
            return -EBADF
        self._close(fd)
        return 0

    def _op_punch_gmem(self, number: int, offset: int, length: int) -> int:
        return self.memory.fallocate(self._gmem(number), offset, length, punch=True)

    def _op_alloc_gmem(self, number: int, offset: int, length: int) -> int:
        return self.memory.fallocate(self._gmem(number), offset, length, punch=False)

    def _op_mmap_gmem(self, window: int, number: int, size: int, offset: int = 0) -> int:
        return self.memory.mmap_file(window, self._gmem(number), size, offset)

    def _gmem(self, number: int) -> GuestMemfd | None:
        return self.process.fds.get(self.files[number]) if number < len(self.files) else None

    # -- vCPUs and x86

    def _op_vcpu(self, vcpu_id: int) -> int:
        if self.vm is None:
            return -EBADF
        fd = self._new_fd()
        fields = {"vcpu_id": vcpu_id & self.ulong_max}
        answer = self._result(self._step("KVM_CREATE_VCPU", fields, self.vm_fds[self.current], fd))
        if answer < 0:
            return answer
        self.process.open(fd, None)
        if len(self.vcpus[self.current]) < _MOST_VCPUS:
            self.vcpus[self.current].append(fd)
            return 0
        return fd

    def _op_set_nr_mmu(self, npages: int) -> Seen:
        answer = self._call_of("set_nr_mmu", [npages])
        if answer == 0 and self.vm is not None:
            self.observed["budget"] = self.vm.state.n_max_mmu_pages
        return answer

    def _op_prefault(self, gpa: int, size: int, flags: int = 0) -> Seen:
        if self.current < 0 or not self.vcpus[self.current]:
            return {"r": -EBADF, "left": size}
        fields = {"gpa": gpa, "size": size, "flags": flags}
        if self.vm is None:
            return {"r": -EBADF, "left": size}
        step = self._step("KVM_PRE_FAULT_MEMORY", fields, self.vcpus[self.current][0])
        left = step.answer.data if isinstance(step.answer, Accepted) else size
        return {"r": self._result(step), "left": left}

    def _op_kvm_write(self, gpa: int) -> int:
        """KVM writes its wall-clock structure: version, 12 bytes, version again."""
        vm = self.vm
        if vm is None or not self.vcpus[self.current]:
            return -EBADF
        copy = self.memory.copy
        if gpa and copy(vm, gpa, 4, PROT_READ) and copy(vm, gpa, 4, PROT_WRITE):
            copy(vm, gpa, 12, PROT_WRITE)
        return 1

    def _op_raw(self, kind: str, nr: int, direction: int, nbytes: int, payload: object = "") -> int:
        """An ioctl by number; numbers that the model does not answer here are treated as unknown
        calls.
        """
        encoding = (nr, direction, nbytes)
        call = next(
            (
                each
                for each in CALLS.values()
                if encoding == (each.nr, each.direction, each.argument_bytes)
            ),
            None,
        )
        if kind == "sys":
            is_version = call is not None and call.name == "KVM_GET_API_VERSION"
            return _API_VERSION if is_version and not int(str(payload) or "0", 0) else -EINVAL
        if kind != "vm":
            return -EINVAL
        if self.vm is None:
            return -EBADF
        if call is not None and call.name in REGION_CALLS:
            order = "<" if self.profile.arch.endian == "little" else ">"
            return self._ask(call.name, call.unpack(bytes.fromhex(str(payload)), order))
        if call is not None and call.name == "KVM_GET_NR_MMU_PAGES":
            return self._ask(call.name, {})
        return -self.profile.arch.unknown_vm_ioctl


class NotDecided(Exception):  # noqa: N818  (not an error: an answer of the model)
    """The model's answer is undetermined or unmodelled."""

    def __init__(self, answer: Undetermined | Unmodelled) -> None:
        super().__init__(answer.reason)
        self.answer = answer
