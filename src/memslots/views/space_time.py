"""The space-time map: guest-physical memory over the life of a VM, as one SVG.

Horizontally the calls that changed slots or were refused, vertically addresses
with each boundary a row.  Where there are too many of either, neighbours share
a column or a row, and the picture says so.
"""

from __future__ import annotations

from ..errors import errno_name
from ..explain.slot_lives import MOST_ALIASES, lives_now
from ..uapi.flags import (
    KVM_MEM_GUEST_MEMFD,
    KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MEM_READONLY,
    flag_text,
)
from ..units import format_bytes
from .address_rows import AddressRows
from .moment_columns import COLUMNS, MomentColumns
from .space_time_cells import cell_parts
from .svg import (
    ALIAS,
    GUEST_MEMFD,
    INVALID,
    LEGENDS,
    LOGGED,
    OWN,
    POSSIBLE,
    RAM,
    READ_ONLY,
    REFUSED,
    UNBACKED,
    document,
    escaped,
    path,
    rect,
    text_at,
)
from .text import counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from ..explain.slot_lives import RefusedRegion, SlotLife, UnbackedSpan, VmLives
    from ..model.vm import Vm

MOST_VMS = 8
LEFT, RIGHT = 152.0, 96.0
_STRIP, _LINE, _LEAST_MARK = 34.0, 15.0, 3.0
_PLACES = ("", " (SMM)")


def kind_of(life: SlotLife) -> str:
    """The class that a slot is drawn with."""
    slot = life.slot
    if life.is_possible:
        return POSSIBLE
    if slot.owner:
        return OWN
    if slot.is_invalid:
        return INVALID
    if slot.flags & KVM_MEM_GUEST_MEMFD or slot.binding is not None:
        return GUEST_MEMFD
    if slot.flags & KVM_MEM_READONLY:
        return READ_ONLY
    return LOGGED if slot.flags & KVM_MEM_LOG_DIRTY_PAGES else RAM


def life_title(life: SlotLife, page_shift: int) -> str:
    """What is said of a slot when one points at it."""
    slot = life.slot
    name = f"KVM's own {slot.owner}" if slot.owner else f"slot {slot.id}"
    perhaps = ", if this host has it" if life.is_possible else ""
    lines = [
        f"{name}{perhaps}: {_range_text(slot.base_gfn << page_shift, slot.end_gfn << page_shift)}",
        f"gfns [{slot.base_gfn:#x}, {slot.end_gfn:#x}), hva {slot.userspace_addr:#x}",
        flag_text(slot.flags),
    ]
    if life.first_step:
        until = f"to step {life.end_step}" if life.end_step else "to the end"
        lines.append(f"from step {life.first_step} {until}")
    return "\n".join(lines)


def _range_text(first: int, end: int) -> str:
    return f"gpa [{first:#x}, {end:#x}), {format_bytes(end - first)}"


def refused_title(refused: RefusedRegion) -> str:
    """What is said of a refused request when one points at it."""
    where = (
        _range_text(refused.first, refused.end)
        if refused.end > refused.first
        else f"gpa {refused.first:#x}, delete"
    )
    why = f" {refused.rule}" if refused.rule else ""
    return (
        f"step {refused.step}: slot {refused.slot_id} refused, {errno_name(refused.errno)}{why}\n"
        f"{where}"
    )


def unbacked_title(span: UnbackedSpan, page_shift: int) -> str:
    """What is said of a range without a slot that a vCPU could see."""
    where = _range_text(span.start_gfn << page_shift, span.end_gfn << page_shift)
    return f"no slot from step {span.first_step} to step {span.last_step}: {where}"


class _Figure:
    """One VM: its panels from the top, then the totals."""

    def __init__(self, vm: VmLives, linked: Container[int], *, by_time: bool) -> None:
        self.vm = vm
        self.columns = MomentColumns(vm.moments, by_time=by_time)
        self.linked = linked
        self.parts: list[str] = []
        self.kinds: set[str] = set()
        self.notes: list[str] = []
        self.height = 0.0

    def text(self, kind: str, x: float, text: str) -> None:
        """A line of text of its own."""
        self.height += _LINE
        self.parts.append(text_at(kind, x, self.height - 4, text))

    def panel(self, as_id: int) -> None:
        """One address space."""
        vm, shift = self.vm, self.vm.page_shift
        lives = [life for life in vm.lives if life.slot.as_id == as_id]
        refused = [each for each in vm.refused if each.as_id == as_id]
        rows = AddressRows(
            [(life.slot.base_gfn << shift, life.slot.end_gfn << shift) for life in lives]
            + [(each.first, each.end) for each in refused]
        )
        self.height += 12  # the row of marks
        top, width = self.height, self.columns.width
        self._scale(rows, top)
        spans = [span for span in vm.unbacked if span.as_id == as_id]
        if self.columns.is_exact and rows.is_exact:
            self._exact(rows, top, lives, spans)
        else:
            cells = cell_parts(rows, self.columns, vm, as_id, [kind_of(life) for life in lives])
            self.parts += [f'<g transform="translate({LEFT:g} {top:g})">', *cells, "</g>"]
            self.kinds |= {kind_of(life) for life in lives} | ({UNBACKED} if spans else set())
            self._say_shared(rows)
        self._refused(rows, top, refused)
        if rows.is_exact:
            self._aliases(rows, top, as_id)
        if vm.running_from:
            x = LEFT + self.columns.x(vm.running_from)
            title = "from here on there is a vCPU"
            self.parts.append(path("run", f"M{x:g} {top - 8:g}V{top + rows.height:g}", title))
            self.parts.append(text_at("d", x + 3, top - 3, "vCPU"))
        self.parts.append(
            f'<rect class="grid" x="{LEFT:g}" y="{top:g}" width="{width:g}" '
            f'height="{rows.height:g}"/>'
        )
        self.height = top + rows.height + 4

    def _say_shared(self, rows: AddressRows) -> None:
        if not self.columns.is_exact:
            count = len(self.vm.moments)
            note = (
                f"{count} calls share {COLUMNS} columns: a column shows what was there at any of "
                "its calls, darker where slots came more than once"
            )
            if note not in self.notes:
                self.notes.append(note)
        if not rows.is_exact:
            self.notes.append("some boundaries share a row: a row shows what was anywhere in it")

    def _scale(self, rows: AddressRows, top: float) -> None:
        width = self.columns.width
        for y, address in rows.labels():
            self.parts.append(path("grid", f"M{LEFT - 4:g} {top + y:g}h{width + 4:g}"))
            self.parts.append(text_at("e", LEFT - 7, top + y + 4, f"{address:#x}"))
        last = -99.0
        for y, nbytes, is_hole in rows.lengths():
            if not is_hole and abs(y - last) >= 11:
                self.parts.append(text_at("d", LEFT + width + 6, top + y + 4, format_bytes(nbytes)))
                last = y

    def _linked(self, part: str, step: int) -> str:
        return f'<a href="#step-{step}">{part}</a>' if step in self.linked else part

    def _exact(
        self, rows: AddressRows, top: float, lives: list[SlotLife], spans: list[UnbackedSpan]
    ) -> None:
        """A rectangle for each life, and for each range without a slot."""
        shift = self.vm.page_shift
        for life in lives:
            slot = life.slot
            x, end = self.columns.x(life.first), self.columns.x(life.end)
            if end <= x:
                continue
            low, high = rows.span(slot.base_gfn << shift, slot.end_gfn << shift)
            y, height = top + rows.y(high), rows.y(low) - rows.y(high)
            kind = kind_of(life)
            self.kinds.add(kind)
            part = rect(kind, LEFT + x, y, end - x, height, life_title(life, shift))
            name = slot.owner if slot.owner else str(slot.id)
            name = name if len(name) * 6.2 < end - x else ""
            if name and height >= 9:
                middle = LEFT + x + max(6.2 * len(name) / 2 + 3, min(12, (end - x) / 2))
                part += text_at("n", min(middle, LEFT + (x + end) / 2), y + height / 2 + 3.5, name)
            self.parts.append(self._linked(part, life.first_step))
        for span in spans:
            x, end = self.columns.x(span.first), self.columns.x(span.last)
            low, high = rows.span(span.start_gfn << shift, span.end_gfn << shift)
            y, height = top + rows.y(high), rows.y(low) - rows.y(high)
            part = rect(UNBACKED, LEFT + x, y, end - x, height, unbacked_title(span, shift))
            self.kinds.add(UNBACKED)
            self.parts.append(self._linked(part, span.first_step))

    def _refused(self, rows: AddressRows, top: float, refused: list[RefusedRegion]) -> None:
        """Each refused request where it would have been; those on one place are drawn once."""
        places: dict[tuple[int, int, int], tuple[RefusedRegion, int]] = {}
        for each in refused:
            column = each.moment if self.columns.is_exact else self.columns.column(each.moment)
            key = (*rows.span(each.first, each.end), column)
            first, count = places.get(key, (each, 0))
            places[key] = (first, count + 1)
        marked: set[int] = set()
        for (low, high, column), (each, count) in places.items():
            x, end = self.columns.x(each.moment), self.columns.x(each.moment + 1)
            width = max(_LEAST_MARK, end - x)
            title = refused_title(each)
            if count > 1:
                title += f"\nand {count - 1} more here"
            y, height = top + rows.y(high), rows.y(low) - rows.y(high)
            part = rect(REFUSED, LEFT + x, y, width, height, title)
            middle, name = LEFT + x + width / 2, errno_name(each.errno)
            if len(name) * 6.6 < width and height >= 12:
                part += text_at("n r", middle, y + height / 2 + 3.5, name)
            if column not in marked:
                marked.add(column)
                part += path("mark", f"M{middle - 4:g} {top - 8:g}h8l-4 7z")
            self.parts.append(self._linked(part, each.step))
        if refused:
            self.kinds.add(REFUSED)

    def _aliases(self, rows: AddressRows, top: float, as_id: int) -> None:
        shift = self.vm.page_shift
        for alias in self.vm.aliases:
            if alias.one.as_id != as_id:
                continue
            x = LEFT + self.columns.x(alias.moment) + 3
            ys = []
            for slot in (alias.one, alias.other):
                low, high = rows.span(slot.base_gfn << shift, slot.end_gfn << shift)
                ys.append(top + (rows.y(low) + rows.y(high)) / 2)
            title = f"slots {alias.one.id} and {alias.other.id} share host memory"
            bend = (ys[0] + ys[1]) / 2
            curve = f"M{x:g} {ys[0]:g}Q{x + 14:g} {bend:g} {x:g} {ys[1]:g}"
            self.parts.append(path(ALIAS, curve, title))
            self.kinds.add(ALIAS)
        if len(self.vm.aliases) == MOST_ALIASES and not as_id:
            self.notes.append(f"the first {MOST_ALIASES} pairs on the same host memory are shown")

    def ticks(self) -> None:
        """The scale of the horizontal axis."""
        for x, label in self.columns.ticks():
            self.parts.append(text_at("m", LEFT + x, self.height + 13, label))
        what = "time" if self.columns.is_by_time else "step"
        self.parts.append(text_at("e d", LEFT - 28, self.height + 13, what))
        self.height += 20

    def totals(self) -> None:
        """Pages, budget and slots in three strips."""
        moments, shift = self.vm.moments, self.vm.page_shift
        pages = [moment.pages for moment in moments]
        budget = [moment.budget or 0 for moment in moments]
        slots = [moment.slots for moment in moments]
        self._strip("pages", pages, f"{max(pages)} ({format_bytes(max(pages) << shift)})")
        if any(budget):
            self._strip("MMU budget", budget, f"{max(budget)} pages")
        self._strip("slots", slots, str(max(slots)))

    def _strip(self, name: str, values: Sequence[int], most: str) -> None:
        base, highest = self.height + _STRIP, max(values) or 1
        ends = self.columns.ends()
        points = f"M{LEFT:g} {base:g}"
        for number, first in enumerate(ends):
            after = ends[number + 1] if number + 1 < len(ends) else len(values)
            y = base - max(values[first:after]) / highest * (_STRIP - 8)
            points += f"V{y:.1f}H{LEFT + self.columns.x(after):.1f}"
        self.parts.append(path("area", f"{points}V{base:g}z", f"{name}: at most {most}"))
        self.parts.append(path("curve", points))
        self.parts.append(path("grid", f"M{LEFT:g} {base:g}h{self.columns.width:g}"))
        self.parts.append(text_at("e d", LEFT - 7, base - 4, name))
        self.parts.append(
            text_at("d", LEFT + self.columns.width + 6, self.height + 16, f"\u2264 {most}")
        )
        self.height = base + 6


def _figure(vm: VmLives, title: str, linked: Container[int], *, by_time: bool) -> _Figure:
    figure = _Figure(vm, linked, by_time=by_time)
    figure.text("h", 8, title)
    figure.height += 4
    spaces = sorted({life.slot.as_id for life in vm.lives} | {each.as_id for each in vm.refused})
    for as_id in spaces:
        if len(spaces) > 1:
            place = _PLACES[as_id] if as_id < len(_PLACES) else ""
            figure.text("d", LEFT, f"address space {as_id}{place}")
        figure.panel(as_id)
    if len(vm.moments) > 1:
        figure.ticks()
    figure.totals()
    if by_time and not figure.columns.is_by_time:
        figure.notes.append("the recording has not the time of each call: one column a call")
    if vm.not_placed:
        refused = counted(vm.not_placed, "refused request")
        figure.notes.append(f"{refused} without recorded arguments: not drawn")
    for note in figure.notes:
        figure.text("d", LEFT, note)
    return figure


def _legend(kinds: set[str], width: float) -> tuple[list[str], float]:
    """What the colours mean, as far as they are used; and the height."""
    parts, x, y = [], 8.0, 6.0
    for kind, text in LEGENDS.items():
        if kind not in kinds:
            continue
        needed = 24 + 6.7 * len(text) + 14
        if x + needed > width and x > 8:
            x, y = 8.0, y + 18
        sign = (
            path(kind, f"M{x:g} {y + 6:g}h16") if kind == ALIAS else rect(kind, x, y, 16, 11)
        )  # fmt: skip
        parts += [sign, text_at("d", x + 21, y + 9.5, text)]
        x += needed
    return parts, y + 26


def space_time(
    vms: Sequence[VmLives], heading: str, *, linked: Container[int] = (), by_time: bool = False
) -> str:
    """The picture of all VMs that have slots or refused requests; of many, the 8 with most moments.

    heading: what it is a picture of.  linked: steps that the page around it has under `#step-5`.
    by_time: horizontally by the recorded time, where every call has one.
    """
    drawn = [vm for vm in vms if vm.moments and (vm.lives or vm.refused)]
    figures = []
    chosen = sorted(drawn, key=lambda vm: -len(vm.moments))[:MOST_VMS]
    for vm in sorted(chosen, key=drawn.index):
        owner = f" of {vm.owner}" if vm.owner and vm.owner not in vm.name else ""
        named = f"{vm.name}{owner}: {heading}" if heading else f"{vm.name}{owner}"
        figures.append(_figure(vm, named, linked, by_time=by_time))
    width = LEFT + max([figure.columns.width for figure in figures] or [500.0]) + RIGHT + 90
    kinds = set().union(*(figure.kinds for figure in figures)) if figures else set()
    parts, y = _legend(kinds, width)
    for number, figure in enumerate(figures):
        cursor = _cursor_data(figure, number) if linked else ""
        parts += [f'<g transform="translate(0 {y:g})"{cursor}>', *figure.parts, "</g>"]
        y += figure.height + 18
    if not figures:
        parts.append(text_at("d", 8, y + 12, "no slot and no refused request"))
        y += 24
    if len(drawn) > MOST_VMS:
        y += _LINE
        parts.append(text_at("d", 8, y - 4, f"{counted(len(drawn) - MOST_VMS, 'VM')} not drawn"))
    return document(width, y, parts, heading or "memory slots of a VM")


def _cursor_data(figure: _Figure, number: int) -> str:
    """What a script needs to put a cursor on a moment."""
    ends = figure.columns.ends()
    xs = ",".join(f"{LEFT + figure.columns.x(each):.1f}" for each in ends)
    steps = ",".join(str(figure.vm.moments[each].step) for each in ends)
    return (
        f' class="st-vm" id="map-{number + 1}" data-name="{escaped(figure.vm.name)}" '
        f'data-height="{figure.height:g}" '
        f'data-xs="{xs}" data-steps="{steps}"'
    )


def svg_of(vms: Sequence[tuple[str, Vm]]) -> str:
    """The picture of VMs as they stand, each with its name."""
    kernel = vms[0][1].profile.name if vms else ""
    return space_time([lives_now(vm, name) for name, vm in vms], kernel)
