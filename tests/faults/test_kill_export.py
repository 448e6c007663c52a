"""The server is killed again and again while it exports; each file is whole, equal, and alone."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

import pytest

from fileroom.database.operations import Counters
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, DATASET, QUICK_COLLECTION, Disk
from tests.faults.killing import KILLS, Killings

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import Client, Operation
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


def _import(data: Path, sources: Sources) -> None:
    sources.write(data / "buckets" / BUCKET)
    with tools.served(data, environment=QUICK_COLLECTION) as (_, client):
        store = tools.make_store(client, "s")
        operation = client.wait(client.import_(store, f"gs://{BUCKET}/**"), poll_seconds=0.1)
    tools.check_account(operation, sources.expected)
