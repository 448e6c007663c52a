"""The rows of instances, of their headers and of their tables of frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import update

from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.database.many_rows import insert_new_rows, insert_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fileroom.database.engine import Connection
    from fileroom.database.instances.owners import Owner
    from fileroom.database.values.instances import (
        InstanceKey,
        InstanceRecord,
        Place,
        StoreWrite,
    )


INSTANCE_COLUMNS: Final = (
    "sop_instance_uid",
    "sop_class_uid",
    "transfer_syntax_uid",
    "instance_number",
    "specific_character_set",
    "timezone_offset_from_utc",
    "rows",
    "columns",
    "bits_allocated",
    "number_of_frames",
)


def place_values(place: Place) -> dict[str, object]:
    """Give the columns that tell where the bytes of an instance lie."""
    return {
        "place": place.kind,
        "place_key": place.key,
        "place_offset": place.offset,
        "size": place.size,
        "place_version": place.version,
        "sha256": place.sha256,
    }


def instance_values(record: InstanceRecord) -> dict[str, object]:
    """Give the columns of an instance that come from its bytes and their place."""
    attributes = record.attributes
    values: dict[str, object] = {name: getattr(attributes, name) for name in INSTANCE_COLUMNS}
    return values | place_values(record.place) | {"frames_known": record.frames_known}


def insert_instances(
    transaction: Connection,
    write: StoreWrite,
    seq: int,
    owners: Mapping[tuple[str, str], Owner],
    records: Mapping[InstanceKey, InstanceRecord],
) -> dict[InstanceKey, int]:
    """Insert the records that are not stored yet; give the new rows' ids."""
    if not records:
        return {}
    now = now_microseconds()
    by_row = {(owners[key[:2]].series_id, key[2]): (key, record) for key, record in records.items()}
    rows = [
        {
            **instance_values(by_row[row_key][1]),
            "store_id": write.store_id,
            "series_id": row_key[0],
            "created_seq": seq,
            "changed_seq": seq,
            "operation_id": write.operation_id,
            "stored_at": now,
            "storage_class": write.storage_class,
        }
        for row_key in sorted(by_row)
    ]
    # Nobody else inserts into the store, whose row was held to draw ``seq``.
    ids = insert_new_rows(
        transaction, schema.instances, rows, key=("series_id", "sop_instance_uid")
    )
    inserted = {by_row[row_key][0]: row_id for row_key, row_id in ids.items()}
    by_id = {inserted[key]: records[key] for key in inserted}
    insert_headers(transaction, by_id)
    insert_frame_tables(transaction, {key: record.frame_table for key, record in by_id.items()})
    return inserted


def replace_instance(
    transaction: Connection,
    instance_id: int,
    record: InstanceRecord,
    others: Mapping[str, object],
) -> None:
    """Give a row new bytes in place, and other columns: its id and ``created_seq`` stay."""
    values = instance_values(record)
    del values["sop_instance_uid"]
    transaction.execute(
        update(schema.instances)
        .where(schema.instances.c.id == instance_id)
        .values(**values, **others)
    )
    for table in (schema.headers, schema.frame_tables):
        transaction.execute(table.delete().where(table.c.instance_id == instance_id))
    insert_headers(transaction, {instance_id: record})
    insert_frame_tables(transaction, {instance_id: record.frame_table})


def insert_headers(transaction: Connection, records: Mapping[int, InstanceRecord]) -> None:
    """Insert the headers that are kept, by the ids of their instances."""
    rows = [
        {"instance_id": instance_id, "dict": record.header_dictionary, "z": record.header}
        for instance_id, record in sorted(records.items())
        if record.header is not None
    ]
    insert_rows(transaction, schema.headers, rows)


def insert_frame_tables(transaction: Connection, tables: Mapping[int, Sequence[bytes]]) -> None:
    """Insert the chunks of tables of frames, by the ids of their instances."""
    rows = [
        {"instance_id": instance_id, "chunk": number, "z": z}
        for instance_id, chunks in sorted(tables.items())
        for number, z in enumerate(chunks)
    ]
    insert_rows(transaction, schema.frame_tables, rows)
