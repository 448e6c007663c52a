"""The server is killed again and again while it exports; each file is whole, equal, and alone."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

import pytest

from fileroom.client import Client
from fileroom.database.operations import Counters
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, DATASET, LARGE_UIDS, Disk
from tests.faults.killing import KILLS, Killings

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import Operation
    from tests.fault_tools import Sources

STORE = f"{DATASET}/dicomStores/s"
TARGET = "target"


@pytest.mark.timeout(300)
@pytest.mark.clause(
    "Fileroom faults",
    "an export whose server is killed twenty times ends by itself: counters exact, every object "
    "equal to its source, no temporary file left",
    holds="own rule",
)
def test_export_killed_twenty_times_ends_by_itself_with_every_file_whole(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    sources = tools.make_sources(1000, draw, mixed=False)
    data = tmp_path / "data"
    target = data / "buckets" / TARGET
    target.mkdir(parents=True)
    _import(data, sources)
    numbers = count(1)

    def start(client: Client) -> Operation:
        return client.export(STORE, f"gs://{TARGET}/e{next(numbers)}/")

    killings = Killings(data, draw, start, {"FILEROOM_WORKERS": str(draw.choice((1, 2)))})
    with killings.survived() as (_, operations):
        print(killings)
        for number, operation in enumerate(operations, 1):
            tools.check_account(operation, Counters(listed=1000, exported=1000))
            tools.check_ledger(Disk(data), operation)
            tools.check_exported(target / f"e{number}", sources)
        tools.check_collected(Disk(data))

    assert killings.hits == KILLS
    killings.check_quick()


@pytest.mark.clause(
    "Fileroom faults",
    "an export killed over its very first object leaves no temporary file either",
    holds="own rule",
)
def test_export_killed_over_its_first_object_leaves_no_temporary_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    target = data / "buckets" / TARGET
    target.mkdir(parents=True)
    bucket = data / "buckets" / BUCKET
    bucket.mkdir()
    tools.write_large(bucket / "large.dcm")
    _import(data, tools.Sources())
    server = tools.spawn_server(data)
    try:
        tools.wait_ready(server)
        with Client(server.url) as client:
            name = client.export(STORE, f"gs://{TARGET}/e/").name
        tools.wait_until(
            lambda: any(target.rglob(".fileroom-*")), "nothing is written", pause=0.002
        )
        tools.kill(server)
    finally:
        tools.end(server)
    assert any(target.rglob(".fileroom-*")), "it was killed too late"
    with tools.served(data) as (_, client):
        operation = client.wait(name, poll_seconds=0.05)
    tools.check_account(operation, Counters(listed=1, exported=1))
    assert [path.name for path in target.rglob("*") if path.is_file()] == [f"{LARGE_UIDS[2]}.dcm"]


def _import(data: Path, sources: Sources) -> None:
    sources.write(data / "buckets" / BUCKET)
    with tools.served(data) as (_, client):
        store = tools.make_store(client, "s")
        operation = client.wait(client.import_(store, f"gs://{BUCKET}/**"), poll_seconds=0.1)
    assert operation.error is None
