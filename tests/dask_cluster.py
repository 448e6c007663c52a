"""A Dask cluster for a test: a scheduler and workers, each a process of its own on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil

from tests.server import clean_environment, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_START_SECONDS: Final = 30.0


@dataclass(slots=True, kw_only=True)
class DaskCluster:
    """A scheduler and its workers, any of which may be killed and started again."""

    directory: Path
    port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(default_factory=dict)
    tls: Sequence[str] = ()
    """Flags for TLS, of scheduler and workers alike."""
    scheduler: psutil.Popen | None = None
    workers: list[psutil.Popen] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The scheduler's address as Dask says it."""
        return f"{'tls' if self.tls else 'tcp'}://127.0.0.1:{self.port}"

    @property
    def executor(self) -> str:
        """The scheduler's address as the settings take it."""
        return self.address.replace("tcp://", "dask://")

    def start_scheduler(self) -> None:
        """Start the scheduler, at the same address each time."""
        self.scheduler = self._run("scheduler", f"--port={self.port}", "--host=127.0.0.1")
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)

    def start_worker(self, *, nanny: bool = False, threads: int = 1) -> psutil.Popen:
        """Start a worker; with a nanny it comes back when it is killed."""
        worker = self._run(
            *("worker", self.address, f"--nthreads={threads}", "--memory-limit=0"),
            *("--host=127.0.0.1", f"--local-directory={self.directory}"),
            "--nanny" if nanny else "--no-nanny",
        )
        self.workers.append(worker)
        return worker

    def _run(self, kind: str, *arguments: str) -> psutil.Popen:
        with (self.directory / "dask.log").open("ab") as log:
            return psutil.Popen(
                [
                    *(sys.executable, "-m", f"distributed.cli.dask_{kind}"),
                    *(*arguments, *self.tls, "--no-dashboard"),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=clean_environment() | {"PYTHONPATH": os.getcwd()} | dict(self.environment),
            )

    def log(self) -> str:
        """Give what all of them wrote."""
        return (self.directory / "dask.log").read_text(errors="replace")

    def kill_worker(self, worker: psutil.Popen) -> None:
        """End a worker without a word."""
        self.workers.remove(worker)
        _kill(worker)

    def kill_scheduler(self) -> None:
        """End the scheduler without a word."""
        assert self.scheduler is not None
        _kill(self.scheduler)
        self.scheduler = None

    def close(self) -> None:
        """End all that runs."""
        for process in [*self.workers, *filter(None, [self.scheduler])]:
            below = process.children(recursive=True) if process.is_running() else []
            for each in (process, *below):
                try:
                    each.send_signal(signal.SIGKILL)
                except psutil.NoSuchProcess:
                    continue
            process.wait(10)


def _kill(process: psutil.Popen) -> None:
    process.kill()
    process.wait(10)


@contextmanager
def dask_cluster(
    directory: Path,
    workers: int = 2,
    *,
    environment: Mapping[str, str] | None = None,
    tls: Sequence[str] = (),
) -> Iterator[DaskCluster]:
    """Run a cluster whose workers have one thread each."""
    directory.mkdir(exist_ok=True)
    cluster = DaskCluster(directory=directory, environment=environment or {}, tls=tls)
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker()
        yield cluster
    finally:
        cluster.close()
