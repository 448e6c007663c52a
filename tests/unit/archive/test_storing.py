"""What a request stores: durable, then committed; what breaks off is collected, nothing else."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from fileroom.archive.check import Fault, check_store, queue_orphans
from fileroom.archive.collect import Collector
from fileroom.archive.layout import RequestWriter, request_blob_key, request_of
from fileroom.archive.retrieve import StoreContent
from fileroom.archive.storing import LivingRequests, StoreRules, StoringRequest, StoringRequests
from fileroom.database import schema, stores
from fileroom.database.instances import DuplicatePolicy, next_change_seq
from fileroom.errors import Internal, NotFound
from tests.unit.archive.holding import area, rows
from tests.unit.database.rows import STORE, add_claimed, add_tombstone, all_rows
from tests.unit.transfer.site import instance, uids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.archive.storing import PartOutcome
    from fileroom.database.engine import Connection
    from tests.unit.transfer.site import Site


def content(site: Site) -> StoreContent:
    return StoreContent(
        database=site.database,
        blobs=site.facilities.blobs,
        buckets=site.facilities.buckets,
        store_id=site.store_id,
        blob_prefix=site.blob_prefix,
    )


def begin(
    site: Site, requests: StoringRequests, *files: bytes, rules: StoreRules | None = None
) -> StoringRequest:
    """Begin a request and spool its parts."""
    request = StoringRequest(requests, content(site), rules or StoreRules())
    for file in files:
        part = request.begin_part()
        part.write(file[:100])
        part.write(file[100:])
        part.end()
    return request


def store(site: Site, *files: bytes, rules: StoreRules | None = None) -> list[PartOutcome]:
    """Store files in a request of their own."""
    request = begin(site, StoringRequests(), *files, rules=rules)
    try:
        return list(request.store())
    finally:
        request.close()


def dropped(site: Site) -> set[str]:
    """Give the blobs that are queued to be dropped."""
    with site.database.read() as connection:
        return {row.place_key for row in all_rows(connection, schema.blob_drops)}


def orphans(site: Site, living: LivingRequests | None = None) -> list[Fault]:
    found = check_store(site.database, site.facilities.blobs, area(site), deep=True, living=living)
    return [finding.fault for finding in found]


def test_a_blob_is_named_after_its_request_and_spread_over_the_directories() -> None:
    writer = RequestWriter(boot="0123456789ab", number=7)
    key = request_blob_key(b"\1" * 32, writer, 300)
    assert key == f"08/{'01' * 32}-0123456789abr7-300"
    assert request_of(key) == writer
    assert request_of("00/" + "01" * 32 + "-12-0") is None
    assert request_of(".store-id") is None


def test_stored_bytes_lie_in_the_file_they_were_spooled_into(site: Site) -> None:
    files = [instance(uids(number)) for number in range(3)]
    outcomes = store(site, *files)

    assert [outcome.failure for outcome in outcomes] == [None] * 3
    assert [outcome.sop_instance_uid for outcome in outcomes] == [uids(n)[2] for n in range(3)]
    for row, file in zip(rows(site), files, strict=True):
        assert (site.blobs / row.place_key).read_bytes() == file
        assert request_of(row.place_key) is not None
        assert row.operation_id is None
    assert orphans(site) == []
    assert not list((site.blobs / "tmp").iterdir())


def test_only_a_part_that_got_a_row_keeps_its_blob(site: Site) -> None:
    store(site, instance(uids(1)))
    outcomes = store(site, instance(uids(1)), instance(uids(1), patient_id="X"), b"junk")

    assert [outcome.failure is None for outcome in outcomes] == [True, False, False]
    named = {row.place_key for row in rows(site)}
    assert site.blob_files() == named | dropped(site)
    assert len(named) == 1
    assert len(dropped(site)) == 2


def test_a_replaced_instance_keeps_its_bytes_for_the_grace(site: Site) -> None:
    rules = StoreRules(policy=DuplicatePolicy.REPLACE, storage_class="ARCHIVE", grace_seconds=3600)
    store(site, instance(uids(1)))
    (before,) = rows(site)
    store(site, instance(uids(1), patient_id="X"), rules=rules)

    (row,) = rows(site)
    assert (row.id, row.storage_class) == (before.id, "ARCHIVE")
    assert row.place_key != before.place_key
    assert dropped(site) == {before.place_key}
    collector(site, StoringRequests()).collect()
    assert (site.blobs / before.place_key).exists()


@pytest.mark.clause(
    "Fileroom store",
    "a delete holds against running imports, not against later stores",
    holds="own rule",
)
def test_what_is_stored_after_a_delete_stays(site: Site) -> None:
    site.database.write(lambda tx: add_claimed(tx, store_id=site.store_id))
    site.database.write(lambda tx: add_tombstone(tx, site.store_id, uids(1)[0]))
    (outcome,) = store(site, instance(uids(1)))

    assert outcome.failure is None
    assert len(rows(site)) == 1


def test_a_study_that_is_being_deleted_takes_nothing(site: Site) -> None:
    store(site, instance(uids(1)))
    site.database.write(lambda tx: tx.execute(update(schema.studies).values(state="DELETING")))
    (outcome,) = store(site, instance(uids(2)))

    assert "being deleted" in str(outcome.failure)
    assert len(rows(site)) == 1


def test_nothing_is_visible_before_the_request_is_whole(site: Site) -> None:
    request = begin(site, StoringRequests(), instance(uids(1)), instance(uids(2)))
    assert site.blob_files() == set()
    request.close()
    request.close()
    assert not list((site.blobs / "tmp").iterdir())
    assert rows(site) == []


# What breaks off


def collector(site: Site, requests: StoringRequests) -> Collector:
    made = Collector(
        site.database,
        site.facilities.blobs,
        interval_seconds=60,
        after_crash=False,
        requests=requests,
    )
    requests.on_broken_off(made.suspect_request)
    return made


def delete_store(site: Site) -> None:
    site.database.write(lambda tx: stores.delete_dicom_store(tx, STORE))


_REFUSING = {
    False: (
        "CREATE TRIGGER refusing BEFORE INSERT ON instances"
        " BEGIN SELECT RAISE(ABORT, 'refused'); END",
    ),
    True: (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE 'refused'; END $$",
        "CREATE TRIGGER refusing BEFORE INSERT ON instances FOR EACH ROW EXECUTE FUNCTION refuse()",
    ),
}
"""By whether the database is shared."""


@contextmanager
def held_writer(site: Site, *, refusing: bool = False) -> Iterator[None]:
    """Keep who would write the store's rows waiting; afterwards they may be refused."""
    blocked, go = threading.Event(), threading.Event()

    def block(transaction: Connection) -> None:
        next_change_seq(transaction, site.store_id)
        for statement in _REFUSING[site.database.is_shared] if refusing else ():
            transaction.exec_driver_sql(statement)
        blocked.set()
        assert go.wait(20)

    blocker = threading.Thread(target=site.database.write, args=(block,))
    blocker.start()
    assert blocked.wait(20)
    try:
        yield
    finally:
        go.set()
        blocker.join()


def wait_for_blobs(site: Site, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(site.blob_files()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_blobs_of_a_request_that_broke_off_are_collected_once_it_has_ended(site: Site) -> None:
    """Between its blobs and its commit a request is alive: nobody may take its blobs away."""
    requests = StoringRequests()
    made = collector(site, requests)
    request = begin(site, requests, instance(uids(1)), instance(uids(2)))
    with ThreadPoolExecutor(1) as executor:
        with held_writer(site, refusing=True):
            stored = executor.submit(lambda: list(request.store()))
            wait_for_blobs(site, 2)
            assert orphans(site, requests.living()) == []
            assert (
                queue_orphans(site.database, site.facilities.blobs, area(site), requests.living())
                == 0
            )
        with pytest.raises(Internal):
            stored.result()
    made.collect()
    assert len(site.blob_files()) == 2
    assert made.is_settled()

    request.close()
    assert not made.is_settled()
    assert orphans(site, requests.living()) == [Fault.ORPHANED] * 2
    made.collect()
    made.collect()
    assert site.blob_files() == set()
    assert made.is_settled()


def test_a_request_that_begins_later_is_alive_for_an_older_look() -> None:
    requests = StoringRequests()
    first = requests.begin()
    living = requests.living()
    second = requests.begin()
    requests.end(first, None)

    assert living.may_commit(first)
    assert living.may_commit(second)
    assert not requests.living().may_commit(first)
    assert requests.living().may_commit(second)
    assert not StoringRequests().living().may_commit(second)


def test_what_a_dead_server_left_is_an_orphan(site: Site) -> None:
    request = begin(site, StoringRequests(), instance(uids(1)))
    with held_writer(site, refusing=True):
        pass
    with pytest.raises(Internal):
        list(request.store())

    assert orphans(site) == [Fault.ORPHANED]
    assert orphans(site, StoringRequests().living()) == [Fault.ORPHANED]
    request.close()


def test_a_store_that_is_deleted_meanwhile_takes_nothing(site: Site) -> None:
    request = begin(site, StoringRequests(), instance(uids(1)))
    delete_store(site)
    with pytest.raises(NotFound):
        list(request.store())
    request.close()
    assert rows(site) == []


def test_parts_that_lie_for_hours_are_not_swept(site: Site) -> None:
    request = begin(site, StoringRequests(), instance(uids(1)))
    long_ago = time.time() - 7200
    for path in (site.blobs / "tmp").iterdir():
        os.utime(path, (long_ago, long_ago))
    swept = site.facilities.blobs.bucket(site.blob_prefix).sweep_temporaries()

    assert swept == 0
    assert [outcome.failure for outcome in request.store()] == [None]
    request.close()


def test_many_parts_hold_few_files_open(site: Site) -> None:
    before = len(os.listdir("/proc/self/fd"))
    request = begin(site, StoringRequests(), *(instance(uids(number)) for number in range(250)))
    assert len(os.listdir("/proc/self/fd")) - before < 10
    assert all(outcome.failure is None for outcome in request.store())
    request.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(rows(site)) == 250


@pytest.mark.clause(
    "Fileroom store", "requests that wait together share a transaction", holds="own rule"
)
def test_requests_that_wait_together_share_a_transaction(site: Site) -> None:
    """Each has its own savepoint and change; the writer commits them as one group."""
    with held_writer(site):
        threads = [
            threading.Thread(target=store, args=(site, instance(uids(number))))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        wait_for_blobs(site, 8)
        assert rows(site) == []
    for thread in threads:
        thread.join()

    seqs = sorted(row.created_seq for row in rows(site))
    assert all(later - earlier == 1 for earlier, later in pairwise(seqs))
    assert len(seqs) == 8
