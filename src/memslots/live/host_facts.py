"""What the host is, without a VM: the vendor module and its parameters, address bits, SMM.

As edits of a kernel's name (`+intel`, `-tdp`): a recording has them in its first
line, so that another machine decides as this one did.  What cannot be read is
left out.
"""

from __future__ import annotations

import os
import re

from ..errors import DeviceUnavailableError
from ..kernel.arch import find_arch
from ..uapi.capabilities import KVM_CAP_X86_SMM
from .device import Device

MODULES = {"kvm_intel": "intel", "kvm_amd": "amd", "kvm_pvm": "pvm", "pvm": "pvm"}
_SYS_MODULE = "/sys/module"
_CPUINFO = "/proc/cpuinfo"
_SWITCHES = {
    "intel": {"flexpriority": "flexpriority", "unrestricted-guest": "unrestricted_guest",
              "pml": "pml"},
    "amd": {"apicv": "avic"},
}  # fmt: skip
"""Vendor: option of a profile: the module's parameter that decides it."""
_TDP = {"intel": "ept", "amd": "npt"}


def vendor() -> str | None:
    """The vendor module that is loaded."""
    for module, name in MODULES.items():
        if os.path.isdir(f"{_SYS_MODULE}/{module}"):
            return name
    return None


def tdp() -> bool | None:
    """Whether two-dimensional paging is on, as the vendor module says."""
    for name, parameter in _TDP.items():
        found = _switch(name, parameter)
        if found is not None:
            return found
    return None


def edits() -> list[str]:
    """What is known of this host, as edits of a kernel's name."""
    if not find_arch(os.uname().machine).is_x86:
        return []
    name = vendor()
    found = [] if name is None else [f"+{name}"]
    # pvm has shadow paging only
    switches: dict[str, bool | None] = {"tdp": False if name == "pvm" else tdp()}
    for option, parameter in _SWITCHES.get(name or "", {}).items():
        switches[option] = _switch(name or "", parameter)
    try:
        with Device(is_unseen=True) as device:
            switches["smm"] = device.check_extension(KVM_CAP_X86_SMM) > 0
    except DeviceUnavailableError:
        pass  # the program may reach it all the same
    found += [f"{'+' if value else '-'}{word}" for word, value in switches.items()
              if value is not None]  # fmt: skip
    bits = _address_bits()
    return found if bits is None else [*found, f"+pa{bits}"]


def _switch(vendor_name: str, parameter: str) -> bool | None:
    try:
        with open(f"{_SYS_MODULE}/kvm_{vendor_name}/parameters/{parameter}") as file:
            return file.read(1) in "Y1"
    except OSError:
        return None


def _address_bits() -> int | None:
    """Physical address bits of the processor."""
    try:
        with open(_CPUINFO) as file:
            match = re.search(r"^address sizes\s*: (\d\d) bits physical", file.read(1 << 16), re.M)
    except OSError:
        return None
    return int(match[1]) if match else None
