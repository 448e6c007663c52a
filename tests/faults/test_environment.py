"""What surrounds a server fails, ends it, or changes its mind; operations stay exact."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.client import Client
from fileroom.database.operations import Counters
from fileroom.errors import Code
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, DATASET, TWO_WORKERS, Disk
from tests.server import run_fileroom

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import Operation
    from fileroom.names import OperationName

STORE: Final = f"{DATASET}/dicomStores/s"
TARGET: Final = "target"
ALL: Final = f"gs://{BUCKET}/**"


def wait_begun(disk: Disk, name: OperationName, objects: int = 1) -> None:
    """Wait until some objects of an operation are committed."""
    tools.wait_until(
        lambda: disk.standing(name).next_ordinal >= objects, "no progress", pause=0.005
    )


def wait_paused(client: Client, name: OperationName, word: str) -> Operation:
    """Wait until an operation says that it waits, and for what."""

    def paused() -> bool:
        operation = client.get_operation(name)
        assert not operation.done, operation
        return word in operation.paused_why

    tools.wait_until(paused, f"the operation does not say that it waits for {word}")
    return client.get_operation(name)


# What is not there


@pytest.mark.clause(
    "Fileroom faults",
    "blobs that are gone (F7) make an import wait and say so; it goes on when they are back",
    holds="own rule",
)
def test_import_waits_while_the_blobs_are_gone(tmp_path: Path) -> None:
    sources = tools.make_sources(1000, random.Random(tools.draw_seed()))
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    with tools.served(data) as (_, client):
        store = tools.make_store(client, "s")
        name = client.import_(store, ALL).name
        wait_begun(disk, name)
        disk.blobs.rename(tmp_path / "away")
        paused = wait_paused(client, name, "mounted")
        assert paused.account["failed"] <= sources.expected.failed
        (tmp_path / "away").rename(disk.blobs)
        operation = client.wait(name, poll_seconds=0.1)
        tools.check_imported(disk, client, store, operation, sources)
        tools.check_collected(disk)


@pytest.mark.clause(
    "Fileroom faults",
    "an operation does not start on blobs that lack their mark (F7): they may be another disk's",
    holds="own rule",
)
def test_import_waits_for_the_right_blobs(tmp_path: Path) -> None:
    sources = tools.make_sources(10, random.Random(tools.draw_seed()))
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    with tools.served(data) as (_, client):
        store = tools.make_store(client, "s")
        mark = next(disk.blobs.glob("*/.store-id"))
        mark.rename(tmp_path / "mark")
        name = client.import_(store, ALL).name
        wait_paused(client, name, ".store-id is missing")
        assert disk.blob_files() == set()
        (tmp_path / "mark").rename(mark)
        operation = client.wait(name, poll_seconds=0.1)
        tools.check_imported(disk, client, store, operation, sources)


@pytest.mark.parametrize("place", ["settings", "data"])
@pytest.mark.clause(
    "Fileroom faults",
    "a source bucket that is gone makes an import wait; no object is blamed, and it goes on when "
    "the bucket is back",
    holds="own rule",
)
def test_import_waits_while_its_bucket_is_gone(tmp_path: Path, place: str) -> None:
    sources = tools.make_sources(1000, random.Random(tools.draw_seed()))
    data = tmp_path / "data"
    bucket = tmp_path / "source" if place == "settings" else data / "buckets" / BUCKET
    flags = [f"--bucket={BUCKET}={bucket}"] if place == "settings" else []
    sources.write(bucket)
    disk = Disk(data)
    with tools.served(data, *flags) as (_, client):
        store = tools.make_store(client, "s")
        name = client.import_(store, ALL).name
        wait_begun(disk, name)
        bucket.rename(tmp_path / "away")
        wait_paused(client, name, "bucket")
        (tmp_path / "away").rename(bucket)
        operation = client.wait(name, poll_seconds=0.1)
        tools.check_imported(disk, client, store, operation, sources)


@pytest.mark.clause(
    "Fileroom faults",
    "a second server on one data directory is refused, and the first one works on (F42)",
    holds="own rule",
)
def test_second_server_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with tools.served(data) as (server, client):
        second = run_fileroom("serve", f"--data={data}", "--port=0", "--auth=none")
        assert second.returncode != 0
        assert f"process {server.process.pid}" in second.stderr
        tools.make_store(client, "s")


# SIGTERM


@pytest.mark.clause(
    "Fileroom faults",
    "SIGTERM lets a running import come to a safe point (F40); the next server ends it, exact",
    holds="own rule",
)
def test_import_goes_on_after_an_ordered_stop(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    sources = tools.make_sources(1000, draw)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    with tools.served(data) as (server, client):
        store = tools.make_store(client, "s")
        name = client.import_(store, ALL).name
        wait_begun(disk, name)
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
def test_cancelled_import_stops_exactly_where_it_says(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    sources = tools.make_sources(1000, draw)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    with tools.served(data) as (_, client):
        stores = [tools.make_store(client, f"s{number}") for number in range(5)]
        cancelled: dict[str, Operation] = {}
        for store in stores:
            name = client.import_(store, ALL).name
            time.sleep(draw.uniform(0.0, 0.6))
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
def test_cancelled_export_leaves_whole_files_only(tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    sources = tools.make_sources(600, draw, mixed=False)
    data = tmp_path / "data"
    target = data / "buckets" / TARGET
    target.mkdir(parents=True)
    sources.write(data / "buckets" / BUCKET)
    contents = set(sources.files.values())
    disk = Disk(data)
    with tools.served(data) as (_, client):
        store = tools.make_store(client, "s")
        client.wait(client.import_(store, ALL), poll_seconds=0.1)
        codes = set()
        for number in range(4):
            name = client.export(store, f"gs://{TARGET}/e{number}").name
            time.sleep(draw.uniform(0.0, 0.3))
            client.cancel_operation(name)
            operation = client.wait(name, poll_seconds=0.02)
            written = [path for path in (target / f"e{number}").rglob("*") if path.is_file()]
            if operation.error is None:
                tools.check_account(operation, Counters(listed=600, exported=600))
            else:
                check_cancelled(operation, 600)
            tools.check_ledger(disk, operation)
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
    sources.add("0-first.dcm", tools.instance(uids, bytes(60_000_000)), uids)
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
    assert disk.blob_files() - disk.named_blobs(), "nothing was left uncounted"
    mark = next(disk.blobs.glob("*/.store-id"))
    mark.rename(tmp_path / "mark")
    with tools.served(data) as (_, client):
        wait_paused(client, name, ".store-id is missing")
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
            wait_begun(disk, draw.choice(names))
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
