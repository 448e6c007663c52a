"""Which instances an operation takes: those stored up to its horizon, in the order of their keys.

Each page is one short read, so that an export of days holds back neither the log of SQLite nor the
vacuum of PostgreSQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import and_, func, or_, select

from fileroom.database import schema
from fileroom.database.instances import Place, PlaceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Row, Select

    from fileroom.database.engine import Connection
    from fileroom.names import InstancePath

Key = tuple[int, str]
"""Row of the series and SOP Instance UID: the order in which instances are exported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """An instance and where its bytes lie."""

    id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    key: Key
    place: Place


def count_instances(
    connection: Connection,
    store_id: int,
    *,
    horizon: int,
    path: InstancePath | None,
    changed_after: int = 0,
) -> int:
    """Give how many instances a page after page of ``list_instances`` would give."""
    statement = _select(func.count()).where(_among(store_id, horizon, path, changed_after))
    return cast("int", connection.execute(statement).scalars().one())


def list_instances(
    connection: Connection,
    store_id: int,
    *,
    horizon: int,
    path: InstancePath | None,
    changed_after: int = 0,
    after: Key,
    at_most: int,
) -> Sequence[StoredInstance]:
    """Give the next instances after a key, of those stored up to ``horizon``.

    With ``changed_after`` only those that were stored, or changed, after that change of the store.
    """
    series, instances = schema.series.c, schema.instances.c
    series_id, sop_instance_uid = after
    statement = _select_instances().where(
        _among(store_id, horizon, path, changed_after),
        series.id >= series_id,
        # Said twice: else PostgreSQL may walk through all instances up to there, page after page.
        instances.series_id >= series_id,
        or_(series.id > series_id, instances.sop_instance_uid > sop_instance_uid),
    )
    rows = connection.execute(
        statement.order_by(series.id, instances.sop_instance_uid).limit(at_most)
    )
    return [_stored_instance(row) for row in rows]


def find_instance(
    connection: Connection, store_id: int, path: InstancePath
) -> StoredInstance | None:
    """Give one instance as it is stored now."""
    statement = _select_instances().where(_below(store_id, path), _is_living())
    row = connection.execute(statement).one_or_none()
    return None if row is None else _stored_instance(row)


def _select(*columns: ColumnElement[Any]) -> Select[*tuple[object, ...]]:
    studies, series, instances = schema.studies.c, schema.series.c, schema.instances.c
    return (
        select(*columns)
        .select_from(schema.series)
        .join(schema.studies, studies.id == series.study_id)
        .join(schema.instances, instances.series_id == series.id)
    )


def _select_instances() -> Select[*tuple[object, ...]]:
    series, instances = schema.series.c, schema.instances.c
    return _select(
        schema.studies.c.study_instance_uid,
        series.series_instance_uid,
        series.id.label("series_id"),
        instances.id.label("instance_id"),
        instances.sop_instance_uid,
        instances.place,
        instances.place_key,
        instances.place_offset,
        instances.place_version,
        instances.size,
        instances.sha256,
    )


def _among(
    store_id: int, horizon: int, path: InstancePath | None, changed_after: int
) -> ColumnElement[bool]:
    since = []
    if changed_after:
        # A series that nothing changed is passed over as a whole.
        since = [
            schema.series.c.changed_seq > changed_after,
            schema.instances.c.changed_seq > changed_after,
        ]
    return and_(
        schema.series.c.store_id == store_id if path is None else _below(store_id, path),
        _is_living(),
        schema.instances.c.created_seq <= horizon,
        *since,
    )


def _is_living() -> ColumnElement[bool]:
    return and_(schema.studies.c.state == "LIVING", schema.series.c.state == "LIVING")


def _below(store_id: int, path: InstancePath) -> ColumnElement[bool]:
    # The store is asked of the study alone: asked of the series too, a planner may rather walk
    # through all series of the store.
    conditions = [
        schema.studies.c.store_id == store_id,
        schema.studies.c.study_instance_uid == path.study_instance_uid,
    ]
    if path.series_instance_uid is not None:
        conditions.append(schema.series.c.series_instance_uid == path.series_instance_uid)
    if path.sop_instance_uid is not None:
        conditions.append(schema.instances.c.sop_instance_uid == path.sop_instance_uid)
    return and_(*conditions)


def _stored_instance(row: Row[*tuple[object, ...]]) -> StoredInstance:
    return StoredInstance(
        id=row.instance_id,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        sop_instance_uid=row.sop_instance_uid,
        key=(row.series_id, row.sop_instance_uid),
        place=Place(
            key=row.place_key,
            size=row.size,
            sha256=row.sha256,
            kind=PlaceKind(row.place),
            offset=row.place_offset,
            version=row.place_version,
        ),
    )
