"""Another kernel beside the model: many VMs are drawn, asked in one boot, and compared afterwards.

The calls depend on the state that earlier ones have made.  Here the kernel's state is not
at hand while they are drawn, but the model's is, and as long as they agree it is the same.

    from memslots.verify.verify import verify
    verify(operations=10_000, seed=1, source=source("debian-6.1-i386"))
"""

from __future__ import annotations

from itertools import islice
from random import Random

from ..errors import DeviceUnavailableError
from ..kernel.profile import Profile
from ..live.probe import probe as probe_device
from ..rules.create_vm import usual_vm_type
from ..trace.event import Event
from ..units import U32_MAX
from .booted_vm import SETUP, number_of
from .draw import VM_CALLS, Generator
from .draw_numbers import POOL_ADDRESS, POOL_BYTES
from .farm.boot import Asking
from .farm.kernels import Kernel, find_kernel
from .farm.own_image import own_kernel
from .farm.script import Answers, Heard
from .pair import AGREED, DIFFERED, FIRST_FD, UNASKED, UNDECIDED, ComparedCall
from .recorded.compare import observable
from .recorded.operations import OPERATIONS, operation_of
from .recorded.player import NotDecided, Player
from .recorded.profiles import profile_of, profile_seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Fields = Mapping[str, int]
    Operation = list[object]

BOOT_OPERATIONS = 10_000
"""Operations that are asked in one boot: most of the time then goes into them."""
_SHRINK_OPERATIONS = 4_000
_LARGEST_NPAGES = 0x7FFF_FFFF
"""Pages of a slot beyond which every kernel refuses it before it allocates."""


class Planned:
    """One VM's calls, as operations of the asking program, with the model's answers."""

    def __init__(self, profile: Profile, limit_pages: int, kept: set[str]) -> None:
        """limit_pages: what a VM may ask for; kept: what a probe in the kernel reports beside the
        answers.
        """
        self._player = Player(profile, checksums=True)
        self._limit_pages = limit_pages
        self._kept = kept
        self._files: dict[int, int] = {}
        """Number in events: number of the file in the sequence."""
        self._files_made = 0
        self._next_fd = FIRST_FD
        self.operations: list[Operation] = []
        self.expected: list[object] = []
        self.plan: list[tuple[Event, int] | ComparedCall] = []
        """Each call with the number of its operation, or the step of one that is not asked."""
        self.is_over = False
        """Whether the model does not know how it goes on."""
        for operation in (["create_vm", usual_vm_type(profile)], *SETUP[1:]):
            self._predict(operation)
        vm = self._player.vm
        if vm is None:
            raise DeviceUnavailableError(f"{profile.name}: the model makes no VM")
        self.vm = vm

    def _predict(self, operation: Operation) -> object:
        answer = observable(self._player.play(operation), self._kept)
        self.operations.append(operation)
        self.expected.append(answer)
        return answer

    def draw(self, generator: Generator, most_calls: int) -> None:
        """Add random calls until the plan is over; the generator learns which files there are."""
        for _ in range(most_calls):
            event = self.add(generator.next())
            if event is not None and event.new_fd is not None:
                generator.files[event.new_fd] = event.fields["size"]
            elif event is not None and event.call == "close" and event.fd is not None:
                generator.files.pop(event.fd, None)
            if self.is_over:
                break

    def add(self, event: Event) -> Event | None:
        """The call as it will be asked, or None if it will not be; `is_over` may be set."""
        operation = self._operation(event)
        if isinstance(operation, str):
            self.plan.append(ComparedCall(event, UNASKED, note=operation))
            return None
        try:
            answer = self._predict(operation)
        except NotDecided as undecided:
            self.plan.append(ComparedCall(event, UNDECIDED, note=str(undecided)))
            self.is_over = True
            return None
        self.vm.state.check()
        event = self._follow_files(event, answer)
        self.plan.append((event, len(self.operations) - 1))
        return event

    def _operation(self, event: Event) -> Operation | str:
        """What to ask, or why it is not asked."""
        if event.call == "close":
            number = self._files.get(-1 if event.fd is None else event.fd)
            return "no such file" if number is None else ["close_gmem", number]
        if "memory_size" in event.fields and self._too_big(event.fields):
            return "a slot would cost more kernel memory than the machine has"
        if event.call == "KVM_SET_MSRS" and self._hits_the_program(event.fields["data"]):
            return "KVM could write into the asking program itself"
        operation = operation_of(event.call, event.fields)
        fd = event.fields.get("guest_memfd")
        if fd in self._files:
            names = OPERATIONS["set_region2"][1]
            operation[1 + names.index("guest_memfd")] = f"g{self._files[fd]}"
        return operation

    def _too_big(self, fields: Fields) -> bool:
        """The asking program would end the sequence before such a slot."""
        npages, odd_bytes = divmod(fields["memory_size"], self._player.numbers.page_bytes)
        if odd_bytes or npages > _LARGEST_NPAGES:
            return False
        known = self.vm.slot(fields["slot"])
        return (
            self.vm.total_pages - (0 if known is None else known.npages) + npages
            > self._limit_pages
        )

    def _hits_the_program(self, gpa: int) -> bool:
        """Where the program lies is not known: low, or anywhere in 32 bits; never in the pool."""
        hva = self.vm.gpa_to_hva(gpa, write=True)
        if hva is None or POOL_ADDRESS <= hva < POOL_ADDRESS + POOL_BYTES:
            return False
        return hva <= U32_MAX

    def _follow_files(self, event: Event, answer: object) -> Event:
        """The call with the number of the file that it made."""
        if event.call == "close" and event.fd is not None:
            del self._files[event.fd]
        if event.call != "KVM_CREATE_GUEST_MEMFD":
            return event
        number, self._files_made = self._files_made, self._files_made + 1
        if answer != 0:
            return event
        # a sequence that is played again keeps its numbers, whatever was dropped from it
        fd = self._next_fd if event.new_fd is None else event.new_fd
        self._next_fd = max(self._next_fd, fd) + 1
        self._files[fd] = number
        return Event(event.call, event.fields, new_fd=fd)

    def compared(self, heard: Heard) -> list[ComparedCall]:
        """The steps up to the first that differs."""
        answers = heard.in_order()
        if answers[: len(SETUP)] != self.expected[: len(SETUP)] and len(answers) >= len(SETUP):
            raise DeviceUnavailableError(
                f"{self.vm.profile.name}: no VM or no memory: {answers[: len(SETUP)]}"
            )
        steps = []
        for planned in self.plan:
            step = (
                planned
                if isinstance(planned, ComparedCall)
                else self._step(*planned, answers, heard)
            )
            steps.append(step)
            if step.verdict == DIFFERED:
                break
        return steps

    def _step(self, event: Event, number: int, answers: list[object], heard: Heard) -> ComparedCall:
        if number >= len(answers):
            return ComparedCall(event, UNASKED, note=heard.why_short or "not heard")
        observed, expected = answers[number], self.expected[number]
        if isinstance(observed, dict) and "skip" in observed:
            return ComparedCall(event, UNASKED, note=str(observed["skip"]))
        result, said = number_of(observed), number_of(expected)
        made = event.new_fd if event.new_fd is not None and result >= 0 else None
        fd = event.fd if event.call == "close" else 3
        answered = Event(
            event.call, event.fields, result if made is None else made, new_fd=made, fd=fd,
            format="jsonl"
        )  # fmt: skip
        if observed == expected:
            return ComparedCall(answered, AGREED, said)
        return ComparedCall(
            answered,
            DIFFERED,
            said,
            "" if result != said else f"observed {observed}, expected {expected}",
        )


class Booted:
    """A kernel of the farm and its model; a context manager."""

    def __init__(
        self, asking: Asking, profile: Profile | None = None, *, probe: bool = False
    ) -> None:
        """profile: default is what the recorded answers of this kernel are compared with; of a
        kernel of one's own, the release that it is to be compared with.

        probe: the kernel's own page total and budget are compared too.  `asking` is entered and
        left with it.
        """
        self._asking = asking
        self._profile = profile
        self._probe = probe
        self._kept: set[str] = set()

    def __enter__(self) -> Booted:
        """Boots once, to see what is there.  Raises DeviceUnavailableError."""
        self._asking.__enter__()
        try:
            answers = self._asking.ask([], probe=self._probe)
        except BaseException:
            self._asking.__exit__()
            raise
        header = answers.header or {}
        if self._profile is None:
            self._profile = profile_of(self.kernel.name, header)
        elif self.kernel.image_path:
            self._profile = profile_seen(self._profile, self.kernel.name, header)
        self._kept = _kept(answers)
        return self

    def __exit__(self, *_: object) -> None:
        self._asking.__exit__()

    @property
    def kernel(self) -> Kernel:
        """Which kernel it is."""
        return self._asking.kernel

    @property
    def profile(self) -> Profile:
        """The model's kernel, known once it is booted."""
        if self._profile is None:
            raise ValueError("enter it first: the profile is made from the kernel's header")
        return self._profile

    def _new_plan(self) -> Planned:
        return Planned(self.profile, self.kernel.limit_pages, self._kept)

    def draw(
        self, seed: int, first: int, operations: int | None
    ) -> Iterator[tuple[str, list[ComparedCall]]]:
        """VMs with random calls, as many as one boot asks: the seed of each and its steps."""
        wanted = BOOT_OPERATIONS if operations is None else min(operations, BOOT_OPERATIONS)
        names: list[str] = []
        plans: list[Planned] = []
        while sum(len(plan.operations) for plan in plans) < wanted:
            names.append(f"{seed}:{first + len(names)}")
            plans.append(self._drawn(names[-1]))
        yield from zip(names, self._asked(plans))

    def _drawn(self, name: str) -> Planned:
        random = Random(name)
        plan = self._new_plan()
        generator = Generator(random, plan.vm, many_slots=random.random() < 0.02)
        plan.draw(generator, random.choice(VM_CALLS))
        return plan

    def _asked(self, plans: list[Planned]) -> list[list[ComparedCall]]:
        answers = self._asking.ask(
            [plan.operations for plan in plans], probe=self._probe, checksums=True
        )
        return [plan.compared(answers.sequence(number)) for number, plan in enumerate(plans)]

    def play_all(
        self, candidates: Iterable[list[Event]]
    ) -> Iterator[tuple[int, list[ComparedCall]]]:
        """The steps of each sequence on a fresh VM: many in a boot, those that differ last and the
        shortest first.
        """
        numbered = enumerate(candidates)
        while chunk := list(_some(numbered)):
            plans = []
            for _, events in chunk:
                plan = self._new_plan()
                for event in events:
                    plan.add(event)
                    if plan.is_over:
                        break
                plans.append(plan)
            found = [(number, steps) for (number, _), steps in zip(chunk, self._asked(plans))]
            yield from sorted(found, key=lambda pair: (_differs(pair[1]), len(pair[1])))


def _kept(answers: Answers) -> set[str]:
    """What the probes of this kernel report."""
    if answers.probe is None:
        return set()
    kept = set()
    if answers.probe.get("budget") == 0:
        kept.add("budget")
    if answers.probe.get("word", -1) != -1:
        kept.add("pages")
    return kept


def _some(candidates: Iterator[tuple[int, list[Event]]]) -> Iterator[tuple[int, list[Event]]]:
    """As many as one boot takes in a few seconds."""
    operations = 0
    while operations < _SHRINK_OPERATIONS:
        taken = list(islice(candidates, 1))
        if not taken:
            return
        operations += len(taken[0][1]) + len(SETUP)
        yield taken[0]


def _differs(steps: list[ComparedCall]) -> bool:
    return bool(steps) and steps[-1].verdict == DIFFERED


def source(name: str, *, probe: bool = False) -> Booted:
    """A bootable kernel by name, to be given to `verify`.  Raises UnknownKernelError.

    `native` is the kernel under us, asked without QEMU; its model is probed, as it is for `verify`
    without a source.
    """
    kernel = find_kernel(name)
    if not kernel.is_native:
        return Booted(Asking(kernel), probe=probe)
    profile = probe_device()
    return Booted(
        Asking(kernel),
        profile.edited({"compat": True}, "stated") if kernel.arch == "i386" else profile,
    )


def own_source(path: str, modules: str = "", profile: Profile | None = None) -> Booted:
    """A kernel image of one's own, to be given to `verify`.  Raises ValueError, OSError.

    modules: the folder above its lib/modules; empty if KVM is built in.
    profile: the release it is compared with; default is the one that it says it is.
    """
    return Booted(Asking(own_kernel(path, modules)), profile)
