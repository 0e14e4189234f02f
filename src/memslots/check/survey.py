"""A layout or recording against many kernels: where it is accepted, why not, and what would pass
everywhere.

    from memslots.check.survey import survey
    found = survey("examples/layouts/pc.toml", ["5.10/x86_64", "7.2/x86_64"])
    found.exit_code, [problem.rule.id for problem in found.problems]

In a test of a VMM: `assert_accepted("vm.toml", ["all"])` raises AssertionError
with the explanations.
"""

from __future__ import annotations

import re

from ..explain.remedies import candidates, passes
from ..kernel.arch import ARCH_AND_EDITS, ARCHES, find_arch
from ..kernel.asked import AlikeKernels
from ..kernel.names import find
from ..kernel.profile import of_branches
from ..rules.answer import Accepted, Refused, Undetermined
from ..trace.event import LAYOUT
from ..uapi.calls import VALUE_CALLS
from .plan import load, steps_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from ..kernel.profile import Profile
    from ..model.vm import Vm
    from ..replay.step import Step
    from ..rules.answer import Rule, Unmodelled
    from ..uapi.region import Region
    from .layout.model import Layout
    from .plan import Recording

    Outcome = Accepted | Refused | Undetermined | Unmodelled

ACCEPTED, REFUSED, DEPENDS, FOLLOWS = "accepted", "refused", "depends", "follows"
"""Marks of a cell.  `follows`: refused only because an earlier call on the same slot was."""
_MOST_PASSES = 3


class Cell:
    """The answer of one kernel to one call."""

    __slots__ = ("mark", "outcome", "request")

    def __init__(self, mark: str, outcome: Outcome | None, request: Region | None) -> None:
        self.mark = mark
        self.outcome = outcome
        """None for what is not about memory slots."""
        self.request = request
        """The region call as this kernel got it."""

    @property
    def key(self) -> tuple[str, str]:
        """Mark and rule: cells with the same key look the same."""
        rule = getattr(self.outcome, "rule", None)
        return (self.mark, rule.id if rule is not None and self.mark != ACCEPTED else "")


class Row:
    """One call of the plan, for the rows of the matrix."""

    __slots__ = ("call", "is_delete", "line", "number", "slot", "title")

    def __init__(self, step: Step) -> None:
        event = step.event
        self.number = step.number
        """From 1."""
        self.call = event.call
        self.line = event.line
        """Line of the file; 0 if not known."""
        self.slot = event.get("slot") if step.is_region else None
        """as_id << 16 | id, of a region call."""
        self.is_delete = step.is_region and event.get("memory_size") == 0
        self.title = event.text.strip() if event.format == LAYOUT else ""
        """The slot's name in the layout."""


class Refusal:
    """One rule that refuses, or cannot be decided, somewhere: with everything it says."""

    __slots__ = ("calls", "kernels", "mark", "outcome", "page_shift", "passes", "rule")

    def __init__(
        self, mark: str, rule: Rule, outcome: Refused | Undetermined, page_shift: int
    ) -> None:
        self.mark = mark
        self.rule = rule
        self.outcome = outcome
        """The first of them, for the numbers."""
        self.page_shift = page_shift
        """Of the host that gave it."""
        self.calls: list[Row] = []
        self.kernels: list[str] = []
        self.passes: list[tuple[str, list[str]]] = []
        """Smallest changes to the first call, and the chosen kernels on which each is *not*
        enough.
        """


class Survey:
    """The matrix and its explanations."""

    __slots__ = ("calls", "columns", "name", "notes", "problems", "profiles", "source")

    def __init__(self, plan: Layout | Recording, profiles: Sequence[Profile]) -> None:
        self.name = plan.name
        self.source = plan.source
        self.notes = plan.notes
        """What is not exact about the plan."""
        self.profiles = {profile.name: profile for profile in profiles}
        self.calls: list[Row] = []
        self.columns: dict[str, list[Cell]] = {}
        """Kernel: its answers, one for each call."""
        self.problems: list[Refusal] = []

    @property
    def exit_code(self) -> int:
        """0 if every kernel accepts everything, 1 if one refuses, 3 if it only depends on the
        host.
        """
        marks = {problem.mark for problem in self.problems}
        return 1 if REFUSED in marks else 3 if marks else 0

    def groups(self) -> list[tuple[list[str], list[Cell]]]:
        """Kernels with the same answers, and those answers."""
        found: dict[tuple[tuple[str, str], ...], tuple[list[str], list[Cell]]] = {}
        for kernel, cells in self.columns.items():
            key = tuple(cell.key for cell in cells)
            found.setdefault(key, ([], cells))[0].append(kernel)
        return list(found.values())


def survey(source: str | os.PathLike[str] | Sequence[str], kernels: Sequence[str] = ()) -> Survey:
    """The answers of the named kernels (default: those that the file names, else `all`) to a
    layout or recording.
    """
    plan = load(source)
    return survey_plan(plan, named_kernels(kernels or plan.kernels or ["all"]))


def survey_plan(plan: Layout | Recording, profiles: Sequence[Profile]) -> Survey:
    """The answers of kernels to a plan that has been read."""
    found = Survey(plan, profiles)

    def column(profile: Profile) -> list[Cell]:
        steps = list(steps_on(plan, profile))
        if not found.calls:
            found.calls = [Row(step) for step in steps]
        return _cells(steps)

    alike = AlikeKernels(column, profiles)
    for profile in profiles:
        found.columns[profile.name] = alike.find(profile)
    _collect_problems(found)
    if any(problem.mark == REFUSED for problem in found.problems):
        _Passes(found, plan).find()
    return found


def assert_accepted(
    source: str | os.PathLike[str], kernels: Sequence[str] = (), *, depends: bool = True
) -> Survey:
    """For tests: AssertionError with the explanations unless every kernel accepts every call.

    depends: let calls pass whose answer depends on the host.
    """
    __tracebackhide__ = True
    found = survey(source, kernels)
    if found.exit_code == 1 or (found.exit_code and not depends):
        from ..views.matrix import survey_lines

        raise AssertionError("\n".join(survey_lines(found)))
    return found


def named_kernels(names: Sequence[str]) -> list[Profile]:
    """Profiles by name; `all` is every release of x86_64, `all/arm64+16k`, `all/all`.

    Raises UnknownKernelError for a name that is not known.
    """
    found: dict[str, Profile] = {}
    for name in names:
        match = re.match("all" + ARCH_AND_EDITS, name)
        if match is None:
            profile = find(name)
            found[profile.name] = profile
            continue
        arch, edits = match["arch"] or "x86_64", match["edits"]
        for each in ARCHES.values() if arch == "all" else [find_arch(arch)]:
            for plain in of_branches(each):
                profile = find(plain.name + edits)
                found[profile.name] = profile
    return list(found.values())


def _cells(steps: list[Step]) -> list[Cell]:
    """The answers, with those set apart that only follow from an earlier refusal."""
    cells = []
    refused: set[tuple[object, str, int | None]] = set()
    for step in steps:
        outcome = step.answer
        mark = ACCEPTED
        if step.event.call in VALUE_CALLS or outcome is None:
            pass
        elif isinstance(outcome, Refused):
            mine = _things(step)
            mark = FOLLOWS if not mine.isdisjoint(refused) else REFUSED
            refused |= mine
        elif not isinstance(outcome, Accepted):
            mark = DEPENDS
        cells.append(Cell(mark, outcome, step.region))
    return cells


def _things(step: Step) -> set[tuple[object, str, int | None]]:
    """What a call makes or needs: a slot, a file."""
    event, vm = step.event, step.vm_name
    if step.is_region:
        found: set[tuple[object, str, int | None]] = {(vm, "slot", event.get("slot"))}
        if event.get("guest_memfd"):
            found.add((vm, "fd", event.get("guest_memfd")))
        return found
    return {(vm, "fd", event.new_fd)} if event.call == "KVM_CREATE_GUEST_MEMFD" else set()


def _collect_problems(found: Survey) -> None:
    by_rule: dict[tuple[str, str], Refusal] = {}
    calls: dict[tuple[str, str], set[int]] = {}
    for kernel, cells in found.columns.items():
        for call, cell in zip(found.calls, cells):
            outcome = cell.outcome
            if cell.mark not in (REFUSED, DEPENDS) or not isinstance(
                outcome, (Refused, Undetermined)
            ):
                continue
            shift = found.profiles[kernel].page_shift
            problem = by_rule.setdefault(cell.key, Refusal(cell.mark, outcome.rule, outcome, shift))
            numbers = calls.setdefault(cell.key, set())
            if call.number not in numbers:
                numbers.add(call.number)
                problem.calls.append(call)
            if problem.kernels[-1:] != [kernel]:
                problem.kernels.append(kernel)
    for problem in by_rule.values():
        problem.calls.sort(key=lambda call: call.number)
    found.problems = sorted(
        by_rule.values(), key=lambda problem: (problem.mark != REFUSED, problem.calls[0].number)
    )


class _Passes:
    """Tries changes to the first call of each problem on every chosen kernel."""

    def __init__(self, found: Survey, plan: Layout | Recording) -> None:
        self.found = found
        self.plan = plan
        self.problems = [problem for problem in found.problems if problem.mark == REFUSED]
        self.wanted = {problem.calls[0].number for problem in self.problems}
        by_behaviour: dict[object, dict[int, Vm]] = {}
        self.before: dict[str, dict[int, Vm]] = {}
        """Kernel: the VM as it is before each of the wanted calls."""
        for name, profile in found.profiles.items():
            key = profile.behaviour
            if key not in by_behaviour:
                by_behaviour[key] = self._vms_before(profile)
            self.before[name] = by_behaviour[key]

    def _vms_before(self, profile: Profile) -> dict[int, Vm]:
        found: dict[int, Vm] = {}
        for step in steps_on(self.plan, profile, self.wanted):
            if step.number in self.wanted and step.before is not None:
                found[step.number] = step.before.vm
            if step.number >= max(self.wanted):
                break
        return found

    def find(self) -> None:
        """Fill in what passes."""
        for problem in self.problems:
            at = problem.calls[0].number
            cells = {kernel: column[at - 1] for kernel, column in self.found.columns.items()}
            tried: dict[str, list[str]] = {}
            for vm, request, refused in self._refusals(problem, at, cells):
                for text, requests in candidates(vm, request, refused):
                    if text not in tried:
                        tried[text] = self._failing(at, cells, request, requests)
            best = min(map(len, tried.values()), default=0)
            enough = [each for each in tried.items() if len(each[1]) == best < len(cells)]
            problem.passes = enough[:_MOST_PASSES]

    def _refusals(
        self, problem: Refusal, at: int, cells: dict[str, Cell]
    ) -> Iterator[tuple[Vm, Region, Refused]]:
        """Kernels that refuse the call by this rule, the one with the largest pages first.

        A change that suits the largest pages suits the others; if another of the
        chosen kernels has larger ones, the refusing kernel is imagined with them.
        """
        refusing = [
            name for name in problem.kernels if cells[name].key == (REFUSED, problem.rule.id)
        ]
        refusing.sort(key=lambda name: -self.found.profiles[name].page_shift)
        first = self.found.profiles[refusing[0]]
        largest = max(profile.page_shift for profile in self.found.profiles.values())
        if largest > first.page_shift and largest in first.arch.page_shifts:
            vm = self._vms_before(first.edited({"page-shift": largest})).get(at)
            request = cells[refusing[0]].request
            outcome = vm.what_if(request) if vm is not None and request is not None else None
            if vm is not None and request is not None and isinstance(outcome, Refused):
                yield vm, request, outcome
        for name in (refusing[0], refusing[-1]):
            cell, found = cells[name], self.before[name].get(at)
            if found is not None and cell.request is not None and isinstance(cell.outcome, Refused):
                yield found, cell.request, cell.outcome

    def _failing(
        self, at: int, cells: dict[str, Cell], base: Region, requests: tuple[Region, ...]
    ) -> list[str]:
        """Kernels on which the change is not enough."""
        return [
            name
            for name, cell in cells.items()
            if at not in self.before[name]
            or passes(self.before[name][at], _moved(requests, base, cell.request)) is None
        ]


def _moved(requests: tuple[Region, ...], base: Region, other: Region | None) -> tuple[Region, ...]:
    """The same change on a kernel where the host memory lies elsewhere."""
    if other is None or other.userspace_addr == base.userspace_addr:
        return requests
    delta = other.userspace_addr - base.userspace_addr
    return tuple(
        request.replace(userspace_addr=(request.userspace_addr + delta) % (1 << 64))
        if request.memory_size
        else request
        for request in requests
    )
