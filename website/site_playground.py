"""The playground: memslots in the browser, run by Pyodide, all of it files of the site.

Pyodide is fetched once by npm into build/ and checked against the sum below.  Without npm and
without the archive the site is built without the playground.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from memslots.views.html_look import SCRIPT

TOP = Path(__file__).resolve().parents[1]
HERE = TOP / "website" / "playground"

PYODIDE = "314.0.7"
ARCHIVE_SHA256 = "66b7949e5a0cba2250b586d7e368bf12fb482800748d182c4618254b685ffaa0"
ENGINE = (
    "pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json",
)  # fmt: skip
EXAMPLES = {
    "two slots overlap": "examples/refused-overlap.strace",
    "a q35 machine, start to reset": "examples/recordings/qemu72-q35-lifecycle.strace",
    "refusals by rule": "examples/recordings/refusals-by-rule-x86-6.18.strace",
    "a QEMU trace": "examples/recordings/qemu72-pc-trace-msg-timestamp.log",
    "an error message": "examples/failures/010.json",
    "a memory map": "examples/layouts/q35-mtree.txt",
}
"""Button: file; of a public failure, the lines that were quoted."""
_PATIENCE_SECONDS = 300
LEFT_OUT = ("arrays", "emulate", "fleet", "live", "record", "running", "verify")
"""Wings that no command of the page loads."""
NOT_ASKED_FOR = {"__future__", "memslots.__main__", "memslots.pytest_plugin"}


def policy() -> str:
    """What the page may do: run what stands on this site, and speak to nobody else."""
    script = base64.b64encode(hashlib.sha256(f"\n{SCRIPT}".encode()).digest()).decode()
    return "; ".join((
        "default-src 'none'",
        f"script-src 'self' 'wasm-unsafe-eval' 'sha256-{script}'",  # the report's own script
        "worker-src blob:", "connect-src 'self'", "frame-src blob:",
        "style-src 'self' 'unsafe-inline'", "base-uri 'none'", "form-action 'none'",
    ))  # fmt: skip


def write(folder: Path, cache: Path) -> bool:
    """Write the playground; whether it could be: it takes Pyodide, from the cache or from npm."""
    archive = engine_archive(cache)
    if archive is None:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    write_engine(folder / "pyodide", archive)
    for name in ("playground.css", "playground.js", "worker.js"):
        shutil.copyfile(HERE / name, folder / name)
    page = (HERE / "index.html").read_text(encoding="utf-8")
    page = page.replace("@POLICY@", policy()).replace("@PYODIDE@", PYODIDE)
    (folder / "index.html").write_text(page, encoding="utf-8")
    texts = [{"name": name, "text": example_text(TOP / path)} for name, path in EXAMPLES.items()]
    (folder / "examples.json").write_text(json.dumps(texts), encoding="utf-8")
    write_program(cache / "memslots.zip")
    write_snapshot(folder / "pyodide", cache / "memslots.zip", folder / "memslots.snapshot")
    return True


def write_engine(folder: Path, archive: Path) -> None:
    """Unpack Pyodide."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for name in ENGINE:
            member = tar.extractfile(f"package/{name}")
            assert member is not None, name
            (folder / name).write_bytes(member.read())


def write_snapshot(engine: Path, program: Path, to: Path) -> None:
    """What is in the memory of Pyodide with the program loaded: a page starts with that."""
    names = map(str, (engine, program, HERE / "prepare.py", to))
    script = str(TOP / "website" / "snapshot.mjs")
    subprocess.run(["node", script, *names], check=True, timeout=_PATIENCE_SECONDS)


def engine_archive(cache: Path) -> Path | None:
    """The archive of Pyodide that npm fetches, checked; None where it cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        print("no npm here: the site is built without the playground", file=sys.stderr)
        return None
    path = Path(os.environ.get("MEMSLOTS_SITE_PYODIDE", cache / f"pyodide-{PYODIDE}.tgz"))
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["npm", "pack", f"pyodide@{PYODIDE}"], cwd=cache, capture_output=True, text=True,
            timeout=_PATIENCE_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            print(f"npm has no Pyodide, so no playground: {done.stderr[-300:]}", file=sys.stderr)
            return None
    if hashlib.sha256(path.read_bytes()).hexdigest() != ARCHIVE_SHA256:
        raise ValueError(f"{path} is not Pyodide {PYODIDE}: remove it")
    return path


def example_text(path: Path) -> str:
    """What the button of an example pastes."""
    text = path.read_text(encoding="utf-8")
    return "\n".join(json.loads(text)["log"]) + "\n" if path.suffix == ".json" else text


def write_program(path: Path) -> None:
    """The package, without the wings that need a Linux below them, and the door for the page."""
    source = TOP / "src" / "memslots"
    named = set()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(source.rglob("*.py")):
            name = file.relative_to(source)
            is_there = name.parts[0] not in LEFT_OUT
            if is_there or (len(name.parts) == 2 and name.name == "__init__.py"):
                archive.write(file, f"memslots/{name.as_posix()}")
                named |= modules_named(file)
                named.add(".".join(("memslots", *name.with_suffix("").parts)))
        archive.write(HERE / "terminal.py", "terminal.py")
        archive.writestr("modules.txt", "\n".join(["terminal", *sorted(named - NOT_ASKED_FOR)]))


def modules_named(path: Path) -> set[str]:
    """The modules outside the package that a file imports anywhere, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module)
    return found
