"""`memslots live`: the KVM of this host."""

from __future__ import annotations

from .run import FINDINGS, FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "This host's KVM: what it can do, a recording run on it, a guest of a few bytes."
EPILOG = """\
examples:
  memslots live probe                     what KVM here can do, and how that is known
  memslots live run vmm.strace            make the recorded calls here; what is answered otherwise?
  memslots live guest                     a guest that dirties pages and writes to a read-only slot

Nothing is left behind.  Slots whose bookkeeping could cost more kernel memory than --budget
are not made.  Exit code 4 without /dev/kvm.
In Python: memslots.live.LiveVm, memslots.live.probe.probe(), memslots.live.rerun.run(events)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=("probe", "run", "guest"), help="what to do, see above")
    parser.add_argument("file", nargs="*", metavar="FILE", help="recordings, for `run`")
    parser.add_argument(
        "--device", default="/dev/kvm", metavar="PATH", help="the device (default: /dev/kvm)"
    )
    parser.add_argument(
        "--budget",
        type=int,
        default=1024,
        metavar="MIB",
        help="kernel memory for slots (default: 1024)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, for `probe`")


def run(options: argparse.Namespace) -> int:
    """Do it and print; the exit code."""
    from ..views import live as text

    if options.what == "probe":
        from ..live.probe import probe_in_detail

        probe = probe_in_detail(options.device)
        if options.json:
            import json

            print(json.dumps(text.probe_value(probe)))
        else:
            print("\n".join(text.probe_lines(probe)))
        return FINE
    if options.what == "guest":
        from ..live.guest_demo import show

        shown = show(options.device)
        print("\n".join(text.shown_lines(shown)))
        return FINE if shown.as_expected else FINDINGS
    from ..live.rerun import run as run_live
    from ..trace import read

    if not options.file:
        raise ValueError("`live run` needs a recording")
    events = (event for name in options.file for event in read(name))
    counted: list[int] = []
    for line in text.run_lines(
        run_live(events, device_path=options.device, budget_bytes=options.budget << 20), counted
    ):
        print(line)
    return FINDINGS if counted[0] else FINE
