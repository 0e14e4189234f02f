"""QEMU's command lines: machine type, sizes, memory devices, and what protects the guest.

Taken from a shell, a script with lines that end in a backslash, libvirt's log, or
`ps`.  Variables of the shell are not known, so that what holds one is left out.
"""

from __future__ import annotations

import re

from ..patterns import lazy
from .event import printable
from .guest_machine import MOST_DEVICES, SEV, SEV_SNP, TDX, GuestMachine, MemoryDevice, kind_of
from .lines import block_ahead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .event import Event, Reading
    from .lines import Ahead

_LINES = 400
_LONGEST = 1 << 17
_PROGRAM = lazy(
    r"(?:^|[\s'\"/=(])(?:qemu-system-(?P<arch>\w{2,20})|qemu-kvm|kvm|\$\{?QEMU\w{0,20}\}?)"
    r"(?:\.exe)?['\"]?(?=\s)"
)
_OPTION = lazy(r"\s--?(?:m|M|machine|object|smp|accel|cpu|enable-kvm|device|drive|bios|kernel)\b")
_GOES_ON = lazy(r"\\\s*\Z")
_SIZE = lazy(r"(\d{1,19})(?:\.(\d{1,6}))?\s*([bkmgtpe]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_KINDS = (
    "pc-dimm",
    "nvdimm",
    "virtio-mem-pci",
    "virtio-mem-pci-non-transitional",
    "virtio-pmem-pci",
)
_GUARDS = {"sev-guest": SEV, "sev-snp-guest": SEV_SNP, "tdx-guest": TDX}
_WITHOUT_VALUE = frozenset((
    "enable-kvm", "nodefaults", "no-user-config", "nographic", "S", "no-reboot", "no-shutdown",
    "daemonize",
    "snapshot", "s", "no-acpi", "no-hpet", "usb", "only-migratable", "no-fd-bootchk", "full-screen",
))  # fmt: skip


def size_in(text: str, default_unit: str) -> int | None:
    """Bytes of `8G`, `4079M`, `512`; None for what is no size, or one beyond 64 bits."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    shift = _UNITS[(found[3] or default_unit).lower()]
    nbytes = (int(found[1] + (found[2] or "")) << shift) // 10 ** len(found[2] or "")
    return nbytes if nbytes < 1 << 64 else None


def is_command_line(text: str) -> bool:
    """Whether a program of QEMU stands in the text with an option behind it."""
    found = _PROGRAM.search(text[:_LONGEST])
    return found is not None and _OPTION.search(text, found.end(), found.end() + 8192) is not None


def machine_of_command_line(text: str) -> GuestMachine:
    """The machine of the first command line in a text; it goes on where a line ends in a backslash.

    Raises ValueError if there is none.
    """
    text = text[:_LONGEST]
    found = _PROGRAM.search(text)
    if found is None:
        raise ValueError("no command line of QEMU")
    lines: list[str] = []
    for line in text[found.end() :].splitlines():
        line = re.sub(r"^\s*(?:[>|] ?)+", "", line) if lines else line
        lines.append(_GOES_ON.sub("", line))
        if not _GOES_ON.search(line) and not (lines[-1].strip() == "" and len(lines) == 1):
            break
    machine = GuestMachine()
    machine.arch = found["arch"] or ""
    _read(_words(" ".join(lines)), machine)
    if not machine.kind and machine.arch in ("x86_64", "i386", ""):
        machine.kind = "pc"
    return machine


def _words(text: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text, comments=False)
    except ValueError:  # a quote that does not end
        return text.split()


def _read(words: list[str], machine: GuestMachine) -> None:
    """Fill the machine in from the arguments."""
    backends: dict[str, dict[str, str]] = {}
    devices: list[dict[str, str]] = []
    memory_backend = ""
    for option, value in _options(words):
        keys = _keys(value)
        if option in ("machine", "M"):
            memory_backend = _machine(value, keys, machine) or memory_backend
        elif option == "m":
            _memory(value, keys, machine)
        elif option == "smp":
            count = value.partition(",")[0].partition("=")
            number = keys.get("cpus", count[2] or count[0])
            machine.vcpus = int(number) if number.isdecimal() and len(number) < 6 else 0
        elif option == "object" and keys.get("") in _GUARDS:
            machine.confidential = _GUARDS[keys[""]]
        elif option == "object" and keys.get("", "").startswith("memory-backend-"):
            backends[keys.get("id", "")] = keys
        elif option == "device" and keys.get("") in _KINDS and len(devices) < MOST_DEVICES:
            devices.append(keys)
        elif option == "mem-path":
            machine.page_bytes = _page_bytes(value)
        elif option == "enable-kvm" or (option == "accel" and keys.get("") == "kvm"):
            machine.has_kvm = True
        elif option == "accel" and machine.has_kvm is None:
            machine.has_kvm = False
        elif option == "vga":
            machine.has_video = value != "none"
        elif option == "device" and keys.get("", "").lower() in ("vga", "qxl-vga", "virtio-vga"):
            machine.has_video = True
        elif option == "name":
            machine.name = printable(keys.get("guest", keys.get("", ""))[:80])
    if memory_backend in backends:
        machine.page_bytes = _page_bytes(
            backends[memory_backend].get("mem-path", ""), backends[memory_backend]
        )
    for keys in devices:
        _device(keys, backends.get(keys.get("memdev", "")), machine)


def _options(words: list[str]) -> list[tuple[str, str]]:
    """(name, value) of each option."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(words):
        name = words[at].lstrip("-")
        if words[at][:1] != "-" or not name:
            at += 1
            continue
        takes = name not in _WITHOUT_VALUE and at + 1 < len(words)
        found.append((name, words[at + 1] if takes else ""))
        at += 2 if takes else 1
    return found


def _keys(value: str) -> dict[str, str]:
    """`a,b=c` as {"": "a", "b": "c"}; an object in JSON likewise."""
    if value[:1] == "{":
        import json

        try:
            row = json.loads(value)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(row, dict):
            return {}
        plain = {str(key): str(each) for key, each in row.items() if isinstance(each, (str, int))}
        return {"": plain.get("qom-type", plain.get("driver", "")), **plain}
    keys: dict[str, str] = {}
    for number, part in enumerate(value.replace(",,", "\0").split(",")):
        key, equals, text = part.replace("\0", ",").partition("=")
        if equals:
            keys.setdefault(key, text)
        elif number == 0:
            keys[""] = key
    return keys


def _machine(value: str, keys: dict[str, str], machine: GuestMachine) -> str:
    """Read -machine; the id of the backend of its RAM."""
    kind = keys.get("type", keys.get("", ""))
    if kind:
        machine.kind = kind_of(kind)
    if "accel" in keys:
        machine.has_kvm = keys["accel"].startswith("kvm")
    if keys.get("smm") in ("on", "off"):
        machine.smm = keys["smm"] == "on"
    if "max-ram-below-4g" in keys:
        machine.max_below_4g = size_in(keys["max-ram-below-4g"], "b") or 0
    return keys.get("memory-backend", "")


def _memory(value: str, keys: dict[str, str], machine: GuestMachine) -> None:
    """Read -m; a plain number counts MiB."""
    for key, text in (
        ("size", keys.get("size", keys.get("", ""))),
        ("maxmem", keys.get("maxmem", "")),
    ):
        nbytes = size_in(text, "m") if text else 0
        if nbytes is None:
            machine.left_out.append(f"-m {key}={text[:40]}")
        elif key == "size":
            machine.ram_bytes = nbytes
        else:
            machine.maxmem_bytes = nbytes
    slots = keys.get("slots", "")
    machine.slots = int(slots) if slots.isdecimal() and len(slots) < 6 else machine.slots


def _device(keys: dict[str, str], backend: dict[str, str] | None, machine: GuestMachine) -> None:
    nbytes = size_in(backend.get("size", ""), "b") if backend else None
    if not nbytes:
        machine.left_out.append(f"{keys['']} {keys.get('id', '')[:40]}".strip() + ": size unknown")
        return
    label = size_in(keys.get("label-size", "0"), "b") or 0  # the end of the file, not mapped
    nbytes -= label if label < nbytes else 0
    page_bytes = _page_bytes(backend.get("mem-path", ""), backend) if backend else 0
    kind = keys[""].removesuffix("-non-transitional")
    machine.devices.append(
        MemoryDevice(kind, nbytes, keys.get("id", keys.get("memdev", ""))[:80], page_bytes)
    )


def _page_bytes(path: str, backend: dict[str, str] | None = None) -> int:
    """The page size of a backend: stated, or told by the folder of huge pages."""
    if backend and backend.get("hugetlb") in ("on", "true", "True", "yes"):
        return size_in(backend.get("hugetlbsize", "2M"), "b") or 0
    if "1G" in path or "1048576" in path:
        return 1 << 30
    return 1 << 21 if "huge" in path else 0


class CommandLine:
    """Notes what a command line within a recording or a paste says of the machine."""

    def __init__(self, reading: Reading, ahead: Ahead) -> None:
        self.reading = reading
        self._ahead = ahead

    def parse(self, text: str, line: int, final: bool) -> list[Event] | None:
        """No events; a note."""
        more: list[str] = []
        if _GOES_ON.search(text):
            more = block_ahead(
                self._ahead, _LINES, lambda line: _PROGRAM.search(line) is not None,
                lambda line: _GOES_ON.search(line) is None,
            )  # fmt: skip
        try:
            machine = machine_of_command_line("\n".join((text, *more)))
        except ValueError:
            return []
        if machine.ram_bytes or machine.kind or machine.devices:
            self.reading.note(
                f"QEMU command line: {machine.facts()} (memslots check takes it as a layout)"
            )
        return []
