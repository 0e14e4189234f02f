"""`memslots map`: the guest-physical map at a step of a recording."""

from __future__ import annotations

from ..explain.slot_lives import SlotLives
from ..views.guest_map import SCHEMA, map_lines, map_rows
from ..views.report import totals_lines
from .each import JSON, TEXT, each_recording
from .recording import add_recording, analysis_of, say_unread
from .run import FINE, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = (
    "The guest-physical map at a step of a recording: slots, holes, aliases, flags, largest pages."
)
EPILOG = """\
examples:
  memslots map examples/recordings/qemu72-q35-lifecycle.strace
  memslots map --at 95 examples/recordings/qemu72-q35-lifecycle.strace
  memslots map --svg map.svg examples/recordings/qemu72-q35-lifecycle.strace

--svg draws the space-time map: each slot from the call that makes it to the call that ends it,
refused requests in red where they would have been (docs/pictures.md).
Flags are L (log dirty pages), R (read-only), G (guest_memfd).  `page` is the largest page that the
alignment of both addresses allows.  In Python: memslots.views.guest_map.map_lines(vm)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_recording(parser)
    parser.add_argument(
        "--at", type=int, metavar="STEP", help="step number, as replay shows it (default: the end)"
    )
    parser.add_argument("--json", action="store_true", help="JSON")
    parser.add_argument(
        "--svg", metavar="OUT", help="draw all changes up to the step into this file (- for output)"
    )
    parser.add_argument(
        "--by-time", action="store_true", help="with --svg: as time went, where it was recorded"
    )


def run(options: argparse.Namespace) -> int:
    """Show each recording; the exit code."""
    if options.at is not None and options.at < 1:
        raise ValueError(f"--at takes a step number from 1, not {options.at}")
    return each_recording("map", options, _run, JSON if options.json else TEXT)


def _run(options: argparse.Namespace) -> int:
    """Replay up to the step and print; the exit code."""
    if options.svg and options.among > 1:
        raise ValueError("--svg draws one recording")
    analysis = analysis_of(options)
    lives, last = SlotLives(), 0
    for step, _ in analysis.run():
        last = step.number
        if options.svg:
            lives.see(step, analysis.replay.tracked.vm)
        if options.at is not None and last >= options.at:
            break
    if options.at is not None and 0 < last < options.at:
        raise ValueError(f"there is no step {options.at}: the recording has {last}")
    shown = [tracked for tracked in analysis.replay.vms if tracked.vm.state.nr_slots]
    if not analysis.replay.vms:
        return say_unread("map", options, analysis)
    if options.svg:
        from ..views.space_time import space_time

        picture = space_time(
            list(lives.vms.values()), analysis.profile.name, by_time=options.by_time
        )
        write_text(options.svg, picture)
        return FINE
    if options.json:
        import json

        vms = [
            {
                "vm": tracked.name,
                "spaces": [
                    map_rows(tracked.vm, as_id) for as_id in range(len(tracked.vm.state.spaces))
                ],
            }
            for tracked in shown
        ]
        print(json.dumps({"schema": SCHEMA, "vms": vms}))
        return FINE
    for tracked in shown:
        for as_id, slots in enumerate(tracked.vm.state.spaces):
            if slots.count:
                print("\n".join(map_lines(tracked.vm, as_id)))
        print("\n".join(totals_lines(tracked)))
    if not shown:
        print("no slots at this step")
    return FINE
