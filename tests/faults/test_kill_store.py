"""The server is killed while clients store; what it acknowledged is there afterwards (F2)."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from fileroom.client import Client
from fileroom.errors import FileroomError
from tests import corpus
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, Disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.client import Operation
    from tests.fault_tools import Uids
    from tests.server import RunningServer

KILLS: Final = 6
CLIENTS: Final = 3
KILLS_LONG: Final = int(os.environ.get("FAULT_KILLS") or 200)


class Storer:
    """A client that stores without a pause, and remembers what was acknowledged."""

    def __init__(self, number: int, draw: random.Random) -> None:
        self._draw = random.Random(draw.random())
        self._root = f"{corpus.UID_ROOT}.6.{number}"
        self._numbers = count(1)
        self.acknowledged: dict[Uids, bytes] = {}

    def store(self, url: str, dicom_store: str, until: threading.Event) -> None:
        """Store instances, one or some in a request, until told to stop or nobody answers."""
        with Client(url) as client:
            while not until.is_set():
                some = dict(self._some())
                try:
                    result = client.store_instances(dicom_store, some.values())
                except FileroomError:
                    return
                assert not result.refused
                assert len(result.stored) == len(some)
                self.acknowledged |= some

    def _some(self) -> Iterator[tuple[Uids, bytes]]:
        for _ in range(self._draw.choice((1, 1, 3, 20))):
            uids = self._root, f"{self._root}.1", f"{self._root}.1.{next(self._numbers)}"
            yield uids, tools.instance(uids, self._draw.randbytes(self._draw.choice((10, 200_000))))


@pytest.mark.timeout(120)
@pytest.mark.clause(
    "Fileroom faults",
    "a server that is killed while three clients store has every instance it acknowledged, byte "
    "for byte, and in the end no blob that no row names",
    holds="own rule",
)
def test_what_was_acknowledged_outlives_every_kill(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    data = tmp_path / "data"
    disk = Disk(data)
    storers = [Storer(number, draw) for number in range(CLIENTS)]
    server = tools.spawn_server(data)
    try:
        tools.wait_ready(server)
        with Client(server.url) as client:
            dicom_store = tools.make_store(client, "s")
        for _ in range(KILLS):
            _store_until_killed(server, dicom_store, storers, draw.uniform(0.1, 0.8))
            server = tools.spawn_server(data)
            tools.wait_ready(server)
        print(f"{_check_acknowledged(server, dicom_store, storers)} acknowledged, {KILLS} kills")
        tools.check_collected(disk)
    finally:
        tools.end(server)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.clause(
    "Fileroom faults",
    "a server or a worker of it that is killed two hundred times while four clients store and "
    "imports run loses nothing it acknowledged, stores nothing twice, and counts every object",
    holds="own rule",
)
def test_two_hundred_kills_lose_nothing_and_miscount_nothing(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    data = tmp_path / "data"
    sources = tools.make_sources(800, draw, bytes_max=20_000)
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    storers = [Storer(number, draw) for number in range(4)]
    imports: list[tuple[str, Operation]] = []
    of_workers = 0
    server = tools.spawn_server(data, environment=tools.TWO_WORKERS)
    try:
        tools.wait_ready(server)
        with Client(server.url) as client:
            dicom_store = tools.make_store(client, "s")
        for _ in range(KILLS_LONG):
            with Client(server.url) as client:
                if not imports or client.get_operation(imports[-1][1].name).done:
                    store = tools.make_store(client, f"i{len(imports)}")
                    imports.append((store, client.import_(store, f"gs://{BUCKET}/**")))
            workers = tools.workers_of(server.process.pid)
            if workers and draw.random() < 0.3:
                of_workers += 1
                _store_until_killed(server, dicom_store, storers, 0.3, draw.choice(workers))
                continue
            _store_until_killed(server, dicom_store, storers, draw.uniform(0.1, 1.5))
            server = tools.spawn_server(data, environment=tools.TWO_WORKERS)
            tools.wait_ready(server)
        acknowledged = _check_acknowledged(server, dicom_store, storers)
        with Client(server.url) as client:
            for store, operation in imports:
                ended = client.wait(operation.name, poll_seconds=0.05)
                tools.check_imported(disk, client, store, ended, sources)
        print(
            f"{KILLS_LONG} kills, {of_workers} of them of workers: {acknowledged} instances"
            f" acknowledged, {len(imports)} imports of {len(sources.files)} objects"
        )
        # What a worker that was killed had begun to write goes when the next server starts.
        tools.kill(server)
        server = tools.spawn_server(data, environment=tools.TWO_WORKERS)
        tools.wait_ready(server)
        tools.check_collected(disk)
    finally:
        tools.end(server)


def _check_acknowledged(server: RunningServer, dicom_store: str, storers: list[Storer]) -> int:
    """See that all that was acknowledged is there, byte for byte, and give how much that is."""
    acknowledged: dict[Uids, bytes] = {}
    for storer in storers:
        acknowledged |= storer.acknowledged
    assert len(acknowledged) > KILLS
    with Client(server.url) as client:
        for (study, series, sop_instance), data_set in acknowledged.items():
            path = f"studies/{study}/series/{series}/instances/{sop_instance}"
            assert client.retrieve_instance(dicom_store, path) == data_set
    return len(acknowledged)


def _store_until_killed(
    server: RunningServer,
    dicom_store: str,
    storers: list[Storer],
    seconds: float,
    worker: psutil.Process | None = None,
) -> None:
    """Have the clients store, and kill the server meanwhile, or one worker and nobody else."""
    over = threading.Event()
    threads = [
        threading.Thread(target=storer.store, args=(server.url, dicom_store, over))
        for storer in storers
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    if worker is None:
        tools.kill(server)
    else:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
        time.sleep(seconds)
    over.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
