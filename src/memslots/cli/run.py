"""What all commands share: parsing, errors to exit codes, a closed pipe."""

from __future__ import annotations

import os
import sys

from ..errors import DeviceUnavailableError, MemslotsError, UnobservedError
from ..rules.raised import UndeterminedError, UnmodelledError
from .harmless import Harmless, say
from .parsers import parser_of
from .terminal import text_output

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
    parser = parser_of(name, module)
    try:
        options = parser.parse_args(_with_examples(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        with text_output(name, options):
            code = int(module.run(options))
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever reads us has seen enough; keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except KeyboardInterrupt:
        return 130
    except (MemslotsError, ValueError, OSError) as error:
        say(f"memslots {name}: {_said(error)}")
        return _exit_code(error)
    return code


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


def _with_examples(words: Sequence[str]) -> list[str]:
    """`examples/NAME` where there is no such folder: the example that came with memslots."""
    if not any(word.startswith("examples/") and not os.path.exists(word) for word in words):
        return list(words)
    from .example_files import with_examples

    return with_examples(list(words))


def write_text(name: str, text: str) -> None:
    """Write a file as a whole; `-` is the standard output."""
    if name == "-":
        sys.stdout.write(text)
        return
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)


def _said(error: Exception) -> str:
    """`vmm.toml: No such file or directory`: what the system says, without its number."""
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _exit_code(error: Exception) -> int:
    """What an error is to the caller; never that of findings, which are no error."""
    if isinstance(error, DeviceUnavailableError):
        return NO_DEVICE
    if isinstance(error, (UndeterminedError, UnmodelledError, UnobservedError)):
        return UNDETERMINED
    return USAGE
