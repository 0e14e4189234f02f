"""What a cause is: something that can be behind a failure and is no rule of the memory-slot
layer.
"""

from __future__ import annotations


def _signs(text: str) -> tuple[str, ...]:
    return tuple(text.split("; ")) if text else ()


class Cause:
    """One cause, as data: what it is, what speaks for and against it, what decides, what to do.

    Signs are words as `explain.words` reads them, with `; ` between one and the next:
    `vfio dma map .. enomem; rlimit memlock`.
    """

    __slots__ = (
        "against", "calls", "decides", "id", "is_general", "kernels", "names", "next", "page",
        "seen", "supports", "title",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        title: str,
        page: str = "",
        *,
        calls: str = "",
        names: str = "",
        supports: str = "",
        against: str = "",
        seen: str,
        decides: str,
        next: str,
        kernels: str,
        is_general: bool = False,
    ) -> None:
        self.id = id
        """Kebab-case noun phrase; never reused."""
        self.title = title
        """One sentence: what it is."""
        self.page = page
        """What is easy to miss."""
        self.calls = tuple(tuple(each.split(":")) for each in calls.split())
        """(call, errno) with which it shows: `KVM_RUN:EFAULT`."""
        self.names = _signs(names)
        """Signs each of which makes it a candidate: the words in which programs say it."""
        self.supports = _signs(supports)
        """Signs that make it likelier, and are not enough."""
        self.against = _signs(against)
        """Signs that make it less likely."""
        self.seen = seen
        """What speaks for it, for people."""
        self.decides = decides
        """The fact that settles it."""
        self.next = next
        """What to do: a sentence with its commands in backquotes.

        PID, FILE, COMMAND, DOMAIN, BDF are filled in.
        """
        self.kernels = kernels
        """Facts with releases."""
        self.is_general = is_general
        """Whether it stands for what nobody has named more closely: it comes behind those, and is
        never certain.
        """

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands of `next`."""
        return tuple(self.next.split("`")[1::2])

    @property
    def is_commands_alone(self) -> bool:
        """Whether `next` says nothing but its commands."""
        return not "".join(self.next.split("`")[0::2]).strip(" .,;")

    def __repr__(self) -> str:
        return f"<Cause {self.id}>"
