"""The server is killed while it deletes a study; the deletion ends by itself, to the last byte."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.client import Client
from fileroom.errors import NotFound
from tests import corpus
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, DATASET, Disk

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.names import OperationName

STORE: Final = f"{DATASET}/dicomStores/s"
KILLS: Final = 3
INSTANCES: Final = 2500
"""Of each study: five slices."""


@pytest.mark.timeout(120)
@pytest.mark.clause(
    "Fileroom faults",
    "the deletion of a study whose server is killed ends by itself: counters exact, the study "
    "invisible from the answer on, and after its grace nothing of it is left",
    holds="own rule",
)
def test_deletion_killed_half_way_ends_by_itself_and_leaves_nothing(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    data, disk = tmp_path / "data", Disk(tmp_path / "data")
    _import(data)
    killed = []
    # Each after another number of slices, so that at least two come half way.
    for number, slices in enumerate(draw.sample(range(4), KILLS)):
        name, deleted = _delete_and_kill(data, f"studies/1.{number}", slices)
        killed.append((name, deleted))
    print(f"killed at {[deleted for _, deleted in killed]} of {INSTANCES} instances")
    with tools.served(data) as (_, client):
        for number, (name, _) in enumerate(killed):
            operation = client.wait(name, poll_seconds=0.05)
            assert operation.error is None
            assert operation.account["deleted"] == operation.account["listed"] == INSTANCES
            assert operation.counters.success == INSTANCES
            with pytest.raises(NotFound):
                client.get_study_metrics(STORE, f"studies/1.{number}")
        left = {uids[0] for uids in disk.stored(STORE)}
        assert left == {f"1.{KILLS}"}
        assert client.get_dicom_store_metrics(STORE).study_count == 1
        tools.check_collected(disk)

    assert any(0 < deleted < INSTANCES for _, deleted in killed), "no kill came half way"


def _delete_and_kill(data: Path, study: str, slices: int) -> tuple[OperationName, int]:
    """Ask for a deletion, kill the server after some slices of it, and give how far it was."""
    server = tools.spawn_server(data)
    disk = Disk(data)
    try:
        tools.wait_ready(server)
        with Client(server.url) as client:
            name = client.delete_study(STORE, study).name
            with pytest.raises(NotFound):
                client.retrieve_metadata(STORE, study)
        tools.wait_until(
            lambda: disk.standing(name).next_ordinal >= 500 * slices, "no progress", pause=0.001
        )
        tools.kill(server)
    finally:
        tools.end(server)
    return name, disk.standing(name).next_ordinal


def _import(data: Path) -> None:
    """Store some large studies, and one that stays."""
    bucket = data / "buckets" / BUCKET
    bucket.mkdir(parents=True)
    for study in range(KILLS + 1):
        for number in range(INSTANCES if study < KILLS else 10):
            content = corpus.minimal_instance(
                study_instance_uid=f"1.{study}",
                series_instance_uid=f"1.{study}.{number % 3}",
                sop_instance_uid=f"1.{study}.{number % 3}.{number}",
            )
            (bucket / f"{study}-{number}.dcm").write_bytes(content)
    with tools.served(data, environment=tools.TWO_WORKERS) as (_, client):
        store = tools.make_store(client, "s")
        operation = client.wait(client.import_(store, f"gs://{BUCKET}/**"), poll_seconds=0.1)
    assert operation.error is None
