"""The pytest plugin: a test for each kernel of a layout, and a VM of the model as a fixture.

    pytest --memslots vm.toml --memslots-kernel all+pa46

    def test_my_vmm_plugs_memory(memslots_vm):
        assert memslots_vm.set_user_memory_region(0, 0, 0, 4096, 0x10000).accepted

A test that takes `memslots_vm` or `memslots_kernel` runs once for each kernel: those of
--memslots-kernel, else of `memslots_kernels` in pytest's configuration, else one of each kind of
x86_64 kernels that answers otherwise than its neighbours.
"""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from .check.survey import Survey
    from .emulate.emulation import Emulated
    from .model.vm import Vm

_FIXTURE = "memslots_kernel"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and the keys of pytest's configuration."""
    group = parser.getgroup("memslots", "memory layouts on KVM's kernels")
    group.addoption(
        "--memslots", action="append", default=[], metavar="FILE",
        help="a memory layout or recording: a test for each kernel, which must accept all of it",
    )  # fmt: skip
    group.addoption(
        "--memslots-kernel", action="append", default=[], metavar="K",
        help="a kernel: 6.1/x86_64, debian-12, all, all/arm64 (default: those of the layout)",
    )  # fmt: skip
    parser.addini("memslots_layouts", "memory layouts, as of --memslots", "paths", [])
    parser.addini("memslots_kernels", "kernels, as of --memslots-kernel", "args", [])


def _kernels_asked(config: pytest.Config) -> list[str]:
    asked: list[str] = config.getoption("--memslots-kernel") or config.getini("memslots_kernels")
    return asked


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that wants a kernel runs on each."""
    if _FIXTURE not in metafunc.fixturenames:
        return
    from .check.survey import named_kernels

    asked = _kernels_asked(metafunc.config)
    profiles = named_kernels(asked or ["all"])
    if not asked:
        profiles = list({profile.behaviour: profile for profile in profiles}.values())
    metafunc.parametrize(_FIXTURE, [profile.name for profile in profiles])


@pytest.fixture
def memslots_vm(memslots_kernel: str) -> Vm:
    """A VM of the model, with nothing in it, on the kernel of this run of the test."""
    from .model.vm import Vm

    return Vm(memslots_kernel)


@pytest.fixture
def memslots_emulated(tmp_path: Path) -> Callable[..., Emulated]:
    """`memslots.emulate.run`: a program as if on another kernel, its recording in the test's
    folder.
    """
    from .emulate.emulation import run

    count = 0

    def emulated(command: Sequence[str], **options: object) -> Emulated:
        nonlocal count
        count += 1
        options.setdefault("path", str(tmp_path / f"emulated-{count}.rec"))
        return run(command, **options)  # type: ignore[arg-type]

    return emulated


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the tests of the layouts."""
    from pathlib import Path

    listed: list[Path] = [*map(Path, config.getoption("--memslots"))]
    listed += [path for path in config.getini("memslots_layouts") if path not in listed]
    for path in listed:
        node = LayoutTests.from_parent(session, path=path.absolute())
        items += node.collect()


class LayoutTests(pytest.File):
    """One layout on all its kernels, asked once."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)  # type: ignore[arg-type]
        self._survey: Survey | None = None

    def collect(self) -> Iterable[KernelTest]:
        """A test for each kernel, by its name."""
        from .check.plan import load
        from .check.survey import named_kernels

        asked = _kernels_asked(self.config)
        try:
            names = asked or load(self.path).kernels or ["all"]
        except (ValueError, OSError) as error:
            raise pytest.UsageError(f"--memslots: {error}") from None
        return [KernelTest.from_parent(self, name=profile.name) for profile in named_kernels(names)]

    def survey(self) -> Survey:
        """The answers of all kernels that were asked for."""
        from .check.survey import survey

        if self._survey is None:
            self._survey = survey(self.path, _kernels_asked(self.config))
        return self._survey


class KernelTest(pytest.Item):
    """A layout on one kernel."""

    parent: LayoutTests

    def runtest(self) -> None:
        """Fails if the kernel refuses a call; skipped if that depends on the host."""
        found = self.parent.survey()
        cells = found.columns[self.name]
        marks = {cell.mark for cell in cells}
        from .check.survey import DEPENDS, REFUSED

        if REFUSED in marks:
            raise LayoutRefusedError
        if DEPENDS in marks:
            (reason, *_) = [
                cell.outcome.reason for cell in cells if cell.mark == DEPENDS and cell.outcome
            ]
            pytest.skip(reason)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:  # type: ignore[override]
        """The explanations of what this kernel refuses."""
        if not isinstance(excinfo.value, LayoutRefusedError):
            return str(super().repr_failure(excinfo))
        from .views.matrix import kernel_problem_lines

        return "\n".join(kernel_problem_lines(self.parent.survey(), self.name))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """File, line (from 0) of the first table that is refused, and name."""
        return self.path, None, f"{self.path.name} on {self.name}"


class LayoutRefusedError(Exception):
    """The kernel refuses a call of the layout."""
