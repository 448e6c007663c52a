"""What an import wrote is taken back, as far as nobody changed it since."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from fileroom.database import schema
from fileroom.database.instances.changes import next_change_seq
from fileroom.database.instances.deleting import delete_some, find_some
from fileroom.database.instances.describing import Undescribed
from fileroom.database.values.instances import Place, PlaceKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Row

    from fileroom.database.engine import Connection
    from fileroom.database.instances.describing import Describer, Descriptions
    from fileroom.names import InstancePath


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An instance that an import wrote, and by what it is known to be the same still."""

    instance: tuple[str, str, str]
    """Study, Series and SOP Instance UID."""
    source: str
    version: str | None
    sha256: bytes | None
    """None of one that is kept by reference."""

    def is_row(self, row: Row[*tuple[object, ...]], operation_id: int) -> bool:
        """Whether a row of the instance is as the import left it."""
        if row.operation_id != operation_id:
            return False
        if self.sha256 is not None:
            return bool(row.sha256 == self.sha256)
        return (row.place_key, row.place_version) == (self.source, self.version)


def delete_written(
    transaction: Connection,
    store_id: int,
    operation_id: int,
    written: Iterable[Written],
    *,
    grace_microseconds: int,
    known: Descriptions,
) -> tuple[int, int]:
    """Delete instances that are still as an import wrote them; give how many, and their bytes.

    Raises
    ------
    NotFound
        If the store was deleted.
    Undescribed
        As ``delete_instance``.
    """
    seq = next_change_seq(transaction, store_id)
    by_study: dict[str, list[Written]] = defaultdict(list)
    for one in written:
        by_study[one.instance[0]].append(one)
    number, size = 0, 0
    undescribed: list[Describer] = []
    for study_instance_uid, of_study in sorted(by_study.items()):
        expected = {one.instance[1:]: one for one in of_study}
        some = find_some(transaction, store_id, study_instance_uid, expected)
        rows = [
            row
            for row in some.rows
            if expected[row.series_instance_uid, row.sop_instance_uid].is_row(row, operation_id)
        ]
        if not rows:
            continue
        number += len(rows)
        try:
            size += delete_some(
                transaction, some, rows, seq, grace_microseconds=grace_microseconds, known=known
            )
        except Undescribed as error:  # those of the other studies are asked for with them
            undescribed += error.describers
    if undescribed:
        raise Undescribed(tuple(undescribed))
    return number, size


def find_replaced(
    connection: Connection, store_id: int, operation_id: int, path: InstancePath, written: Written
) -> Place | None:
    """Give where the bytes lie that an import replaced, while they are still kept.

    None where the instance is not as the import left it; an empty key where they are gone.
    """
    instances, series, studies = schema.instances.c, schema.series.c, schema.studies.c
    row = connection.execute(
        select(
            instances.operation_id,
            instances.place_key,
            instances.place_version,
            instances.sha256,
        )
        .join(schema.series, series.id == instances.series_id)
        .join(schema.studies, studies.id == series.study_id)
        .where(
            studies.store_id == store_id,
            studies.study_instance_uid == path.study_instance_uid,
            series.series_instance_uid == path.series_instance_uid,
            instances.sop_instance_uid == path.sop_instance_uid,
        )
    ).one_or_none()
    if row is None or not written.is_row(row, operation_id):
        return None
    drops = schema.blob_drops.c
    drop = connection.execute(
        select(drops.place, drops.place_key, drops.place_offset, drops.size, drops.sha256)
        .where(
            drops.replaced_by == operation_id,
            drops.sop_instance_uid == path.sop_instance_uid,
            drops.series_instance_uid == path.series_instance_uid,
            drops.study_instance_uid == path.study_instance_uid,
            drops.store_id == store_id,
        )
        # Of several, what was there before the import began.
        .order_by(drops.id)
        .limit(1)
    ).one_or_none()
    if drop is None:
        return Place(key="", size=0, sha256=None)
    return Place(
        kind=PlaceKind(drop.place),
        key=drop.place_key,
        offset=drop.place_offset,
        size=drop.size,
        sha256=drop.sha256,
    )
