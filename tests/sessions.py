"""Runs the shell sessions and one-liners of a page of docs/, as a reader would.

A session is a block marked `console`: `$ ` begins a command, which may hold a here-document; what
follows up to the next command is its output.  All sessions of a page run in one shell, in an empty
folder with `examples` in it, where `memslots` is this checkout's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]
_PATIENCE_SECONDS = 300
_MARK = "-- end of command"


def blocks(text):
    """The text of each session."""
    return re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S)


def commands(block):
    """(command, output) of each command of a session."""
    found = []
    for line in block.splitlines():
        inside = found and "<<'END'" in found[-1][0][0] and found[-1][0][-1] != "END"
        if line.startswith("$ ") and not inside:
            found.append(([line[2:]], []))
        elif inside:
            found[-1][0].append(line)
        else:
            found[-1][1].append(line)
    return [("\n".join(command), "\n".join(output)) for command, output in found]


def shell_folder(folder):
    """Make a folder to run in, with `memslots` for its PATH; the environment for it."""
    bin_folder = folder / ".bin"
    bin_folder.mkdir()
    program = bin_folder / "memslots"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m memslots "$@"\n')
    program.chmod(0o755)
    (bin_folder / "python3").symlink_to(sys.executable)
    (folder / "examples").symlink_to(TOP / "examples")
    path = f"{bin_folder}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(TOP / "src"), "NO_COLOR": "1"}


def outputs(lines, folder, environment):
    """What each command prints, run one after the other in one shell."""
    script = "".join(f"{line}\necho '{_MARK}' $?\n" for line in lines)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=_PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    found = re.split(rf"^{_MARK} (\d+)\n", done.stdout, flags=re.M)
    return list(zip(found[::2], map(int, found[1::2])))


def rewritten(text, folder, environment, skipped=()):
    """The page with the output of every command as it is now."""
    every = [pair for block in blocks(text) for pair in commands(block)]
    run = [command for command, _ in every if command not in skipped]
    told = dict(zip(run, outputs(run, folder, environment)))

    def block_now(match):
        lines = []
        for command, output in commands(match[1]):
            lines.append(f"$ {command}")
            now = output if command in skipped else told[command][0].rstrip("\n")
            lines += [now] if now else []
        return "```console\n" + "\n".join(lines) + "\n```"

    return re.sub(r"^```console\n(.*?)^```$", block_now, text, flags=re.M | re.S)


def one_liners(text):
    """Indented lines of a page."""
    return re.findall(r"^    (\S.*)$", text, re.M)
