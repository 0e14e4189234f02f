"""A guest of a few bytes: it dirties pages and hits a read-only slot (x86)."""

from __future__ import annotations

from ..errors import DeviceUnavailableError
from ..model.vm import Vm
from ..uapi.flags import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY
from .device import DEFAULT_PATH, Device
from .host_memory import PAGE_BYTES
from .live_vm import LiveVm
from .probe import probe
from .vcpu import EXIT_HLT, Exit, Vcpu, writes

CODE_GPA = 0x1000
RAM_BYTES, ROM_GPA = 0x8_0000, 0x9_0000
WRITTEN_GPAS = (0x2000, 0x2008, 0x5FFF, 0x7_F000)


class Shown:
    """What the guest did."""

    __slots__ = ("expected_pages", "live_pages", "rom_bytes", "rom_exit")

    def __init__(
        self, live_pages: list[int], expected_pages: list[int], rom_exit: Exit, rom_bytes: bytes
    ) -> None:
        self.live_pages = live_pages
        """Pages that the kernel's bitmap has after the guest's writes."""
        self.expected_pages = expected_pages
        """Pages that the model's bitmap has after the same."""
        self.rom_exit = rom_exit
        """The exit when the guest wrote to the read-only slot."""
        self.rom_bytes = rom_bytes
        """What stood there afterwards, beginning at the byte written."""

    @property
    def as_expected(self) -> bool:
        """Whether the kernel did what the model does."""
        exit_ = self.rom_exit
        return (
            self.live_pages == self.expected_pages
            and exit_.name == "mmio"
            and exit_.is_write
            and exit_.gpa == ROM_GPA + 3
            and not any(self.rom_bytes)
        )


def show(device_path: str = DEFAULT_PATH) -> Shown:
    """Run the guest.  Raises DeviceUnavailableError where no guest can run."""
    model = Vm(probe(device_path))
    with Device(device_path) as device, LiveVm(device) as live:
        memory = live.allocate(RAM_BYTES)
        rom = live.allocate(PAGE_BYTES)
        for vm in (live, model):
            vm.set_user_memory_region(
                0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_BYTES, memory.address
            ).unwrap()
            vm.set_user_memory_region(
                1, KVM_MEM_READONLY, ROM_GPA, PAGE_BYTES, rom.address
            ).unwrap()
        vcpu = Vcpu(live)
        try:
            _run(vcpu, memory.view(), writes(list(WRITTEN_GPAS)))
            for gpa in WRITTEN_GPAS:
                model.mark_dirty(gpa)
            live_pages = list(live.get_dirty_log(0).data.pages())  # type: ignore[union-attr]
            expected_pages = list(model.get_dirty_log(0).data.pages())  # type: ignore[union-attr]
            rom_exit = _run(vcpu, memory.view(), writes([ROM_GPA + 3]), stops=False)
            return Shown(live_pages, expected_pages, rom_exit, bytes(rom.view()[3:4]))
        finally:
            vcpu.close()


def _run(vcpu: Vcpu, ram: memoryview, code: bytes, *, stops: bool = True) -> Exit:
    ram[CODE_GPA : CODE_GPA + len(code)] = code
    try:
        vcpu.start_at(CODE_GPA)
        exit_ = vcpu.run()
    except (OSError, TimeoutError) as error:
        raise DeviceUnavailableError(f"this host's KVM runs no real-mode guest: {error}") from None
    if stops and exit_.reason != EXIT_HLT:
        raise DeviceUnavailableError(
            f"this host's KVM runs no real-mode guest: it ended with {exit_!r}"
        )
    return exit_
