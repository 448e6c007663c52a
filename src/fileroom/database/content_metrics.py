"""What a store, a study or a series holds, and in which storage class each instance is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from fileroom.database.engine import now_microseconds
from fileroom.database.schema import instances, series, studies
from fileroom.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select

    from fileroom.database.engine import Connection
    from fileroom.names import InstancePath

    Statement = Select[*tuple[object, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMetrics:
    """What a DICOM store holds, studies under deletion left out."""

    study_count: int
    series_count: int
    instance_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentMetrics:
    """How much a study or series holds."""

    series_count: int
    instance_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageInfo:
    """How the bytes of an instance are kept."""

    size_bytes: int
    storage_class: str
    updated_at: int
    """When it came into this class, in microseconds since 1970."""


def store_metrics(connection: Connection, store_id: int) -> StoreMetrics:
    """Give what a DICOM store holds, as sums over its series."""
    row = connection.execute(
        select(
            func.count(func.distinct(series.c.study_id)).label("study_count"),
            func.count().label("series_count"),
            func.coalesce(func.sum(series.c.instance_count), 0).label("instance_count"),
            func.coalesce(func.sum(series.c.bytes), 0).label("size_bytes"),
        )
        .join(studies, studies.c.id == series.c.study_id)
        .where(
            series.c.store_id == store_id,
            series.c.state == "LIVING",
            studies.c.state == "LIVING",
        )
    ).one()
    return StoreMetrics(
        study_count=row.study_count,
        series_count=row.series_count,
        instance_count=int(row.instance_count),
        size_bytes=int(row.size_bytes),
    )


def get_content_metrics(
    connection: Connection, store_id: int, path: InstancePath
) -> ContentMetrics:
    """Give what a study or series holds, as sums over its series; NotFound if there is none."""
    columns = (
        func.count().label("series_count"),
        func.coalesce(func.sum(series.c.instance_count), 0).label("instance_count"),
        func.coalesce(func.sum(series.c.bytes), 0).label("size_bytes"),
    )
    statement: Statement = select(*columns).select_from(series)
    row = connection.execute(_below(statement, store_id, path)).one()
    if not row.series_count:
        raise _absent(path)
    return ContentMetrics(
        series_count=row.series_count,
        instance_count=int(row.instance_count),
        size_bytes=int(row.size_bytes),
    )


def get_storage_info(connection: Connection, store_id: int, path: InstancePath) -> StorageInfo:
    """Give how an instance is kept; NotFound if there is none."""
    columns = (
        instances.c.size,
        instances.c.storage_class,
        func.coalesce(instances.c.storage_class_updated_at, instances.c.stored_at).label("at"),
    )
    statement: Statement = (
        select(*columns).select_from(series).join(instances, instances.c.series_id == series.c.id)
    )
    row = connection.execute(_below(statement, store_id, path)).one_or_none()
    if row is None:
        raise _absent(path)
    return StorageInfo(size_bytes=row.size, storage_class=row.storage_class, updated_at=row.at)


def check_exists(connection: Connection, store_id: int, path: InstancePath) -> None:
    """Raise NotFound if there is no such study, series or instance."""
    if path.sop_instance_uid is None:
        get_content_metrics(connection, store_id, path)
    else:
        get_storage_info(connection, store_id, path)


def set_storage_class(transaction: Connection, ids: Sequence[int], storage_class: str) -> int:
    """Put instances into a storage class; give how many were in another one."""
    return transaction.execute(
        update(instances)
        .where(instances.c.id.in_(ids), instances.c.storage_class != storage_class)
        .values(storage_class=storage_class, storage_class_updated_at=now_microseconds())
    ).rowcount


def _below(statement: Statement, store_id: int, path: InstancePath) -> Statement:
    statement = statement.join(studies, studies.c.id == series.c.study_id).where(
        studies.c.store_id == store_id,
        studies.c.study_instance_uid == path.study_instance_uid,
        studies.c.state == "LIVING",
        series.c.state == "LIVING",
    )
    if path.series_instance_uid is not None:
        statement = statement.where(series.c.series_instance_uid == path.series_instance_uid)
    if path.sop_instance_uid is not None:
        statement = statement.where(instances.c.sop_instance_uid == path.sop_instance_uid)
    return statement


def _absent(path: InstancePath) -> NotFound:
    return NotFound(f"{path} does not exist in this DICOM store", "path")
