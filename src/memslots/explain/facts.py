"""What a paste says of host, kernel and VM: typed facts, each with the words that say it."""

from __future__ import annotations

import re

from ..patterns import lazy
from .words import Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_ARCH_WORDS = (
    (
        "arm64",
        2,
        (
            "aarch64",
            "arm64",
            "raspberry pi",
            "graviton",
            "ampere altra",
            "apple m1",
            "apple m2",
            "pkvm",
            "asahi",
        ),
    ),
    ("s390x", 2, ("s390x", "s390", "z14", "z15", "z16", "z13", "lpar")),
    (
        "ppc64",
        2,
        (
            "ppc64",
            "ppc64le",
            "ppc64el",
            "power8",
            "power9",
            "power10",
            "powernv",
            "pseries",
            "powerpc",
        ),
    ),
    (
        "riscv64",
        2,
        ("riscv64", "riscv", "rv64imafdch", "rv64gc", "visionfive", "sv39 x4", "sv48 x4"),
    ),
    ("loongarch64", 2, ("loongarch64", "loongarch", "3a6000", "3a5000", "3c5000")),
    ("i386", 1, ("i686", "i586", "i486")),
    (
        "x86_64",
        2,
        (
            "x86 64",
            "amd64",
            "xeon",
            "epyc",
            "kvm intel",
            "kvm amd",
            "vmx",
            "svm",
            "x86",
            "ryzen",
            "core i7",
        ),
    ),
)
# (architecture, points, a word without which the pattern need not be tried, pattern, what it is)
_ARCH_PATTERNS = (
    ("arm64", 4, "qemu-system-a", lazy(r"\bqemu-system-(?:aarch64|arm)\b"), ""),
    ("s390x", 4, "qemu-system-s", lazy(r"\bqemu-system-s390x\b"), ""),
    ("ppc64", 4, "qemu-system-p", lazy(r"\bqemu-system-ppc64\b"), ""),
    ("riscv64", 4, "qemu-system-r", lazy(r"\bqemu-system-riscv64\b"), ""),
    ("loongarch64", 4, "qemu-system-l", lazy(r"\bqemu-system-loongarch64\b"), ""),
    ("x86_64", 4, "qemu-system-x", lazy(r"\bqemu-system-x86_64\b"), ""),
    ("x86_64", 4, "qemu-system-i", lazy(r"\bqemu-system-i386\b"), ""),
    ("arm64", 4, "X00=", lazy(r"\bPC=[0-9a-f]{16} +X00=[0-9a-f]{16}"), "a register dump of arm64"),
    ("arm64", 4, "PSTATE=", lazy(r"\bPSTATE=[0-9a-f]{8}"), "a register dump of arm64"),
    ("x86_64", 4, "AX", lazy(r"\b[RE]AX[=:] ?[0-9a-f]{8}"), "a register dump of x86"),
    ("s390x", 4, "PSW=mask", lazy(r"\bPSW=mask [0-9a-f]{16}"), "a register dump of s390x"),
    ("ppc64", 4, "NIP ", lazy(r"\bNIP [0-9a-f]{16} +LR "), "a register dump of powerpc"),
    ("ppc64", 3, "0x2000ae", lazy(r"\b0x2000ae[0-9a-f]{2}\b"), "an ioctl number of powerpc"),
    (
        "arm64",
        3,
        "addr=",
        lazy(r"(?:userspace_addr|host_addr)=(?:0x)?(?:[89a-f][0-9a-f]{11})\b"),
        "HIGH",
    ),
    ("arm64", 3, "ua=0x", lazy(r"\bua=0x(?:[89a-f][0-9a-f]{11})\b"), "HIGH"),
)
_HIGH = "a host address beyond 2^47, which programs on x86_64 do not have"
_UNAME = lazy(
    r"\b(\d{1,2}\.\d{1,2}(?:\.\d{1,3})?)(?:[-+.][\w.+~-]*)?(?: #\d[^\n]{0,80})?\s(?:x86_64"
    r"|aarch64|s390x|ppc64le|riscv64"
    r"|loongarch64|amd64|arm64)\b"
)
_KERNEL = lazy(
    r"(?i:\b(?:host(?:'s)? )?(?:linux|kernel)(?:[_ ](?:version|release))?(?: is|"
    r" on)?[\s:=\"`v(]{1,4}(?:linux )?v?)"
    r"(\d{1,2}\.\d{1,2}(?:\.\d{1,3})?)(?![\d.]*\s?(?:Mi?B|Gi?B|%))"
    r"|\b(\d{1,2}\.\d{1,2}(?:\.\d{1,3})?)-(?:[\w.]*-)?(?:generic|amd64|arm64|azure|aws|gcp|pve"
    r"|lts|lowlatency|rc\d|64k\b)"
    r"|\b(\d{1,2}\.\d{1,2}(?:\.\d{1,3})?)-[\d.]+\.(?:el\d|fc\d\d|x86_64)"
    r"|\b(?:uname(?: -[a-z]+)?:? ?(?:Linux \S+ )?)(\d{1,2}\.\d{1,2}(?:\.\d{1,3})?)"
    r"|\b(\d\.\d{1,2}(?:\.\d{1,3})?) (?:host|kernel)\b|\bLinux (?:[\w-]{1,40}"
    r" )?(\d{1,2}\.\d{1,2}(?:\.\d{1,3})?)"
)
_WHOLE = lazy(r"\d{1,2}\.\d{1,2}(?:\.\d{1,3})?(?:[-+~](?:[\w.+~-]*\w)?)?")
"""A release with all that a distribution writes behind it."""
_GUEST = lazy(r"(?i:guest|gast|qemu|libvirt|in the vm)\W{0,3}(?:'s )?$")
_BITS = lazy(
    r"(?i:\b(\d\d) ?bits physical|\b(\d\d)[- ]bits?[- ](?:cpu|phys\w*|address|pa\b)|physical bits"
    r" \((\d\d)\)"
    r"|maxphyaddr\W{0,4}(\d\d)|\b(\d\d) (?:guest-)?physical (?:address )?bits|phys(?:ical)?[-_"
    r" ]bits\W{1,3}(\d\d)"
    r"|address sizes\W{1,6}(\d\d)|\b(\d\d)-bit ipa|ipa size limit\W{1,3}(\d\d)|(?<=\()(\d\d)"
    r" bits(?=\)))"
)
_STAGES = {"sv39": 41, "sv48": 50, "sv57": 59}
"""riscv64: guest address bits of the mode that the host's paging mode allows."""
_PAGES = (
    (16, ("64 kib page~", "64k page~", "64kb page~", "page size 64k~", "page size 64 kib",
    "page size of 64", "64kib page~",
          "pagesize 65536", "page size 65536", "64kb host", "64k host", "64k kernel", "64kb kernel",
          "host page "
              "size "
              "64k",
          "64kib host", "64 kb page~", "page size is 64", "page size 0x10000", "64kib 页", "64k 页",
          "64 kib seiten")),
    (14, ("16 kib page~", "16k page~", "16kb page~", "page size 16k~", "page size 16 kib",
    "pagesize 16384", "16k kernel",
          "page size 16384", "16kib page~", "16k host", "16kb host", "page size of 16",
          "page size is 16")),
)  # fmt: skip
_PAGE_SUFFIX = lazy(r"\b\d\.\d{1,2}\.\d{1,3}[-\w.]*[-.+](64k|16k)\b")
_TYPES = (
    (5, "TDX", ("tdx", "tdx guest", "td guest", "tdx0", "tdvf", "tdshim")),
    (4, "SEV-SNP", ("snp", "sev snp", "sev snp guest", "snp guest")),
    (1, "KVM_X86_SW_PROTECTED_VM", ("sw protected vm", "sw protected")),
    (3, "SEV-ES", ("sev es",)),
    (2, "SEV", ("sev guest", "sev0")),
)
_LAST_PLAUSIBLE = 9
"""No Linux kernel has a larger major number."""


class TextFact:
    """One value and the words that say it."""

    __slots__ = ("reason", "value")

    def __init__(self, value: int | str, reason: str) -> None:
        self.value = value
        self.reason = reason


class Facts:
    """What a text says of the circumstances.

    Each is None where it says nothing, or says two things.
    """

    __slots__ = (
        "arch",
        "arch_is_known",
        "gpa_bits",
        "page_shift",
        "protected",
        "release",
        "text",
        "vm_type",
        "words",
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = Words(text)
        self.arch = self._arch()
        self.arch_is_known = self.arch is not None
        """Whether the architecture need not be assumed; what was recorded may say it as well."""
        self.release = self._release()
        self.page_shift = self._page_shift()
        self.gpa_bits = self._gpa_bits()
        self.vm_type = self._vm_type()
        """KVM's number of the VM's type, where the text names a confidential one."""
        self.protected = "protected vm" in self.words or "pkvm" in self.words
        """Whether the text speaks of an arm64 protected VM."""

    @property
    def says_nothing(self) -> bool:
        """Whether there is no fact at all."""
        return not (self.arch or self.release or self.page_shift or self.gpa_bits or self.vm_type)

    def _arch(self) -> TextFact | None:
        scores: dict[str, int] = {}
        reasons: dict[str, str] = {}
        for arch, weight, word, pattern, what in _ARCH_PATTERNS:
            found = pattern.search(self.text) if word in self.text else None
            if found:
                scores[arch] = scores.get(arch, 0) + weight
                reasons.setdefault(
                    arch, f"the text has {_HIGH if what == 'HIGH' else what or found.group()}"
                )
        for arch, weight, names in _ARCH_WORDS:
            for name in names:
                if name in self.words:
                    scores[arch] = scores.get(arch, 0) + weight
                    reasons.setdefault(arch, f"the text names {name}")
                    break
        if not scores:
            return None
        best = max(scores, key=lambda arch: scores[arch])
        if sum(score == scores[best] for score in scores.values()) > 1:
            return None
        return TextFact(best, reasons[best])

    def _release(self) -> TextFact | None:
        if not any(
            word in self.text
            for word in ("inux", "ernel", "uname", "-generic", "-amd64", "6.", "5.", "7.")
        ):
            return None
        for pattern in (_UNAME, _KERNEL):
            found = dict(self._versions(pattern))
            branches = {".".join(version.split(".")[:2]) for version in found}
            if len(branches) == 1:
                version = max(found, key=len)
                return TextFact(version, found[version])
            if branches:
                return None
        return None

    def _versions(self, pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
        for found in pattern.finditer(self.text):
            place = next(number for number, group in enumerate(found.groups(), 1) if group)
            whole = _WHOLE.match(self.text, found.start(place))
            version = whole.group() if whole else found.group(place)
            if 2 <= int(version.split(".")[0]) <= _LAST_PLAUSIBLE and not _GUEST.search(
                self.text[max(0, found.start() - 12) : found.start()]
            ):
                yield version, f"the text says {' '.join(found.group().split())[:40]}"

    def _page_shift(self) -> TextFact | None:
        suffix = (
            _PAGE_SUFFIX.search(self.text) if "64k" in self.text or "16k" in self.text else None
        )
        if suffix:
            return TextFact(
                16 if suffix.group(1) == "64k" else 14, f"the text says {suffix.group()}"
            )
        for shift, signs in _PAGES:
            for sign in signs:
                if sign in self.words:
                    return TextFact(shift, f"the text says {sign.rstrip('~')}")
        if "65536" not in self.text and "16384" not in self.text:
            return None
        found = re.search(
            r"PAGE_?SIZE\W{0,8}?\n?(?:[^\n]{0,60}\n)?\D{0,4}(65536|16384)\b", self.text
        )
        return (
            TextFact(int(found.group(1)).bit_length() - 1, f"the text says {found.group(1)}")
            if found
            else None
        )

    def _gpa_bits(self) -> TextFact | None:
        if not any(
            word in self.words
            for word in ("bit", "bits", "maxphyaddr", "address sizes", "ipa~", "sv39~", "sv48~")
        ):
            return None
        found = {
            int(next(group for group in each.groups() if group))
            for each in _BITS.finditer(self.text)
        }
        found = {bits for bits in found if 32 <= bits <= 57 and bits != 64}
        if len(found) == 1:
            bits = found.pop()
            return TextFact(bits, f"the text says {bits} bits")
        for mode, bits in _STAGES.items():
            if mode in self.words:
                return TextFact(bits, f"the text says {mode}")
        return None

    def _vm_type(self) -> TextFact | None:
        if self.arch is not None and self.arch.value != "x86_64":
            return None
        found = []
        for number, name, signs in _TYPES:
            sign = next((sign for sign in signs if sign in self.words), None)
            if sign:
                found.append(TextFact(number, f"the text names {name}"))
        strong = [fact for fact in found if fact.value in (5, 4, 1)]
        return strong[0] if len(strong) == 1 else found[0] if len(found) == 1 else None


def no_facts() -> Facts:
    """What an empty text says: nothing."""
    return Facts("")
