"""The server is killed while clients store; what it acknowledged is there afterwards (F2)."""

from __future__ import annotations

import random
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.client import Client
from fileroom.errors import FileroomError
from tests import corpus
from tests import fault_tools as tools
from tests.fault_tools import Disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fault_tools import Uids
    from tests.server import RunningServer

KILLS: Final = 6
CLIENTS: Final = 3


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
        acknowledged: dict[Uids, bytes] = {}
        for storer in storers:
            acknowledged |= storer.acknowledged
        print(f"{len(acknowledged)} instances acknowledged in {KILLS} kills")
        assert len(acknowledged) > KILLS
        with Client(server.url) as client:
            for (study, series, sop_instance), data_set in acknowledged.items():
                path = f"studies/{study}/series/{series}/instances/{sop_instance}"
                assert client.retrieve_instance(dicom_store, path) == data_set
        tools.check_collected(disk)
    finally:
        tools.end(server)


def _store_until_killed(
    server: RunningServer, dicom_store: str, storers: list[Storer], seconds: float
) -> None:
    over = threading.Event()
    threads = [
        threading.Thread(target=storer.store, args=(server.url, dicom_store, over))
        for storer in storers
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    tools.kill(server)
    over.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
