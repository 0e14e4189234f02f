"""What runs the batches: any `concurrent.futures.Executor`; here a pool of processes, and Dask.

An engine is a function that opens an executor, so that a pool that lost a worker can be opened
again.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from ..errors import ExtraMissingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    Engine = Callable[[], AbstractContextManager[Executor]]

LOCAL = "local"


def cpus() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pool(jobs: int = 0) -> Engine:
    """Processes of this machine; jobs: how many, 0 for one a processor.

    Workers come from a fork server that has memslots loaded: a fork of this process would take its
    threads' locks along, and a process from nothing would load everything again.  Where there is no
    fork, they start from nothing.
    """

    @contextmanager
    def opened() -> Iterator[Executor]:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        is_there = "forkserver" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if is_there else "spawn")
        if is_there:
            context.set_forkserver_preload(["memslots.fleet.batch"])
        executor = ProcessPoolExecutor(jobs or cpus(), mp_context=context)
        try:
            yield executor
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    return opened


def dask(address: str = LOCAL, jobs: int = 0) -> Engine:
    """The workers of a Dask scheduler (`tcp://host:8786`), or of one started here (`local`)."""

    @contextmanager
    def opened() -> Iterator[Executor]:
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise ExtraMissingError("distributed", "fleet-dask") from None
        if address != LOCAL:
            with Client(address) as client:
                yield client.get_executor()
            return
        with (
            LocalCluster(
                n_workers=jobs or cpus(), threads_per_worker=1, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client.get_executor()

    return opened


def here() -> Engine:
    """The process that calls, one batch after the other."""

    @contextmanager
    def opened() -> Iterator[Executor]:
        yield _Here()  # type: ignore[misc]

    return opened


class _Here:
    """As much of an executor as a scan needs."""

    def submit(self, work: Callable[..., object], *arguments: object) -> object:
        """Do it now."""
        from concurrent.futures import Future

        future: Future[object] = Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future
