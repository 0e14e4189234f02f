"""libvirt's domain XML: machine type, sizes, memory devices, and what protects the guest.

The text is not trusted: a document type or an entity is refused, and so are more
than a mebibyte, many elements, and deep nesting.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from .command_line import size_in
from .event import printable
from .guest_machine import MOST_DEVICES, SEV, SEV_SNP, TDX, GuestMachine, MemoryDevice, kind_of
from .lines import block_ahead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from .event import Event, Reading
    from .lines import Ahead

_START = lazy(r"<domain\b[^<>]{0,400}>")
_LONGEST = 1 << 20
_DEEPEST = 64
_MOST_ELEMENTS = 50_000
_LINES = 4000
_KINDS = {
    "dimm": "pc-dimm",
    "nvdimm": "nvdimm",
    "virtio-mem": "virtio-mem-pci",
    "virtio-pmem": "virtio-pmem-pci",
}
_GUARDS = {"sev": SEV, "sev-snp": SEV_SNP, "tdx": TDX}
_UNITS = re.compile(r"(?:(bytes?|b)|(k|m|g|t|p)(i?b)?)", re.IGNORECASE)


def is_domain(text: str) -> bool:
    """Whether a domain begins in the text."""
    return _START.search(text[: 1 << 16]) is not None


def machine_of_domain(text: str) -> GuestMachine:
    """The machine of the first domain in a text.

    Raises ValueError for what is no domain, is too large, or holds a document type.
    """
    found = _START.search(text)
    if found is None:
        raise ValueError("no domain of libvirt")
    end = text.find("</domain>", found.end())
    if end < 0:
        raise ValueError("the domain does not end: give all of `virsh dumpxml`")
    if re.search(r"<!(?:DOCTYPE|ENTITY)", text[:end], re.IGNORECASE):
        raise ValueError("a domain with a document type or entities is not read")
    if end - found.start() > _LONGEST:
        raise ValueError(f"the domain is longer than {_LONGEST} bytes")
    return _machine(_parsed(text[found.start() : end + len("</domain>")]))


def _parsed(text: str) -> Element:
    """The root; deep and endless documents are refused while they are read."""
    from typing import cast
    from xml.etree.ElementTree import ParseError, XMLPullParser

    parser: XMLPullParser[Element] = XMLPullParser(("start", "end"))
    depth = count = 0
    root: Element | None = None
    try:
        for at in range(0, len(text), 4096):
            parser.feed(text[at : at + 4096])
            for event in parser.read_events():
                kind, element = cast("tuple[str, Element]", event)
                root = element if root is None else root
                depth += 1 if kind == "start" else -1
                count += kind == "start"
                if depth > _DEEPEST or count > _MOST_ELEMENTS:
                    raise ValueError(
                        "the domain has too many elements, or they are nested too deeply"
                    )
        parser.close()
    except ParseError as error:
        raise ValueError(f"no XML: {error}") from None
    if root is None:
        raise ValueError("no XML")
    return root


def _machine(root: Element) -> GuestMachine:
    machine = GuestMachine()
    machine.name = printable((root.findtext("name") or "").strip()[:80])
    machine.has_kvm = root.get("type", "kvm") == "kvm"
    system = root.find("os/type")
    if system is not None:
        machine.arch = system.get("arch", "")[:20]
        machine.kind = kind_of(system.get("machine", ""))
    cpus = (root.findtext("vcpu") or "").strip()
    machine.vcpus = int(cpus) if cpus.isdecimal() and len(cpus) < 6 else 0
    limit = root.find("maxMemory")
    machine.maxmem_bytes = _bytes(limit) or 0
    slots = limit.get("slots", "") if limit is not None else ""
    machine.slots = int(slots) if slots.isdecimal() and len(slots) < 6 else None
    page = root.find("memoryBacking/hugepages")
    if page is not None:
        size = page.find("page")
        machine.page_bytes = (
            (_sized(size.get("size", ""), size.get("unit", "KiB")) or 0)
            if size is not None
            else 1 << 21
        )
    guard = root.find("launchSecurity")
    machine.confidential = _GUARDS.get(guard.get("type", ""), "") if guard is not None else ""
    smm = root.find("features/smm")
    machine.smm = smm.get("state", "on") == "on" if smm is not None else None
    models = [model.get("type", "") for model in root.findall("devices/video/model")]
    machine.has_video = any(model not in ("none", "virtio", "ramfb") for model in models)
    for memory in root.findall("devices/memory")[:MOST_DEVICES]:
        _device(memory, machine)
    machine.ram_bytes = _ram(root, machine)
    return machine


def _device(memory: Element, machine: GuestMachine) -> None:
    kind = _KINDS.get(memory.get("model", ""))
    nbytes = _bytes(memory.find("target/size"))
    if kind is None or not nbytes:
        machine.left_out.append(f"memory device {memory.get('model', '')[:40]}".strip())
        return
    label = _bytes(memory.find("target/label/size")) or 0
    page = memory.find("source/pagesize")
    alias = memory.find("alias")
    name = alias.get("name", "")[:80] if alias is not None else ""
    usable = nbytes - label if label < nbytes else nbytes
    machine.devices.append(MemoryDevice(kind, usable, name, _bytes(page) or 0))


def _ram(root: Element, machine: GuestMachine) -> int:
    """RAM at boot: that of the NUMA cells; else the total without what the memory devices add."""
    cells = [
        _sized(cell.get("memory", ""), cell.get("unit", "KiB"))
        for cell in root.findall("cpu/numa/cell")
    ]
    if cells and all(cells):
        return sum(cell or 0 for cell in cells)
    total = _bytes(root.find("memory")) or 0
    return max(total - sum(device.nbytes for device in machine.devices), 0) or total


def _bytes(element: Element | None) -> int | None:
    return _sized(element.text or "", element.get("unit", "KiB")) if element is not None else None


def _sized(text: str, unit: str) -> int | None:
    """libvirt's units: KiB if none is named, `KB` is a thousand bytes."""
    found = _UNITS.fullmatch(unit.strip())
    text = text.strip()
    if found is None or not text.isdecimal() or len(text) > 20:
        return None
    if found[1]:
        return size_in(text, "b")
    if (found[3] or "").lower() == "b":
        nbytes = int(text) * 1000 ** (1 + "kmgtp".index(found[2].lower()))
        return nbytes if nbytes < 1 << 64 else None
    return size_in(text, found[2])


class LibvirtDomain:
    """Notes what a domain within a paste says of the machine."""

    def __init__(self, reading: Reading, ahead: Ahead) -> None:
        self.reading = reading
        self._ahead = ahead

    def parse(self, text: str, line: int, final: bool) -> list[Event] | None:
        """No events; a note."""
        more: list[str] = []
        if "</domain>" not in text:
            more = block_ahead(
                self._ahead,
                _LINES,
                lambda line: "<domain" in line,
                lambda line: "</domain>" in line,
            )
        try:
            machine = machine_of_domain("\n".join((text, *more)))
        except ValueError:
            self.reading.skip("domain of libvirt that is not complete")
            return []
        self.reading.note(
            f"libvirt domain: {machine.facts()} (memslots check takes it as a layout)"
        )
        return []
