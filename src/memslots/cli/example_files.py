"""Where the examples are: beside the package, in a source tree, or packed into one file."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

PREFIX = "examples/"


def example_names() -> list[str]:
    """Every example by its path below examples/, in order."""
    top = example_folder()
    found = [
        os.path.relpath(os.path.join(folder, name), top).replace(os.sep, "/")
        for folder, _, names in os.walk(top)
        for name in names
    ]
    return sorted(found)


def example_path(name: str) -> str | None:
    """The file or folder of an example, with or without `examples/` before it, or by its last name
    alone; None if there is none of this name, or more than one.
    """
    inner = os.path.normpath(name.removeprefix(PREFIX))
    if os.path.isabs(inner) or inner.startswith((".", os.sep)):
        return None
    path = os.path.join(example_folder(), inner)
    if os.path.exists(path):
        return path
    named = [each for each in example_names() if each.endswith(f"/{name}")]
    return os.path.join(example_folder(), named[0]) if len(named) == 1 else None


def with_examples(words: list[str]) -> list[str]:
    """The words of a command line: `examples/NAME` that is not here is the packaged one."""
    return [
        (example_path(word) or word)
        if word.startswith(PREFIX) and not os.path.exists(word)
        else word
        for word in words
    ]


def write_examples(folder: str) -> list[str]:
    """Copy all examples below a folder; the paths written.  Raises FileExistsError rather than
    write over a file that differs.
    """
    import shutil

    written = []
    for name in example_names():
        source, target = os.path.join(example_folder(), name), os.path.join(folder, name)
        if os.path.exists(target) and _bytes(source) != _bytes(target):
            raise FileExistsError(f"{target} is there and differs: choose another folder")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)
        written.append(target)
    return written


def example_folder() -> str:
    """The folder with the examples; from a packed file they are unpacked, once, until we end."""
    global _folder
    if not _folder:
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        inside = os.path.join(package, "examples")
        beside = os.path.join(package, "..", "..", "examples")
        _folder = next((each for each in (inside, beside) if os.path.isdir(each)), "")
        _folder = os.path.normpath(_folder) if _folder else _unpacked()
    return _folder


_folder = ""


def _unpacked() -> str:
    import atexit
    import tempfile
    from importlib.resources import files

    holder = tempfile.TemporaryDirectory(prefix="memslots-examples-")
    atexit.register(holder.cleanup)
    _unpack(files("memslots") / "examples", holder.name)
    return holder.name


def _unpack(source: Traversable, target: str) -> None:
    if not source.is_dir():
        return
    for each in source.iterdir():
        path = os.path.join(target, each.name)
        if each.is_dir():
            os.mkdir(path)
            _unpack(each, path)
        else:
            with open(path, "wb") as file:
                file.write(each.read_bytes())


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
