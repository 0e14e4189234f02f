"""QEMU with several vCPUs: firmware that changes slots while the others sleep opens no window."""

from __future__ import annotations

from requires import requires
from test_bpf import record
from test_record import OUT_AND_HALT, calls
from test_runs import windows


@requires("qemu", "kvm", "ptrace")
def test_no_window_is_told_that_no_vcpu_saw(tmp_path):
    """A boot sector ends QEMU, behind SeaBIOS, which has started the other vCPUs by then."""
    disk, path = tmp_path / "disk", tmp_path / "r"
    disk.write_bytes(OUT_AND_HALT.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    code, _ = record(
        path, "qemu-system-x86_64", "-accel", "kvm", "-smp", "4", "-m", "128M", "-nodefaults",
        "-vga", "none", "-display", "none", "-drive", f"file={disk},format=raw", "-device",
        "isa-debug-exit,iobase=0x501,iosize=1", options=("--runs",),
    )  # fmt: skip
    assert code == 3
    events, reading = calls(path)
    regions = [event for event in events if event.call == "KVM_SET_USER_MEMORY_REGION"]
    assert len(regions) > 20
    assert all(event.vcpus_in_run is not None for event in regions)
    assert not reading.skipped
    assert windows(path) == []
