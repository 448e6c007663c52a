"""The server is killed while it patches a study; the patch ends by itself, each instance once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.client import Client
from tests import corpus
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, DATASET, Disk

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client.values import JsonObject
    from fileroom.names import OperationName

STORE: Final = f"{DATASET}/dicomStores/s"
STUDY: Final = "studies/1.2"
PATCH: Final[JsonObject] = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]}}
KILLS: Final = 3
INSTANCES: Final = 1000
"""Ten slices."""


def _instance(number: int, name: str) -> bytes:
    return corpus.minimal_instance(
        study_instance_uid="1.2",
        series_instance_uid=f"1.2.{number % 3}",
        sop_instance_uid=f"1.2.{number % 3}.{number}",
        patient_name=name,
    )


@pytest.mark.timeout(120)
@pytest.mark.clause(
    "Fileroom faults",
    "the patch of a study whose server is killed again and again ends by itself: counters exact,"
    " every instance patched, byte for byte, and in the end no blob that no row names",
    holds="own rule",
)
def test_patch_killed_half_way_ends_by_itself_and_leaves_nothing(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    data, disk = tmp_path / "data", Disk(tmp_path / "data")
    _import(data)
    name: OperationName | None = None
    reached = []
    for _ in range(KILLS):
        name = _patch_and_kill(data, name, draw)
        reached.append(disk.standing(name).next_ordinal)
    print(f"killed at {reached} of {INSTANCES} instances")
    assert name is not None
    with tools.served(data) as (_, client):
        operation = client.wait(name, poll_seconds=0.05)
        assert operation.error is None
        assert operation.account["updated"] == operation.account["listed"] == INSTANCES
        assert operation.counters.success == INSTANCES
        for number in draw.sample(range(INSTANCES), 50):
            series = f"{STUDY}/series/1.2.{number % 3}"
            path = f"{series}/instances/1.2.{number % 3}.{number}"
            assert client.retrieve_instance(STORE, path) == _instance(number, "New^Name")
        assert len(disk.stored(STORE)) == INSTANCES
        tools.check_collected(disk)

    assert any(0 < ordinal < INSTANCES for ordinal in reached), "no kill came half way"


def _patch_and_kill(data: Path, name: OperationName | None, draw: random.Random) -> OperationName:
    """Ask for a patch, or let it go on, and kill the server at a drawn moment of it."""
    server = tools.spawn_server(data)
    disk = Disk(data)
    try:
        tools.wait_ready(server)
        if name is None:
            with Client(server.url) as client:
                name = client.patch_study(STORE, STUDY, PATCH).name
        before = disk.standing(name).next_ordinal
        slices = draw.choice((0, 1, 1, 2))
        tools.wait_until(
            lambda: disk.standing(name).next_ordinal >= min(before + 100 * slices, INSTANCES),
            "no progress",
            pause=0.001,
        )
        tools.kill(server)
    finally:
        tools.end(server)
    return name


def _import(data: Path) -> None:
    bucket = data / "buckets" / BUCKET
    bucket.mkdir(parents=True)
    for number in range(INSTANCES):
        (bucket / f"{number}.dcm").write_bytes(_instance(number, "Old^Name"))
    with tools.served(data, environment=tools.TWO_WORKERS) as (_, client):
        store = tools.make_store(client, "s")
        operation = client.wait(client.import_(store, f"gs://{BUCKET}/**"), poll_seconds=0.1)
    assert operation.error is None
