"""What a Dask cluster tells of itself: whether it is there, and which workers are given tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from distributed import Client, Security
from distributed import Future as DaskFuture

from fileroom.errors import Unavailable
from fileroom.transfer.executors.hosting import own_version

if TYPE_CHECKING:
    from fileroom.transfer.executors.tls import TlsFiles

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
"""A scheduler that says nothing for so long counts as gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a Dask scheduler told of its workers."""

    workers: int
    threads: int
    refused: tuple[str, ...]
    """Of each worker that gets no tasks, why."""


def probe_cluster(address: str, tls: TlsFiles | None) -> Cluster:
    """Ask a scheduler which workers it has, and each of them what it runs.

    Raises
    ------
    Unavailable
        If the scheduler does not answer.
    """
    try:
        with Client(
            address, timeout=CONNECT_SECONDS, security=security_of(tls), set_as_default=False
        ) as client:
            assert client.scheduler is not None
            told = client.sync(client.scheduler.identity, callback_timeout=ANSWER_SECONDS)
            asked = {
                worker: client.submit(own_version, workers=[worker], pure=False, retries=0)
                for worker in told["workers"]
            }
            versions = {worker: _version(future) for worker, future in asked.items()}
    except Exception as error:  # Dask's own, of every kind
        raise Unavailable(
            f"the Dask scheduler {address} does not answer ({type(error).__name__})", "executor"
        ) from error
    faults = {worker: misfit(theirs) for worker, theirs in versions.items()}
    return Cluster(
        workers=len(told["workers"]),
        threads=sum(int(worker["nthreads"]) for worker in told["workers"].values()),
        refused=tuple(f"worker {worker}: {why}" for worker, why in faults.items() if why),
    )


def _version(future: DaskFuture[str]) -> object:
    """Give what a worker said, or the error in place of it."""
    try:
        return future.result(ANSWER_SECONDS)
    except Exception as error:
        return error


def misfit(theirs: object) -> str:
    """Tell why a worker gets no tasks, by what it says its version of Fileroom is."""
    if isinstance(theirs, BaseException):
        return f"fileroom cannot be loaded there ({type(theirs).__name__})"
    ours = own_version()
    return "" if theirs == ours else f"it runs Fileroom {theirs}, this server {ours}"


def security_of(tls: TlsFiles | None) -> Security | None:
    """Give what Dask takes to speak TLS; None where it does not."""
    if tls is None:
        return None
    return Security(
        tls_ca_file=str(tls.ca),
        tls_client_cert=str(tls.cert),
        tls_client_key=str(tls.key),
        require_encryption=True,
    )
