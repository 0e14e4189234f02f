"""The same failure in other programs' words: tables of renderings that mean the same."""

# ruff: noqa: E501 (texts and recorded lines are as long as they are)
from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_ERRNO = {
    "Operation not permitted": ("EPERM", 1), "No such file or directory": ("ENOENT", 2),
    "Input/output error": ("EIO", 5), "No such device or address": ("ENXIO", 6), "Bad file descriptor": ("EBADF", 9),
    "Cannot allocate memory": ("ENOMEM", 12), "Permission denied": ("EACCES", 13), "Bad address": ("EFAULT", 14),
    "Device or resource busy": ("EBUSY", 16), "File exists": ("EEXIST", 17), "Invalid argument": ("EINVAL", 22),
    "Inappropriate ioctl for device": ("ENOTTY", 25), "No space left on device": ("ENOSPC", 28),
    "Function not implemented": ("ENOSYS", 38),
}  # fmt: skip
_TEXT_OF = {number: text for text, (_, number) in _ERRNO.items()}

_QEMU_REGION = re.compile(
    r"(?:[\w.-]+: )?kvm_set_user_memory_region: (?P<call>KVM_SET_USER_MEMORY_REGION2?) failed,\s+slot=(?P<slot>\d+),"
    r"\s+start=(?P<gpa>0x[0-9a-f]+), size=(?P<size>0x[0-9a-f]+)"
    r"(?P<more>, flags=(?P<flags>0x[0-9a-f]+), guest_memfd=(?P<fd>-?\d+), guest_memfd_offset=(?P<offset>0x[0-9a-f]+))?"
    r": (?P<why>[A-Z][\w/ ]+)$",
    re.MULTILINE,
)
_PHYS_MEM = re.compile(
    r"\n?^.*kvm_set_phys_mem: error registering slot: [A-Z][\w/ ]+$", re.MULTILINE
)
_RUN_FAILED = re.compile(r"error: kvm run failed (?P<why>[A-Z][\w/ ]+)$", re.MULTILINE)
_VCPU_RUN = re.compile(r"Failure during vcpu run: (?P<why>[A-Z][\w/ ]+) \(os error \d+\)")
_OS_ERROR = re.compile(r"(?P<why>" + "|".join(map(re.escape, _ERRNO)) + r") \(os error \d+\)")
_RUST_ERROR = re.compile(r"\bError\((?P<number>\d{1,2})\)")
_STRACE = re.compile(r"= -1 (?P<name>E[A-Z0-9]+) \((?P<why>[^()]+)\)")
_VFIO = re.compile(
    r"vfio_(?:container_)?dma_map\((?P<c>0x\w+), (?P<iova>0x\w+), (?P<size>0x\w+), (?P<hva>0x\w+)\) = "
    r"(?P<number>-\d+) \((?P<why>[^()]+)\)"
)


def _region(found: re.Match[str], chance: random.Random) -> str:
    name, number = _ERRNO[found["why"]]
    slot, gpa, size, call = found["slot"], found["gpa"], found["size"], found["call"]
    rust_more = go_more = plain_more = ""
    if found["more"]:
        fd = found["fd"]
        rust_more = (
            f", flags: {found['flags']}, guest_memfd: {fd}, guest_memfd_offset: {found['offset']}"
        )
        go_more = (
            f", flags={found['flags']}, guest_memfd={fd}, guest_memfd_offset={found['offset']}"
        )
        plain_more = (
            f" flags {found['flags']} guest_memfd {fd} guest_memfd_offset {found['offset']}"
        )
    rust_call = "set_user_memory_region" + ("2" if call.endswith("2") else "")
    forms = (
        f"[ERROR vmm::memory] {rust_call} {{ slot: {slot}, guest_phys_addr: {gpa}, memory_size: {size}{rust_more} }}: "
        f"{found['why']} (os error {number})",
        f'level=fatal msg="{call}(slot={slot}, guest_phys_addr={gpa}, memory_size={size}{go_more}): '
        f'{found["why"].lower()}"',
        f"ioctl {call} for slot {slot}, guest_phys_addr {gpa}, memory_size {size}{plain_more} returned -{name}",
        f"RuntimeError: {call} slot={slot} gpa={gpa} size={size}{go_more} failed with errno {number} ({name})",
        f"{call} failed: errno = {number}\n  slot: {slot}\n  guest_phys_addr: {gpa}\n  memory_size: {size}"
        + (f"\n  flags: {found['flags']}\n  guest_memfd: {found['fd']}\n  guest_memfd_offset: {found['offset']}"
           if found["more"] else ""),
    )  # fmt: skip
    return chance.choice(forms)


def _run(found: re.Match[str], chance: random.Random) -> str:
    name, number = _ERRNO[found["why"]]
    return chance.choice(
        (
            f"KVM_RUN returned -{name}",
            f"[vmm] ERROR vcpu 0: KVM_RUN ioctl failed: {found['why']} (os error {number})",
            f"panic: KVM_RUN: {found['why'].lower()}",
            f'Error running vcpu 0: Os {{ code: {number}, message: "{found["why"]}" }}',
            f"vcpu_run: errno {number} ({name})",
        )
    )


def _os_error(found: re.Match[str], chance: random.Random) -> str:
    name, number = _ERRNO[found["why"]]
    return chance.choice(
        (
            f'Os {{ code: {number}, kind: Uncategorized, message: "{found["why"]}" }}',
            f"{found['why']} ({name})",
            f"errno {number} ({found['why']})",
            name,
        )
    )


def _rust_error(found: re.Match[str], chance: random.Random) -> str:
    number = int(found["number"])
    text = _TEXT_OF.get(number)
    if text is None:
        return found.group()
    return chance.choice(
        (f"Errno({_ERRNO[text][0]})", f"{text} (os error {number})", f"Os {{ code: {number} }}")
    )


def _strace(found: re.Match[str], chance: random.Random) -> str:
    known = _ERRNO.get(found["why"])
    if known is None:
        return f"= -1 {found['name']}"
    return chance.choice((f"= -1 {known[0]}", f"= -{known[1]}", f"= -1 (errno {known[1]})"))


def _vfio(found: re.Match[str], chance: random.Random) -> str:
    number = -int(found["number"])
    return chance.choice(
        (
            f"VFIO_IOMMU_MAP_DMA iova={found['iova']} size={found['size']} vaddr={found['hva']} failed: "
            f"{_TEXT_OF[number]}",
            f"could not map DMA: VfioDmaMap(IommuDmaMap({{ iova: {found['iova']}, size: {found['size']} }}, "
            f"Error({number})))",
            f"vfio: iommu map_dma({found['iova']}, {found['size']}) returned errno {number}",
        )
    )


_TABLE = (
    (_QEMU_REGION, _region),
    (_RUN_FAILED, _run),
    (_VCPU_RUN, _run),
    (_VFIO, _vfio),
    (_OS_ERROR, _os_error),
    (_RUST_ERROR, _rust_error),
    (_STRACE, _strace),
)


def reworded(text: str, chance: random.Random) -> str | None:
    """The text with its failing lines in other words; None if it has none that are known."""
    for pattern, render in _TABLE:
        if not all(
            found["why"] in _ERRNO
            for found in pattern.finditer(text)
            if "why" in pattern.groupindex
        ):
            continue
        if pattern.search(text):
            if pattern is _QEMU_REGION:
                text = _PHYS_MEM.sub("", text)
            return pattern.sub(lambda found, render=render: render(found, chance), text)  # type: ignore[misc]
    return None
