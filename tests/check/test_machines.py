"""Layouts of machines that a QEMU command line or a libvirt domain describes.

The addresses expected are those that QEMU 7.2 showed with `info mtree -f` for these options.
"""

# ruff: noqa: E501 (command lines are as long as they are)
from __future__ import annotations

from pathlib import Path

import pytest

from memslots.check.layout.qemu_machine import layout_of_machine
from memslots.check.plan import Recording, load
from memslots.check.survey import survey
from memslots.trace.command_line import is_command_line, machine_of_command_line, size_in
from memslots.trace.guest_machine import kind_of
from memslots.trace.libvirt_domain import machine_of_domain

MIB, GIB = 1 << 20, 1 << 30
DIMM = "-object memory-backend-ram,id=m{0},size={1} -device pc-dimm,memdev=m{0}"


def ranges(
    text: str, kinds: tuple[str, ...] = ("low RAM", "RAM", "high RAM")
) -> list[tuple[int, int]]:
    """(first, last byte) of the slots so named."""
    layout = layout_of_machine(machine_of_command_line(text))
    return [(slot.gpa, slot.gpa + slot.size - 1) for slot in layout.slots if slot.name in kinds]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-M pc -m 3584M", [(0x100000, 0xBFFFFFFF), (0x100000000, 0x11FFFFFFF)]),
        ("-M pc -m 3583M", [(0x100000, 0xDFEFFFFF)]),
        ("-m 3583", [(0x100000, 0xDFEFFFFF)]),
        ("-machine q35 -m size=2815M", [(0x100000, 0xAFEFFFFF)]),
        ("-M pc-q35-7.2,accel=kvm -m 3G", [(0x100000, 0x7FFFFFFF), (0x100000000, 0x13FFFFFFF)]),
        ("-M pc,max-ram-below-4g=1G -m 4G", [(0x100000, 0x3FFFFFFF), (0x100000000, 0x1BFFFFFFF)]),
        ("-M q35,max-ram-below-4g=3G -m 4G", [(0x100000, 0x7FFFFFFF), (0x100000000, 0x17FFFFFFF)]),
        ("-M microvm -m 3500M", [(0x100000, 0xBFFFFFFF), (0x100000000, 0x11ABFFFFF)]),
        ("-M microvm -m 3071M", [(0x100000, 0xBFEFFFFF)]),
    ],
)
def test_ram_of_a_pc(options: str, expected: list[tuple[int, int]]) -> None:
    assert ranges(f"qemu-system-x86_64 {options}", ("RAM", "high RAM")) == expected


def test_memory_devices_follow_the_ram() -> None:
    text = f"qemu-system-x86_64 -M q35 -m 3G,slots=4,maxmem=16G {DIMM.format(0, '1G')} {DIMM.format(1, '100M')}"
    assert ranges(text, ("pc-dimm m0", "pc-dimm m1")) == [
        (0x140000000, 0x17FFFFFFF),
        (0x180000000, 0x1863FFFFF),
    ]
    text = f"qemu-system-aarch64 -M virt -m 4100M,slots=2,maxmem=8G {DIMM.format(0, '1G')}"
    assert ranges(text, ("RAM", "pc-dimm m0")) == [
        (0x40000000, 0x1403FFFFF),
        (0x180000000, 0x1BFFFFFFF),
    ]


def test_a_script_of_several_lines_and_json_objects() -> None:
    text = (
        "# start\nsudo taskset -c 1 /usr/bin/qemu-system-x86_64 \\\n -name guest=vm1,debug-threads=on \\\n"
        " -machine pc-i440fx-6.2,accel=kvm,memory-backend=pc.ram -m size=8388608k,slots=16,maxmem=67108864k \\\n"
        ' -object \'{"qom-type":"memory-backend-file","id":"pc.ram","mem-path":"/dev/hugepages","size":8589934592}\' \\\n'
        ' -object \'{"qom-type":"memory-backend-ram","id":"d0","size":1073741824}\' \\\n'
        ' -device \'{"driver":"pc-dimm","memdev":"d0","id":"dimm0"}\' -smp 4,sockets=4\nqemu-system-x86_64: x: failed\n'
    )
    machine = machine_of_command_line(text)
    assert (machine.name, machine.kind, machine.ram_bytes, machine.slots) == (
        "vm1",
        "pc",
        8 * GIB,
        16,
    )
    assert (machine.maxmem_bytes, machine.page_bytes, machine.vcpus, machine.has_kvm) == (
        64 * GIB,
        2 * MIB,
        4,
        True,
    )
    assert [(device.kind, device.name, device.nbytes) for device in machine.devices] == [
        ("pc-dimm", "dimm0", GIB)
    ]


def test_what_is_approximate_is_said() -> None:
    layout = layout_of_machine(
        machine_of_command_line("qemu-system-x86_64 -M q35 -m 2G -device pc-dimm,memdev=x")
    )
    assert layout.notes[0].startswith("approximate")
    assert any("left out: pc-dimm" in note for note in layout.notes)
    machine = machine_of_command_line(
        "qemu-kvm -M q35,confidential-guest-support=s -m 8G -object sev-snp-guest,id=s,cbitpos=51"
    )
    layout = layout_of_machine(machine)
    assert layout.vm["type"] == 4
    assert all(slot.flags == 4 for slot in layout.slots)
    assert any("firmware" in note for note in layout.notes)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("qemu-system-s390x -M s390-ccw-virtio -m 4G", "memory map"),
        ("qemu-system-aarch64 -M raspi3b -m 1G", "memory map"),
        ("qemu-system-x86_64 -M q35", "not stated"),
        ("qemu-system-x86_64 -M q35 -m $RAM", "not stated"),
        ("qemu-system-x86_64 -M q35 -m 99999999999999999G", "not stated"),
        ("qemu-system-x86_64 -M q35 -m 4294967296G", "more than"),
        ("qemu-system-x86_64 -M q35 -m 8388608G", "more than"),
        ("qemu-system-x86_64 -accel tcg -m 1G", "does not use KVM"),
    ],
)
def test_machines_of_which_no_layout_is_known(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        layout_of_machine(machine_of_command_line(text))


def test_more_vcpus_than_a_vm_can_have() -> None:
    layout = layout_of_machine(
        machine_of_command_line("qemu-system-x86_64 -M q35 -m 1G -smp 99999")
    )
    assert "vcpus" not in layout.vm
    assert "left out: 99999 vCPUs" in layout.notes


def test_sizes_and_kinds() -> None:
    sizes = ("8G", "4079M", "1.5G", "512", "8388608k", "1GiB", "x", "", "-1", "\u00b2G")
    assert [size_in(text, "m") for text in sizes] == [
        8 * GIB, 4079 * MIB, 3 * GIB // 2, 512 * MIB, 8 * GIB, GIB, None, None, None, None,
    ]  # fmt: skip
    names = (
        "pc",
        "pc-i440fx-2.12",
        "pc-q35-rhel9.2.0",
        "q35",
        "virt-6.2",
        "virtual",
        "microvm",
        "s390-ccw-virtio",
    )
    assert [kind_of(name) for name in names] == [
        "pc", "pc", "q35", "q35", "virt", "virtual", "microvm", "s390-ccw-virtio",
    ]  # fmt: skip
    assert not is_command_line("qemu-system-x86_64: -m: failed")


DOMAIN = """\
<domain type='kvm'>
  <name>pmem</name>
  <maxMemory slots='16' unit='KiB'>33554432</maxMemory>
  <memory unit='KiB'>16777216</memory>
  <vcpu placement='static'>8</vcpu>
  <os><type arch='x86_64' machine='pc-i440fx-2.12'>hvm</type></os>
  <cpu><numa>
    <cell id='0' cpus='0-3' memory='8388608' unit='KiB'/>
    <cell id='1' cpus='4-7' memory='8388608' unit='KiB'/>
  </numa></cpu>
  <memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages></memoryBacking>
  <devices>
    <memory model='nvdimm' access='shared'>
      <target><size unit='KiB'>1048576</size><node>0</node><label><size unit='KiB'>2048</size></label></target>
    </memory>
    <memory model='dimm'><target><size unit='MiB'>512</size></target><alias name='dimm0'/></memory>
  </devices>
</domain>
"""


def test_a_domain(tmp_path: Path) -> None:
    machine = machine_of_domain("what about this?\n" + DOMAIN)
    assert (machine.name, machine.kind, machine.arch, machine.vcpus) == ("pmem", "pc", "x86_64", 8)
    assert (machine.ram_bytes, machine.maxmem_bytes, machine.slots) == (16 * GIB, 32 * GIB, 16)
    assert machine.page_bytes == GIB
    assert [(device.kind, device.nbytes) for device in machine.devices] == [
        ("nvdimm", GIB - 2 * MIB), ("pc-dimm", 512 * MIB),
    ]  # fmt: skip
    path = tmp_path / "domain.xml"
    path.write_text(DOMAIN)
    found = survey(path, ["6.1/x86_64"])
    assert found.exit_code == 0
    assert found.notes[0].startswith("approximate")


def test_ram_of_a_domain_without_numa_cells() -> None:
    text = "<domain><memory unit='GiB'>5</memory><devices><memory model='dimm'><target><size unit='GiB'>1</size></target>"
    assert machine_of_domain(text + "</memory></devices></domain>").ram_bytes == 4 * GIB


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE domain [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><domain><name>&b;</name></domain>",
        "<domain><!ENTITY x SYSTEM 'file:///etc/passwd'><name>&x;</name></domain>",
        "<!doctype domain><domain></domain>",
        "<domain>" + "<a>" * 100 + "</a>" * 100 + "</domain>",
        "<domain>" + "<a/>" * 60000 + "</domain>",
        "<domain><name>" + "a" * (1 << 21) + "</name></domain>",
        "<domain><memory>1</domain>",
        "<domain><name>&nope;</name></domain>",
        "<domain><name>\x00</name></domain>",
        "<domain><memory unit='GiB'>4</memory>",
        "<x:domain></x:domain>",
    ],
)
def test_a_hostile_domain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        machine_of_domain(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("number", ["9" * 5000, "-1", "\u00b2", "1e9", "0x10", ""])
def test_odd_numbers_in_a_domain(number: str) -> None:
    machine = machine_of_domain(
        f"<domain><memory unit='TiB'>{number}</memory><vcpu>{number}</vcpu><maxMemory slots='{number}'>1</maxMemory></domain>"
    )
    assert (machine.ram_bytes, machine.vcpus, machine.slots) == (0, 0, None)


def test_calls_that_were_recorded_count_more_than_a_description(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(
        "qemu-system-x86_64 -M q35 -m 2G -enable-kvm\n"
        "kvm_set_user_memory Slot#0 flags=0x0 gpa=0x0 size=0x1000 ua=0x7f0000000000 ret=0\n"
    )
    assert isinstance(load(path), Recording)
