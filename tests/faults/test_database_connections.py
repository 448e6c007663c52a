"""PostgreSQL goes away while operations run, also between a COMMIT and the answer to it."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.archive.check import Fault, check_store
from fileroom.database import collection, operations, schema
from fileroom.database.operations import State
from fileroom.errors import Unavailable
from fileroom.operations.operation import account
from fileroom.operations.runner import Run, Runner
from fileroom.transfer.exporting.job import request_export
from fileroom.transfer.importing.job import request_import
from fileroom.transfer.jobs import jobs_of
from fileroom.transfer.pipeline import cut_batches
from tests.databases import opened_at, server
from tests.faults.postgresql_proxy import PostgresqlProxy, proxied
from tests.unit.database.rows import OWNER, STORE, all_rows
from tests.unit.transfer.site import Site, instance, make_site, uids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.names import OperationName
    from tests.postgresql import PostgresqlServer

__all__ = ["server"]

OBJECTS: Final = 60
BATCH: Final = 5
COMMITS: Final = OBJECTS // BATCH + 4
"""Of an import, those that begin and end it and count its objects among them."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small batches, and try again soon."""
    for module in ("importing", "exporting"):
        small = partial(cut_batches, objects_max=BATCH)
        monkeypatch.setattr(f"fileroom.transfer.{module}.line.cut_batches", small)
    monkeypatch.setattr("fileroom.operations.runner.BACKOFF_SECONDS_MAX", 0.05)
    monkeypatch.setattr("fileroom.operations.runner.POLL_SECONDS", 0.05)
    # A claim whose answer is lost is taken up again once its lease is over.
    monkeypatch.setattr("fileroom.database.operations.running.LEASE_MICROSECONDS", 1_000_000)
    monkeypatch.setattr("fileroom.operations.runner.HEARTBEAT_SECONDS", 0.2)


@contextmanager
def behind_proxy(
    directory: Path, server: PostgresqlServer
) -> Iterator[tuple[Site, PostgresqlProxy]]:
    """Give a site whose database is reached through a proxy."""
    with ExitStack() as stack:
        # The path of a socket is short.
        sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="fileroom-proxy-"))
        proxy = stack.enter_context(proxied(server.directory, Path(sockets)))
        address = server.new_database().replace(str(server.directory), sockets)
        directory.mkdir()
        database = stack.enter_context(opened_at(address))
        site = stack.enter_context(make_site(directory, database))
        for number in range(OBJECTS):
            site.put(f"in/{number:03}.dcm", instance(uids(number + 1)))
        yield site, proxy


@contextmanager
def running(site: Site) -> Iterator[Runner]:
    runner = Runner(
        site.database, OWNER, jobs_of(site.facilities), logs_url=lambda _: "http://fileroom.example"
    )
    runner.start()
    try:
        yield runner
    finally:
        runner.stop(drain_seconds=10)


def ended(site: Site, name: OperationName) -> operations.Operation:
    """Wait for the end of an operation, however often the database is away meanwhile."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with site.database.read() as connection:
                found = operations.get_operation(connection, name)
        except Unavailable:
            found = None
        if found is not None and found.state is State.DONE:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{name} never ended")


def is_whole(site: Site, operation: operations.Operation, result: str) -> None:
    """See that each object was done once, by account, ledger, rows and blobs."""
    assert operation.error is None
    told = {term: count for term, count in account(operation).items() if count}
    assert told == {"listed": OBJECTS, result: OBJECTS}
    with site.database.read() as connection:
        assert len(all_rows(connection, schema.instances)) == OBJECTS
        stores = collection.living_stores(connection)
    lines = site.ledger(Run(site.database, operation))
    assert len({line.source for line in lines}) == OBJECTS
    assert Counter(line.result for line in lines) == {result: OBJECTS}
    for store in stores:
        found = check_store(site.database, site.facilities.blobs, store, deep=True)
        assert {one.fault for one in found} <= {Fault.ORPHANED}


@pytest.mark.clause(
    "Fileroom invariants",
    "a COMMIT whose answer is lost counts once, whichever of an import's or an export's it is (I4)",
    holds="own rule",
)
def test_a_commit_whose_answer_is_lost_counts_once(
    tmp_path: Path, server: PostgresqlServer
) -> None:
    for number in range(1, COMMITS + 1):
        with behind_proxy(tmp_path / str(number), server) as (site, proxy):
            name = request_import(site.facilities, STORE, "gs://bucket/in/**", api_version="v1")
            proxy.cut_after_commit(number)
            with running(site):
                is_whole(site, ended(site, name), "imported")
            name = request_export(site.facilities, STORE, "gs://bucket/out", api_version="v1")
            proxy.cut_after_commit(number)
            with running(site):
                is_whole(site, ended(site, name), "exported")
            assert proxy.cuts >= 1


def comes_back(site: Site) -> None:
    """Wait until what was dropped last is connected again, so that what looks after it can look."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with site.database.read() as connection:
                collection.living_stores(connection)
        except Unavailable:
            continue
        return
    raise AssertionError("the database never came back")


def test_connections_that_are_dropped_again_and_again_lose_nothing(
    tmp_path: Path, server: PostgresqlServer
) -> None:
    with behind_proxy(tmp_path / "site", server) as (site, proxy):
        name = request_import(site.facilities, STORE, "gs://bucket/in/**", api_version="v1")
        over = threading.Event()
        draw = random.Random(7)

        def drop() -> None:
            for _ in range(25):
                if over.wait(draw.uniform(0.01, 0.15)):
                    return
                proxy.cut_all()

        dropping = threading.Thread(target=drop)
        dropping.start()
        try:
            with running(site):
                operation = ended(site, name)
        finally:
            over.set()
            dropping.join()
        comes_back(site)
        is_whole(site, operation, "imported")
