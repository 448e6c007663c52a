"""The audit log of a server, as the database and its operations see it.

The entry of an operation's end follows its row: what has ended and is not told yet is told by who
comes next. Between an entry and the note that it is written a crash has it told twice, never not.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fileroom.audit import Access, AuditLog, Entry, Head
from fileroom.database import operations
from fileroom.database.audit_heads import audit_heads, find_audit_head, keep_audit_head
from fileroom.database.engine import now_microseconds
from fileroom.database.values.operations import Kind
from fileroom.errors import Code, FileroomError

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.database.engine import Database, Readers
    from fileroom.database.operations import Operation

logger = logging.getLogger(__name__)

UNTOLD_SECONDS: Final = 10
"""How long a living server may take from an operation's end to its entry."""
UNTOLD_MAX: Final = 100
"""Operations that are read at a time."""
SERVICE: Final = "healthcare.googleapis.com"
METHOD_NAMES: Final = {
    Kind.CREATE_DATASET: "dataset.DatasetService.CreateDataset",
    Kind.IMPORT: "dicom.DicomService.ImportDicomData",
    Kind.EXPORT: "dicom.DicomService.ExportDicomData",
    Kind.DELETE_STUDY: "dicom.DicomService.DeleteStudy",
    Kind.DELETE_SERIES: "dicom.DicomService.DeleteSeries",
    Kind.SET_STORAGE_CLASS: "dicom.DicomService.SetBlobStorageSettings",
    Kind.UPDATE_STUDY: "dicom.DicomService.UpdateStudyMetadata",
    Kind.UPDATE_SERIES: "dicom.DicomService.UpdateSeriesMetadata",
    Kind.PROMOTE: "dicom.DicomService.PromoteDicomData",
    Kind.UNDO_IMPORT: "dicom.DicomService.UndoImportDicomData",
}
_PERMISSIONS: Final = {
    Kind.CREATE_DATASET: "healthcare.datasets.create",
    Kind.IMPORT: "healthcare.dicomStores.import",
    Kind.EXPORT: "healthcare.dicomStores.export",
    Kind.DELETE_STUDY: "healthcare.dicomStores.dicomWebDelete",
    Kind.DELETE_SERIES: "healthcare.dicomStores.dicomWebDelete",
    Kind.SET_STORAGE_CLASS: "healthcare.dicomStores.dicomWebUpdate",
    Kind.UPDATE_STUDY: "healthcare.dicomStores.dicomWebUpdate",
    Kind.UPDATE_SERIES: "healthcare.dicomStores.dicomWebUpdate",
    Kind.PROMOTE: "healthcare.dicomStores.import",
    Kind.UNDO_IMPORT: "healthcare.dicomStores.dicomWebDelete",
}
_CODES: Final = frozenset(Code)
_TYPES: Final = {Kind.CREATE_DATASET: Access.ADMIN_WRITE, Kind.EXPORT: Access.DATA_READ}
"""What all others do is DATA_WRITE."""


def open_audit(
    database: Database, directory: Path, *, segment_bytes: int, retention_days: int
) -> AuditLog:
    """Begin to write, first of all the ends that nobody came to.

    How far the log goes is noted in the database from time to time.
    """

    def find(chain: str) -> Head | None:
        with database.read() as connection:
            noted = find_audit_head(connection, chain)
        if noted is None:
            return None
        return Head(chain=chain, sequence=noted[0], digest=noted[1])

    def keep(head: Head) -> None:
        database.write(lambda tx: keep_audit_head(tx, head.chain, head.sequence, head.digest))

    audit = AuditLog(
        directory,
        segment_bytes=segment_bytes,
        retention_days=retention_days,
        find_anchor=find,
        keep_anchor=keep,
    )
    tell_ends(database, audit)
    return audit


def noted_heads(database: Readers) -> list[Head]:
    """Give how far each log went that the database knows of."""
    with database.read() as connection:
        heads = audit_heads(connection)
    return [
        Head(chain=chain, sequence=sequence, digest=digest)
        for chain, (sequence, digest) in heads.items()
    ]


def tell_end(database: Database, audit: AuditLog, operation: Operation) -> None:
    """Write the entry of an operation's end; where that fails, it is for ``tell_ends``."""
    with database.read() as connection:
        ended = operations.read_progress(connection, operation)
    _tell(database, audit, [ended])


def tell_ends(database: Database, audit: AuditLog) -> None:
    """Write the entries of ends that nobody came to: servers died, or the disk took none."""
    grace_seconds = UNTOLD_SECONDS if database.is_shared else 0
    ended_before = now_microseconds() - grace_seconds * 1_000_000
    is_told = True
    while is_told:
        with database.read() as connection:
            ended = operations.untold_ends(
                connection, ended_before=ended_before, rows_max=UNTOLD_MAX
            )
        is_told = bool(ended) and _tell(database, audit, ended)


def _tell(database: Database, audit: AuditLog, ended: list[Operation]) -> bool:
    """Give whether all entries are on the disk, and noted to be."""
    try:
        for operation in ended:
            audit.record_durably(end_of(operation))
        database.write(lambda transaction: operations.note_ends_told(transaction, ended))
    except FileroomError as error:
        logger.warning("ends of operations are told later", extra={"cause": str(error)})
        return False
    return True


def end_of(operation: Operation) -> Entry:
    """Give the second entry of an operation: what became of it."""
    dataset = operation.name.parent
    store = operation.dicom_store_name
    error = operation.error or {}
    labels = {
        "project_id": dataset.parent.project,
        "location": dataset.parent.location,
        "dataset_id": dataset.dataset_id,
    }
    if store is not None:
        labels["dicom_store_id"] = store.dicom_store_id
    code = error.get("code", 0)
    return Entry(
        access=_TYPES.get(operation.kind, Access.DATA_WRITE),
        service=SERVICE,
        method=f"google.cloud.healthcare.{operation.api_version}.{METHOD_NAMES[operation.kind]}",
        resource=str(store or dataset),
        project=dataset.parent.project,
        kind="healthcare_dicom_store" if store is not None else "healthcare_dataset",
        labels=labels,
        principal=operation.principal,
        permission=_PERMISSIONS[operation.kind],
        code=Code(code) if code in _CODES else Code.UNKNOWN,
        is_granted=True,  # else it would not have begun, whatever a bucket then refused
        operation=str(operation.name),
        is_last=True,
    )
