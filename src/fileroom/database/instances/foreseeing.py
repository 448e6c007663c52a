"""What records would become, told without storing them: for an import that only validates.

What such an import would have stored by now is noted beside, so that the second of two objects with
the same UIDs is judged as it would be then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from fileroom.database import schema
from fileroom.database.instances.storing import store_records
from fileroom.database.many_rows import insert_rows
from fileroom.database.values.instances import Place, PlaceKind, Result, record_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row

    from fileroom.database.engine import Connection
    from fileroom.database.values.instances import (
        InstanceKey,
        InstanceRecord,
        RecordResult,
        StoreWrite,
    )


def foresee_records(
    transaction: Connection,
    write: StoreWrite,
    records: Sequence[InstanceRecord],
    *,
    after: Sequence[InstanceRecord] = (),
) -> list[RecordResult]:
    """Tell what ``store_records`` would make of records ``after`` others; raises the same.

    Both are stored indeed, and that is taken back: no rule is written twice.
    """
    with transaction.begin_nested() as savepoint:
        if after:
            store_records(transaction, write, after)
        results = store_records(transaction, write, records)
        savepoint.rollback()
    return results


def foresee_and_note(
    transaction: Connection, write: StoreWrite, records: Sequence[InstanceRecord]
) -> list[RecordResult]:
    """Tell what an import would make of records, after what it would have stored by now."""
    if not records:
        return []
    earlier = _noted(transaction, write, records)
    results = foresee_records(transaction, write, records, after=earlier)
    _note(
        transaction,
        write,
        [each.record for each in results if each.result in {Result.IMPORTED, Result.REPLACED}],
    )
    return results


def find_foreseen(connection: Connection, operation_id: int, key: InstanceKey) -> Place | None:
    """Give the object that would be stored by now, by the UIDs of its instance."""
    for row in _rows(connection, operation_id, [key]):
        if _key(row) == key:
            return _place(row)
    return None


def forget_foreseen(transaction: Connection, operation_id: int, rows_max: int) -> int:
    """Delete some of what an operation noted; give how many rows that was."""
    table = schema.operation_foreseen
    of_operation = table.c.operation_id == operation_id
    some = select(table.c.sop_instance_uid).where(of_operation).limit(rows_max)
    return transaction.execute(
        delete(table).where(of_operation, table.c.sop_instance_uid.in_(some))
    ).rowcount


def _noted(
    transaction: Connection, write: StoreWrite, records: Sequence[InstanceRecord]
) -> list[InstanceRecord]:
    """Give records of the same keys that would be stored by now."""
    assert write.operation_id is not None
    by_key = {record_key(record): record for record in records}
    found = {_key(row): row for row in _rows(transaction, write.operation_id, by_key)}
    return [
        replace(
            record,
            ordinal=found[key].ordinal,
            source=found[key].source,
            version=found[key].version,
            place=_place(found[key]),
        )
        for key, record in by_key.items()
        if key in found
    ]


def _note(transaction: Connection, write: StoreWrite, records: Sequence[InstanceRecord]) -> None:
    if not records:
        return
    values = [
        {
            "operation_id": write.operation_id,
            "study_instance_uid": study,
            "series_instance_uid": series,
            "sop_instance_uid": instance,
            "ordinal": record.ordinal,
            "source": record.source,
            "version": record.version,
            "size": record.place.size,
            "sha256": record.place.sha256,
        }
        for record in records
        for study, series, instance in [record_key(record)]
    ]
    insert_rows(transaction, schema.operation_foreseen, values)


def _rows(
    connection: Connection, operation_id: int, keys: Iterable[InstanceKey]
) -> Sequence[Row[*tuple[object, ...]]]:
    table = schema.operation_foreseen.c
    return connection.execute(
        select(schema.operation_foreseen).where(
            table.operation_id == operation_id,
            table.sop_instance_uid.in_(sorted({instance for *_, instance in keys})),
        )
    ).all()


def _key(row: Row[*tuple[object, ...]]) -> InstanceKey:
    return row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid


def _place(row: Row[*tuple[object, ...]]) -> Place:
    return Place(
        kind=PlaceKind.REFERENCE,
        key=row.source,
        size=row.size,
        sha256=row.sha256,
        version=row.version,
    )
