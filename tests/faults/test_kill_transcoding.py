"""Servers and workers are killed while pixels are decoded and encoded for an export."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from fileroom.client import Client
from fileroom.database.operations import Counters
from fileroom.errors import Reason
from tests import fault_tools as tools
from tests.corpus import RLE
from tests.fault_tools import BUCKET, DATASET, Disk
from tests.faults.test_poison import worker_at
from tests.mixed import Uids, made, named, numbered
from tests.pixels import described, instance, transcoded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STORE: Final = f"{DATASET}/dicomStores/s"
KILLS: Final = 4
INSTANCES: Final = 120
SLICE: Final = described(bits=16, stored=12, rows=128, columns=128)
LONG: Final = described(rows=512, columns=512, frames=300)


def stored(data: Path, contents: Mapping[Uids, bytes]) -> Path:
    """Import files into a new store, and give the directory of the bucket to export to."""
    bucket, target = data / "buckets" / BUCKET, data / "buckets" / "target"
    bucket.mkdir(parents=True)
    target.mkdir()
    for number, content in enumerate(contents.values()):
        (bucket / f"{number:04}.dcm").write_bytes(content)
    with tools.served(data) as (_, client):
        store = tools.make_store(client, "s")
        operation = client.wait(client.import_(store, f"gs://{BUCKET}/**"), poll_seconds=0.05)
    assert operation.error is None
    return target


def files(directory: Path) -> dict[str, bytes]:
    """Give every file, temporary ones too."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.timeout(120)
@pytest.mark.clause(
    "Fileroom faults",
    "a transcoding export whose server is killed again and again gives the same files as one that "
    "is left alone, and no temporary file",
    holds="own rule",
)
def test_transcoding_export_killed_again_and_again_gives_the_same_files(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    data = tmp_path / "data"
    contents = {numbered(n): made(numbered(n), SLICE) for n in range(INSTANCES)}
    target = stored(data, contents)
    reached = []
    server = tools.spawn_server(data, environment={"FILEROOM_RENDER_WORKERS": "1"})
    try:
        tools.wait_ready(server)
        mime_type = f"application/dicom; transfer-syntax={RLE}"
        with Client(server.url) as client:
            name = client.export(STORE, "gs://target/e/", mime_type=mime_type).name
        for _ in range(KILLS):
            before = Disk(data).standing(name).next_ordinal
            tools.wait_until(
                lambda before=before: Disk(data).standing(name).next_ordinal > before,  # type: ignore[misc]
                "no progress",
                pause=0.002,
            )
            time.sleep(draw.uniform(0.0, 0.05))
            tools.kill(server)
            reached.append(Disk(data).standing(name).next_ordinal)
            server = tools.spawn_server(data, environment={"FILEROOM_RENDER_WORKERS": "1"})
            if reached[-1] == INSTANCES:
                break
        tools.wait_ready(server)
        with Client(server.url) as client:
            operation = client.wait(name, poll_seconds=0.05)
    finally:
        tools.end(server)

    assert reached[0] < INSTANCES, "it was killed too late"
    tools.check_account(operation, Counters(listed=INSTANCES, exported=INSTANCES))
    assert files(target / "e") == {
        f"{'/'.join(key)}.dcm": transcoded(content, RLE) for key, content in contents.items()
    }


@pytest.mark.timeout(120)
@pytest.mark.clause(
    "Fileroom faults",
    "an instance over which a worker dies twice while it is transcoded fails with WORKER_CRASHED; "
    "its neighbours are exported, and nothing of it is left at the destination",
    holds="own rule",
)
def test_instance_its_worker_dies_over_twice_fails_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    poison = numbered(2)
    contents = {numbered(n): made(numbered(n), SLICE) for n in (1, 3, 4)}
    frame = np.random.default_rng(0).integers(0, 256, (1, 512, 512, 1), np.uint8)
    pixels = np.repeat(frame, LONG.number_of_frames, axis=0)
    target = stored(data, {**contents, poison: instance(LONG, pixels, **named(poison))})
    (blob,) = (path for path in (data / "blobs").rglob("*") if path.stat().st_size > 64 << 20)
    with tools.served(data) as (server, client):
        started = client.export(STORE, "gs://target/e/", mime_type="image/png")
        for _ in range(2):
            worker = worker_at(server, blob)
            worker.kill()
            worker.wait(10)
        operation = client.wait(started.name, poll_seconds=0.05)
        failures = list(client.failures(operation.name))

    tools.check_account(operation, Counters(listed=4, exported=3, failed=1))
    assert [(each.source, each.reason) for each in failures] == [
        ("studies/{}/series/{}/instances/{}".format(*poison), Reason.WORKER_CRASHED)
    ]
    assert files(target / "e").keys() == {f"{'/'.join(key)}.png" for key in contents}
