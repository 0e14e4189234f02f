"""What all commands share: parsing, errors to exit codes, a closed pipe."""

from __future__ import annotations

import argparse
import os
import sys

from ..errors import (
    DeviceUnavailableError,
    MemslotsError,
    TraceError,
    UnknownKernelError,
)
from ..rules.answer import UndeterminedError, UnmodelledError
from .harmless import Harmless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

FINE, FINDINGS, USAGE, UNDETERMINED, NO_DEVICE = 0, 1, 2, 3, 4


def run_command(name: str, module: ModuleType, words: Sequence[str]) -> int:
    """Parse the words and run a command module; turn what it raises into a message and an exit
    code.
    """
    with Harmless():
        return _run(name, module, words)


def _run(name: str, module: ModuleType, words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog=f"memslots {name}",
        description=module.HELP,
        epilog=module.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.register("action", None, _Once)
    module.add_arguments(parser)
    try:
        options = parser.parse_args(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        code = int(module.run(options))
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever reads us has seen enough; keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except KeyboardInterrupt:
        return 130
    except (MemslotsError, ValueError, OSError) as error:
        _say(f"memslots {name}: {error}")
        return _exit_code(error)
    return code


def _say(text: str) -> None:
    """A word on standard error, if it is there: the exit code tells it too."""
    try:
        print(text, file=sys.stderr)
    except OSError:
        return


class _Once(argparse.Action):
    """Stores a value; a second one is an error, where the first would be lost in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Take the value.  Ends the program if there is one already."""
        if option_string is not None and getattr(namespace, f"_{self.dest}_given", False):
            parser.error(f"{self.option_strings[-1]} is given twice: which one is meant?")
        setattr(namespace, f"_{self.dest}_given", True)
        setattr(namespace, self.dest, values)


def output_of(line: str) -> str:
    """What a command line of memslots prints; it must not fail to run."""
    import io
    import shlex
    from contextlib import redirect_stdout
    from importlib import import_module

    words = shlex.split(line)
    out = io.StringIO()
    with redirect_stdout(out):
        code = run_command(words[1], import_module(f"memslots.cli.{words[1]}"), words[2:])
    if code not in (FINE, FINDINGS):
        raise ValueError(f"`{line}` ended with exit code {code}")
    return out.getvalue()


def write_text(name: str, text: str) -> None:
    """Write a file as a whole; `-` is the standard output."""
    if name == "-":
        sys.stdout.write(text)
        return
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)


def _exit_code(error: Exception) -> int:
    if isinstance(error, DeviceUnavailableError):
        return NO_DEVICE
    if isinstance(error, (UndeterminedError, UnmodelledError)):
        return UNDETERMINED
    if isinstance(error, (TraceError, UnknownKernelError, ValueError, OSError)):
        return USAGE
    return FINDINGS
