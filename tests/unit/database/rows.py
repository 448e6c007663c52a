"""A database with DICOM stores, and records for them that need no bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from fileroom.archive.layout import blob_key
from fileroom.database import operations, schema, stores
from fileroom.database.instances import InstanceRecord, Place, next_change_seq
from fileroom.database.operations import Kind
from fileroom.dicom.part10 import IndexedAttributes
from fileroom.names import DatasetName, DicomStoreName, LocationName, OperationName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row, Table

    from fileroom.database.engine import Connection
    from fileroom.database.instances import InstanceKey
    from fileroom.database.operations import Operation

DATASET = DatasetName(LocationName("p", "us-central1"), "d")
STORE = DicomStoreName(DATASET, "s")
OWNER = "boot-1"
HOUR = 3_600_000_000


def new_store(transaction: Connection, name: DicomStoreName = STORE) -> int:
    """Add a DICOM store, and its dataset if need be; give its row's id."""
    if stores.find_dataset(transaction, name.parent) is None:
        stores.insert_dataset(transaction, name.parent)
    return stores.insert_dicom_store(transaction, name, {}).id


def record(
    ordinal: int,
    key: InstanceKey = ("1.2", "1.2.1", "1.2.1.1"),
    content: str = "a",
    *,
    operation: int = 1,
    header: bytes | None = b"header",
    **attributes: str,
) -> InstanceRecord:
    """Give the record of an instance whose blob holds ``content``."""
    data = content.encode()
    sha256 = hashlib.sha256(data).digest()
    study, series, instance = key
    return InstanceRecord(
        ordinal=ordinal,
        source=f"gs://b/{ordinal}",
        version="1",
        attributes=IndexedAttributes(
            study_instance_uid=study,
            series_instance_uid=series,
            sop_instance_uid=instance,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            **attributes,  # type: ignore[arg-type]
        ),
        place=Place(key=blob_key(sha256, operation, ordinal), size=len(data), sha256=sha256),
        frames_known="NATIVE",
        header=header,
        header_dictionary=1,
    )


def all_rows(connection: Connection, table: Table) -> Sequence[Row[*tuple[object, ...]]]:
    """Give a table in the order of its primary key."""
    return connection.execute(select(table).order_by(*table.primary_key.columns)).all()


def add_tombstone(
    transaction: Connection,
    store_id: int,
    study: str,
    series: str | None = None,
    instance: str | None = None,
) -> None:
    """Note a deletion, as one does while an import runs."""
    transaction.execute(
        insert(schema.tombstones).values(
            store_id=store_id,
            study_instance_uid=study,
            series_instance_uid=series,
            sop_instance_uid=instance,
            seq=next_change_seq(transaction, store_id),
        )
    )


def add_operation(
    transaction: Connection,
    *,
    kind: Kind = Kind.IMPORT,
    store_id: int | None = None,
    dataset: DatasetName = DATASET,
) -> OperationName:
    """Add an operation that waits to be claimed."""
    if stores.find_dataset(transaction, dataset) is None:
        stores.insert_dataset(transaction, dataset)
    operation_id = operations.insert_operation(
        transaction,
        stores.get_dataset(transaction, dataset).id,
        kind=kind,
        api_version="v1",
        request={"name": f"{dataset}/dicomStores/s", "gcsSource": {"uri": "gs://b/**"}},
        store_id=store_id,
    )
    return OperationName(dataset, operation_id)


def claimed(transaction: Connection, owner: str = OWNER) -> Operation:
    """Claim the operation whose turn it is."""
    operation = operations.claim_operation(transaction, owner)
    assert operation is not None
    return operation


def add_claimed(transaction: Connection, *, store_id: int | None = None) -> Operation:
    """Add an import and claim it."""
    add_operation(transaction, store_id=store_id)
    return claimed(transaction)
