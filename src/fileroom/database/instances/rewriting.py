"""Instances whose files were written anew from those that are stored take their place.

A file that was made from bytes which are no longer the instance's must not win: what others
changed meanwhile would be lost.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.database.instances.changes import next_change_seq, queue_drops
from fileroom.database.instances.owners import Owner, count_instances, describe_again
from fileroom.database.instances.rows import replace_instance
from fileroom.database.values.instances import record_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row

    from fileroom.database.engine import Connection
    from fileroom.database.values.instances import InstanceRecord, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A durable file that is to take the place of the one that it was made from."""

    instance_id: int
    made_from: Place
    record: InstanceRecord


class Moved(Exception):
    """Some instances have other bytes than those that their new files were made from."""

    def __init__(self, moved: Sequence[Rewritten]) -> None:
        super().__init__(moved)
        self.moved = moved


def replace_rewritten(
    transaction: Connection,
    store_id: int,
    rewritten: Sequence[Rewritten],
    *,
    grace_microseconds: int,
) -> list[Rewritten]:
    """Give instances their new files, and tell which there still were to give them to.

    Ids, ``created_seq`` and storage classes stay; the bytes before stay for the grace.

    Raises
    ------
    Moved
        If any has other bytes meanwhile; nothing is changed then.
    NotFound
        If the store was deleted.
    """
    # Its lock comes first: from here on no other change of the store comes between.
    seq = next_change_seq(transaction, store_id)
    rows = _living(transaction, [one.instance_id for one in rewritten])
    present = [one for one in rewritten if one.instance_id in rows]
    moved = [one for one in present if not _is_at(rows[one.instance_id], one.made_from)]
    if moved:
        raise Moved(moved)
    more_bytes: dict[int, int] = defaultdict(int)
    for one in sorted(present, key=lambda one: one.instance_id):
        row = rows[one.instance_id]
        replace_instance(
            transaction,
            one.instance_id,
            one.record,
            {"changed_seq": seq},
        )
        owner = Owner(
            study_id=row.study_id,
            series_id=row.series_id,
            deleting=False,
            study_described=True,
            series_described=True,
        )
        describe_again(transaction, owner, one.instance_id, one.record.attributes)
        more_bytes[row.series_id] += one.record.place.size - one.made_from.size
    count_instances(transaction, seq, {}, {}, {}, more_bytes)
    now = now_microseconds()
    queue_drops(
        transaction,
        store_id,
        [(one.made_from, record_key(one.record)) for one in present],
        not_before=now + grace_microseconds,
    )
    gone = [one for one in rewritten if one.instance_id not in rows]
    forget_rewritten(transaction, store_id, gone)
    return present


def forget_rewritten(
    transaction: Connection, store_id: int, rewritten: Iterable[Rewritten]
) -> None:
    """Queue files for collection that got no row, and get none."""
    queue_drops(
        transaction,
        store_id,
        [(one.record.place, record_key(one.record)) for one in rewritten],
        not_before=now_microseconds(),
        had_rows=False,
    )


def _is_at(row: Row[*tuple[object, ...]], place: Place) -> bool:
    found = (row.place_key, row.place_offset, row.place_version)
    return bool(found == (place.key, place.offset, place.version))


def _living(transaction: Connection, ids: Sequence[int]) -> dict[int, Row[*tuple[object, ...]]]:
    instances, series, studies = schema.instances.c, schema.series.c, schema.studies.c
    statement = (
        select(
            instances.id,
            instances.place_key,
            instances.place_offset,
            instances.place_version,
            instances.series_id,
            series.study_id,
        )
        .join(schema.series, series.id == instances.series_id)
        .join(schema.studies, studies.id == series.study_id)
        .where(instances.id.in_(ids), studies.state == "LIVING", series.state == "LIVING")
    )
    return {row.id: row for row in transaction.execute(statement)}
