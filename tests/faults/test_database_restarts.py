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
        time.sleep(self.draw.uniform(0.1, 1.0))
        running = not self._ended(self.imports[-1][1]).done
        self.postgresql.kill()
        time.sleep(self.draw.uniform(0.0, 0.3))
        self.postgresql.start()
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
            for _ in range(number):
                restarts.restart(storer, store)
            restarts.check(store, storer.acknowledged)
            assert restarts.met > number // 2
            assert len(storer.acknowledged) > number
        checked = run_fileroom("check", "--deep", f"--data={data}", environment=chosen)
        assert "all instances are there" in checked.stdout + checked.stderr
    return (
        f"{number} restarts, {restarts.met} of them while one of {len(restarts.imports)} imports of"
        f" {objects} objects ran; {len(storer.acknowledged)} instances acknowledged"
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
