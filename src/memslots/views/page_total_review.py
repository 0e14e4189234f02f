"""The public review of the page total, sentence by sentence, each with the command that shows it.

What was said is told in other words; `docs/page-total.md` is this page.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WALK_WRAPS = "memslots accounting --host-bits 32 --slot-pages 524272 --slots 411"
_ARGUMENT = "memslots accounting"
_FILLED = "memslots accounting --fill --kernel"
COMMIT_LINES = """\
Up to Linux 5.16 x86 added up the pages of all memory slots whenever one changed, to set how many
shadow pages KVM may keep (n_max_mmu_pages). In 2021 the kvm mailing list reviewed patches that keep
the total of pages of all slots instead, as part of a series that gave the slots hash tables and
trees; they were merged for 5.17 (afa319a54a8c, "KVM: Require total number of memslot pages to fit
in an unsigned long", and two that use the total on x86). What was said there is told below in other
words. Each sentence has the command that shows it, and what that prints; `...` stands for lines
left out. `memslots accounting --thread` prints this page, and a test compares the two.

Four designs were on the table; `memslots accounting` calls them (a) to (d):

* (a) up to 5.16: walk over all slots, sum * 20 / 1000;
* (b) a draft: a kept total, times (20 / 1000);
* (c) a draft: a kept 64-bit total, divided by do_div;
* (d) merged: a kept unsigned long total, capped, divided by 50."""


class Sentence:
    """Something said in the review, what memslots finds of it, and the commands that show it."""

    __slots__ = ("commands", "found", "said")

    def __init__(self, said: str, found: str, *commands: tuple[str, Sequence[str]]) -> None:
        self.said = said
        self.found = found
        self.commands = commands
        """(command line, words of the lines that show it; none: all lines)."""


SENTENCES = (
    Sentence(
        "All slots of all address spaces are walked at every commit.",
        """\
True up to 5.16: creations, deletions, moves and changes of flags alike read every slot. Since 5.17
none is read. What that costs is measured in [change-cost.md](change-cost.md).""",
        ("memslots accounting --acts --kernel 5.16/x86_64", ()),
        ("memslots accounting --acts --kernel 5.17/x86_64", ()),
    ),
    Sentence(
        "On a 32-bit host what is added up there may wrap, and nobody would notice.",
        """\
True, in two steps. The product with 20 wraps at 819.2 GiB: one slot more, and the budget falls from
4288544 to 4063 with no errno. The sum itself wraps at 16 TiB. A real 5.10 kernel of i386 did the
first: budgets 4288544 and 4063 after 409 and 410 slots (recording `built-5.10-i386-2g`, sequences
`w-some-409` and `w-some-410`).""",
        (_WALK_WRAPS, ("slots ", "  409", "  410", "  411", "(a) wraps", "the budget falls")),
    ),
    Sentence(
        "A total can be kept: added to when a slot is created, subtracted from when one is "
        "deleted.",
        """\
It can: every design but (a) does, and moves and changes of flags need nothing, as they leave the
number of pages alone. All address spaces and KVM's own slots count. A design of your own is tried
the same way: [accounting.md](accounting.md#your-own-design).""",
        (
            "memslots accounting --design examples/accounting/cached_total.py --pages 262144",
            ("nothing wrong",),
        ),
    ),
    Sentence(
        "The total times (20 / 1000) is nought.",
        "True: 20 / 1000 is 0 in integers, so draft (b) gives every VM the minimum of 64, wrong "
        "from 3250 pages on.",
        (
            "memslots accounting --host-bits 32 --pages 3249,3250,262144",
            ("(a)  (b)", "  3249 ", "  3250 ", "  262144 ", "(b) is"),
        ),
    ),
    Sentence(
        "With a 64-bit total a 32-bit host needs do_div.",
        """\
True: (c) multiplies and divides in 64 bits, where the compiler has no division for a 32-bit kernel.
Dividing an unsigned long by 50, as (d) does, gives the same number wherever nothing wraps.""",
        (
            "memslots accounting --host-bits 32 --pages 214748364,214748365",
            ("(a)  (b)", "  21474836"),
        ),
    ),
    Sentence(
        "A 64-bit total does not help: the budget made of it is an unsigned long and may wrap "
        "still.",
        "True, if far away: from 800 TiB on the budget of (c) does not fit 32 bits, and it "
        "becomes 64 there.",
        (
            "memslots accounting --host-bits 32 --pages 214748364799,214748364800",
            ("(a)  (b)", "  2147483647", "  2147483648", "(c) is"),
        ),
    ),
    Sentence(
        "So refuse to create a slot with which the total would not fit an unsigned long.",
        """\
Merged: EINVAL (rule [page-total-cap](rules/page-total-cap.md)). The 5462nd slot of 3 GiB less 64
KiB is refused on a 32-bit host; (a) goes on and wraps.""",
        (
            "memslots accounting --host-bits 32 --slot-pages 786416 --slots 5463",
            ("slots ", " 5461 ", " 5462 ", " 5463 ", "refused:", "(d) is"),
        ),
    ),
    Sentence(
        "The check stands before the one for overlap.",
        """\
True: in a VM that is full, a slot over another one gets EINVAL for the total, and EEXIST once there
is room. Kernels 6.1 and 7.2 of 32-bit PowerPC answer so (recordings `built-6.1-ppc32` and
`built-sid-ppc32`, sequence `u-move-when-full`).""",
        (f"{_FILLED} 6.1/i386+pa52", ("answer", "over slot 0", "delete")),
    ),
    Sentence(
        "A deletion that would take away more than there is cannot happen; warn once and answer "
        "EIO.",
        """\
It cannot, unless the kernel loses count: then rule
[page-total-underflow](rules/page-total-underflow.md) answers EIO. The guard looks at the total
only, so other slots hide the loss until the last ones go.""",
        ("memslots accounting --lost 1", ()),
    ),
    Sentence(
        "The total must be updated before the architecture's commit hook, which reads it.",
        """\
Merged in that order. Turned round, every budget is that of one change before: the first slot of 1
GiB gets 64 shadow pages, and a VM that is built once and not changed again stays at too little for
good.""",
        (
            "memslots accounting --host-bits 64 --design budget-first --slot-pages 262144 --slots "
            "3",
            ("slots ", "    1 ", "    2 ", "    3 ", "64-bit host ", "after create"),
        ),
    ),
    Sentence(
        "Only creating and deleting change the number of pages, so only they need to set the "
        "budget.",
        """\
True since 5.17: a move or a change of flags sets nothing. Up to 5.16 they did, to the same
number.""",
        ("memslots diff 5.16/i386 5.17/i386", ("MMU budget on",)),
        ("memslots accounting --acts --kernel 5.17/x86_64", ("answer", "flags", "move")),
    ),
    Sentence(
        "All this is for naught where user space has asked for a number (n_requested_mmu_pages).",
        "True: after KVM_SET_NR_MMU_PAGES the budget stays, whatever is created or deleted; the "
        "total goes on.",
        ("memslots accounting --requested 100", ()),
    ),
    Sentence(
        "On a 64-bit host the cap is never met, as slots of one address space may not overlap.",
        """\
True, for a plainer reason too: a slot has fewer than 2^31 pages, and a VM no more than 2^16 slot
ids, so no total reaches 2^47.""",
        (_ARGUMENT, ("no VM can",)),
    ),
    Sentence(
        "A 32-bit process addresses 3 GiB at most; to wrap takes more than 4 TiB of guest memory, "
        "so each page would "
        "have to be aliased more than a thousand times.",
        """\
True, and conservative: 4 TiB are 1366 aliases of each page, but the total wraps at 16 TiB, which
takes 5462. The product of (a) wraps at 819.2 GiB already, with 274.""",
        (
            _ARGUMENT,
            (
                "guest memory  aliases",
                "(a) wraps    ",
                "(d) refuses  ",
                "Above 4 TiB",
                "That is less",
            ),
        ),
    ),
    Sentence(
        "The second address space of x86, for SMM, does not change that.",
        "True: it halves the aliases, to 2731 for the cap: still more than a thousand.",
        (_ARGUMENT, ("with SMM space", "(d) refuses  ")),
    ),
    Sentence(
        "Where MAXPHYADDR is less than 43, the guest could not even reach those aliases.",
        "True: 2^43 bytes in each of two address spaces are 2^32 pages, one more than the cap; 42 "
        "bits hold half.",
        (_ARGUMENT, ("bits  one space", "    42 ", "    43 ")),
    ),
    Sentence(
        "s390 and arm64 have no 32-bit hosts, and RISC-V has no release yet.",
        """\
True: s390 and arm64 hosts have 64 bits, so the cap is out of reach there. KVM of RISC-V came with
5.16, while the patches waited; memslots models 64-bit RISC-V, to which the same applies.""",
        ("memslots kernel 5.17/arm64", ("64 bits",)),
        ("memslots kernel 5.17/s390x", ("64 bits",)),
    ),
    Sentence(
        "On PowerPC a limit is likely nothing new, as all its kinds of KVM assume that guest "
        "frames, and even guest "
        "addresses, fit an unsigned long.",
        """\
Left open there; a real kernel answers. A slot is not checked against that: 32-bit PowerPC (e500)
takes 16 TiB of aliases, far above 2^32 bytes of guest addresses, and refuses the next page because
of the cap, not before. Recorded of Linux 7.2.13 (`built-sid-ppc32`, sequence `u-rest-1`): 6553
slots of 2.5 GiB, all on the same host memory, and the rest; a probe read nr_memslot_pages =
4294967295; one page more: EINVAL. Linux 6.1 answers the same (`built-6.1-ppc32`). On 5.10 there are
512 slots, which is too few. From 5.12 to 5.16 nothing would refuse: for programs that alias so
much, 5.17 did change the answer. `memslots conformance` replays the recordings.""",
        (f"{_FILLED} 7.2/ppc32", ()),
        (f"{_FILLED} 5.16/ppc32", ()),
    ),
    Sentence(
        "On MIPS likewise, as its page-table helpers assume that guest addresses fit an unsigned "
        "long.",
        """\
From source, not asked: MIPS refuses no slot in its prepare hook, so the generic code decides, as on
PowerPC. A 32-bit MIPS host would take the aliases up to the cap and meet EINVAL there; that the
guest cannot use what lies above 2^32 bytes is found out later, at the first fault. memslots models
64-bit MIPS hosts, where the cap is out of reach.""",
    ),
)


def page(run: Callable[[str], str]) -> str:
    """The page as Markdown; `run` gives what a command line prints."""
    parts = ["# The page total, as it was reviewed", "", COMMIT_LINES]
    for number, sentence in enumerate(SENTENCES, 1):
        parts += ["", f"## {number}. {sentence.said}", "", sentence.found]
        for line, words in sentence.commands:
            parts += ["", "```", f"$ {line}", *_picked(run(line).splitlines(), words), "```"]
    return "\n".join(parts)


def _picked(lines: list[str], words: Sequence[str]) -> list[str]:
    """The lines with any of the words, and `...` for those between."""
    if not words:
        return lines
    picked: list[str] = []
    last = None
    for number, line in enumerate(lines):
        if any(word in line for word in words):
            if last is not None and number > last + 1 and picked[-1] != "...":
                picked.append("...")
            picked.append(line)
            last = number
    return picked
