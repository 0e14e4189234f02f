"""`memslots verify`: the model beside the live kernel, or beside another one under QEMU."""

from __future__ import annotations

import os
import sys

from .run import FINDINGS, FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

    from ..kernel.profile import Profile
    from ..verify.verify import Report, Source

HELP = (
    "Random calls on a real kernel beside the model; every kind of disagreement is shrunk and "
    "written down."
)
EPILOG = """\
examples:
  memslots verify                                  this host's kernel, for ten seconds
  memslots verify --operations 1000000 --seed 7    the same calls each time
  memslots verify --kernel 6.1/x86_64              does this host behave as another kernel?
  memslots verify --kernel debian-6.1-i386 --operations 20000
                                                   that kernel, under QEMU's software emulation
  memslots verify --kernel debian-6.12-x86_64 --probe
                                                   its own page total and MMU budget too
  memslots verify --kernels                        which ones can be booted
  memslots verify --image arch/x86/boot/bzImage --modules DIR
                                                   a kernel that you built, beside its release

A kernel is fetched once, with apt's mirror, into $MEMSLOTS_FARM_CACHE or ~/.cache/memslots; it
needs QEMU, a (cross) compiler, apt, dpkg and kmod, and no /dev/kvm.  It is asked by whole boots of
some 10,000 calls: --seconds ends a run after the boot in which they pass.

--image boots a kernel of your own in the same way and says what it answers otherwise than the
release that it says it is, or than --kernel K.  It needs KVM for AMD's processors (CONFIG_KVM_AMD;
QEMU emulates SVM) built in, or as a module below DIR (make modules_install INSTALL_MOD_PATH=DIR).

Writes disagreement-SEED-N.jsonl (for `memslots explain`) and .c (compile and run it) into --folder.
Exit code 0 without a disagreement, 1 with one, 4 without /dev/kvm or what booting needs.
In Python: memslots.verify.verify.verify(operations=..., seed=...), with source=
memslots.verify.booted.source("debian-6.1-i386") for a bootable kernel."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--seconds", type=float, metavar="N", help="run so long (default: 10)")
    amount.add_argument("--operations", type=int, metavar="N", help="compare so many calls")
    parser.add_argument(
        "--seed", type=int, metavar="S", help="random seed (default: a new one, printed)"
    )
    parser.add_argument(
        "--kernel",
        default="host",
        metavar="NAME",
        help="a bootable kernel, or what the model takes this host for (default: probed)",
    )
    parser.add_argument(
        "--kernels", action="store_true", help="list the bootable kernels and do nothing else"
    )
    parser.add_argument(
        "--image", metavar="FILE", help="a kernel image of your own (bzImage, Image) to boot"
    )
    parser.add_argument(
        "--modules", default="", metavar="DIR", help="with --image: the folder above lib/modules"
    )
    parser.add_argument(
        "--probe", action="store_true", help="bootable kernels: compare page total and budget too"
    )
    parser.add_argument(
        "--device", default="/dev/kvm", metavar="PATH", help="the device (default: /dev/kvm)"
    )
    parser.add_argument(
        "--folder", default=".", metavar="DIR", help="where disagreements are written"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Run and print; the exit code."""
    from ..verify.farm.kernels import KERNELS, fetched
    from ..verify.verify import verify
    from ..views import verify as text

    if options.kernels:
        here = fetched()
        print(
            "\n".join(
                f"{name:28} {'here' if name in here else 'to be fetched'}" for name in KERNELS
            )
        )
        return FINE
    if options.probe and (options.kernel not in KERNELS or KERNELS[options.kernel].is_native):
        raise ValueError(
            "--probe looks into a kernel that is booted for it, not into the one under us"
        )
    own = options.image is not None
    if options.modules and not own:
        raise ValueError("--modules is for --image")
    seed = int.from_bytes(os.urandom(4), "little") if options.seed is None else options.seed
    report = verify(
        operations=options.operations,
        seconds=options.seconds,
        seed=seed,
        profile=None if own or options.kernel in ("host", *KERNELS) else _profile(options.kernel),
        device_path=options.device,
        source=_source(options),
        progress=_progress if sys.stderr.isatty() else None,
    )
    if options.json:
        import json

        print(json.dumps(text.json_value(report)))
    else:
        print("\n".join(text.summary_lines(report)))
    for name in text.write_files(report, options.folder):
        print(f"wrote {name}", file=sys.stderr)
    return FINDINGS if report.disagreements else FINE


def _source(options: argparse.Namespace) -> AbstractContextManager[Source] | None:
    """What is booted; None for the kernel under us."""
    from ..verify.booted import own_source, source
    from ..verify.farm.kernels import KERNELS

    if options.image is not None:
        stated = None if options.kernel == "host" else _profile(options.kernel)
        return own_source(options.image, options.modules, stated)
    return source(options.kernel, probe=options.probe) if options.kernel in KERNELS else None


def _profile(name: str) -> Profile:
    from ..errors import UnknownKernelError
    from ..kernel.names import find
    from ..verify.farm.kernels import KERNELS

    try:
        return find(name)
    except UnknownKernelError as error:
        raise UnknownKernelError(
            f"{error}; or one that can be booted: {', '.join(KERNELS)}"
        ) from None


def _progress(report: Report) -> None:
    if report.vms % 20 == 0 or report.seconds > 1:
        print(
            f"\r{report.operations:,} operations, seed {report.seed}",
            end="",
            file=sys.stderr,
            flush=True,
        )
