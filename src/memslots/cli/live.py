"""`memslots live`: the KVM of this host."""

from __future__ import annotations

from .run import FINDINGS, FINE, UNDETERMINED

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "This host's KVM: what it can do, a recording run on it, a guest of a few bytes."
EPILOG = """\
examples:
  memslots live probe                     what KVM here can do, and how that is known
  memslots live run examples/refused-overlap.strace    make the calls here: what differs?
  memslots live guest                     a guest that dirties pages and writes to a read-only slot
  memslots live vms                       every VM of this host: slots, pages, budget (root)
  memslots live slots -p 1234             the slots that KVM really has, its own included (root)

Nothing is left behind.  Slots whose bookkeeping could cost more kernel memory than --budget
are not made.  Exit code 4 without /dev/kvm.
`vms` and `slots` read the kernel's memory and make no call on any VM; they exit with 1 if kernel
and model disagree, with 3 if slots changed at every try to read them.
In Python: memslots.live.LiveVm, memslots.live.probe.probe(), memslots.live.rerun.run(events),
memslots.running.look.look()."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "what", choices=("probe", "run", "guest", "vms", "slots"), help="what to do, see above"
    )
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
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, for `probe`, `vms`, `slots`"
    )
    parser.add_argument(
        "-p", "--pid", type=int, metavar="PID", help="the process whose VMs to show, for `slots`"
    )


def run(options: argparse.Namespace) -> int:
    """Do it and print; the exit code."""
    if options.what in ("vms", "slots"):
        return _running(options)
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
    from ..errors import TraceError
    from ..live.rerun import run as run_live
    from ..trace import read

    if not options.file:
        raise ValueError("`live run` needs a recording")
    events = [event for name in options.file for event in read(name)]
    if not events:
        raise TraceError(
            f"no KVM call in {', '.join(options.file)}: nothing to run (`memslots explain` says "
            "what it is)"
        )
    counted: list[int] = []
    for line in text.run_lines(
        run_live(events, device_path=options.device, budget_bytes=options.budget << 20), counted
    ):
        print(line)
    return FINDINGS if counted[0] else FINE


def _running(options: argparse.Namespace) -> int:
    """`vms` and `slots`."""
    from ..running.beside_model import look_beside_model
    from ..running.descriptors import sees_all_processes
    from ..views import running as text

    if options.what == "slots" and options.pid is None:
        raise ValueError("`live slots` needs -p PID: `memslots live vms` lists them")
    found = look_beside_model(options.pid)
    if options.json:
        import json

        everyone = sees_all_processes()
        print(
            json.dumps(
                text.slots_value(found)
                if options.what == "slots"
                else text.vms_value(found, everyone)
            )
        )
    elif options.what == "vms":
        print("\n".join(text.vms_lines(found, sees_all_processes())))
    else:
        print("\n\n".join("\n".join(text.slots_lines(each)) for each in found))
    if not all(each.vm.consistent for each in found):
        return UNDETERMINED
    return FINDINGS if any(each.disagreements for each in found) else FINE
