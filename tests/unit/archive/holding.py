"""Instances with rows and blobs, stored by one writer after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.archive.ingest import Content, Writer, store_contents, store_object
from fileroom.database import schema
from fileroom.database.collection import StoreArea
from fileroom.database.instances import (
    DuplicatePolicy,
    StoreWrite,
    queue_drops,
    store_records,
)
from tests.unit.database.rows import all_rows
from tests.unit.transfer.site import instance, uids

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row

    from fileroom.database.instances import InstanceRecord, Place
    from fileroom.objectstore.contract import StoredObject
    from tests.unit.transfer.site import Site


def area(site: Site) -> StoreArea:
    """Give the store as the collector knows it."""
    return StoreArea(id=site.store_id, blob_prefix=site.blob_prefix)


def write_blobs(
    site: Site, count: int, *, writer: int, content: str = "P", first: int = 0
) -> list[InstanceRecord]:
    """Write a pack of instances that have no rows yet."""

    def refuse(_: Content, error: Exception) -> None:
        raise error

    contents = (
        Content(
            ordinal=n,
            source=f"gs://b/{n}",
            version=None,
            data=instance(uids(n), patient_id=content),
        )
        for n in range(first, first + count)
    )
    bucket = site.facilities.blobs.bucket(site.blob_prefix)
    return store_contents(Writer(bucket=bucket, number=writer), contents, refuse)


def write_large(site: Site, number: int, *, writer: int) -> InstanceRecord:
    """Write an instance that has no row yet as a blob of its own."""
    bucket = site.facilities.blobs.bucket(site.blob_prefix)
    content = HeldContent(instance(uids(number)))
    return store_object(
        Writer(bucket=bucket, number=writer),
        content,
        ordinal=number,
        source=f"gs://b/{number}",
        version="v0",
    )


class HeldContent:
    """Bytes that are read piece by piece, and what was heard meanwhile."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.recalled = b""
        self.watched = 0
        self.told_alive = 0

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes."""
        return self._data[offset : offset + length]

    def recall(self, offset: int, piece: bytes) -> None:
        """Hear what was there already."""
        assert offset == len(self.recalled)
        self.recalled += piece

    def watch(self, copied: StoredObject) -> StoredObject:
        """Give the copy as it is."""
        self.watched += 1
        return copied

    def alive(self) -> None:
        """Hear that the work goes on."""
        self.told_alive += 1


def store(site: Site, records: list[InstanceRecord], *, writer: int) -> None:
    """Give records their rows, in the place of older ones."""
    write = StoreWrite(store_id=site.store_id, operation_id=writer, policy=DuplicatePolicy.REPLACE)
    site.database.write(lambda transaction: store_records(transaction, write, records))


def drop(site: Site, place: Place, *, not_before: int = 0) -> None:
    """Queue a place to be dropped."""
    key = uids(999)
    site.database.write(
        lambda transaction: queue_drops(
            transaction, site.store_id, [(place, key)], not_before=not_before
        )
    )


def rows(site: Site) -> Sequence[Row[*tuple[object, ...]]]:
    """Give the rows of the instances."""
    with site.database.read() as connection:
        return all_rows(connection, schema.instances)


def drops(site: Site) -> set[tuple[str, int]]:
    """Give the places that are queued to be dropped."""
    with site.database.read() as connection:
        return {
            (row.place_key, row.place_offset) for row in all_rows(connection, schema.blob_drops)
        }


def places(records: Iterable[InstanceRecord]) -> set[tuple[str, int]]:
    """Give where records lie."""
    return {(record.place.key, record.place.offset) for record in records}
