"""`memslots emulate`: a program as if on another kernel."""

from __future__ import annotations

from .harmless import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..emulate.words import Shortfall

HELP = (
    "Run an unmodified program on this host and answer its memory calls as another kernel would; "
    "make calls fail."
)
EPILOG = """\
examples:
  memslots emulate --kernel 5.10/x86_64 -o vmm.rec -- qemu-system-x86_64 -accel kvm -m 4G ...
  memslots explain vmm.rec
  memslots emulate --slots 32 -- CMD                            this kernel, with 32 slots
  memslots emulate --kernel 6.1/x86_64+intel+flexpriority -- CMD     an APIC page of KVM in the way
  memslots emulate --kernel 6.12/arm64+16k -- CMD               regions in steps of 16 KiB
  memslots emulate --no-kvm --kernel 6.1/x86_64 -- CMD          in a container without /dev/kvm
  memslots emulate --inject 'KVM_SET_USER_MEMORY_REGION*:error=ENOMEM:when=2+3' -- CMD

What the kernel refuses gets its errno and never reaches the host; what it accepts goes to the host.
What the name of the kernel does not say of the machine is as here.  Where the answer could not be
that kernel's it is said: at the start, at the end with the step, and in the recording, which says
of each call who answered it.
--inject CALL:KEY=VALUE:... says what becomes of calls (CALL may have * in it): error=ENOMEM,
retval=0, delay_us=300; and of which: when=3 (or 3+, 3+2, 3..7), prob=0.1 with seed=7, slot=4-6,
gpa=0-0xfffff, size=0x1000-, flags=READONLY, kind=create (delete, move, flags), cap=NAME.  KVM_RUN
may fail too: memory_fault=GPA,BYTES says what is missing.
In Python: memslots.emulate.run(command, kernel=..., inject=[...]); see docs/emulate.md.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--kernel", metavar="K", help="answer as this kernel: 6.1/x86_64, debian-12, 6.12/arm64+16k"
    )
    parser.add_argument("--slots", type=int, metavar="N", help="with so many slots for user space")
    parser.add_argument(
        "--facts", default="", metavar="F,F", help="with these facts: guest-memfd,-page-total-cap"
    )
    parser.add_argument(
        "--host", default="", metavar="W,W", help="on such a host: intel,flexpriority,pa39,-smm"
    )
    parser.add_argument(
        "--inject",
        action="append",
        default=[],
        metavar="EXPR",
        help="make calls fail, or wait; may be given again",
    )
    parser.add_argument(
        "--no-kvm", action="store_true", help="fake /dev/kvm: the model answers, no guest runs"
    )
    parser.add_argument(
        "--run", default="hlt", metavar="EXIT",
        help="what KVM_RUN gives without KVM: hlt, shutdown, fail-entry, internal-error, EINTR",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the recording (default: memslots-TIME.rec)"
    )
    parser.add_argument(
        "--arguments",
        action="store_true",
        help="keep the command's arguments in the recording, passwords and all",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="say only where it was not that kernel"
    )
    parser.add_argument(
        "command", nargs="+", metavar="CMD", help="the program and its arguments, after --"
    )


def run(options: argparse.Namespace) -> int:
    """Emulate; the program's exit code, or its signal."""
    from ..emulate.emulation import emulate, kernel_named
    from ..record.processes import inherited_fds
    from ..record.recorder import end_as
    from ..views.emulated import difference_lines, emulated_lines
    from ..views.recorded import recorded_lines
    from .record import default_path

    is_changed = options.slots is not None or bool(options.facts or options.host)
    kernel = options.kernel or ("host" if is_changed and not options.no_kvm else "")
    if not kernel and (options.no_kvm or not options.inject):
        raise ValueError(
            "--kernel K to answer as another kernel, --slots, --facts or --host to change this one "
            "(not with --no-kvm: name the kernel), or --inject to make calls fail"
        )
    profile = None
    if kernel:
        profile = kernel_named(
            kernel, slots=options.slots, facts=_words(options.facts), host=_words(options.host)
        )

    def started(found: list[Shortfall]) -> None:
        if profile is not None:
            for line in difference_lines(profile.name, found):
                say(f"memslots emulate: {line}")

    emulated = emulate(
        options.command, options.output or default_path(), profile, inject=options.inject,
        arguments=options.arguments, inherited=inherited_fds(), for_good=True, started=started,
        no_kvm=options.no_kvm, run_exit=options.run,
    )  # fmt: skip
    for line in emulated_lines(emulated, quiet=options.quiet):
        say(f"memslots emulate: {line}")
    for line in recorded_lines(emulated, quiet=options.quiet):
        say(f"memslots emulate: {line}")
    return end_as(emulated)


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]
