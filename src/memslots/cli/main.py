"""The `memslots` command: one module for each sub-command, loaded when it is asked for.

A command module has
    HELP        one line
    EPILOG      examples and the Python call that does the same
    add_arguments(parser)
    run(options) -> exit code
and no logic: it declares arguments, calls one library function and hands the
value to one view.  Exit codes: 0 fine, 1 findings or refusals, 2 usage, 3
undetermined, 4 device unavailable.
"""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# name: (module, summary); the summary stands here so that --help loads no command
COMMANDS = {
    "explain": ("explain", "read a recording or pasted text and explain each refusal and surprise"),
    "replay": ("replay", "the step table: call, result, expected, page total, MMU budget, slots"),
    "map": ("map", "the guest-physical map at a step: slots, holes, aliases"),
    "timeline": ("timeline", "slots and totals over time"),
    "report": ("report", "one HTML file on a recording: explanations, map over time, steps"),
    "export": ("export", "a recording as C, a selftest, Python, JSONL or a Perfetto trace"),
    "check": ("check", "a layout or recording against one or many kernels"),
    "cost": ("cost", "kernel memory that a layout costs"),
    "accounting": ("accounting", "page total and MMU budget under four accounting designs"),
    "rules": ("rules", "the catalogue of rules"),
    "rule": ("rule", "one rule, finding or cause: refuses when, why, what to do"),
    "causes": ("causes", "what else can be behind a failure: host, VMM, VFIO, vhost, firmware"),
    "kernels": ("kernels", "the kernels that are known"),
    "kernel": ("kernel", "what one kernel does, and how that is known"),
    "diff": ("diff", "what changes between two kernels"),
    "record": ("record", "record every memory call of a program"),
    "watch": ("watch", "a program's slots, map and refusals on the terminal, while they happen"),
    "emulate": ("emulate", "run a program as if on another kernel; make its calls fail"),
    "sweep": ("sweep", "run a program once for each of its memory calls, with that call refused"),
    "fleet": ("fleet", "thousands of recordings as tables: SQL, reports, upgrades"),
    "ask": ("ask", "answer calls from standard input, line by line"),
    "vectors": ("vectors", "call sequences with expected results, for other implementations"),
    "live": ("live", "this host's KVM: probe it, run a layout on it"),
    "verify": ("verify", "random and directed calls, the model beside the live kernel"),
    "conformance": (
        "conformance",
        "replay recorded answers of real kernels and count disagreements",
    ),
    "example": ("example", "the examples that help texts name: list, print, write them"),
    "schema": ("schema", "the JSON Schema of what --json prints"),
    "completion": ("completion", "completion of commands and options for bash, zsh and fish"),
}
HEADINGS = {
    "explain": "A VM fails: start with `memslots explain FILE`",
    "check": "Before it happens",
    "rules": "Rules and kernels",
    "record": "A program that runs",
    "fleet": "Thousands of recordings",
    "ask": "The model and the real KVM",
    "example": "Around it",
}
"""First command of a group: what the group is for."""


_YOUNG_OBJECTS = 200_000
"""Objects made before Python looks for cycles among them; a small command makes fewer."""


def program() -> int:
    """Run the command line of this process; the exit code.

    The classes and functions of a program have cycles that live as long as it does; Python need not
    look through them while they are loaded, nor when it ends.
    """
    import gc

    gc.set_threshold(_YOUNG_OBJECTS)
    code = main()
    gc.freeze()
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"] and words[1:2] and words[1] in COMMANDS:
        words = [words[1], "--help"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if words else 2
    if words[0] in ("-V", "--version", "version"):
        from .. import __version__

        print(f"memslots {__version__}")
        return 0
    if words[0] not in COMMANDS:
        print(f"memslots: no command {words[0]!r}{_hint(words[0])}", file=sys.stderr)
        return 2
    from .run import run_command

    return run_command(words[0], import_module(f"memslots.cli.{COMMANDS[words[0]][0]}"), words[1:])


def _hint(word: str) -> str:
    """What may have been meant: a command in other letters, or a file to explain."""
    from difflib import get_close_matches
    from os.path import exists

    near = get_close_matches(word.lower(), COMMANDS, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    if exists(word):
        return f"; `memslots explain {word}` reads a recording or a text"
    return "; `memslots --help` lists them"


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        "usage: memslots COMMAND [OPTION...]",
        "",
        "What KVM does with guest memory, on any kernel, and why.",
    ]
    for name, entry in COMMANDS.items():
        if name in HEADINGS:
            lines += ["", HEADINGS[name]]
        lines.append(f"  {name:{width}}  {entry[1]}")
    docs = _documentation()
    lines += [
        "",
        "`memslots COMMAND --help` has the options and examples.",
        *([f"Documentation: {docs}"] if docs else []),
        "Exit codes: 0 fine, 1 findings or refusals, 2 usage, 3 undetermined, 4 device "
        "unavailable.",
    ]
    return "\n".join(lines)


def _documentation() -> str:
    """Where it can be read: the site, the folder that was installed, or the source tree's."""
    from os.path import dirname, isfile, join, normpath

    from ..views.links import SITE

    top = dirname(dirname(dirname(dirname(__file__))))
    # of an installation, `top` is lib/python3.x below the prefix
    folders = (join(top, "..", "..", "share", "doc", "memslots"), join(top, "docs"))
    found = (normpath(each) for each in folders if isfile(join(each, "tutorial.md")))
    return SITE or next(found, "")


if __name__ == "__main__":
    sys.exit(program())
