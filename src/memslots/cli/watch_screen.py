"""The screen of `memslots watch` (extra `terminal`: textual)."""

from __future__ import annotations

import threading

from ..errors import ExtraMissingError, MemslotsError
from ..views.watch import HEAD, refusal_text, slot_rows, state_text, totals_text

try:
    from textual.app import App, ComposeResult
    from textual.binding import Binding
    from textual.widgets import DataTable, Footer, Static
except ImportError as error:  # pragma: no cover - told by need_textual
    raise ExtraMissingError("textual", "terminal") from error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..record.watching import WatchedState, Watching

_REFUSALS_SHOWN = 4


def need_textual() -> None:
    """It is here: loading this module has looked for it."""


class WatchScreen(App["WatchedState | None"]):
    """State, totals, map and the last refusals."""

    CSS = """
    #state { height: 1; text-style: bold; }
    #totals { height: 1; }
    #map { height: 1fr; }
    #refusals { height: 6; border-top: solid $primary; color: $text-error; }
    """
    BINDINGS = [
        Binding("v", "next_vm", "next VM"),
        Binding("space", "hold", "hold"),
        Binding("q", "leave", "quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, watching: Watching, what: str) -> None:
        super().__init__()
        self._watching = watching
        self._what = what
        self._seen: WatchedState | None = None
        self._vm = 0
        self._held = False
        self._shown: list[tuple[str, ...]] = []

    def compose(self) -> ComposeResult:
        """The parts from above to below."""
        yield Static("waiting for the program", id="state", markup=False)
        yield Static("", id="totals", markup=False)
        yield DataTable(id="map", zebra_stripes=True, cursor_type="row")
        yield Static("no call refused", id="refusals", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow."""
        self.query_one(DataTable).add_columns(*HEAD)
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        try:
            self._watching.run(self._tell)
        except (MemslotsError, OSError) as error:
            self._safely(self.show_error, str(error))

    def _tell(self, seen: WatchedState) -> None:
        self._safely(self.show, seen)

    def _safely(self, what: object, value: object) -> None:
        """Hand over to the screen's own thread, unless it has ended."""
        if self.is_running and callable(what):
            try:
                self.call_from_thread(what, value)
            except RuntimeError:
                return  # it ended just now

    def show_error(self, text: str) -> None:
        """Why there is nothing to see."""
        self.query_one("#state", Static).update(text)

    def show(self, seen: WatchedState) -> None:
        """The newest state, unless the picture is held."""
        self._seen = seen
        if not self._held:
            self._draw()

    def _draw(self) -> None:
        seen = self._seen
        if seen is None:
            return
        kernel = self._watching.profile.name
        self.query_one("#state", Static).update(state_text(seen, kernel, self._what))
        refusals = [refusal_text(step) for step in seen.refusals[-_REFUSALS_SHOWN:]]
        self.query_one("#refusals", Static).update("\n".join(refusals) or "no call refused")
        if not seen.vms:
            return
        vm = seen.vms[self._vm % len(seen.vms)]
        more = f"  ({len(seen.vms)} VMs, v: next)" if len(seen.vms) > 1 else ""
        self.query_one("#totals", Static).update(totals_text(vm) + more)
        rows = slot_rows(vm)
        if rows != self._shown:
            self._shown = rows
            table = self.query_one(DataTable)
            at = table.cursor_row
            table.clear()
            table.add_rows(rows)
            table.move_cursor(row=min(at, max(0, len(rows) - 1)))

    def action_next_vm(self) -> None:
        """Another VM."""
        self._vm += 1
        self._draw()

    def action_hold(self) -> None:
        """Stop the picture, or go on with the newest state."""
        self._held = not self._held
        if not self._held:
            self._draw()

    def action_leave(self) -> None:
        """End with what was seen last."""
        self.exit(self._seen)
