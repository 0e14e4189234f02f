"""What to run or send next, as commands that can be copied, fitted to the program in the paste."""

from __future__ import annotations

from ..patterns import lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .facts import Facts

_PROGRAMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("libvirt", ("libvirt", "virsh", "nova", "virt launcher", "kubevirt")),
    ("firecracker", ("firecracker", "fc vcpu")),
    ("cloud-hypervisor", ("cloud hypervisor", "ch remote")),
    ("crosvm", ("crosvm",)),
    ("krunvm", ("krun~", "libkrun", "muvm", "microsandbox")),
    ("lkvm", ("lkvm", "kvmtool")),
    ("runsc", ("runsc", "gvisor")),
    (
        "qemu",
        (
            "qemu~",
            "kvm set phys mem",
            "kvm set user memory region",
            "proxmox",
            "pve",
            "incus",
            "lxd",
        ),
    ),
)
_PID = lazy(
    r"\b(?:QEMU|qemu[\w-]*|kvm|firecracker|cloud-hypervisor|crosvm|vmm[\w-]*)\[(\d{2,8})\]"
    r"|/proc/(\d{2,8})/"
)
_QEMU = lazy(r"\b(qemu-system-\w+|qemu-kvm)\b")
_BDF = lazy(r"\b([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\b")
_FILE = lazy(r"(?:mem-path[\"']?[=:]\s?[\"']?|backing store |file=)(/[\w./-]{2,100})")
_DOMAIN = lazy(r"(?:domain|vm=|guest)\W{1,3}'([\w.-]{1,60})'")
_GROUP = lazy(r"\bgroup (\d{1,4})\b|/dev/vfio/(\d{1,4})\b")


def program(facts: Facts) -> str:
    """The VMM that the text names: `qemu`, `firecracker`, ...; empty if none."""
    for name, signs in _PROGRAMS:
        if any(sign in facts.words for sign in signs):
            return name
    return ""


def fitted(command: str, facts: Facts) -> str:
    """A command with PID, FILE, BDF, DOMAIN and COMMAND as far as the text has them."""
    for word, pattern in (("PID", _PID), ("BDF", _BDF), ("FILE", _FILE), ("DOMAIN", _DOMAIN)):
        if word in command:
            found = pattern.search(facts.text)
            if found:
                command = command.replace(word, next(group for group in found.groups() if group))
    if "vfio/N" in command or "groups/N" in command:
        group = _GROUP.search(facts.text)
        if group:
            number = next(each for each in group.groups() if each)
            command = command.replace("vfio/N", f"vfio/{number}").replace(
                "groups/N", f"groups/{number}"
            )
    name = program(facts)
    if "COMMAND" in command and name and name not in ("libvirt", "qemu"):
        command = command.replace("COMMAND", f"{name} ...")
    return command


def recording(facts: Facts) -> list[str]:
    """How to get everything that the model needs from this program."""
    name = program(facts)
    found = _PID.search(facts.text)
    pid = next(group for group in found.groups() if group) if found else "PID"
    if name in ("qemu", "libvirt"):
        shown = _QEMU.search(facts.text)
        qemu = shown.group(1) if shown else "qemu-system-x86_64"
        if name == "libvirt":
            first = (
                "memslots record --system -o vmm.rec   # then start the domain in another terminal"
            )
        else:
            first = f"{qemu} -trace kvm_set_user_memory -msg timestamp=on ... 2> qemu.log"
        return [
            first,
            f"memslots record -p {pid} -o vmm.rec   # a VM that runs",
            "memslots explain vmm.rec",
        ]
    command = f"{name} ..." if name else "COMMAND"
    return [
        f"memslots record -o vmm.rec -- {command}",
        f"strace -f -e trace=ioctl,mmap,munmap -o vmm.strace {command}",
        "memslots explain vmm.rec",
    ]
