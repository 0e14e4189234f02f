"""The VMs of a kernel that drgn looks at: a crash dump, or a running kernel with /proc/kcore.

    drgn -c vmcore PATH/drgn_vms.py            all VMs and their slots
    drgn PATH/drgn_vms.py                      of the running kernel

In drgn: `from memslots.running.drgn_vms import vms`, then `vms(prog)`.  It is the same
reader as of `memslots live slots`, with drgn's memory and debug information.
drgn is no requirement of memslots: it loads us.
"""

from __future__ import annotations

from memslots.running.kernel_types import StructField
from memslots.running.kvm_reader import KvmReader
from memslots.running.running_vm import RunningVm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_POINTER_BYTES = 8
_MOST_VMS = 1 << 20


class DrgnMemory:
    """The memory of drgn's program."""

    def __init__(self, prog: Any) -> None:
        self._prog = prog

    def read(self, pieces: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """The bytes of each (address, bytes); None for what cannot be read."""
        return [self._piece(address, nbytes) for address, nbytes in pieces]

    def _piece(self, address: int, nbytes: int) -> bytes | None:
        try:
            return bytes(self._prog.read(address, nbytes))
        except (ValueError, OverflowError):
            return None
        except Exception as error:  # drgn.FaultError, of a module that is not ours to import
            if type(error).__name__ == "FaultError":
                return None
            raise


class DrgnTypes:
    """The types of drgn's program."""

    def __init__(self, prog: Any) -> None:
        self._prog = prog

    def nbytes(self, name: str) -> int | None:
        """Bytes of a structure; None if there is none of this name."""
        try:
            return int(self._prog.type(f"struct {name}").size)
        except LookupError:
            return None

    def field(self, name: str, path: str) -> StructField | None:
        """A member of a structure; None if there is none."""
        offset = 0
        try:
            found = self._prog.type(f"struct {name}")
            for word in path.split("."):
                member = _plain(found).member(word)
                if member.bit_field_size is not None:
                    return None
                found, offset = member.type, offset + member.bit_offset // 8
        except (LookupError, TypeError):
            return None
        count, found = 1, _plain(found)
        while found.kind.name == "ARRAY":
            count, found = count * (found.length or 0), _plain(found.type)
        return StructField(offset, int(found.size) if found.size is not None else 0, count)


def _plain(found: Any) -> Any:
    while found.kind.name == "TYPEDEF":
        found = found.type
    return found


def vms(prog: Any) -> Iterator[RunningVm]:
    """Every VM of vm_list; without holders: who has it open is not looked for."""
    memory, types = DrgnMemory(prog), DrgnTypes(prog)
    reader = KvmReader(memory, types)
    place = types.field("kvm", "vm_list")
    if place is None:
        return
    head = int(prog["vm_list"].address_)
    node = head
    for _ in range(_MOST_VMS):
        (data,) = memory.read([(node, _POINTER_BYTES)])
        node = head if data is None else int.from_bytes(data, "little")
        if node == head:
            return
        yield reader.read_vm(node - place.offset)


def lines(found: Iterator[RunningVm], page_shift: int = 12) -> Iterator[str]:
    """VMs and slots, without a model beside: addresses in bytes."""
    for vm in found:
        yield (
            f"struct kvm {vm.address:#x}: pid {vm.numbers.get('userspace_pid', '?')}, {vm.vcpus} "
            "vCPUs"
        )
        for slot in vm.slots():
            gpa, end = slot.base_gfn << page_shift, slot.end_gfn << page_shift
            where = f"[{gpa:#x}, {end:#x}) host {slot.userspace_addr:#x}"
            yield f"  {slot.as_id}:{slot.id:<6} {where} flags {slot.flags:#x}"


if __name__ == "__main__":  # by drgn, which puts its program there
    print("\n".join(lines(vms(globals()["prog"]))))
