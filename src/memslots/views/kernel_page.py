"""What one kernel does and how that is known; the list of all kernels."""

from __future__ import annotations

from ..compare.difference import ONLY_NARROW, fact_of, limit_of
from ..kernel.arch import ARCHES
from ..kernel.distributions import ALIASES, BUILDS, BUILT_FROM
from ..kernel.fact import EVIDENCE
from ..kernel.history import FACTS
from ..kernel.limits import LIMITS
from ..kernel.profile import OPTIONS
from ..rules.catalogue import all_rules
from ..rules.presence import rules_of, surveyed
from ..state.vm_state import VmState
from .difference import value_text
from .questions import answers_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.machine import Machine
    from ..kernel.profile import Profile

SCHEMA = "memslots.kernel/1"
LIST_SCHEMA = "memslots.kernels/1"


def kernel_lines(profile: Profile) -> list[str]:
    """The page of a kernel."""
    from ..kernel.machine import Machine

    machine = Machine(profile)
    return [
        f"{profile.name}: release {profile.version}, {profile.arch.name}, "
        f"{profile.arch.long_bits} bits, "
        f"host pages of {(1 << profile.page_shift) >> 10} KiB",
        "",
        "Limits",
        *_limit_lines(profile, machine),
        "",
        "What the release does",
        *_fact_lines(profile),
        "",
        "What the release does not decide (state it as +name, -name or +name=value)",
        *_option_lines(profile),
        "",
        "Rules",
        *_rule_lines(profile),
        "",
        "Answers",
        *(f"  {title}: {text}" for title, text in answers_text(profile).items()),
    ]


def _limit_lines(profile: Profile, machine: Machine) -> list[str]:
    state = VmState(machine)
    lines = []
    for limit in LIMITS:
        value = value_text(limit_of(profile, limit.name))
        lines += [f"  {limit.name}: {value}.  {limit.summary}", f"      {limit.source}"]
    lines.append(f"  address spaces: {machine.spaces}")
    lines.append(f"  host addresses end at {_bounds(machine.hva_end, machine.hva_end_high)}")
    if machine.gfn_end < 1 << 64:
        low, high = (
            machine.gfn_end << machine.page_shift,
            machine.gfn_end_high << machine.page_shift,
        )
        lines.append(f"  guest-physical addresses end at {_bounds(low, high)}")
    if profile.arch.is_x86:
        lines.append(f"  MMU budget: design ({state.design.letter}), {state.design.title}")
    return lines


def _bounds(low: int, high: int) -> str:
    return f"{low:#x}" if low == high else f"{low:#x} to {high:#x}, depending on the host"


def _fact_lines(profile: Profile) -> list[str]:
    lines = []
    for name, provenance in profile.facts.items():
        fact = fact_of(name, profile)
        note = (
            "  (32-bit hosts only)" if name in ONLY_NARROW and profile.arch.long_bits >= 64 else ""
        )
        lines += [f"  {name}: {fact.summary}{note}", f"      {provenance}"]
    lines += [f"  {name}: not known: {question}" for name, question in profile.unobserved.items()]
    return lines or ["  nothing that is dated"]


def _option_lines(profile: Profile) -> list[str]:
    lines = []
    for option in OPTIONS.values():
        if option.arches and profile.arch.name not in option.arches:
            continue
        setting = profile.options.get(option.name)
        how = "assumed" if setting is None else setting.provenance
        if setting is None and option.default is None:
            how = "not stated"
        value = value_text(profile.option(option.name))
        lines.append(f"  {option.name}: {value} ({how}): {option.summary}")
    return lines


def _rule_lines(profile: Profile) -> list[str]:
    there = rules_of(profile)
    missing = [rule.id for rule in all_rules() if rule not in there]
    return [
        f"  {len(there)} of {len(all_rules())} can refuse a call here (`memslots rules --kernel "
        f"{profile.name}`)",
        f"  not here: {', '.join(missing)}",
    ]


def kernel_json(profile: Profile) -> str:
    """The page of a kernel as one JSON object."""
    import json

    return json.dumps(
        {
            "schema": SCHEMA,
            "name": profile.name,
            "release": str(profile.version),
            "arch": profile.arch.name,
            "long_bits": profile.arch.long_bits,
            "page_bytes": 1 << profile.page_shift,
            "limits": {limit.name: limit_of(profile, limit.name) for limit in LIMITS},
            "facts": dict(profile.facts),
            "not_known": dict(profile.unobserved),
            "options": {
                name: {"value": profile.option(name), "provenance": _provenance(profile, name)}
                for name in OPTIONS
            },
            "rules": [rule.id for rule in rules_of(profile)],
            "answers": answers_text(profile),
        }
    )


def _provenance(profile: Profile, name: str) -> str | None:
    setting = profile.options.get(name)
    return None if setting is None else setting.provenance


def news(arch: str) -> list[tuple[str, list[str], list[str]]]:
    """For each release surveyed: facts that began, and facts that ended, since the one before."""
    rows: list[tuple[str, list[str], list[str]]] = []
    before: Profile | None = None
    for profile in surveyed():
        if profile.arch.name != arch:
            continue
        began = [name for name in profile.facts if before is not None and not before.knows(name)]
        ended = (
            [name for name in before.facts if not profile.knows(name)] if before is not None else []
        )
        rows.append((str(profile.version), began, ended))
        before = profile
    return rows


def list_lines(arch: str) -> list[str]:
    """Releases with what each brought, distributions, architectures."""
    rows = news(arch)
    lines = [
        f"Releases on {arch} (each stands for the newest point release of its branch), and what "
        "each changes"
    ]
    for release, began, ended in rows:
        changes = [f"+{name}" for name in began] + [f"-{name}" for name in ended]
        lines.append(f"  {release:5} {' '.join(changes)}".rstrip())
    lines += ["", "Distributions whose kernel was asked"]
    lines += [
        f"  {name:12} {build.release:9} {', '.join(build.arches)}  ({build.package})"
        for name, build in BUILDS.items()
    ]
    lines += [f"  {' '.join(f'{alias} = {name};' for alias, name in ALIASES.items())}".rstrip(";")]
    lines += ["", "Distributions of which only the base is known (not accepted as a kernel)"]
    lines += [f"  {name:18} built from {base}" for name, base in BUILT_FROM.items()]
    lines += [
        "",
        f"Architectures: {', '.join(ARCHES)}",
        "Write RELEASE/ARCH with edits: 6.12/arm64+16k, 7.2/x86_64+pa46-smm",
    ]
    return lines


def list_json() -> str:
    """All kernels as one JSON object."""
    import json

    return json.dumps(
        {
            "schema": LIST_SCHEMA,
            "architectures": {
                arch: [
                    {"release": release, "begins": began, "ends": ended}
                    for release, began, ended in news(arch)
                ]
                for arch in ARCHES
            },
            "distributions": {
                name: {
                    "release": build.release,
                    "package": build.package,
                    "arches": list(build.arches),
                }
                for name, build in BUILDS.items()
            },
            "not_asked": BUILT_FROM,
            "evidence": evidence_counts(),
        }
    )


def evidence_counts() -> dict[str, int]:
    """How many facts and limits are known by each kind of evidence; most by more than one."""
    dated = (*FACTS, *LIMITS)
    return {
        "facts": len(dated),
        **{kind: sum(kind in item.kinds for item in dated) for kind in EVIDENCE},
    }


def kernels_markdown() -> str:
    """The page docs/kernels.md below its introduction: releases, facts, distributions."""
    lines = ["## Releases", ""]
    lines += ["| release | begins on x86_64 | ends on x86_64 |", "| --- | --- | --- |"]
    lines += [
        f"| {release} | {', '.join(began)} | {', '.join(ended)} |"
        for release, began, ended in news("x86_64")
    ]
    counts = evidence_counts()
    lines += [
        "",
        "## Evidence",
        "",
        f"{counts['facts']} facts and limits, by how they are known:",
    ]
    lines += ["", "| kind | facts | what it says |", "| --- | --- | --- |"]
    lines += [f"| {kind} | {counts[kind]} | {meaning} |" for kind, meaning in EVIDENCE.items()]
    lines += [
        "",
        "## Facts",
        "",
        "| fact | since | until | architectures | what it says | source |",
    ]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for fact in FACTS:
        arches = "all" if len(fact.arches) == len(ARCHES) else ", ".join(sorted(fact.arches))
        since = "; ".join([str(fact.since), *(f"{port}" for port in fact.backports)])
        until = "; ".join(
            [*([str(fact.until)] if fact.until else []), *(f"{end}" for end in fact.ended_in)]
        )
        lines.append(
            f"| {fact.name} | {since} | {until} | {arches} | {fact.summary} | {fact.source} |"
        )
    lines += [
        "",
        "## Distributions",
        "",
        "| name | newest release | architectures asked | package asked |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {b.release} | {', '.join(b.arches)} | {b.package} |"
        for name, b in BUILDS.items()
    ]
    lines += ["", "Nobody has asked these; a command that is given one says so:", ""]
    lines += [f"* {name}: built from {base}" for name, base in BUILT_FROM.items()]
    return "\n".join(lines) + "\n"
