"""One recorded sequence, operation by operation, through the model.

The operations are those of the program that asked the real kernels.  Answers
have its form: a return value or negated errno, or a table with `r` and what
else was observed.
"""

from __future__ import annotations

from errno import EBADF, EINVAL

from ...errors import RefusedError
from ...kernel.profile import Profile
from ...model.vm import Vm
from ...rules.answer import Accepted, Refused, Undetermined, Unmodelled
from ...rules.check_extension import check_extension
from ...state.dirty_bitmap import DirtyBitmap
from ...state.guest_memfd import GuestMemfd
from ...state.process import PROT_READ, PROT_WRITE
from ...units import U32_MAX, U64_MAX
from .process_memory import DIRTY_BUFFER_BYTES, MAP_BASE, MAP_STEP, GuestWrites, seen_in_buffer
from .profiles import host_of
from .raw import raw_ioctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Outcome = Accepted | Refused | Undetermined | Unmodelled
    Operation = Sequence[object]
    Answer = int | str | dict[str, object]

_MOST_VMS, _MOST_VCPUS, _MOST_FILES = 8, 16, 32
_FIRST_FD, _NO_FD = 10, 1 << 30


class Player(GuestWrites):
    """Plays one sequence on a fresh process with no VM."""

    def __init__(self, profile: Profile, *, checksums: bool = False) -> None:
        """checksums: answer a bitmap with the CRC-32 of all its bytes too, as the program does if told to."""
        self.profile = profile
        self.checksums = checksums
        self.host = host_of(profile)
        self.page_bytes = 1 << profile.page_shift
        self.ulong_max = U32_MAX if profile.option("compat") else (1 << profile.arch.long_bits) - 1
        self.system = Vm(profile, host=self.host)
        self.max_slots = check_extension(self.system.state, 10, on_system=False).result or 32
        self.max_spaces = check_extension(self.system.state, 118, on_system=False).result or 1
        self.vms: list[Vm | None] = []
        self.vm_fds: list[int] = []
        self.vcpus: list[list[int]] = []
        """File descriptors of each VM's vCPUs."""
        self.current = -1
        self.files: list[int] = []
        """File descriptors of the guest_memfd files made; -1 where that failed."""
        self.written: set[int] = set()
        """Host bytes that KVM has written."""
        self.observed: dict[str, object] = {}

    def play(self, operation: Operation) -> Answer:
        """The model's answer to one operation."""
        name = str(operation[0])
        method: Callable[..., Answer] | None = getattr(self, "_op_" + name, None)
        if method is None or (name == "kvm_write" and not self.profile.arch.is_x86):
            return {"skip": "no such op here"}
        self.observed = {}
        if name in ("raw", "set_region2"):
            value = method(*operation[1:])
        else:
            value = method(*(self._value(operand) for operand in operation[1:]))
        if isinstance(value, dict) or not self.observed:
            return value
        return {"r": value, **self.observed}

    # -- operands

    def _value(self, operand: object) -> int:
        """A number, or a sum of terms such as `3P`, `map:2`, `MAXS-1`."""
        if isinstance(operand, int):
            return operand & U64_MAX
        text = str(operand)
        total, sign, term = 0, 1, ""
        for char in text + "+":
            if char in "+-":
                if term:
                    total += sign * self._term(term)
                sign, term = (-1 if char == "-" else 1), ""
            else:
                term += char
        return total & U64_MAX

    def _term(self, term: str) -> int:
        if term.startswith("map:"):
            return MAP_BASE + int(term[4:], 0) * MAP_STEP
        known = {"MAXS": self.max_slots, "MAXAS": self.max_spaces, "ULMAX": self.ulong_max}
        if term in known:
            return known[term]
        return int(term[:-1], 0) * self.page_bytes if term.endswith("P") else int(term, 0)

    # -- VMs

    @property
    def vm(self) -> Vm | None:
        """The current VM; None if there is none, or it was closed."""
        return self.vms[self.current] if self.current >= 0 else None

    def _ask(self, call: Callable[[Vm], Outcome]) -> int:
        """The answer of a call on the current VM's file descriptor."""
        vm = self.vm
        if vm is None:
            return -EBADF
        return self._result(call(vm))

    def _result(self, outcome: Outcome) -> int:
        if isinstance(outcome, (Undetermined, Unmodelled)):
            raise NotDecided(outcome)
        self._note(outcome)
        return outcome.result

    def _note(self, outcome: Accepted | Refused) -> None:
        """What a probe inside the kernel would see of this call."""
        if not isinstance(outcome, Accepted) or not outcome.kind or self.vm is None:
            return
        state = self.vm.state
        self.observed["pages"] = state.total_pages
        if self.profile.arch.is_x86 and not state.budget.n_requested and outcome.kind & state.design.commits_on:
            self.observed["budget"] = state.n_max_mmu_pages

    def _new_fd(self) -> int:
        """The lowest number that is free: closed ones come back, under which the program may still know a file."""
        fd = _FIRST_FD
        while fd in self.host.fds:
            fd += 1
        self.host.fds[fd] = None
        return fd

    def _op_create_vm(self, vm_type: int) -> int:
        if len(self.vms) >= _MOST_VMS:
            return -1
        try:
            vm = Vm(self.profile, vm_type & self.ulong_max, host=self.host)
        except RefusedError as error:
            return -error.refused.errno
        self.current = len(self.vms)
        self.vms.append(vm)
        self.vm_fds.append(self._new_fd())
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
            self.host.fds.pop(fd, None)
        self.vms[number] = None
        self.vm_fds[number] = -1
        self.vcpus[number] = []
        return 0

    def _op_check_ext(self, capability: int) -> int:
        return self._result(check_extension(self.system.state, capability, on_system=True))

    def _op_check_ext_vm(self, capability: int) -> int:
        return self._ask(lambda vm: vm.check_extension(capability))

    # -- slots

    def _op_set_region(self, slot: int, flags: int, gpa: int, size: int, hva: int) -> int:
        return self._ask(lambda vm: vm.set_user_memory_region(slot & U32_MAX, flags & U32_MAX, gpa, size, hva))

    def _op_set_region2(self, *operands: object) -> int:
        slot, flags, gpa, size, hva = (self._value(operand) for operand in operands[:5])
        fd = self._file(operands[5]) if len(operands) > 5 else 0
        offset = self._value(operands[6]) if len(operands) > 6 else 0
        return self._ask(
            lambda vm: vm.set_user_memory_region2(slot & U32_MAX, flags & U32_MAX, gpa, size, hva, fd & U32_MAX, offset)
        )

    def _file(self, operand: object) -> int:
        text = str(operand)
        if text.startswith("g"):
            number = int(text[1:])
            return self.files[number] if number < len(self.files) else -1
        if text == "vmfd":
            return self.vm_fds[self.current] if self.current >= 0 else -1
        return self._value(operand)

    def _op_fill(
        self, first: int, number: int, flags: int, gpa: int, size: int, hva: int, step: int | None = None
    ) -> Answer:  # fmt: skip
        if step is None:
            step = size
        answer, accepted = 0, 0
        for accepted in range(number + 1):
            if accepted == number:
                break
            slot = first + accepted & U32_MAX
            answer = self._op_set_region(slot, flags, gpa + accepted * step & U64_MAX, size, hva)
            if answer < 0:
                break
        found: dict[str, object] = {"r": accepted, **self.observed}
        if accepted < number:
            found["stop"] = -answer
        return found if len(found) > 1 else accepted

    # -- dirty logging

    def _op_get_dirty(self, slot: int) -> Answer:
        vm = self.vm
        if vm is None:
            return {"r": -EBADF, "w": 0, "bits": 0}
        outcome = vm.get_dirty_log(slot & U32_MAX, DIRTY_BUFFER_BYTES)
        found: dict[str, object] = {"r": self._result(outcome)}
        bitmap = outcome.data if isinstance(outcome, Accepted) else None
        if isinstance(bitmap, DirtyBitmap):
            found.update(seen_in_buffer(bitmap, vm.state.machine.long_bits, checksum=self.checksums))
        else:
            # a copy that hits the end of the buffer has filled it
            written = DIRTY_BUFFER_BYTES if isinstance(outcome, Refused) and outcome.rule.id == "bitmap-buffer" else 0
            found.update(w=written, bits=0)
        return found

    def _op_clear_dirty(self, slot: int, first: int, number: int, ones: int) -> int:
        mask = None if ones else 0
        return self._ask(
            lambda vm: vm.clear_dirty_log(slot & U32_MAX, first, number & U32_MAX, mask, DIRTY_BUFFER_BYTES)
        )

    def _op_clear_mask(self, slot: int, first: int, number: int, mask: int) -> int:
        """The first 64 bits are given, the others are 0."""
        return self._ask(
            lambda vm: vm.clear_dirty_log(slot & U32_MAX, first, number & U32_MAX, mask, DIRTY_BUFFER_BYTES)
        )

    def _op_reset_rings(self) -> int:
        return self._ask(lambda vm: vm.reset_dirty_rings())

    def _op_enable_cap(self, capability: int, first: int = 0, second: int = 0, flags: int = 0) -> int:
        return self._ask(lambda vm: vm.enable_cap(capability & U32_MAX, first, second, flags=flags & U32_MAX))

    # -- guest_memfd and attributes

    def _op_create_gmem(self, size: int, flags: int, reserved: int = 0) -> int:
        if len(self.files) >= _MOST_FILES:
            return -1
        vm = self.vm
        fd, answer = -1, -EBADF
        if vm is not None:
            outcome = vm.create_guest_memfd(size, flags, fd=_NO_FD)
            answer = self._result(outcome)
            if answer >= 0:
                fd, answer = self._new_fd(), 0
                self.host.fds[fd] = self.host.fds.pop(_NO_FD)
        self.files.append(fd)
        return answer

    def _op_close_gmem(self, number: int) -> int:
        fd = self.files[number] if number < len(self.files) else -1
        if fd not in self.host.fds:
            return -EBADF
        file = self.host.fds.pop(fd)
        for vm in self.vms:
            if vm is not None and file is not None:
                vm.state.unbind_all(file)
        return 0

    def _gmem(self, number: int) -> GuestMemfd | None:
        return self.host.fds.get(self.files[number]) if number < len(self.files) else None

    def _op_punch_gmem(self, number: int, offset: int, length: int) -> int:
        return self._fallocate(number, offset, length, punch=True)

    def _op_alloc_gmem(self, number: int, offset: int, length: int) -> int:
        return self._fallocate(number, offset, length, punch=False)

    def _fallocate(self, number: int, offset: int, length: int, *, punch: bool) -> int:
        """fallocate(KEEP_SIZE) or fallocate(PUNCH_HOLE | KEEP_SIZE) of a guest_memfd."""
        file = self._gmem(number)
        # the generic layer looks at the range before the descriptor's file does
        if file is None:
            return -EBADF
        if offset >> 63 or length >> 63 or not length:
            return -EINVAL
        if (offset | length) & (self.page_bytes - 1):
            return -EINVAL
        return 0 if punch or offset + length <= file.size_bytes else -EINVAL

    def _op_set_attr(self, gpa: int, size: int, attributes: int, flags: int = 0) -> int:
        return self._ask(lambda vm: vm.set_memory_attributes(gpa, size, attributes, flags))

    # -- vCPUs and x86

    def _op_vcpu(self, vcpu_id: int) -> int:
        vm = self.vm
        if vm is None:
            return -EBADF
        answer = self._result(vm.create_vcpu(vcpu_id & self.ulong_max))
        if answer >= 0:
            fd = self._new_fd()
            if len(self.vcpus[self.current]) < _MOST_VCPUS:
                self.vcpus[self.current].append(fd)
                fd = 0
            answer = fd
        return answer

    def _op_irqchip(self) -> int:
        return self._ask(lambda vm: vm.create_irqchip())

    def _op_set_tss(self, gpa: int) -> int:
        return self._ask(lambda vm: vm.set_tss_addr(gpa & self.ulong_max))

    def _op_set_ident(self, gpa: int) -> int:
        return self._ask(lambda vm: vm.set_identity_map_addr(gpa))

    def _op_set_nr_mmu(self, npages: int) -> Answer:
        answer = self._ask(lambda vm: vm.set_nr_mmu_pages(npages & self.ulong_max))
        if answer == 0 and self.vm is not None:
            self.observed["budget"] = self.vm.state.n_max_mmu_pages
        return answer

    def _op_get_nr_mmu(self) -> int:
        return self._ask(lambda vm: vm.get_nr_mmu_pages())

    def _op_prefault(self, gpa: int, size: int, flags: int = 0) -> Answer:
        if self.current < 0 or not self.vcpus[self.current]:
            return {"r": -EBADF, "left": size}
        return {"r": self._ask(lambda vm: vm.pre_fault_memory(gpa, size, flags)), "left": size}

    def _op_kvm_write(self, gpa: int) -> int:
        """KVM writes its wall-clock structure: version, 12 bytes, version again."""
        vm = self.vm
        if vm is None or not self.vcpus[self.current]:
            return -EBADF
        if gpa and self._copy(vm, gpa, 4, PROT_READ) and self._copy(vm, gpa, 4, PROT_WRITE):
            self._copy(vm, gpa, 12, PROT_WRITE)
        return 1

    def _op_raw(self, kind: str, nr: int, direction: int, nbytes: int, payload: object = "") -> int:
        if kind == "vm" and self.vm is None:
            return -EBADF
        return raw_ioctl(self.vm or self.system, kind, nr, direction, nbytes, str(payload))


class NotDecided(Exception):  # noqa: N818  (not an error: an answer of the model)
    """The model's answer is undetermined or unmodelled."""

    def __init__(self, outcome: Undetermined | Unmodelled) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome
