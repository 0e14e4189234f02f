"""Memory as arrays: on the live kernel, across slots, and after everything is closed."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from requires import requires

from memslots.arrays import (
    NO_HVA,
    Translator,
    dirty_gfns,
    dirty_pages,
    guest_memory,
    host_memory,
    read_guest,
    slot_table,
    write_guest,
)
from memslots.live.host_memory import PAGE_BYTES, anonymous, memfd

SRC = str(Path(__file__).parents[2] / "src")


@pytest.mark.parametrize("make", [anonymous, memfd])
def test_host_memory_lives_as_long_as_an_array(make):
    memory = make(4 * PAGE_BYTES)
    array = host_memory(memory)
    assert array.dtype == np.uint8
    assert array.shape == (4 * PAGE_BYTES,)
    assert array.__array_interface__["data"][0] == memory.address
    array[5] = 9
    assert memory.view()[5] == 9
    words = array[8:16].view(np.uint64).reshape(1, 1)
    memory.unmap()
    del memory, array
    gc.collect()
    words[:] = 2**64 - 1
    assert words.tolist() == [[2**64 - 1]]
    memory = make(1)
    memory.unmap()
    with pytest.raises(ValueError, match="no bytes"):
        host_memory(memory)


@requires("kvm")
class TestLive:
    def vm(self):
        """Slot 0 and 1 follow each other in guest and host; slot 2 follows in the guest alone."""
        from memslots.live import LiveVm

        vm = LiveVm()
        memory, other = vm.allocate(8 * PAGE_BYTES), vm.allocate(2 * PAGE_BYTES, "memfd")
        vm.set_user_memory_region(0, 1, 0, 4 * PAGE_BYTES, memory.address).unwrap()
        end = memory.address + 4 * PAGE_BYTES
        vm.set_user_memory_region(1, 0, 4 * PAGE_BYTES, 4 * PAGE_BYTES, end).unwrap()
        vm.set_user_memory_region(2, 2, 8 * PAGE_BYTES, 2 * PAGE_BYTES, other.address).unwrap()
        return vm, memory, other

    def test_windows(self):
        vm, memory, _ = self.vm()
        with vm:
            window = guest_memory(vm, 4 * PAGE_BYTES - 3, 6)
            assert window.__array_interface__["data"][0] == memory.address + 4 * PAGE_BYTES - 3
            window[:] = range(6)
            assert memory.view()[4 * PAGE_BYTES] == 3
            assert guest_memory(vm, 0, 8 * PAGE_BYTES).size == 8 * PAGE_BYTES
            assert guest_memory(vm, 9 * PAGE_BYTES, PAGE_BYTES).size == PAGE_BYTES
            assert guest_memory(vm, 0, 0).size == 0
            with pytest.raises(
                ValueError, match=r"do not follow each other in the host: after 0x2 bytes"
            ):
                guest_memory(vm, 8 * PAGE_BYTES - 2, 4)
            for start, length in ((10 * PAGE_BYTES - 1, 2), (10 * PAGE_BYTES, 1), (2**64 - 1, 1)):
                with pytest.raises(ValueError, match="no slot at gpa"):
                    guest_memory(vm, start, length)
            with pytest.raises(ValueError, match="nbytes must be between"):
                guest_memory(vm, 2**64 - 1, 2)
            vm.set_user_memory_region(0, 0, 0, 0, 0).unwrap()
            vm.set_user_memory_region(1, 0, 0, 0, 0).unwrap()
            vm.release(memory)
            assert window.tolist() == list(range(6)), "released, and still there for its window"
        window[0] = 77
        assert window.tolist() == [77, 1, 2, 3, 4, 5]

    def test_copies_across_slots(self):
        vm, _, other = self.vm()
        with vm:
            start = 8 * PAGE_BYTES - 3
            write_guest(vm, start, b"abcdefg")
            assert read_guest(vm, start, 7).tobytes() == b"abcdefg"
            assert bytes(other.view()[:4]) == b"defg"
            out = np.zeros(7, np.uint8)
            assert read_guest(vm, start, 7, out=out) is out
            write_guest(vm, 0, np.arange(3, dtype=np.uint32))
            assert read_guest(vm, 0, 12).view(np.uint32).tolist() == [0, 1, 2]
            write_guest(vm, 0, b"")
            with pytest.raises(ValueError, match="no slot at gpa 0xa000"):
                write_guest(vm, 10 * PAGE_BYTES - 2, b"1234")
            assert read_guest(vm, 10 * PAGE_BYTES - 2, 2).tolist() == [0, 0], (
                "nothing is written then"
            )
            with pytest.raises(ValueError, match="no slot at gpa 0x0"):
                read_guest(vm, 0, 1, as_id=1)

    def test_memory_that_the_vm_does_not_own(self):
        from memslots.live import LiveVm

        memory = anonymous(PAGE_BYTES)
        with LiveVm() as vm:
            vm.set_user_memory_region(3, 0, 0, PAGE_BYTES, memory.address).unwrap()
            with pytest.raises(
                ValueError, match="slot 0x3 lies on memory that the VM does not own"
            ):
                guest_memory(vm, 0, 1)
            vm.own(memory)
            guest_memory(vm, 0, 1)[0] = 1

    def test_translation_and_what_kvm_dirtied(self):
        vm, memory, other = self.vm()
        with vm:
            made = Translator(vm)
            gpas = np.arange(0, 12 * PAGE_BYTES, 511)
            wanted = [vm.gpa_to_hva(int(gpa)) for gpa in gpas]
            assert made.gpa_to_hva(gpas).tolist() == [
                NO_HVA if hva is None else hva for hva in wanted
            ]
            assert slot_table(vm)["userspace_addr"].tolist() == [
                memory.address,
                memory.address + 4 * PAGE_BYTES,
                other.address,
            ]
            vm.create_vcpu(0).unwrap()
            vm.mark_dirty(2 * PAGE_BYTES)
            bitmap = vm.get_dirty_log(0).data
            assert dirty_pages(bitmap).tolist() == list(bitmap.pages()) == [2]
            assert dirty_gfns(vm.slot(0), bitmap).tolist() == [2]
            assert guest_memory(vm, 2 * PAGE_BYTES, 16).any(), "KVM's wall clock"

    def test_nothing_crashes_when_everything_ends_before_the_arrays(self):
        program = """
import gc
from memslots.arrays import guest_memory, host_memory
from memslots.live import LiveVm
arrays = []
for round in range(20):
    vm = LiveVm()
    memory = vm.allocate(1 << 20)
    vm.set_user_memory_region(0, 0, 0, memory.nbytes, memory.address).unwrap()
    arrays += [guest_memory(vm, 4096, 4096), host_memory(memory)[::7]]
    if round % 2:
        vm.close()
    del vm, memory
    gc.collect()
for array in arrays:
    array[:] = 3
print(sum(int(array.sum()) for array in arrays))
"""
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": SRC},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == 20 * 3 * (4096 + -(-(1 << 20) // 7))
        assert done.stderr == ""
