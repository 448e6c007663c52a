"""Instances lose their rows, one of them or a whole study or series in slices.

A study or series is first marked, in one transaction: from then on nobody sees it and nothing goes
into it, and the rows below it go in slices. The order of locks is that of ``storing``. Bytes are
only queued for collection here; rows go first (I9).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, exists, func, insert, select, update

from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.database.instances.changes import next_change_seq, queue_drops
from fileroom.database.instances.describing import Description, describe_by, first_of_study
from fileroom.database.values.instances import Place, PlaceKind
from fileroom.database.values.operations import Kind, State
from fileroom.errors import NotFound
from fileroom.names import InstancePath, Uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Row

    from fileroom.database.engine import Connection
    from fileroom.database.instances.describing import Descriptions

    AnyRow = Row[*tuple[object, ...]]

SLICE_MAX: Final = 500
"""Instances deleted in one transaction, so that a store never waits long behind a deletion."""
_UNFINISHED: Final = (State.QUEUED, State.RUNNING, State.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one transaction of a deletion did."""

    deleted: int = 0
    bytes: int = 0
    is_last: bool = False
    """Whether the study or series is gone with it."""


def delete_instance(
    transaction: Connection,
    store_id: int,
    path: InstancePath,
    *,
    grace_microseconds: int,
    known: Descriptions,
) -> None:
    """Delete one instance, and its series and study if they hold no other.

    ``known`` are the attributes of those instances that describe the study and series afterwards.

    Raises
    ------
    NotFound
        If there is none, or its study or series is being deleted.
    Undescribed
        If others than ``known`` describe them; nothing was changed then.
    """
    seq = next_change_seq(transaction, store_id)
    only = {(str(path.series_instance_uid), str(path.sop_instance_uid))}
    some = find_some(transaction, store_id, path.study_instance_uid, only)
    if not some.rows:
        raise _absent(path)
    delete_some(
        transaction, some, some.rows, seq, grace_microseconds=grace_microseconds, known=known
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Some:
    """Some instances of one study that is not being deleted, locked with their series."""

    store_id: int
    study_instance_uid: str
    study_id: int
    study_described_by: int
    series: Sequence[AnyRow]
    rows: Sequence[AnyRow]
    """With ``operation_id``, ``sha256``, ``place_key`` and ``place_version`` of each."""


def find_some(
    transaction: Connection,
    store_id: int,
    study_instance_uid: str,
    instances: Iterable[tuple[str, str]],
) -> Some:
    """Find instances of a study by Series and SOP Instance UID; there may be fewer, or none."""
    study = _find_study(transaction, store_id, InstancePath(Uid(study_instance_uid)))
    found: list[AnyRow] = []
    rows: list[AnyRow] = []
    by_series: dict[str, list[str]] = defaultdict(list)
    for series_instance_uid, sop_instance_uid in instances:
        by_series[series_instance_uid].append(sop_instance_uid)
    if study is not None and study.state == "LIVING":
        for series_instance_uid, uids in sorted(by_series.items()):
            path = InstancePath(Uid(study_instance_uid), Uid(series_instance_uid))
            series = _find_series(transaction, study, path)
            if series is not None and series.state == "LIVING":
                among = schema.instances.c.sop_instance_uid.in_(uids)
                below = schema.series.c.id == series.id
                found.append(series)
                rows += _some_instances(transaction, below, among, at_most=len(uids))
    return Some(
        store_id=store_id,
        study_instance_uid=study_instance_uid,
        study_id=0 if study is None else study.id,
        study_described_by=0 if study is None else study.described_by,
        series=found,
        rows=rows,
    )


def delete_some(
    transaction: Connection,
    some: Some,
    rows: Sequence[AnyRow],
    seq: int,
    *,
    grace_microseconds: int,
    known: Descriptions,
) -> int:
    """Delete rows of some instances, and what holds no other; give how many bytes they named.

    Raises
    ------
    Undescribed
        If others than ``known`` describe the study and series then; nothing was changed.
    """
    doomed: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        doomed[row.series_id].append(row.id)
    touched = [series for series in some.series if series.id in doomed]
    first = {series.id: _first_but(transaction, series, doomed[series.id]) for series in touched}
    of_study = first_of_study(transaction, some.study_id, instead_of=first)
    described = [
        Description(schema.series, series.id, series.described_by, first[series.id])
        for series in touched
    ]
    described.append(Description(schema.studies, some.study_id, some.study_described_by, of_study))
    describe_by(transaction, described, known)
    study = Uid(some.study_instance_uid)
    paths = [
        InstancePath(study, Uid(row.series_instance_uid), Uid(row.sop_instance_uid)) for row in rows
    ]
    _bury(transaction, some.store_id, paths, seq)
    size = _delete_rows(transaction, some.store_id, paths[0], rows, seq, grace_microseconds)
    emptied = [series_id for series_id, left in first.items() if left is None]
    if emptied:
        transaction.execute(delete(schema.series).where(schema.series.c.id.in_(emptied)))
        _forget_empty_study(transaction, some.study_id)
    return size


def begin_deletion(
    transaction: Connection, store_id: int, path: InstancePath, *, known: Descriptions
) -> None:
    """Hide a study or series whose rows ``delete_slice`` then deletes.

    One that is being deleted already may be begun again: whoever lost the answer then has an
    operation to wait for, and one that a fault ended is taken up.

    Raises
    ------
    NotFound
        If there is none.
    Undescribed
        As ``delete_instance``.
    """
    seq = next_change_seq(transaction, store_id)
    study = _find_study(transaction, store_id, path)
    if study is None:
        raise _absent(path)
    table, row_id = schema.studies, study.id
    if path.series_instance_uid is not None:
        series = _find_series(transaction, study, path)
        if series is None:
            raise _absent(path)
        table, row_id = schema.series, series.id
        if study.state == "LIVING":
            of_study = first_of_study(transaction, study.id, instead_of={series.id: None})
            described = Description(schema.studies, study.id, study.described_by, of_study)
            describe_by(transaction, [described], known)
    transaction.execute(update(table).where(table.c.id == row_id).values(state="DELETING"))
    _bury(transaction, store_id, [path], seq)


def delete_slice(
    transaction: Connection, store_id: int, path: InstancePath, *, grace_microseconds: int
) -> Slice:
    """Delete some instances of a study or series that is being deleted; in the end itself.

    Raises
    ------
    NotFound
        If the store was deleted: its content is purged as a whole then.
    """
    seq = next_change_seq(transaction, store_id)
    study = _find_study(transaction, store_id, path)
    if study is None:
        return Slice(is_last=True)
    if path.series_instance_uid is None:
        doomed, below = study, schema.series.c.study_id == study.id
    else:
        series = _find_series(transaction, study, path)
        if series is None:
            return Slice(is_last=True)
        doomed, below = series, schema.series.c.id == series.id
    if doomed.state != "DELETING":
        return Slice(is_last=True)
    rows = _some_instances(transaction, below, at_most=SLICE_MAX)
    if rows:
        size = _delete_rows(transaction, store_id, path, rows, seq, grace_microseconds)
        return Slice(deleted=len(rows), bytes=size)
    if _forget_empty_series(transaction, below) == SLICE_MAX:
        return Slice()  # there may be more
    _forget_empty_study(transaction, study.id, is_deleted=path.series_instance_uid is None)
    return Slice(is_last=True)


def count_below(connection: Connection, store_id: int, path: InstancePath) -> int:
    """Give how many instances a study or series has, visible or not."""
    series, studies = schema.series.c, schema.studies.c
    statement = (
        select(func.coalesce(func.sum(series.instance_count), 0))
        .join(schema.studies, studies.id == series.study_id)
        .where(studies.store_id == store_id, studies.study_instance_uid == path.study_instance_uid)
    )
    if path.series_instance_uid is not None:
        statement = statement.where(series.series_instance_uid == path.series_instance_uid)
    return int(connection.execute(statement).scalar_one())


def _find_study(transaction: Connection, store_id: int, path: InstancePath) -> AnyRow | None:
    table = schema.studies.c
    return transaction.execute(
        select(table.id, table.state, table.described_by)
        .where(table.store_id == store_id, table.study_instance_uid == path.study_instance_uid)
        .with_for_update()
    ).one_or_none()


def _find_series(transaction: Connection, study: AnyRow, path: InstancePath) -> AnyRow | None:
    table = schema.series.c
    return transaction.execute(
        select(table.id, table.state, table.described_by)
        .where(table.study_id == study.id, table.series_instance_uid == path.series_instance_uid)
        .with_for_update()
    ).one_or_none()


def _first_but(transaction: Connection, series: AnyRow, doomed: Sequence[int]) -> int | None:
    """Give the instance that describes a series without some others."""
    if series.described_by not in doomed:
        return int(series.described_by)
    table = schema.instances.c
    first: int | None = transaction.execute(
        select(func.min(table.id)).where(table.series_id == series.id, table.id.not_in(doomed))
    ).scalar()
    return first


def _some_instances(
    transaction: Connection, *conditions: ColumnElement[bool], at_most: int
) -> Sequence[AnyRow]:
    series, instances = schema.series.c, schema.instances.c
    return transaction.execute(
        select(
            instances.id,
            instances.series_id,
            series.series_instance_uid,
            instances.sop_instance_uid,
            instances.place,
            instances.place_key,
            instances.place_offset,
            instances.place_version,
            instances.size,
            instances.sha256,
            instances.operation_id,
        )
        .select_from(schema.series)
        .join(schema.instances, instances.series_id == series.id)
        .where(*conditions)
        .order_by(series.id, instances.sop_instance_uid)
        .limit(at_most)
        .with_for_update(of=schema.instances)
    ).all()


def _delete_rows(
    transaction: Connection,
    store_id: int,
    path: InstancePath,
    rows: Sequence[AnyRow],
    seq: int,
    grace_microseconds: int,
) -> int:
    """Delete rows of instances, with all that hangs on them; give how many bytes they named."""
    ids = [row.id for row in rows]
    transaction.execute(delete(schema.instances).where(schema.instances.c.id.in_(ids)))
    counts: dict[int, int] = defaultdict(int)
    sizes: dict[int, int] = defaultdict(int)
    drops = []
    for row in rows:
        counts[row.series_id] += 1
        sizes[row.series_id] += row.size
        place = Place(
            kind=PlaceKind(row.place),
            key=row.place_key,
            offset=row.place_offset,
            size=row.size,
            sha256=None,
        )
        key = (path.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
        drops.append((place, key))
    table = schema.series.c
    transaction.execute(
        update(schema.series)
        .where(table.id == bindparam("row_id"))
        .values(
            instance_count=table.instance_count - bindparam("fewer"),
            bytes=table.bytes - bindparam("fewer_bytes"),
            changed_seq=seq,
        ),
        [
            {"row_id": series_id, "fewer": counts[series_id], "fewer_bytes": sizes[series_id]}
            for series_id in sorted(counts)
        ],
    )
    not_before = now_microseconds() + grace_microseconds
    queue_drops(transaction, store_id, drops, not_before=not_before)
    return sum(sizes.values())


def _forget_empty_series(transaction: Connection, below: ColumnElement[bool]) -> int:
    table = schema.series.c
    some = select(table.id).where(below, table.instance_count == 0).limit(SLICE_MAX)
    return transaction.execute(delete(schema.series).where(table.id.in_(some))).rowcount


def _forget_empty_study(
    transaction: Connection, study_id: int, *, is_deleted: bool = False
) -> None:
    """Delete a study without series; one that is being deleted goes with its own deletion."""
    table = schema.studies.c
    transaction.execute(
        delete(schema.studies).where(
            table.id == study_id,
            table.state == ("DELETING" if is_deleted else "LIVING"),
            ~exists().where(schema.series.c.study_id == study_id),
        )
    )


def _bury(transaction: Connection, store_id: int, paths: Sequence[InstancePath], seq: int) -> None:
    """Have imports that are under way bring nothing of it back (I12)."""
    table = schema.operations.c
    importing = exists().where(
        table.store_id == store_id, table.state.in_(_UNFINISHED), table.kind == Kind.IMPORT
    )
    if transaction.execute(select(importing)).scalar():
        transaction.execute(
            insert(schema.tombstones),
            [
                {
                    "store_id": store_id,
                    "study_instance_uid": path.study_instance_uid,
                    "series_instance_uid": path.series_instance_uid,
                    "sop_instance_uid": path.sop_instance_uid,
                    "seq": seq,
                }
                for path in paths
            ],
        )


def _absent(path: InstancePath) -> NotFound:
    return NotFound(f"{path} does not exist in this DICOM store", "path")
