"""What is asked of the rows while they are compared with the bytes that they are about."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Connection, or_, select

from fileroom.closing import Closing
from fileroom.database.collection import KnownPlace
from fileroom.database.instances import Place, PlaceKind
from fileroom.database.instances.owners import SERIES_COLUMNS, STUDY_COLUMNS
from fileroom.database.instances.rows import INSTANCE_COLUMNS
from fileroom.database.schema import blob_drops, dicom_stores, instances, series, studies
from fileroom.database.stored import IDS_MAX
from fileroom.names import InstancePath, Uid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

PAGE_ROWS: Final = 2000
"""Rows that are read in one snapshot."""
_KINDS: Final = {kind.value: kind for kind in PlaceKind}
Read = Callable[[], AbstractContextManager[Connection]]
"""Gives a snapshot."""


class Named(NamedTuple):
    """A place as it is listed; size, checksum and row are those of a row that names it."""

    key: str
    offset: int
    kind: int
    size: int | None = None
    sha256: bytes | None = None
    instance_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedRow:
    """What the index says of an instance, and of which bytes."""

    place_key: str
    place_offset: int
    values: Mapping[str, object]
    """By the names of ``IndexedAttributes``. Those of the study or series are left out where
    another instance describes it: they are of that one's bytes."""


def indexed_rows(connection: Connection, instance_ids: Sequence[int]) -> dict[int, IndexedRow]:
    """Give what the index says of some instances; those that are gone are left out."""
    statement = (
        select(
            instances.c.id,
            instances.c.place_key,
            instances.c.place_offset,
            studies.c.study_instance_uid,
            series.c.series_instance_uid,
            studies.c.described_by.label("study_described_by"),
            series.c.described_by.label("series_described_by"),
            *(instances.c[name] for name in INSTANCE_COLUMNS),
            *(studies.c[name] for name in STUDY_COLUMNS),
            *(series.c[name] for name in SERIES_COLUMNS),
        )
        .join(series, series.c.id == instances.c.series_id)
        .join(studies, studies.c.id == series.c.study_id)
    )
    found: dict[int, IndexedRow] = {}
    for start in range(0, len(instance_ids), IDS_MAX):
        some = instance_ids[start : start + IDS_MAX]
        for row in connection.execute(statement.where(instances.c.id.in_(some))).mappings():
            names = ["study_instance_uid", "series_instance_uid", *INSTANCE_COLUMNS]
            if row["study_described_by"] == row["id"]:
                names += STUDY_COLUMNS
            if row["series_described_by"] == row["id"]:
                names += SERIES_COLUMNS
            found[row["id"]] = IndexedRow(
                place_key=row["place_key"],
                place_offset=row["place_offset"],
                values={name: row[name] for name in names},
            )
    return found


class KnownPlaces(Closing):
    """The places of a store that rows name or that are queued, in the order of keys and offsets.

    They are read page by page and put in order in a temporary file of this process, so that no
    snapshot is held while there are many: SQLite could not shorten its log meanwhile.
    """

    def __init__(self, read: Read, store_id: int, *, references: bool, after: str = "") -> None:
        """Read them.

        What was changed meanwhile may come twice, as it was and as it is; nothing is left out that
        was there all the time.
        """
        self._sorted = sqlite3.connect("", isolation_level=None)
        self._sorted.execute(
            "CREATE TABLE places (key TEXT, at INTEGER, kind INTEGER, size INTEGER, sha256 BLOB,"
            " instance_id INTEGER)"
        )
        self._sorted.execute("BEGIN")
        try:
            self._gather(named_pages(read, store_id), references, after)
            if not references:  # after the rows: what left one meanwhile is queued
                self._gather(queued_pages(read, store_id), references, after)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[KnownPlace]:
        rows = self._sorted.execute(
            "SELECT kind, key, at, size, sha256, instance_id FROM places"
            " ORDER BY key, at, instance_id"
        )
        for kind, key, offset, size, sha256, instance_id in rows:
            yield KnownPlace(_KINDS[kind], key, offset, size, sha256, instance_id)

    def close(self) -> None:
        """Give the temporary file back; a second call does nothing."""
        self._sorted.close()

    def _gather(self, pages: Iterator[Sequence[Named]], references: bool, after: str) -> None:
        for page in pages:
            self._sorted.executemany(
                "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?)",
                [
                    row
                    for row in page
                    if (row.kind == PlaceKind.REFERENCE) is references and row.key > after
                ],
            )


def named_pages(read: Read, store_id: int) -> Iterator[Sequence[Named]]:
    """Give the places that rows of a store name, a page to a snapshot, in the order of changes.

    A row that was changed meanwhile comes again, behind all others.
    """
    seq, instance_id = -1, 0
    while True:
        with read() as connection:
            rows = connection.execute(
                select(
                    instances.c.place_key,
                    instances.c.place_offset,
                    instances.c.place,
                    instances.c.size,
                    instances.c.sha256,
                    instances.c.id,
                    instances.c.changed_seq,
                )
                .where(
                    instances.c.store_id == store_id,
                    instances.c.changed_seq >= seq,
                    or_(instances.c.changed_seq > seq, instances.c.id > instance_id),
                )
                .order_by(instances.c.changed_seq, instances.c.id)
                .limit(PAGE_ROWS)
            ).all()
        yield [Named._make(row[:6]) for row in rows]
        if len(rows) < PAGE_ROWS:
            return
        seq, instance_id = rows[-1].changed_seq, rows[-1].id


def queued_pages(read: Read, store_id: int) -> Iterator[Sequence[Named]]:
    """Give the places of a store that are queued to be dropped, a page to a snapshot."""
    drops = blob_drops.c
    key, offset = "", -1
    while True:
        with read() as connection:
            rows = connection.execute(
                select(drops.place_key, drops.place_offset, drops.place)
                .where(
                    drops.store_id == store_id,
                    drops.place_key >= key,
                    or_(drops.place_key > key, drops.place_offset > offset),
                )
                .order_by(drops.place_key, drops.place_offset)
                .limit(PAGE_ROWS)
            ).all()
        yield [Named(*row) for row in rows]
        if len(rows) < PAGE_ROWS:
            return
        key, offset = rows[-1].place_key, rows[-1].place_offset


def find_known(read: Read, store_id: int, keys: Collection[str]) -> set[tuple[str, int]]:
    """Give the places in some blobs that rows name or that are queued, each with its offset.

    What goes from a row to the queue meanwhile, or back, is met at the one or at the other.
    """
    found = _find_queued(read, store_id, keys)
    for page in named_pages(read, store_id):
        found.update((row.key, row.offset) for row in page if row.key in keys)
    return found | _find_queued(read, store_id, keys)


def _find_queued(read: Read, store_id: int, keys: Collection[str]) -> set[tuple[str, int]]:
    drops, some, found = blob_drops.c, sorted(keys), set[tuple[str, int]]()
    for start in range(0, len(some), IDS_MAX):
        statement = select(drops.place_key, drops.place_offset).where(
            drops.store_id == store_id, drops.place_key.in_(some[start : start + IDS_MAX])
        )
        with read() as connection:
            found.update((row.place_key, row.place_offset) for row in connection.execute(statement))
    return found


def find_places(connection: Connection, instance_ids: Sequence[int]) -> dict[int, tuple[str, int]]:
    """Give the key and the offset at which the bytes of some instances lie now."""
    found: dict[int, tuple[str, int]] = {}
    for start in range(0, len(instance_ids), IDS_MAX):
        statement = select(instances.c.id, instances.c.place_key, instances.c.place_offset).where(
            instances.c.id.in_(instance_ids[start : start + IDS_MAX])
        )
        found |= {
            row.id: (row.place_key, row.place_offset) for row in connection.execute(statement)
        }
    return found


def find_references(
    connection: Connection, instance_ids: Sequence[int]
) -> dict[int, tuple[InstancePath, Place]]:
    """Give those of some instances that are kept by reference now, and where their objects lie."""
    statement = (
        select(
            instances.c.id,
            studies.c.study_instance_uid,
            series.c.series_instance_uid,
            instances.c.sop_instance_uid,
            instances.c.place_key,
            instances.c.place_version,
            instances.c.size,
            instances.c.sha256,
        )
        .join(series, series.c.id == instances.c.series_id)
        .join(studies, studies.c.id == series.c.study_id)
    )
    found: dict[int, tuple[InstancePath, Place]] = {}
    for start in range(0, len(instance_ids), IDS_MAX):
        some = instances.c.id.in_(instance_ids[start : start + IDS_MAX])
        is_reference = instances.c.place == PlaceKind.REFERENCE
        for row in connection.execute(statement.where(some, is_reference)):
            path = InstancePath(
                Uid(row.study_instance_uid), Uid(row.series_instance_uid), Uid(row.sop_instance_uid)
            )
            found[row.id] = (
                path,
                Place(
                    kind=PlaceKind.REFERENCE,
                    key=row.place_key,
                    size=row.size,
                    sha256=row.sha256,
                    version=row.place_version,
                ),
            )
    return found


def is_living(connection: Connection, store_id: int) -> bool:
    """Whether a store is there and was not deleted."""
    stores = dicom_stores.c
    living = select(stores.id).where(stores.id == store_id, stores.deleted_at.is_(None))
    return connection.execute(living).scalar() is not None
