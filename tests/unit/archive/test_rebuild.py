"""The rows of a store are made again from its blobs alone."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from fileroom.archive import deletion
from fileroom.archive import rebuild as rebuilding
from fileroom.archive.check import check_store
from fileroom.archive.collect import Collector
from fileroom.archive.marks import mark_deletions
from fileroom.archive.rebuild import Rebuilt, rebuild_store
from fileroom.archive.retrieve import StoreContent, find_instance, open_as_stored
from fileroom.database import rebuild, schema, stores
from fileroom.database.collection import StoreArea
from fileroom.database.instances import store_records
from fileroom.errors import FailedPrecondition
from fileroom.names import InstancePath, Uid
from tests.databases import opened_database
from tests.places import of_place
from tests.unit.archive.holding import store, write_blobs, write_large
from tests.unit.database.rows import STORE, add_claimed, all_rows
from tests.unit.transfer.site import uids

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fileroom.database.engine import Connection, Database
    from fileroom.database.instances import InstanceRecord, RecordResult, StoreWrite
    from tests.postgresql import PostgresqlServer
    from tests.unit.transfer.site import Site

GRACE = 3600.0


@pytest.fixture
def empty(shared: PostgresqlServer | None, tmp_path: Path) -> Iterator[Database]:
    """Give another database of the same kind, without content."""
    (tmp_path / "new").mkdir()
    with opened_database(tmp_path / "new", shared) as database:
        yield database


def path_of(number: int) -> InstancePath:
    return InstancePath(*map(Uid, uids(number)))


def content_of(site: Site, database: Database | None = None) -> StoreContent:
    return StoreContent(
        database=database or site.database,
        blobs=site.facilities.blobs,
        buckets=site.facilities.buckets,
        store_id=site.store_id if database is None else area(site, database).id,
        blob_prefix=site.blob_prefix,
    )


def area(site: Site, database: Database) -> StoreArea:
    with database.read() as connection:
        found = rebuild.find_store_of(connection, site.blob_prefix)
    assert found is not None
    return StoreArea(id=found, blob_prefix=site.blob_prefix)


def make_again(site: Site, database: Database) -> Rebuilt:
    """Make the rows of the site's store, in a database that has none of them or some."""

    def begin(transaction: Connection) -> bool:
        resumed = rebuild.begin_rebuild(transaction)
        if not resumed:
            stores.insert_dataset(transaction, STORE.parent)
            stores.insert_dicom_store(transaction, STORE, {}, blob_prefix=site.blob_prefix)
        return resumed

    resumed = database.write(begin)
    told = rebuild_store(
        database,
        site.facilities.blobs,
        area(site, database),
        grace_seconds=GRACE,
        resumed=resumed,
    )
    database.write(lambda transaction: rebuild.end_rebuild(transaction, told.newest_writer))
    return told


def told_by_rows(database: Database) -> dict[str, object]:
    """Give all that rows tell of instances and do not tell by numbers and times of the database."""
    passing = {
        *("id", "store_id", "series_id", "study_id", "described_by", "operation_id"),
        *("created_seq", "changed_seq", "stored_at"),
    }
    with database.read() as connection:
        names = {row.id: row.sop_instance_uid for row in all_rows(connection, schema.instances)}
        found: dict[str, object] = {}
        for table in (schema.studies, schema.series, schema.instances):
            kept = [column.name for column in table.columns if column.name not in passing]
            found[table.name] = sorted(
                repr([getattr(row, name) for name in kept]) for row in all_rows(connection, table)
            )
        for table in (schema.headers, schema.frame_tables):
            found[table.name] = sorted(
                (names[row.instance_id], row.z) for row in all_rows(connection, table)
            )
        found["described"] = sorted(
            names[row.described_by]
            for table in (schema.studies, schema.series)
            for row in all_rows(connection, table)
        )
    return found


def queued(database: Database) -> set[tuple[str, int]]:
    with database.read() as connection:
        rows = all_rows(connection, schema.blob_drops)
    return {(row.place_key, row.place_offset) for row in rows}


def fill(site: Site) -> None:
    """Have a store with packs and large blobs, of which some are replaced and some deleted."""
    store(site, write_blobs(site, 6, writer=1), writer=1)
    store(site, [write_large(site, number, writer=2) for number in (6, 7, 8)], writer=2)
    store(site, write_blobs(site, 2, writer=3, content="Q"), writer=3)
    for number in (2, 6):
        deletion.delete_instance(content_of(site), path_of(number), grace_seconds=GRACE)
    mark_deletions(site.database, site.facilities.blobs)


def test_rows_are_as_before(site: Site, empty: Database) -> None:
    fill(site)
    before = told_by_rows(site.database)

    told = make_again(site, empty)
    assert (told.instances, told.deleted, told.copies) == (7, 4, 0)
    assert (told.superseded, told.unreadable, told.strange) == ([], [], [])
    assert told_by_rows(empty) == before
    assert queued(empty) == queued(site.database)
    assert list(check_store(empty, site.facilities.blobs, area(site, empty), deep=True)) == []
    with open_file(content_of(site, empty), 0) as now, open_file(content_of(site), 0) as then:
        assert now == then


@contextmanager
def open_file(content: StoreContent, number: int) -> Iterator[bytes]:
    file = open_as_stored(content, find_instance(content, path_of(number)))
    yield b"".join(file.pieces)


def test_what_was_collected_does_not_come_back(site: Site, empty: Database) -> None:
    fill(site)
    with site.database.read() as connection:
        assert len(all_rows(connection, schema.blob_drops)) == 4

    def due(transaction: Connection) -> None:
        transaction.execute(schema.blob_drops.update().values(not_before=0))

    site.database.write(due)
    blobs = site.facilities.blobs
    Collector(site.database, blobs, interval_seconds=0.01, after_crash=False).collect()
    before = told_by_rows(site.database)

    told = make_again(site, empty)
    assert (told.instances, told.deleted, told.unreadable) == (7, 0, [])
    assert told_by_rows(empty) == before


@pytest.mark.parametrize("batches", range(4))
def test_rebuild_that_was_cut_off_goes_on(
    site: Site, empty: Database, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    fill(site)
    monkeypatch.setattr(rebuilding, "RECORDS_MAX", 2)
    done = iter(range(batches))

    class Killed(Exception):
        pass

    def write(
        transaction: Connection, write: StoreWrite, records: Sequence[InstanceRecord]
    ) -> list[RecordResult]:
        if next(done, None) is None:
            raise Killed
        return store_records(transaction, write, records)

    with monkeypatch.context() as patched:
        patched.setattr(rebuilding, "store_records", write)
        with pytest.raises(Killed):
            make_again(site, empty)
    with pytest.raises(FailedPrecondition, match="rebuild-index' again"):
        rebuild.check_rebuilt(empty)

    told = make_again(site, empty)
    assert told.known + told.instances == 7
    now, before = told_by_rows(empty), told_by_rows(site.database)
    # The instance that tells of its study is the first that got a row, which was replaced here.
    differing = {name for name in before if now[name] != before[name]}
    assert differing == {"studies", "described"}
    assert queued(empty) == queued(site.database)
    rebuild.check_rebuilt(empty)


def test_newer_of_two_files_without_a_mark_is_shown(site: Site, empty: Database) -> None:
    old = write_blobs(site, 2, writer=1)
    new = write_blobs(site, 2, writer=2, content="Q")
    for age, record in enumerate((new[0], old[0])):
        os.utime(site.blobs / record.place.key, (1000 - age, 1000 - age))

    told = make_again(site, empty)
    assert told.superseded == [path_of(0), path_of(1)]
    with empty.read() as connection:
        shown = {row.place_key for row in all_rows(connection, schema.instances)}
    assert shown == {new[0].place.key}
    assert queued(empty) == {(record.place.key, record.place.offset) for record in old}


def test_copy_of_the_same_bytes_is_collected(site: Site, empty: Database) -> None:
    write_blobs(site, 2, writer=1)
    write_blobs(site, 2, writer=1)

    told = make_again(site, empty)
    assert (told.instances, told.copies) == (2, 2)
    assert len(queued(empty)) == 2


def test_what_cannot_be_read_is_told_and_stays(site: Site, empty: Database) -> None:
    first, second = write_blobs(site, 3, writer=1), write_blobs(site, 3, writer=1, first=3)
    large = write_large(site, 6, writer=1)
    of_place(site.blobs, first[1].place).write(b"\1" * first[1].place.size)
    with (site.blobs / second[0].place.key).open("r+b") as pack:
        pack.seek(-1, os.SEEK_END)
        pack.write(b"?")
    (site.blobs / large.place.key).write_bytes(b"short")
    (site.blobs / "00" / "notes.txt").write_text("mine")

    told = make_again(site, empty)
    assert told.instances == 2
    assert {(one.path, one.offset) for one in told.unreadable} == {
        (str(site.blobs / first[1].place.key), first[1].place.offset),
        (str(site.blobs / second[0].place.key), 0),
        (str(site.blobs / large.place.key), 0),
    }
    assert told.strange == [str(site.blobs / "00/notes.txt")]
    files = site.blob_files()
    collector = Collector(empty, site.facilities.blobs, interval_seconds=0.01, after_crash=True)
    collector.collect()
    assert site.blob_files() == files


def test_only_an_empty_database_is_filled(site: Site) -> None:
    with pytest.raises(FailedPrecondition, match="the database has datasets already"):
        site.database.write(rebuild.begin_rebuild)


def test_no_operation_bears_the_number_of_an_earlier_one(site: Site, empty: Database) -> None:
    store(site, write_blobs(site, 1, writer=41), writer=41)
    make_again(site, empty)
    store_id = area(site, empty).id

    assert empty.write(lambda tx: add_claimed(tx, store_id=store_id)).id == 42
