"""`memslots completion`: what a shell needs to complete memslots' commands and options."""

from __future__ import annotations

from ..views.completion import SHELLS, completion_text
from .all_parsers import all_parsers
from .run import FINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..views.completion import Words

HELP = "Completion of commands, options, kernels and rules, for bash, zsh and fish."
EPILOG = """\
examples:
  memslots completion bash
  memslots completion zsh
  memslots completion fish

bash: eval "$(memslots completion bash)" in ~/.bashrc; zsh: write it to a file _memslots in a folder
of $fpath; fish: write it to ~/.config/fish/completions/memslots.fish.  A package installs all three
(docs/install.md).
In Python: memslots.views.completion.completion_text("bash", parsers, words)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("shell", choices=sorted(SHELLS), metavar="SHELL", help="bash, zsh or fish")
    parser.add_argument("--json", action="store_true", help="the words that it completes, as JSON")


def run(options: argparse.Namespace) -> int:
    """Print; the exit code."""
    words = known_words()
    if options.json:
        import json

        print(json.dumps({"schema": "memslots.completion/1", "words": words}))
    else:
        print(completion_text(options.shell, all_parsers(), words))
    return FINE


def known_words() -> Words:
    """What stands for a value, by the name that help texts give it: K, RULE, ID, A."""
    from ..explain.causes.catalogue import CAUSES
    from ..explain.finding_kinds import KINDS
    from ..kernel.arch import ARCHES
    from ..kernel.profile import of_branches
    from ..rules.catalogue import all_rules
    from .example_files import example_names

    kernels = [each.name for arch in ARCHES.values() for each in of_branches(arch)]
    return {
        "K": kernels,
        "K1": kernels,
        "K2": kernels,
        "RULE": [rule.id for rule in all_rules()] + [*KINDS, *CAUSES],
        "ID": list(KINDS),
        "A": list(ARCHES),
        "NAME": example_names(),
    }
