"""The server is killed again and again while it imports; nothing is lost, nothing done twice."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests import fault_tools as tools
from tests.fault_tools import BUCKET, DATASET, Disk
from tests.faults.killing import KILLS, Killings

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import Client, Operation


@pytest.mark.timeout(300)
@pytest.mark.clause(
    "Fileroom faults",
    "an import whose server is killed twenty times ends by itself: counters exact, every instance "
    "equal to its source, no worker left, no blob left that no row names",
    holds="own rule",
)
def test_import_killed_twenty_times_ends_by_itself_with_nothing_lost(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    sources = tools.make_sources(1000, draw)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    numbers = count(1)

    def start(client: Client) -> Operation:
        store = tools.make_store(client, f"s{next(numbers)}")
        return client.import_(store, f"gs://{BUCKET}/**")

    disk = Disk(data)
    killings = Killings(data, draw, start, {"FILEROOM_WORKERS": str(draw.choice((1, 2)))})
    with killings.survived() as (client, operations):
        print(killings)
        for number, operation in enumerate(operations, 1):
            dicom_store = f"{DATASET}/dicomStores/s{number}"
            tools.check_imported(disk, client, dicom_store, operation, sources)
        tools.check_collected(disk)
        some = draw.sample(sorted(set(sources.instances.values())), 30)
        tools.check_retrieved(client, dicom_store, disk, some)

    assert killings.hits == KILLS
    killings.check_quick()
