"""What a notebook shows of an answer."""

from __future__ import annotations

from ..errors import errno_name
from ..rules.answer import shown_number
from .svg import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..rules.answer import Refused


def refused_html(refused: Refused) -> str:
    """A refusal as a table: rule, numbers, the other slot, what to do."""
    rule = refused.rule
    rows = [("refused", f"{errno_name(refused.errno)} {rule.id}"), ("when", rule.title)]
    rows += [
        (name, shown_number(name, value))
        for name, value in refused.numbers.items()
        if name != "errno"
    ]
    if refused.other is not None:
        rows.append(("other", str(refused.other)))
    rows += [("do", rule.remedy), ("in the kernel", rule.source)]
    inner = "".join(
        f"<tr><th>{escaped(label)}</th><td>{escaped(text)}</td></tr>" for label, text in rows
    )
    return f"<table>{inner}</table>"
