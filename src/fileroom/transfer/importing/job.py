"""An import is asked for, and its job runs the pipeline."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.archive.ingest import part_name
from fileroom.database import stores
from fileroom.database.instances import forget_foreseen
from fileroom.database.operations import Kind
from fileroom.errors import NotFound
from fileroom.objectstore.local.parts import forget_parts
from fileroom.objectstore.uri import parse_pattern
from fileroom.transfer.asking import ask_for
from fileroom.transfer.importing.line import Import
from fileroom.transfer.importing.retrying import as_before, check_source, find_retried
from fileroom.transfer.manifest import check_manifest
from fileroom.transfer.options import (
    ImportOptions,
    find_storage_class,
    keep_options,
    read_options,
)
from fileroom.transfer.pipeline import run_pipeline

if TYPE_CHECKING:
    from fileroom.database.operations import Json, Operation
    from fileroom.names import DicomStoreName, OperationName
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities

PERMISSION: Final = "healthcare.dicomStores.import"
NO_OPTIONS: Final = ImportOptions()
ROWS_AT_A_TIME: Final = 5000
COUNTING_SECONDS: Final = 5.0
"""How long an import that ended waits for its counting, which may wait for a cloud."""


def request_import(
    facilities: Facilities,
    name: DicomStoreName,
    uri: str,
    *,
    storage_class: str = "",
    options: ImportOptions = NO_OPTIONS,
    api_version: str,
    principal: str = "",
) -> OperationName:
    """Ask for an import; it begins as soon as the runner has room for it.

    One that retries another takes its source from that, and what is left open.

    Raises
    ------
    InvalidArgument
        If ``uri`` has a form that the grammar does not know.
    FailedPrecondition
        If there is nothing to retry, or the manifest cannot be written as it is asked for.
    PermissionDenied
        If a bucket is not one that this store may use.
    """
    earlier = None
    if options.retry_of:
        with facilities.database.read() as connection:
            store = stores.get_dicom_store(connection, name, permission=PERMISSION)
            earlier = find_retried(connection, store, options.retry_of)
        uri = check_source(uri, earlier)
        options = as_before(options, earlier)
        storage_class = storage_class or find_storage_class(earlier.request)
    pattern = parse_pattern(uri, facilities.buckets.roots)
    facilities.buckets.resolve(pattern.bucket_name, right="read", dicom_store=str(name))
    check_manifest(facilities, name, options)

    details: Json = {"gcsSource": {"uri": uri}, **keep_options(options)}
    if storage_class:
        details["blobStorageSettings"] = {"blobStorageClass": storage_class}
    return ask_for(
        facilities,
        name,
        Kind.IMPORT,
        details,
        priority=options.rank,
        builds_on=earlier,
        api_version=api_version,
        principal=principal,
        permission=PERMISSION,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """The job of import operations."""

    facilities: Facilities

    def __call__(self, run: Run) -> bool:
        """Import all that the operation's URI matches, from its cursor on."""
        done = False
        try:
            done = self._import(run)
        finally:
            if run.operation.fence > 1 or not done:
                # What was stored and not committed then may never be.
                assert run.operation.store_id is not None
                self.facilities.suspect(run.operation.store_id, run.operation.id)
        return done

    def _import(self, run: Run) -> bool:
        work = Import(self.facilities, run)
        counting = threading.Thread(target=work.count, name="counting-lister", daemon=True)
        counting.start()
        try:
            return run_pipeline(run, work)
        finally:
            work.stop_counting()
            counting.join(COUNTING_SECONDS)


def forget_import(facilities: Facilities, operation: Operation) -> None:
    """Delete what was kept for an import that has ended, however it did."""
    name = operation.dicom_store_name
    if operation.kind is not Kind.IMPORT or name is None:
        return
    if read_options(operation.request, ImportOptions).validate_only:
        _forget_foreseen(facilities, operation)
    try:
        with facilities.database.read() as connection:
            store = stores.get_dicom_store(connection, name)
    except NotFound:
        return  # its blobs go with all that is beside them
    forget_parts(facilities.blobs.bucket(store.blob_prefix).scratch, part_name(operation.id))


def _forget_foreseen(facilities: Facilities, operation: Operation) -> None:
    """Delete what an import noted that only validated; else that goes with the operation."""
    deleted = ROWS_AT_A_TIME
    while deleted >= ROWS_AT_A_TIME:
        deleted = facilities.database.write(
            lambda transaction: forget_foreseen(transaction, operation.id, ROWS_AT_A_TIME)
        )
