"""Where the bytes and the header of stored instances are: one, or those of a study or series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Select, bindparam, delete, exists, select, update

from fileroom.database.instances import Place, PlaceKind
from fileroom.database.instances.rows import insert_frame_tables
from fileroom.database.prepared import Prepared
from fileroom.database.schema import (
    dicom_stores,
    frame_tables,
    headers,
    instances,
    series,
    studies,
)
from fileroom.database.values.stored import ListedInstance, SeriesVersion, StoredInstance
from fileroom.names import InstancePath, Uid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Column, ColumnElement, Row

    from fileroom.database.engine import Connection
    from fileroom.database.instances import FramesKnown

Statement = Select[*tuple[object, ...]]

IDS_MAX: Final = 500
"""Ids in one statement."""
_LIVING: Final = (studies.c.state == "LIVING", series.c.state == "LIVING")


def find_stored_instance(
    connection: Connection, store_id: int, path: InstancePath
) -> StoredInstance | None:
    """Give the instance at a path, with its header."""
    rows = _NAMED.rows(connection, _named(store_id, path))
    return _stored(rows[0]) if rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFrames:
    """One instance, and what is kept of where its frames lie."""

    instance: StoredInstance
    known: FramesKnown
    chunks: Mapping[int, bytes]
    """Some of the table's, by their numbers; its first among them if it has any."""


def find_stored_frames(
    connection: Connection, store_id: int, path: InstancePath, chunk: int
) -> StoredFrames | None:
    """Give the instance at a path with the first chunk of its table of frames and another."""
    named = _named(store_id, path)
    rows = _NAMED_FRAMES.rows(connection, named | {"other_chunk": chunk})
    if not rows:
        return None
    return StoredFrames(
        instance=_stored(rows[0]),
        known=rows[0].frames_known,
        chunks={row.chunk: row.chunk_z for row in rows if row.chunk is not None},
    )


def find_frame_chunk(connection: Connection, stored: StoredInstance, chunk: int) -> bytes | None:
    """Give one more chunk of a table; nothing if the instance has other bytes meanwhile."""
    row = connection.execute(
        select(frame_tables.c.z)
        .join(instances, instances.c.id == frame_tables.c.instance_id)
        .where(
            frame_tables.c.instance_id == stored.id, frame_tables.c.chunk == chunk, *_still(stored)
        )
    ).one_or_none()
    return None if row is None else row.z


def keep_frame_table(
    transaction: Connection, stored: StoredInstance, chunks: Sequence[bytes]
) -> None:
    """Keep the table of frames that was made of an instance's bytes, if it still has them."""
    kept = transaction.execute(
        update(instances)
        .where(instances.c.id == stored.id, *_still(stored))
        .values(frames_known="TABLE")
    )
    if kept.rowcount:
        transaction.execute(delete(frame_tables).where(frame_tables.c.instance_id == stored.id))
        insert_frame_tables(transaction, {stored.id: chunks})


def _still(stored: StoredInstance) -> tuple[ColumnElement[bool], ...]:
    """Give what holds for a row as long as the instance has the bytes it was read with."""
    place = stored.place
    return (
        instances.c.place_key == place.key,
        instances.c.place_offset == place.offset,
        instances.c.place_version.is_not_distinct_from(place.version),
    )


def list_instances(
    connection: Connection, store_id: int, path: InstancePath
) -> Sequence[ListedInstance]:
    """Give the instances of a study or series, by series and then by SOP Instance UID."""
    columns = instances.c
    listed = _joined(columns.id, columns.transfer_syntax_uid, columns.size)
    statement = _below(listed, store_id, path)
    statement = statement.order_by(series.c.id, columns.sop_instance_uid)
    return [
        ListedInstance(id=row.id, transfer_syntax_uid=row.transfer_syntax_uid, size=row.size)
        for row in connection.execute(statement)
    ]


def list_series(
    connection: Connection, store_id: int, path: InstancePath
) -> Sequence[SeriesVersion]:
    """Give the series of a study, or the one at the path, that have instances, by their ids."""
    statement = (
        select(series.c.store_id, series.c.id, series.c.changed_seq, series.c.instance_count)
        .join(studies, studies.c.id == series.c.study_id)
        .where(
            studies.c.store_id == store_id,
            studies.c.study_instance_uid == path.study_instance_uid,
            *_LIVING,
            exists().where(instances.c.series_id == series.c.id),
        )
        .order_by(series.c.id)
    )
    if path.series_instance_uid is not None:
        statement = statement.where(series.c.series_instance_uid == path.series_instance_uid)
    return [_series_version(row) for row in connection.execute(statement)]


def find_series(connection: Connection, store_id: int, series_id: int) -> SeriesVersion | None:
    """Give a living series of a living store."""
    statement = (
        select(series.c.store_id, series.c.id, series.c.changed_seq, series.c.instance_count)
        .join(studies, studies.c.id == series.c.study_id)
        .join(dicom_stores, dicom_stores.c.id == series.c.store_id)
        .where(
            series.c.id == series_id,
            series.c.store_id == store_id,
            dicom_stores.c.deleted_at.is_(None),
            *_LIVING,
        )
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else _series_version(row)


def list_instances_of_series(connection: Connection, series_id: int) -> Sequence[int]:
    """Give the ids of a series' instances, by SOP Instance UID."""
    statement = (
        select(instances.c.id)
        .where(instances.c.series_id == series_id)
        .order_by(instances.c.sop_instance_uid)
    )
    return list(connection.execute(statement).scalars())


def list_changed_series(
    connection: Connection, store_id: int, after_seq: int, at_most: int
) -> Sequence[int]:
    """Give the series of the first instances that a store got or changed after a change of it."""
    columns = instances.c
    changed = connection.execute(
        select(columns.series_id)
        .where(columns.store_id == store_id, columns.changed_seq > after_seq)
        .order_by(columns.changed_seq)
        .limit(at_most)
    )
    return list(dict.fromkeys(changed.scalars()))


def find_stored_instances(
    connection: Connection, ids: Sequence[int]
) -> Sequence[StoredInstance | None]:
    """Give instances with their headers, in the order of at most 500 ids.

    ``None`` stands for what is gone.
    """
    assert len(ids) <= IDS_MAX
    rows = connection.execute(_select().where(instances.c.id.in_(ids)))
    found = {row.id: _stored(row) for row in rows}
    return [found.get(each) for each in ids]


def _select_named() -> Statement:
    return _select().where(
        studies.c.store_id == bindparam("in_store"),
        studies.c.study_instance_uid == bindparam("in_study"),
        series.c.series_instance_uid == bindparam("in_series"),
        instances.c.sop_instance_uid == bindparam("in_instance"),
    )


def _select_named_frames() -> Statement:
    table = frame_tables.c
    is_first = (table.chunk == 0) | (table.chunk == bindparam("other_chunk"))
    return (
        _select_named()
        .add_columns(instances.c.frames_known, table.chunk, table.z.label("chunk_z"))
        .outerjoin(frame_tables, (table.instance_id == instances.c.id) & is_first)
    )


def _named(store_id: int, path: InstancePath) -> dict[str, object]:
    return {
        "in_store": store_id,
        "in_study": path.study_instance_uid,
        "in_series": path.series_instance_uid,
        "in_instance": path.sop_instance_uid,
    }


def _select() -> Statement:
    statement = _joined(
        instances.c.id,
        studies.c.study_instance_uid,
        series.c.series_instance_uid,
        instances.c.sop_instance_uid,
        instances.c.transfer_syntax_uid,
        instances.c.place,
        instances.c.place_key,
        instances.c.place_offset,
        instances.c.place_version,
        instances.c.size,
        instances.c.sha256,
        instances.c.series_id,
        series.c.changed_seq,
        headers.c.dict,
        headers.c.z,
    )
    return statement.outerjoin(headers, headers.c.instance_id == instances.c.id)


def _joined(*columns: Column[object]) -> Statement:
    """Give a statement over instances with their series and study, none of which is deleted."""
    statement: Statement = Select(*columns)
    return (
        statement.select_from(instances)
        .join(series, series.c.id == instances.c.series_id)
        .join(studies, studies.c.id == series.c.study_id)
        .where(*_LIVING)
    )


def _below(statement: Statement, store_id: int, path: InstancePath) -> Statement:
    statement = statement.where(
        studies.c.store_id == store_id,
        studies.c.study_instance_uid == path.study_instance_uid,
    )
    if path.series_instance_uid is not None:
        statement = statement.where(series.c.series_instance_uid == path.series_instance_uid)
    if path.sop_instance_uid is not None:
        statement = statement.where(instances.c.sop_instance_uid == path.sop_instance_uid)
    return statement


def _series_version(row: Row[*tuple[object, ...]]) -> SeriesVersion:
    return SeriesVersion(
        store_id=row.store_id,
        series_id=row.id,
        changed_seq=row.changed_seq,
        instance_count=row.instance_count,
    )


def _stored(row: Row[*tuple[object, ...]]) -> StoredInstance:
    return StoredInstance(
        id=row.id,
        path=InstancePath(
            Uid(row.study_instance_uid), Uid(row.series_instance_uid), Uid(row.sop_instance_uid)
        ),
        transfer_syntax_uid=row.transfer_syntax_uid,
        place=Place(
            key=row.place_key,
            size=row.size,
            sha256=row.sha256,
            kind=PlaceKind(row.place),
            offset=row.place_offset,
            version=row.place_version,
        ),
        series_id=row.series_id,
        series_changed_seq=row.changed_seq,
        header=row.z,
        header_dictionary=row.dict or 0,
    )


_NAMED: Final = Prepared(_select_named())
_NAMED_FRAMES: Final = Prepared(_select_named_frames())
