"""The fields of arguments: their width in bits and how people write them."""

from __future__ import annotations

from .capabilities import CAP_NAMES
from .flags import flag_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Form = Callable[[int], str]


def capability_text(number: int) -> str:
    """A capability by name, or in hex."""
    return CAP_NAMES.get(number, hex(number))


DECIMAL: Form = str
HEX: Form = hex
MEM_FLAGS: Form = flag_text
CAPABILITY: Form = capability_text


class Field:
    """One number of an argument."""

    __slots__ = ("bits", "form", "is_optional", "name")

    def __init__(self, name: str, bits: int, form: Form, *, is_optional: bool) -> None:
        self.name = name
        """As the C structure or the call's documentation has it."""
        self.bits = bits
        """Width: 32 or 64."""
        self.form = form
        """How strace writes it."""
        self.is_optional = is_optional
        """Whether a call that does not mention it is decided as if it were 0."""

    def __repr__(self) -> str:
        return f"<Field {self.name}: u{self.bits}>"


def u32(name: str, form: Form = HEX, *, is_optional: bool = False) -> Field:
    """A field of 32 bits."""
    return Field(name, 32, form, is_optional=is_optional)


def u64(name: str, form: Form = HEX, *, is_optional: bool = False) -> Field:
    """A field of 64 bits."""
    return Field(name, 64, form, is_optional=is_optional)
