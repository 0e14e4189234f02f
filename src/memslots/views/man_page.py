"""Man pages, from the parsers of the commands."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_EXIT = (
    ("0", "fine"),
    ("1", "findings, refusals or disagreements"),
    ("2", "a mistake in the command line or the input"),
    ("3", "a fact that decides was not observed"),
    ("4", "a device or program is not available"),
)


def overview_page(parsers: Mapping[str, argparse.ArgumentParser], version: str) -> str:
    """memslots(1): what there is."""
    lines = [
        *_title("memslots", version),
        ".SH NAME",
        "memslots \\- what KVM does with guest memory, on any kernel, and why",
        ".SH SYNOPSIS",
        ".B memslots",
        ".I COMMAND",
        ".RI [ OPTION ...]",
        ".SH DESCRIPTION",
        "KVM gives a virtual machine its memory through memory slots.  The kernel checks each",
        "change by rules in a fixed order and answers with one errno.  memslots knows the rules",
        "of every release (memslots kernels): it explains why a call was refused, says before it",
        "happens what other kernels would answer, and shows what a virtual machine did.",
        ".SH COMMANDS",
    ]
    for name, parser in parsers.items():
        lines += [".TP", f".BR memslots\\-{name} (1)", _roff(parser.description or "")]
    lines += [*_exit_lines(), ".SH ENVIRONMENT"]
    for variable, text in (
        ("NO_COLOR, FORCE_COLOR", "no colours, or colours also where the output is no terminal"),
        ("MEMSLOTS_PAGER, PAGER", "what shows long output on a terminal; empty or cat: nothing"),
        ("FORCE_HYPERLINK", "1 makes names of rules links to their pages, 0 does not"),
        ("MEMSLOTS_DOCS", "where the documentation is: the start of all links"),
    ):
        lines += [".TP", f".B {_roff(variable)}", _roff(text)]
    return "\n".join([*lines, *_see_also([])])


def command_page(name: str, parser: argparse.ArgumentParser, version: str) -> str:
    """memslots-NAME(1): one command."""
    description = " ".join((parser.description or "").split())
    examples, rest = _epilog(parser.epilog or "")
    short = description[:1].lower() + description[1:].rstrip(".")
    lines = [
        *_title(f"memslots-{name}", version),
        ".SH NAME",
        f"memslots\\-{_roff(name)} \\- {_roff(short)}",
        ".SH SYNOPSIS",
        *_synopsis(name, parser),
        ".SH DESCRIPTION",
        _roff(description),
    ]
    for paragraph in rest:
        lines += [".PP", *map(_roff, paragraph)]
    for title, actions in _groups(parser):
        lines.append(f".SH {_roff(title.upper())}")
        for action in actions:
            lines += [".TP", _heading(action), _roff(_help(action))]
    if examples:
        lines += [".SH EXAMPLES", ".nf", *map(_roff, examples), ".fi"]
    return "\n".join([*lines, *_exit_lines(), *_see_also(["memslots"])])


def _title(name: str, version: str) -> list[str]:
    return [f'.TH {name.upper()} 1 "" "memslots {version}" "User Commands"', ".nh", ".ad l"]


def _synopsis(name: str, parser: argparse.ArgumentParser) -> list[str]:
    """Positionals by name; the options have a section of their own."""
    lines = [f".B memslots {_roff(name)}", ".RI [ OPTION ...]"]
    for action in parser._actions:
        if not action.option_strings:
            value = _roff(_value(action))
            more = {"*": f"[{value} ...]", "+": f"{value} ...", "?": f"[{value}]"}
            lines.append(f".I {more.get(str(action.nargs), value)}")
    return lines


def _groups(parser: argparse.ArgumentParser) -> list[tuple[str, list[argparse.Action]]]:
    found: list[tuple[str, list[argparse.Action]]] = []
    names = {"positional arguments": "arguments"}
    for group in parser._action_groups:
        shown = [action for action in group._group_actions if action.help != "==SUPPRESS=="]
        title = str(group.title or "options")
        if shown:
            found.append((names.get(title, title), shown))
    return found


def _value(action: argparse.Action) -> str:
    if action.metavar is None and action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())


def _heading(action: argparse.Action) -> str:
    if not action.option_strings:
        return f".I {_roff(_value(action))}"
    names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in action.option_strings)
    return names if action.nargs == 0 else f"{names} \\fI{_roff(_value(action))}\\fR"


def _help(action: argparse.Action) -> str:
    text = " ".join((action.help or "").replace("%%", "%").split())
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _epilog(text: str) -> tuple[list[str], list[list[str]]]:
    """The example lines, and the paragraphs after them."""
    examples: list[str] = []
    paragraphs: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("  "):
            examples.append(line.strip())
        elif line.strip() and line.strip() != "examples:":
            if line.startswith(("Exit code", "In Python: ")) and paragraphs[-1]:
                paragraphs.append([])
            paragraphs[-1].append(line.strip())
        elif paragraphs[-1]:
            paragraphs.append([])
    return examples, [paragraph for paragraph in paragraphs if paragraph]


def _exit_lines() -> list[str]:
    lines = [".SH EXIT STATUS"]
    for code, text in _EXIT:
        lines += [".TP", f".B {code}", _roff(text[:1].upper() + text[1:] + ".")]
    return lines


def _see_also(pages: list[str]) -> list[str]:
    from .links import SITE

    others = [f".BR {page} (1)," for page in [*pages, "strace", "kvm_stat"]]
    if not SITE:
        others[-1] = others[-1].removesuffix(",")
    return [".SH SEE ALSO", *others, *([_roff(SITE)] if SITE else []), ""]


def _roff(text: str) -> str:
    """Text as troff reads it: backslash, hyphen, a dot or quote at the start of a line."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti")
    return "\\&" + text if text[:1] in (".", "'") else text
