"""Which profile a recorded kernel has: from the recording's header, and what no header tells.

The header gives release, architecture, page size, word size and capabilities;
from these come the release's facts and the build's options.  What the machine
around the kernel was (address bits, paging mode) stands in `_MACHINES`: facts
about the test guests, not about KVM.
"""

from __future__ import annotations

import re

from ...kernel.arch import Arch, find_arch
from ...kernel.profile import Profile, dated
from ...kernel.vendors import release_of
from ...state.process import PROT_EXEC, PROT_READ, Mapping, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...kernel.profile import OptionValue


# name pattern: options of the machine that the kernel ran on
_MACHINES: tuple[tuple[str, dict[str, OptionValue]], ...] = (
    # QEMU's software emulation of AMD's SVM: 40 address bits, no AVIC
    (
        r"(debian|built)-.*(x86_64|i386).*",
        {"vendor": "amd", "apicv": False, "pml": False, "gpa-bits": 40},
    ),
    (r".*-pa52|.*-i386-2g", {"gpa-bits": 52}),
    (r".*-pa36", {"gpa-bits": 36}),
    # no nested paging: npt=0, or a kernel without PAE
    (r".*-(shadow|nopae)", {"tdp": False}),
    (r".*-x86_64.*|host-.*", {"task-size": (1 << 47) - 4096}),
    # VMSPLIT_2G with its optimised boundary
    (r".*-i386-2g", {"task-size": 0x8000_0000}),
    # the PVM backend on the machine itself
    (r"host-.*", {"vendor": "pvm", "tdp": False, "apicv": False, "pml": False}),
    (r"debian-(5\.10|6\.1)-arm64", {"task-size": 1 << 48}),
    (r"debian-(6\.12|sid|experimental)-arm64.*", {"task-size": 1 << 52}),
    (r".*-arm64.*", {"gicv2": False, "mte": False}),
    (r".*-protected", {"protected-kvm": True}),
    (r".*-gicv2", {"gicv2": True}),
    (r".*-mte", {"mte": True}),
    # Sv57 by default, Sv48 unless asked for in newer kernels
    (r"debian-6\.12-riscv64", {"task-size": 1 << 56}),
    (r"debian-sid-riscv64", {"task-size": 1 << 47}),
    (r"built-(5\.10|6\.1)-ppc32", {"task-size": 0xC000_0000}),
    # accepted up to 0xb0010000, refused from 0xbffff000 on: any end between them fits what was
    # asked
    (r"built-sid-ppc32", {"task-size": 0xBFFE_0000}),
)

_BY_CAPABILITY = {
    66: "max-vcpus",
    128: "max-vcpu-id",
    165: "gpa-bits",
    207: "gpa-bits",
    235: "vm-types",
}
PROGRAM_TEXT = {"riscv64": (0x10000, 0x90000)}
"""Host bytes of the test program's read-only part, where a literal address can hit it."""


def profile_of(name: str, header: dict[str, object]) -> Profile:
    """The profile of a recorded kernel: `name` and `header` as in the first line of its file."""
    release = str(header["release"])
    profile = dated(release_of(release, str(header.get("version", ""))), _arch_of(header))
    return profile_seen(profile, name, header)


def profile_seen(profile: Profile, name: str, header: dict[str, object]) -> Profile:
    """A release as a recorded kernel was built, and on the machine that it ran on."""
    arch = profile.arch
    options: dict[str, OptionValue] = {
        "page-shift": int(str(header["page_size"])).bit_length() - 1,
        "compat": header["long_bits"] == 32 and arch.long_bits == 64,
    }
    capabilities = header["caps"]
    if not isinstance(capabilities, dict):
        raise ValueError(f"{name}: the header's caps are not a table")
    for number, option in _BY_CAPABILITY.items():
        value = capabilities.get(str(number))
        if value is not None:
            options[option] = value
    if arch.is_x86:
        options["smm"] = "117" in capabilities
        options["attributes-built"] = "233" in capabilities
    if arch.name == "arm64":
        options["ring-with-bitmap-built"] = "225" in capabilities
    profile = profile.edited(options, "the recording's header", name)
    for pattern, machine in _MACHINES:
        if re.fullmatch(pattern, name):
            profile = profile.edited(machine, "the test machine")
    return profile


def _arch_of(header: dict[str, object]) -> Arch:
    return find_arch(str(header["machine"]))


def process_of(profile: Profile) -> Process:
    """The test program as a host: nothing mapped where slots go, but for the program itself."""
    host = Process(mappings_known=True)
    for fd in range(3):
        host.fds[fd] = None
    text = PROGRAM_TEXT.get(profile.arch.name)
    if text is not None:
        host.mmap(Mapping(*text, PROT_READ | PROT_EXEC))
    return host
