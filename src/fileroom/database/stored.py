"""Where the bytes and the header of stored instances are: one, or those of a study or series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Select

from fileroom.database.instances import Place, PlaceKind
from fileroom.database.schema import headers, instances, series, studies
from fileroom.names import InstancePath, Uid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, Row

    from fileroom.database.engine import Connection

Statement = Select[*tuple[object, ...]]

IDS_MAX: Final = 500
"""Ids in one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """One instance of a DICOM store, as its rows have it."""

    id: int
    path: InstancePath
    transfer_syntax_uid: str
    place: Place
    series_id: int
    series_changed_seq: int
    """Moves with every change to an instance of the series."""
    header: bytes | None = None
    """The compressed skeleton; ``None`` where it is cut from the blob."""
    header_dictionary: int = 0


def find_stored_instance(
    connection: Connection, store_id: int, path: InstancePath
) -> StoredInstance | None:
    """Give the instance at a path, with its header."""
    rows = connection.execute(_below(_select(), store_id, path)).all()
    return _stored(rows[0]) if rows else None


def list_instance_ids(connection: Connection, store_id: int, path: InstancePath) -> Sequence[int]:
    """Give the instances of a study or series: by series, then by SOP Instance UID."""
    statement = _below(_joined(instances.c.id), store_id, path)
    statement = statement.order_by(series.c.id, instances.c.sop_instance_uid)
    return [row.id for row in connection.execute(statement)]


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
        .where(studies.c.state == "LIVING", series.c.state == "LIVING")
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
