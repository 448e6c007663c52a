"""What surrounds a server fails, ends it, or changes its mind; operations stay exact."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.client import Client
from fileroom.database.operations import Counters
from fileroom.errors import Code
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, TWO_WORKERS, Disk
from tests.server import run_fileroom

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.client import Operation
    from tests.faults.conftest import Place

ALL: Final = f"gs://{BUCKET}/**"


# What is not there


@pytest.mark.clause(
    "Fileroom faults",
    "blobs that are gone (F7) make an import wait and say so; it goes on when they are back",
    holds="own rule",
)
def test_import_waits_while_the_blobs_are_gone(place: Place, tmp_path: Path) -> None:
    sources = tools.make_sources(1000, random.Random(tools.draw_seed()))
    sources.write(place.bucket)
    name = place.start_import().name
    tools.wait_begun(place.disk, name)
    with moved_away(place.disk.blobs, tmp_path):
        paused = tools.wait_paused(place.client, name, "mounted")
        assert paused.account["failed"] <= sources.expected.failed
    place.check_imported(place.client.wait(name, poll_seconds=0.1), sources)
    tools.check_collected(place.disk)


@pytest.mark.clause(
    "Fileroom faults",
    "an operation does not start on blobs that lack their mark (F7): they may be another disk's",
    holds="own rule",
)
def test_import_waits_for_the_right_blobs(place: Place, tmp_path: Path) -> None:
    sources = tools.make_sources(10, random.Random(tools.draw_seed()))
    sources.write(place.bucket)
    area = place.disk.area(place.dicom_store)
    with moved_away(area / ".store-id", tmp_path):
        name = place.start_import().name
        tools.wait_paused(place.client, name, ".store-id is missing")
        assert not [path for path in area.rglob("*") if path.is_file()]
    place.check_imported(place.client.wait(name, poll_seconds=0.1), sources)


BUCKET_GONE: Final = pytest.mark.clause(
    "Fileroom faults",
    "a source bucket that is gone makes an import wait; no object is blamed, and it goes on when "
    "the bucket is back",
    holds="own rule",
)


@BUCKET_GONE
def test_import_waits_while_its_bucket_is_gone(place: Place, tmp_path: Path) -> None:
    sources = tools.make_sources(1000, random.Random(tools.draw_seed()))
    sources.write(place.bucket)
    name = place.start_import().name
    tools.wait_begun(place.disk, name)
    with moved_away(place.bucket, tmp_path):
        tools.wait_paused(place.client, name, "bucket")
    place.check_imported(place.client.wait(name, poll_seconds=0.1), sources)


@BUCKET_GONE
def test_import_waits_while_the_directory_of_its_bucket_is_gone(tmp_path: Path) -> None:
    sources = tools.make_sources(1000, random.Random(tools.draw_seed()))
    data, bucket = tmp_path / "data", tmp_path / "source"
    sources.write(bucket)
    disk = Disk(data)
    with tools.served(data, f"--bucket={BUCKET}={bucket}") as (_, client):
        store = tools.make_store(client, "s")
        name = client.import_(store, ALL).name
        tools.wait_begun(disk, name)
        with moved_away(bucket, tmp_path):
            tools.wait_paused(client, name, "bucket")
        operation = client.wait(name, poll_seconds=0.1)
        tools.check_imported(disk, client, store, operation, sources)


@contextmanager
def moved_away(path: Path, elsewhere: Path) -> Iterator[None]:
    """Take away what has a path, as an unmounted volume does, and bring it back."""
    away = elsewhere / "away"
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


@pytest.mark.clause(
    "Fileroom faults",
    "a second server on one data directory is refused, and the first one works on (F42)",
    holds="own rule",
)
def test_second_server_is_refused(place: Place) -> None:
    server = place.server
    second = run_fileroom("serve", f"--data={server.data}", "--port=0", "--auth=none")
    assert second.returncode != 0
    assert f"process {server.process.pid}" in second.stderr
    assert place.client.get_dicom_store(place.dicom_store)


# SIGTERM


@pytest.mark.clause(
    "Fileroom faults",
    "SIGTERM lets a running import come to a safe point (F40); the next server ends it, exact",
    holds="own rule",
)
def test_import_goes_on_after_an_ordered_stop(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    sources = tools.make_sources(1000, draw)
    tools.add_slow(sources, 12)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    with tools.served(data) as (server, client):
        store = tools.make_store(client, "s")
        name = client.import_(store, ALL).name
        tools.wait_begun(disk, name)
        time.sleep(draw.uniform(0.0, 0.1))
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 30
    standing = disk.standing(name)
    assert standing.state != "DONE", "it ended before the server was asked to stop"
    assert not tools.workers_of(server.process.pid)
    with tools.served(data) as (_, client):
        operation = client.wait(name, poll_seconds=0.1)
        tools.check_imported(disk, client, store, operation, sources)
        tools.check_collected(disk)


@pytest.mark.long
@pytest.mark.timeout(200)
@pytest.mark.clause(
    "Fileroom faults",
    "a worker that hangs does not hold up an ordered stop: it is over within 35 s",
    holds="own rule",
)
def test_hung_worker_does_not_hold_up_an_ordered_stop(tmp_path: Path) -> None:
    sources = tools.make_sources(1000, random.Random(tools.draw_seed()))
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    with tools.served(data) as (server, client):
        store = tools.make_store(client, "s")
        name = client.import_(store, ALL).name
        tools.wait_begun(disk, name)
        for worker in tools.workers_of(server.process.pid):
            worker.suspend()
        assert disk.standing(name).state != "DONE", "it ended before its worker hung"
        began = time.monotonic()
        server.process.terminate()
        assert server.process.wait(100) == 0
        assert time.monotonic() - began < 35
    assert not tools.workers_of(server.process.pid)
    with tools.served(data) as (_, client):
        operation = client.wait(name, poll_seconds=0.1)
        tools.check_imported(disk, client, store, operation, sources)


# Cancelling


def check_cancelled(operation: Operation, listed: int) -> None:
    """A cancelled operation says so, and accounts for every object (I3, I7)."""
    account = operation.account
    assert operation.done
    assert operation.error is not None
    assert operation.error.code is Code.CANCELLED
    assert operation.response is None
    assert sum(account.values()) == 2 * account["listed"]
    assert account["pending"] == 0
    assert account["listed"] <= listed


@pytest.mark.clause(
    "Cloud Healthcare v1 operations.cancel",
    "a cancelled import ends with error code 1 and exact counters; nothing happens after done, "
    "and what it had not counted leaves nothing behind",
    holds="own rule",
)
def test_cancelled_import_stops_exactly_where_it_says(place: Place) -> None:
    draw = random.Random(tools.draw_seed())
    client, disk = place.client, place.disk
    sources = tools.make_sources(1000, draw)
    tools.add_slow(sources, 6)
    sources.write(place.bucket)
    stores = [tools.make_store(client, f"cancelled{number}") for number in range(5)]
    cancelled: dict[str, Operation] = {}
    for store in stores:
        name = client.import_(store, f"gs://{place.bucket_id}/**").name
        time.sleep(draw.uniform(0.0, 0.3))
        client.cancel_operation(name)
        client.cancel_operation(name)
        cancelled[store] = client.wait(name, poll_seconds=0.02)
    assert any(one.error and one.error.code is Code.CANCELLED for one in cancelled.values())
    for store, operation in cancelled.items():
        if operation.error and operation.error.code is Code.CANCELLED:
            check_cancelled(operation, len(sources.files))
        else:
            tools.check_account(operation, sources.expected)
        tools.check_ledger(disk, operation)
        assert len(disk.stored(store)) == operation.account["imported"]
    tools.check_collected(disk)
    for store, operation in cancelled.items():
        client.cancel_operation(operation.name)
        assert client.get_operation(operation.name) == operation
        assert len(disk.stored(store)) == operation.account["imported"]


@pytest.mark.clause(
    "Cloud Healthcare v1 operations.cancel",
    "a cancelled export ends with error code 1 and exact counters; what it wrote is whole",
    holds="own rule",
)
def test_cancelled_export_leaves_whole_files_only(place: Place) -> None:
    draw = random.Random(tools.draw_seed())
    client = place.client
    sources = tools.make_sources(600, draw, mixed=False)
    sources.write(place.bucket)
    contents = set(sources.files.values())
    place.ended(place.start_import())
    codes = set()
    for number in range(4):
        target = place.server.make_bucket(f"{place.bucket_id}-{number}")
        name = client.export(place.dicom_store, f"gs://{target.name}").name
        time.sleep(draw.uniform(0.0, 0.1 * number))
        client.cancel_operation(name)
        operation = client.wait(name, poll_seconds=0.02)
        written = [path for path in target.rglob("*") if path.is_file()]
        if operation.error is None:
            tools.check_account(operation, Counters(listed=600, exported=600))
        else:
            check_cancelled(operation, 600)
        tools.check_ledger(place.disk, operation)
        codes.add(operation.error and operation.error.code)
        assert len(written) >= operation.account["exported"]
        assert all(path.suffix == ".dcm" for path in written)
        assert all(path.read_bytes() in contents for path in written)
    assert Code.CANCELLED in codes


@pytest.mark.clause(
    "Fileroom faults",
    "what a killed server had written and not counted is collected when its import is cancelled",
    holds="own rule",
)
def test_blobs_of_a_killed_then_cancelled_import_are_collected(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    sources = tools.make_sources(300, draw, mixed=False)
    uids = ("1.2.1", "1.2.2", "1.2.3")
    sources.add("0-first.dcm", tools.instance(uids, bytes(200_000_000)), uids)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    server = tools.spawn_server(data, environment=TWO_WORKERS)
    try:
        tools.wait_ready(server)
        with Client(server.url) as client:
            name = client.import_(tools.make_store(client, "s"), ALL).name
            # The first object holds the line up, the batches behind it are blobs already.
            tools.wait_until(
                lambda: any(path.parent.name != "tmp" for path in disk.blob_files()),
                "no blob",
                pause=0.001,
            )
        tools.kill(server)
    finally:
        tools.end(server)
    assert disk.blob_files(), "nothing was left uncounted"
    assert not disk.named_places()
    mark = next(disk.blobs.glob("*/.store-id"))
    mark.rename(tmp_path / "mark")
    with tools.served(data) as (_, client):
        tools.wait_paused(client, name, ".store-id is missing")
        client.cancel_operation(name)
        check_cancelled(client.wait(name, poll_seconds=0.05), len(sources.files))
        (tmp_path / "mark").rename(mark)
        tools.check_collected(disk)


@pytest.mark.clause(
    "Fileroom faults",
    "two imports of the same objects into one store (F21), killed in their midst, store each "
    "instance once; each object of each import is imported, identical or failed",
    holds="own rule",
)
def test_two_imports_at_once_store_each_instance_once(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    sources = tools.make_sources(600, draw)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    server = tools.spawn_server(data, environment=TWO_WORKERS)
    try:
        tools.wait_ready(server)
        with Client(server.url) as client:
            store = tools.make_store(client, "s")
            names = [client.import_(store, ALL).name for _ in range(2)]
            tools.wait_begun(disk, draw.choice(names))
        time.sleep(draw.uniform(0.0, 0.2))
        tools.kill(server)
    finally:
        tools.end(server)
    with tools.served(data, environment=TWO_WORKERS) as (_, client):
        accounts = []
        for name in names:
            operation = client.wait(name, poll_seconds=0.05)
            tools.check_ledger(disk, operation)
            accounts.append(operation.account)
        expected = sources.expected
        assert [account["listed"] for account in accounts] == [600, 600]
        assert [account["failed"] for account in accounts] == [expected.failed, expected.failed]
        assert sum(account["imported"] for account in accounts) == expected.imported
        tools.check_stored(disk, store, sources)
        tools.check_collected(disk)
