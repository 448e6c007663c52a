"""A real server for a test: ``fileroom serve`` in a process of its own, on a free loopback port."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fileroom.client import Client
from tests.silence import check_written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROGRAM: Final = str(Path(sys.executable).parent / "fileroom")
START_SECONDS: Final = 30
STOP_SECONDS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that answers, and how to reach it."""

    url: str
    data: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def token(self) -> str:
        """The access token of the data directory, as its owner would ask for it."""
        return _token(self.data)

    def client(self) -> Client:
        """Give a client that may do everything."""
        return Client(self.url, self.token)

    def make_bucket(self, name: str) -> Path:
        """Make a directory that is the bucket ``gs://name``."""
        bucket = self.data / "buckets" / name
        bucket.mkdir(parents=True)
        return bucket

    def stop(self) -> int:
        """Ask the server to end (SIGTERM), and give its exit code."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End the server without a word (SIGKILL)."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_server(
    data: Path,
    *flags: str,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = (PROGRAM, "serve"),
    tls: Path | None = None,
) -> Iterator[RunningServer]:
    """Start a server, wait until it is ready, and end it in the end if it still runs.

    ``tls`` is the certificate by which one that speaks TLS is known.
    """
    port = free_port()
    log = data.with_name(f"{data.name}-{port}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"--data={data}", f"--port={port}", *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=clean_environment() | dict(environment or {}),
        )
    url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
    server = RunningServer(url=url, data=data, log=log, process=process)
    try:
        _wait_until_ready(server, tls)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        check_written(log, data)


def run_fileroom(
    *arguments: str, environment: Mapping[str, str] | None = None, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end and give what it wrote."""
    return subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=clean_environment() | dict(environment or {}),
        check=False,
    )


@cache
def _token(data: Path) -> str:
    return run_fileroom("auth", "print-access-token", f"--data={data}").stdout.strip()


def clean_environment() -> dict[str, str]:
    """Give the environment without anything that chooses a server, a project or a proxy."""
    chosen = ("FILEROOM_", "CLOUDSDK_", "GOOGLE_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(chosen) and not name.lower().endswith("_proxy")
    }


def free_port() -> int:
    """Give a loopback port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _wait_until_ready(server: RunningServer, tls: Path | None = None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready(server.url, tls):
        ended = server.process.poll() is not None
        if ended or time.monotonic() > deadline:
            what = "ended" if ended else f"was not ready after {START_SECONDS} s"
            raise RuntimeError(f"the server {what}:\n{server.log.read_text()[-4000:]}")
        time.sleep(0.05)


def is_ready(url: str, tls: Path | None = None) -> bool:
    """Ask a server whether it takes requests; ``tls`` is the certificate it is known by."""
    context = None if tls is None else ssl.create_default_context(cafile=str(tls))
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
