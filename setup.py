"""What pyproject.toml cannot say: the examples go into the package, man pages and completions are
written from the parsers, the pages of docs/ are installed beside them.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

TOP = Path(__file__).parent
sys.path.insert(0, str(TOP / "src"))

from memslots.cli.shell_files import write_shell_files  # noqa: E402


class BuildWithExamples(build_py):
    """Copies examples/ to memslots/examples, where `memslots example` finds them."""

    def run(self) -> None:
        """Build the package, then add the examples."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "memslots" / "examples"
            shutil.copytree(TOP / "examples", target, dirs_exist_ok=True)


def documentation() -> Iterator[tuple[str, list[str]]]:
    """(where it is installed, files): the pages, for readers without a network."""
    folders = {"": "docs/*.md", "/rules": "docs/rules/*.md", "/pictures": "docs/pictures/*"}
    for folder, names in folders.items():
        files = [str(path.relative_to(TOP)) for path in sorted(TOP.glob(names))]
        yield f"share/doc/memslots{folder}", files


setup(
    cmdclass={"build_py": BuildWithExamples},
    data_files=[
        *(
            (folder, [str(Path(path).relative_to(TOP)) for path in paths])
            for folder, paths in write_shell_files(str(TOP / "build" / "share")).items()
        ),
        *documentation(),
    ],
)
