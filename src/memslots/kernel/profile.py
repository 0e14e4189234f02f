"""What one kernel on one kind of host can do, with the provenance of each fact.

A profile is dated from a release, probed from a device, read from a recording's
header or edited by hand; it says which for every name.  Rules ask it for facts,
limits and options by name and never for a version.

Options are what dates cannot tell: how the kernel was built and what the host
is.  An option nobody stated has a default, or is None: not known.
"""

from __future__ import annotations

from functools import lru_cache

from ..errors import UnknownKernelError, UnobservedError
from .arch import Arch
from .history import BRANCHES, FACTS, FIRST_RELEASES, OLDEST
from .limits import LIMITS
from .version import Version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fact import Fact

    OptionValue = int | str | bool | None


class Option:
    """Something about the build or the host that a release does not decide."""

    __slots__ = ("arches", "default", "kind", "name", "needs", "summary")

    def __init__(
        self,
        name: str,
        kind: type,
        default: OptionValue,
        summary: str,
        arches: tuple[str, ...] = (),
        *,
        needs: str = "",
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.summary = summary
        self.arches = arches
        """Architectures that it is about; empty: all."""
        self.needs = needs
        """An option without which this one is off."""


_X86 = ("x86_64", "i386")
OPTIONS = {
    option.name: option
    for option in (
        Option(
            "page-shift",
            int,
            None,
            "host page shift: 12, 14 or 16 (default: the architecture's usual one)",
        ),
        Option(
            "task-size",
            int,
            None,
            "first host address that no mapping can reach; default: see user_range",
        ),
        Option("compat", bool, False, "the caller is a 32-bit program on a 64-bit kernel"),
        Option("vendor", str, None, "vendor module: intel, amd, pvm; None: not known", _X86),
        Option("tdp", bool, True, "two-dimensional paging (EPT, NPT) is on", _X86),
        Option("smm", bool, True, "KVM was built with SMM (two address spaces)", _X86),
        Option(
            "gpa-bits", int, None, "guest-physical address bits that the host's hardware gives", ()
        ),
        Option(
            "unrestricted-guest",
            bool,
            True,
            "Intel unrestricted guest: no TSS and identity-map slots; off without EPT",
            _X86,
            needs="tdp",
        ),
        Option(
            "flexpriority",
            bool,
            True,
            "Intel virtual APIC accesses (module parameter): an APIC page slot",
            _X86,
        ),
        Option(
            "apicv",
            bool,
            None,
            "AMD AVIC: an APIC page slot; on Intel it decides none, see flexpriority",
            _X86,
        ),
        Option(
            "early-pit",
            bool,
            None,
            "the program makes a PIT before its first vCPU, which stops AMD AVIC: no APIC page",
            _X86,
        ),
        Option(
            "pml",
            bool,
            None,
            "Intel page-modification logging: dirty rings reserve more entries",
            _X86,
        ),
        Option(
            "page-track",
            bool,
            False,
            "an external page tracker (GPU pass-through) is registered",
            _X86,
        ),
        Option("guest-memfd-built", bool, True, "guest_memfd was built in", ("x86_64", "arm64")),
        Option("attributes-built", bool, None, "memory attributes were built in", ("x86_64",)),
        Option(
            "vm-types", int, 1, "mask of VM types that the host supports (KVM_CAP_VM_TYPES)", _X86
        ),
        Option(
            "launched",
            bool,
            None,
            "the launch calls of an SNP or TDX guest were made in time; they are not modelled",
            ("x86_64",),
        ),
        Option("max-vcpu-id", int, None, "KVM_CAP_MAX_VCPU_ID, where the build changes it"),
        Option("max-vcpus", int, None, "KVM_CAP_MAX_VCPUS, where the build changes it"),
        Option("user-slots", int, None, "KVM_CAP_NR_MEMSLOTS, for a kernel with fewer or more"),
        Option(
            "ring-with-bitmap-built",
            bool,
            True,
            "dirty rings with bitmaps were built in",
            ("arm64",),
        ),
        Option("gicv2", bool, None, "the interrupt controller can emulate a GICv2", ("arm64",)),
        Option("mte", bool, None, "the processor has memory tagging", ("arm64",)),
        Option(
            "protected-kvm",
            bool,
            False,
            "KVM runs in protected mode (kvm-arm.mode=protected)",
            ("arm64",),
        ),
        Option(
            "ucontrol",
            bool,
            None,
            "user-controlled VMs (type 1) are built in, and the caller may make them",
            ("s390x",),
        ),
        Option("mem-limit", int, None, "guest memory limit in bytes (s390)", ("s390x",)),
        Option(
            "total-ram-pages",
            int,
            None,
            "host pages (bounds the reverse map on powerpc HV)",
            ("ppc64",),
        ),
        Option(
            "hv", bool, True, "powerpc HV flavour (8 bytes of reverse map per page)", ("ppc64",)
        ),
    )
}


class Setting:
    """The value of an option and where it comes from."""

    __slots__ = ("provenance", "value")

    def __init__(self, value: OptionValue, provenance: str) -> None:
        self.value = value
        self.provenance = provenance


class Profile:
    """A kernel, an architecture, and what both can do.  Never changes; edits make another."""

    __slots__ = ("arch", "facts", "name", "options", "unobserved", "version")

    def __init__(
        self,
        name: str,
        version: Version,
        arch: Arch,
        facts: Mapping[str, str],
        options: Mapping[str, Setting],
        unobserved: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        """The release it was dated from; limits are looked up by it."""
        self.arch = arch
        self.facts = facts
        """Behaviours that hold: name -> provenance."""
        self.options = options
        """Options that were stated: name -> value and provenance."""
        self.unobserved = unobserved or {}
        """Behaviours of which nobody knows whether they hold in this release: name -> what would
        tell.
        """

    def has(self, fact: str) -> bool:
        """Whether this behaviour holds.  Raises UnobservedError where nobody knows: the call is
        undetermined.
        """
        if fact in self.facts:
            return True
        if fact in self.unobserved:
            raise UnobservedError(fact, self.unobserved[fact])
        return False

    def knows(self, fact: str) -> bool | None:
        """The same without an exception: None where nobody knows."""
        return True if fact in self.facts else None if fact in self.unobserved else False

    def option(self, name: str) -> OptionValue:
        """The stated value of an option, or its default (None: not known)."""
        setting, option = self.options.get(name), OPTIONS[name]
        if option.needs and not self.option(option.needs):
            return False
        return option.default if setting is None else setting.value

    @property
    def apic_access_page(self) -> bool | None:
        """Whether KVM makes a slot of its own for the APIC page; None: that was not stated."""
        intel, amd = self.option("flexpriority"), self.option("apicv")
        return {"intel": intel, "amd": amd, "pvm": False}.get(  # type: ignore[return-value]
            str(self.option("vendor")), None if intel is not False or amd is not False else False
        )

    def number(self, name: str) -> int | None:
        """A numeric option; None if not known."""
        value = self.option(name)
        return None if value is None else int(value)

    def limit(self, name: str) -> int:
        """A dated limit, or the option of that name if it was stated."""
        if name in OPTIONS:
            stated = self.number(name)
            if stated is not None:
                return stated
        value = _LIMITS[name].value(self.version, self.arch.name)
        if value is None:
            raise UnknownKernelError(f"no {name} known for {self.name}")
        return value

    @property
    def knows_mte(self) -> bool:
        """Whether this kernel knows arm64's memory tagging, whatever the processor has."""
        return self.has("arm64-mte-shared") or self.has("arm64-mte-vma")

    @property
    def page_shift(self) -> int:
        """Bits of the offset within a host page."""
        stated = self.number("page-shift")
        return self.arch.page_shifts[0] if stated is None else stated

    def edited(
        self, edits: Mapping[str, OptionValue], provenance: str = "stated", name: str | None = None
    ) -> Profile:
        """Another profile with facts added (True), taken away (False), options set.

        Raises UnknownKernelError for a name that is neither fact nor option, or
        a value of the wrong kind.
        """
        facts, options, unobserved = dict(self.facts), dict(self.options), dict(self.unobserved)
        for key, value in edits.items():
            if key in OPTIONS:
                options[key] = Setting(_checked_option(key, value), provenance)
            elif key in FACT_NAMES:
                facts.pop(key, None)
                unobserved.pop(key, None)
                if value:
                    facts[key] = provenance
            else:
                raise UnknownKernelError(
                    f"{key!r} is neither a fact nor an option; see `memslots kernel {self.name}` "
                    "for the names"
                )
        return Profile(name or self.name, self.version, self.arch, facts, options, unobserved)

    @property
    def behaviour(self) -> object:
        """A key: kernels with the same one give the same answers."""
        options = ((name, str(setting.value)) for name, setting in self.options.items())
        limits = tuple(limit.value(self.version, self.arch.name) for limit in LIMITS)
        known = frozenset(self.facts), frozenset(self.unobserved)
        return self.arch.name, *known, frozenset(options), limits

    def __repr__(self) -> str:
        return f"<Profile {self.name}>"


_LIMITS = {limit.name: limit for limit in LIMITS}
FACT_NAMES = frozenset(fact.name for fact in FACTS)


def _checked_option(name: str, value: OptionValue) -> OptionValue:
    option = OPTIONS[name]
    if value is None:
        return None
    if option.kind is bool and isinstance(value, (bool, int)):
        return bool(value)
    if option.kind is str and isinstance(value, str):
        return value
    if option.kind is int and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise UnknownKernelError(f"option {name} takes {option.kind.__name__}, not {value!r}")


@lru_cache(maxsize=512)
def dated(version: Version, arch: Arch) -> Profile:
    """The profile of a release as its dates say; kept, since a profile never changes.

    Raises UnknownKernelError for a release before the facts begin, or one in
    which KVM did not exist on that architecture.
    """
    first = max(OLDEST, FIRST_RELEASES.get(arch.name, OLDEST))
    if version < first:
        raise UnknownKernelError(f"KVM facts for {arch.name} begin with {first}, not {version}")
    facts: dict[str, str] = {}
    unobserved: dict[str, str] = {}
    dated_by = f"dated, {version}: "
    for fact in FACTS:
        holds = fact.holds(version, arch.name)
        if holds:
            facts[fact.name] = dated_by + fact.source
        elif holds is None:
            unobserved[fact.name] = _question(fact, version)
    return Profile(f"{version}/{arch.name}", version, arch, facts, {}, unobserved)


def of_branches(arch: Arch, stated: Mapping[str, OptionValue] | None = None) -> list[Profile]:
    """The newest release of each branch, oldest branch first, with what is stated of the host.

    Branches are left out before KVM came to the architecture.
    """
    return list(_of_branches(arch, tuple(stated.items()) if stated else ()))


@lru_cache(maxsize=64)
def _of_branches(arch: Arch, stated: tuple[tuple[str, OptionValue], ...]) -> tuple[Profile, ...]:
    found = []
    for version in BRANCHES:
        try:
            profile = dated(version, arch)
        except UnknownKernelError:
            continue
        found.append(profile.edited(dict(stated)) if stated else profile)
    return tuple(found)


def _question(fact: Fact, version: Version) -> str:
    known = "; ".join(str(bound) for bound in fact.unsure if bound.reached(version) is None)
    return (
        f"does {version} have {fact.name} ({fact.summary.rstrip('.')})?  Known is: {known}.  "
        f"State it as +{fact.name} or -{fact.name}, or name the point release"
    )
