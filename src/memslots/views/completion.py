"""Completion for bash, zsh and fish, from the parsers of the commands."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    Words = dict[str, list[str]]
    Parsers = Mapping[str, argparse.ArgumentParser]

_OF_COMMAND = {"NAME": "example"}
"""A name for a value that means the words in one command only."""
_FILES = ("FILE", "OUT", "DIR", "PATH", "FILE.py", "CMD")


def completion_text(shell: str, parsers: Parsers, words: Words) -> str:
    """The script for one shell; words: what stands for a value, by its name in help texts."""
    return "\n".join(SHELLS[shell](parsers, words))


def _values(command: str, action: argparse.Action, words: Words) -> list[str]:
    """What an option or argument may be; empty if anything."""
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    name = str(action.metavar or "")
    if _OF_COMMAND.get(name, command) != command:
        return []
    return words.get(name, [])


def _is_file(action: argparse.Action) -> bool:
    return action.metavar in _FILES


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [
        action
        for action in parser._actions
        if action.option_strings and action.help != "==SUPPRESS=="
    ]


def _positionals(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings]


def _summary(action: argparse.Action) -> str:
    """One line, without what argparse and shells read."""
    text = " ".join((action.help or "").replace("%%", "%").split())
    return text.translate({ord(each): None for each in "'[]`\"$\\"}).replace(":", ",")


def _bash(parsers: Parsers, words: Words) -> list[str]:
    lines = [
        "# bash completion of memslots; made by `memslots completion bash`",
        "_memslots() {",
        "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=",
        "  COMPREPLY=()",
        "  if [ $COMP_CWORD -eq 1 ]; then",
        f"    COMPREPLY=($(compgen -W '{' '.join([*parsers, 'help'])}' -- \"$cur\"))",
        "    return",
        "  fi",
        "  case ${COMP_WORDS[1]} in",
        f"    help) words='{' '.join(parsers)}' ;;",
    ]
    for command, parser in parsers.items():
        lines += [f"    {command})", "      case $prev in"]
        for action in _options(parser):
            if action.nargs == 0:
                continue
            values = _values(command, action, words)
            way = f"words='{' '.join(values)}'" if values else "words=FILES"
            lines.append(f"        {'|'.join(action.option_strings)}) {way} ;;")
        names = [name for action in _options(parser) for name in action.option_strings]
        values = [
            value for action in _positionals(parser) for value in _values(command, action, words)
        ]
        files = any(map(_is_file, _positionals(parser)))
        lines += [
            f"        *) words='{' '.join([*names, *values])}{' FILES' if files else ''}' ;;",
            "      esac ;;",
        ]
    return [
        *lines,
        "  esac",
        "  case $words in",
        '    *FILES) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")) ;;',
        "  esac",
        '  COMPREPLY+=($(compgen -W "${words%FILES}" -- "$cur"))',
        "}",
        "complete -F _memslots memslots",
    ]


def _zsh(parsers: Parsers, words: Words) -> list[str]:
    lines = [
        "#compdef memslots",
        "# zsh completion of memslots; made by `memslots completion zsh`",
        "_memslots() {",
        "  if (( CURRENT == 2 )); then",
        "    local -a commands=(",
        *(f"      '{name}:{_described(parser)}'" for name, parser in parsers.items()),
        "    )",
        "    _describe command commands",
        "    return",
        "  fi",
        "  shift words; (( CURRENT-- ))",
        "  case $words[1] in",
    ]
    for command, parser in parsers.items():
        specs = [
            f"'{name}[{_summary(action)}]{_zsh_value(command, action, words)}'"
            for action in _options(parser)
            for name in action.option_strings
        ]
        for action in _positionals(parser):
            many = "*" if action.nargs in ("*", "+") else ""
            what = _zsh_value(command, action, words) or ":"
            specs.append(f"'{many}{what}'")
        lines += [f"    {command}) _arguments {' '.join(specs)} ;;"]
    lines.append(f"    help) _values command {' '.join(parsers)} ;;")
    return [
        *lines,
        "  esac",
        "}",
        'if [ "$funcstack[1]" = _memslots ]; then _memslots "$@"; else compdef _memslots memslots;'
        " fi",
    ]


def _described(parser: argparse.ArgumentParser) -> str:
    """The first sentence of a command's description."""
    text = " ".join((parser.description or "").split()).rstrip(".")
    return text.replace("'", "").replace(":", ",")


def _zsh_value(command: str, action: argparse.Action, words: Words) -> str:
    """`:NAME:(a b c)` or `:NAME:_files`; empty for an option without a value."""
    if action.nargs == 0:
        return ""
    values = _values(command, action, words)
    name = str(action.metavar or action.dest)
    return f":{name}:({' '.join(values)})" if values else f":{name}:_files"


def _fish(parsers: Parsers, words: Words) -> list[str]:
    lines = [
        "# fish completion of memslots; made by `memslots completion fish`",
        "complete -c memslots -f",
        "complete -c memslots -n __fish_use_subcommand -a help -d 'help of a command'",
    ]
    for command, parser in parsers.items():
        described = _described(parser)
        lines.append(f"complete -c memslots -n __fish_use_subcommand -a {command} -d '{described}'")
        seen = f"complete -c memslots -n '__fish_seen_subcommand_from {command}'"
        for action in _options(parser):
            values = _values(command, action, words)
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in action.option_strings
            )
            takes = ""
            if action.nargs != 0:
                takes = f" -x -a '{' '.join(values)}'" if values else " -r -F"
            lines.append(f"{seen} {names}{takes} -d '{_summary(action)}'")
        for action in _positionals(parser):
            values = _values(command, action, words)
            if values:
                lines.append(f"{seen} -a '{' '.join(values)}'")
            elif _is_file(action):
                lines.append(f"{seen} -F")
    return lines


SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
