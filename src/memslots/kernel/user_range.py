"""How far host addresses reach (TASK_SIZE): the user-range test of a region call.

A range passes if userspace_addr + memory_size, not wrapped, is at most the end
given here.  Where the end depends on something not stated (five-level paging,
the address bits of an arm64 build), both bounds are given and what lies between
is undetermined.
"""

from __future__ import annotations

from .profile import Profile

# Between these bounds lies the end of user space on hosts of each architecture.
# Asked: x86_64, i386, arm64 (48 bits on 5.10 and 6.1, 52 on 6.12), riscv64
# (2^56 on 6.12, 2^47 on 7.2), ppc64 (2^46 with 4K pages, 2^52 with 64K), ppc32.
_PAGE = 4096
_BOUNDS = {
    "x86_64": ((1 << 47) - _PAGE, (1 << 56) - _PAGE),
    "i386": (3 << 30, 3 << 30),
    "arm64": (1 << 48, 1 << 52),
    "riscv64": (1 << 38, 1 << 56),
    "ppc32": (0xA000_0000, 0xC000_0000),
    "s390x": (1 << 65, 1 << 65),
    "mips": (1 << 40, 1 << 48),
    "loongarch64": (1 << 47, 1 << 55),
}
_SIGN_BIT = 1 << 63
_PPC64_END = {12: 1 << 46, 16: 1 << 52}


def user_range_ends(profile: Profile) -> tuple[int, int]:
    """(surely accepted, surely not beyond): bounds in bytes on the end of a host range."""
    arch = profile.arch.name
    low, high = _BOUNDS[arch] if arch != "ppc64" else (_PPC64_END[profile.page_shift],) * 2
    stated = profile.number("task-size")
    if stated is not None:
        low = high = stated
    sign_bit, exclusive = profile.knows("hva-sign-bit-only"), profile.knows("hva-limit-exclusive")
    if sign_bit is not True:
        low, high = low - (exclusive is not False), high - (exclusive is True)
    if sign_bit is not False:
        low, high = (_SIGN_BIT - 1 if sign_bit else low), _SIGN_BIT - 1
    return low, high
