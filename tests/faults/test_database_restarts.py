"""PostgreSQL is ended at once and started again while an import runs and a client stores (F17)."""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

from fileroom.errors import Unavailable
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, TWO_WORKERS
from tests.faults.test_kill_store import Storer
from tests.postgresql import running_postgresql
from tests.server import run_fileroom

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fileroom.client import Client, Operation
    from tests.fault_tools import Sources
    from tests.postgresql import PostgresqlServer
    from tests.server import RunningServer

    T = TypeVar("T")

RESTARTS: Final = 3
RESTARTS_LONG: Final = int(os.environ.get("FAULT_RESTARTS") or 50)


@dataclass(slots=True)
class Restarts:
    """A server whose database goes away again and again."""

    postgresql: PostgresqlServer
    server: RunningServer
    client: Client
    sources: Sources
    draw: random.Random
    imports: list[tuple[str, Operation]] = field(default_factory=list)
    done: int = 0
    met: int = 0
    """How many restarts met an import that was not at its end."""

    def restart(self, storer: Storer, dicom_store: str) -> None:
        """Have the database end and start again while a client stores and an import runs."""
        if not self.imports or self._ended(self.imports[-1][1]).done:
            store = patiently(lambda: tools.make_store(self.client, f"i{len(self.imports)}"))
            started = patiently(lambda: self.client.import_(store, f"gs://{BUCKET}/**"))
            self.imports.append((store, started))
        over = threading.Event()
        storing = threading.Thread(target=storer.store, args=(self.server.url, dicom_store, over))
        storing.start()
        time.sleep(self.draw.uniform(0.02, 0.4))
        running = not self._ended(self.imports[-1][1]).done
        self.postgresql.kill()
        time.sleep(self.draw.uniform(0.0, 0.3))
        self.postgresql.start()
        self.done += 1
        self.met += running
        over.set()
        storing.join(60)
        assert not storing.is_alive()

    def _ended(self, operation: Operation) -> Operation:
        return patiently(lambda: self.client.get_operation(operation.name))

    def check(self, dicom_store: str, acknowledged: dict[tools.Uids, bytes]) -> None:
        """See that each import ended exactly, and that all that was acknowledged is there."""
        for store, operation in self.imports:
            ended = patiently(partial(self.client.wait, operation.name, poll_seconds=0.1))
            tools.check_account(ended, self.sources.expected)
            assert len(list(self.client.failures(operation.name))) == self.sources.expected.failed
            metrics = self.client.get_dicom_store_metrics(store)
            assert metrics.instance_count == self.sources.expected.imported
        for (study, series, sop_instance), content in acknowledged.items():
            path = f"studies/{study}/series/{series}/instances/{sop_instance}"
            assert self.client.retrieve_instance(dicom_store, path) == content


def patiently(call: Callable[[], T]) -> T:
    """Ask until the database answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return call()
        except Unavailable:
            assert time.monotonic() < deadline, "the database is back, and is not reached"
            time.sleep(0.05)


def checked(data: Path, environment: dict[str, str]) -> str:
    """Compare rows with blobs once no server counts as running.

    One that has ended does for 30 s, if it had not settled what became of a store that failed.
    """
    told = ""

    def is_checked() -> bool:
        nonlocal told
        check = run_fileroom("check", "--deep", f"--data={data}", environment=environment)
        told = check.stdout + check.stderr
        return "servers run on the database" not in told

    tools.wait_until(is_checked, "a server counts as running", seconds=60, pause=1)
    return told


def restarted(directory: Path, number: int, objects: int) -> str:
    """Do so many restarts, and see that nothing was lost, doubled or miscounted."""
    draw = random.Random(tools.draw_seed())
    sources = tools.make_sources(objects, draw, bytes_max=20_000)
    data = directory / "data"
    sources.write(data / "buckets" / BUCKET)
    storer = Storer(17, draw)
    with running_postgresql() as postgresql:
        chosen = {"FILEROOM_DATABASE": postgresql.new_database(template=False)}
        with tools.served(data, environment=TWO_WORKERS | chosen) as (server, client):
            store = tools.make_store(client, "s")
            restarts = Restarts(postgresql, server, client, sources, draw)
            while restarts.met < number:
                restarts.restart(storer, store)
                assert restarts.done < 4 * number, "imports are over before the database ends"
            restarts.check(store, storer.acknowledged)
            assert len(storer.acknowledged) > number
            time.sleep(2)  # meanwhile the server settles what became of stores that failed
        assert "all instances are there" in checked(data, chosen)
    return (
        f"{restarts.done} restarts, {restarts.met} of them while one of {len(restarts.imports)}"
        f" imports of {objects} objects ran; {len(storer.acknowledged)} instances acknowledged"
    )


@pytest.mark.clause(
    "Fileroom faults",
    "PostgreSQL is ended at once and started again while an import runs and a client stores: no "
    "object is counted failed, and what was acknowledged is there",
    holds="own rule",
)
def test_database_that_starts_again_and_again_loses_nothing(tmp_path: Path) -> None:
    print(restarted(tmp_path, RESTARTS, objects=300))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fifty_restarts_of_the_database_lose_nothing(tmp_path: Path) -> None:
    print(restarted(tmp_path, RESTARTS_LONG, objects=800))
