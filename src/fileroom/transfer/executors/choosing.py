"""Which executor an operator's choice means."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fileroom.errors import FailedPrecondition
from fileroom.transfer.executors.pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack

    from fileroom.transfer.executors.cluster import DaskExecutor
    from fileroom.transfer.executors.probing import Cluster
    from fileroom.transfer.executors.tls import TlsFiles

LOCAL: Final = "local"


def open_executor(
    stack: ExitStack,
    executor: str,
    workers: int,
    *,
    name: str,
    preload: Sequence[str],
    tls: TlsFiles | None = None,
    lazy: bool = False,
) -> WorkerPool | DaskExecutor:
    """Give an executor that ends with ``stack``, and its tasks with it.

    ``executor`` is ``local``, worker processes of this server; or the address of a Dask scheduler,
    ``dask://host:port`` or ``tls://host:port``, which has as many workers as it has.

    Raises
    ------
    FailedPrecondition
        If Dask is asked for and not installed.
    """
    if executor == LOCAL:
        pool = WorkerPool(workers, name=name, preload=preload, lazy=lazy)
        stack.callback(pool.kill_workers)
        return pool
    with _needing_dask():
        from fileroom.transfer.executors.cluster import DaskExecutor
    cluster = DaskExecutor(_dask_address(executor), name=name, preload=preload, tls=tls)
    stack.callback(cluster.kill_workers)
    return cluster


def probe_executor(executor: str, tls: TlsFiles | None) -> Cluster | None:
    """Ask a Dask cluster how it is; None where the workers are this server's own.

    Raises
    ------
    FailedPrecondition
        If Dask is asked for and not installed.
    Unavailable
        If its scheduler does not answer.
    """
    if executor == LOCAL:
        return None
    with _needing_dask():
        from fileroom.transfer.executors.probing import probe_cluster
    return probe_cluster(_dask_address(executor), tls)


@contextmanager
def _needing_dask() -> Iterator[None]:
    """Load what speaks to Dask where it is used: it takes a second of a server's start."""
    try:
        yield
    except ImportError as error:
        raise FailedPrecondition(
            "a Dask cluster needs a library: pip install 'fileroom[dask]'", "executor"
        ) from error


def _dask_address(executor: str) -> str:
    return executor.replace("dask://", "tcp://", 1)
