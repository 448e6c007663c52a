"""One export operation as its coordinator sees it: what to list, to submit, to commit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.archive.layout import blob_bucket, check_blob_bucket
from fileroom.database import exports, operations, stores
from fileroom.database.instances import current_change_seq
from fileroom.database.values.operations import DeferredObject
from fileroom.errors import (
    Code,
    InvalidArgument,
    NotFound,
    ObjectFailure,
    Reason,
    ResourceExhausted,
)
from fileroom.names import InstancePath, parse_instance_path
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.uri import parse_object_uri, parse_uri_prefix
from fileroom.transfer import commits
from fileroom.transfer.executors import WorkerLost
from fileroom.transfer.exporting.worker import (
    ExportOutcome,
    ExportTask,
    InstanceToExport,
    export_batch,
)
from fileroom.transfer.ledger import LedgerLine, failure_line
from fileroom.transfer.pipeline import BATCH_OBJECTS_MAX, NO_BLAME, Batch, Blame, cut_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from fileroom.database.engine import Connection
    from fileroom.database.exports import StoredInstance
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities

FILTER_BYTES_MAX: Final = 256 << 20


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """How far an export is: which path of its filter, and the key of the last instance."""

    path_index: int = 0
    series_id: int = 0
    sop_instance_uid: str = ""


class Export:
    """The work that the pipeline moves for an export."""

    def __init__(self, facilities: Facilities, run: Run) -> None:
        self._facilities = facilities
        self._run = run
        self._progress = progress = run.read()
        name, request = progress.dicom_store_name, progress.request["gcsDestination"]
        assert name is not None
        assert isinstance(request, dict)
        prefix = parse_uri_prefix(str(request["uriPrefix"]))
        self._prefix = prefix.key
        self._destination = facilities.bucket(progress, prefix.bucket_name, "write")
        with facilities.database.read() as connection:
            store = stores.get_dicom_store(connection, name)
        if store.id != progress.store_id:
            raise NotFound(f"DICOM store {name} was deleted while the operation waited")
        check_blob_bucket(facilities.blobs, store.blob_prefix)
        self._store_id = store.id
        self._blobs = blob_bucket(facilities.blobs, store.blob_prefix)
        self._paths = self._selected(str(name))
        self._horizon = self._begin()
        if progress.start_seq is not None:
            self._sweep()

    def _selected(self, dicom_store: str) -> Sequence[InstancePath | None]:
        filter_config = self._progress.request.get("filterConfig")
        if not isinstance(filter_config, dict):
            return [None]
        uri = parse_object_uri(str(filter_config["resourcePathsGcsUri"]))
        settings = self._facilities.buckets.resolve(
            uri.bucket_name, right="read", dicom_store=dicom_store
        )
        bucket = open_bucket(settings)
        entry = bucket.find(uri.key)
        if entry is None:
            raise NotFound(f"the filter {uri} does not exist")
        if entry.size > FILTER_BYTES_MAX:
            raise ResourceExhausted(
                f"the filter {uri} has {entry.size} bytes; at most {FILTER_BYTES_MAX} are read:"
                " split it into several exports",
                "filter_config",
            )
        return _parse_paths(str(uri), bucket.read(uri.key))

    def _begin(self) -> int:
        """Give the store's last change when the operation first began: its horizon."""
        if self._progress.start_seq is not None:
            return self._progress.start_seq

        def begin(transaction: Connection) -> int:
            horizon = current_change_seq(transaction, self._store_id)
            operations.begin_operation(
                transaction, self._run.operation, start_seq=horizon, total=None
            )
            return horizon

        horizon = self._facilities.database.write(begin)
        with self._facilities.database.read() as connection:
            total = sum(
                exports.count_instances(connection, self._store_id, horizon=horizon, path=path)
                for path in self._paths
            )
        self._facilities.database.write(
            lambda transaction: operations.set_total(transaction, self._run.operation, total)
        )
        return horizon

    def _sweep(self) -> None:
        """Delete the temporary files of a server that died over this operation."""
        since_boot = time.time() - self._facilities.booted_at
        open_bucket(self._destination).sweep_temporaries(
            self._prefix, older_than_seconds=since_boot
        )

    # ------------------------------------------------------------------ listing

    def batches(self) -> Iterator[Batch[InstanceToExport]]:
        """List from the cursor on."""
        first_ordinal = self._progress.next_ordinal
        items = (
            (self._to_export(ordinal, stored), cursor)
            for ordinal, (stored, cursor) in enumerate(self._listed(), first_ordinal)
        )
        return cut_batches(items, first_ordinal=first_ordinal)

    def _listed(self) -> Iterator[tuple[StoredInstance, str]]:
        text = self._progress.cursor
        start = msgspec.json.decode(text, type=Cursor) if text else Cursor()
        key = (start.series_id, start.sop_instance_uid)
        for index in range(start.path_index, len(self._paths)):
            while page := self._page(self._paths[index], key):
                for stored in page:
                    yield stored, msgspec.json.encode(Cursor(index, *stored.key)).decode()
                key = page[-1].key
            key = (0, "")

    def _page(self, path: InstancePath | None, after: exports.Key) -> Sequence[StoredInstance]:
        with self._facilities.database.read() as connection:
            return exports.list_instances(
                connection,
                self._store_id,
                horizon=self._horizon,
                path=path,
                after=after,
                at_most=BATCH_OBJECTS_MAX,
            )

    def _to_export(self, ordinal: int, stored: StoredInstance) -> InstanceToExport:
        uids = (stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid)
        return InstanceToExport(
            ordinal=ordinal,
            instance=uids,
            place=stored.place,
            key=f"{self._prefix}{'/'.join(uids)}.dcm",
        )

    # ------------------------------------------------------------------ the line

    def submit(
        self, batch: Batch[InstanceToExport], blame: Blame, slow_seconds: float
    ) -> Future[ExportOutcome]:
        """Give a batch to a worker."""
        return self._submit(batch.items, blame, alone=False)

    def _submit(
        self, instances: tuple[InstanceToExport, ...], blame: Blame, *, alone: bool
    ) -> Future[ExportOutcome]:
        task = ExportTask(
            blobs=self._blobs,
            destination=self._destination,
            instances=instances,
            blame=blame,
            alone=alone,
        )
        return self._facilities.turns.submit(self._progress.id, export_batch, task)

    def commit(self, batch: Batch[InstanceToExport], outcome: ExportOutcome) -> None:
        """Count what was written, and move the cursor, in one transaction."""
        deferred = [_deferred(instance, why) for instance, why in outcome.missing]
        commits.commit_batch(self._run, batch, deferred, lambda tx: self._settle(tx, outcome))

    def _settle(self, transaction: Connection, outcome: ExportOutcome) -> list[LedgerLine]:
        operations.insert_failures(transaction, self._run.operation, outcome.failures)
        lines = [
            LedgerLine(
                ordinal=instance.ordinal,
                source=instance.source,
                result="exported",
                size=instance.size,
                sha256=instance.place.sha256,
                instance=instance.instance,
                destination=f"{self._destination.name}/{instance.key}",
            )
            for instance in outcome.exported
        ]
        return lines + [failure_line(ordinal, failure) for ordinal, failure in outcome.failures]

    def discard(self, outcome: ExportOutcome) -> None:
        """Leave what was written: objects of a cancelled export are whole, and the user's."""

    # ------------------------------------------------------------------ the deferred lane

    def has_deferred(self) -> bool:
        """Whether any deferred instance is left."""
        return commits.has_deferred(self._run)

    def due_deferred(self, at_most: int, without: Iterable[int]) -> list[DeferredObject]:
        """Give deferred instances whose time has come."""
        return commits.due_deferred(self._run, at_most, without)

    def submit_deferred(self, deferred: DeferredObject) -> Future[ExportOutcome]:
        """Look an instance up again and give it to a worker; one that is gone comes back so."""
        path = parse_instance_path(deferred.source)
        with self._facilities.database.read() as connection:
            stored = exports.find_instance(connection, self._store_id, path)
        instances = () if stored is None else (self._to_export(deferred.ordinal, stored),)
        return self._submit(instances, NO_BLAME, alone=True)

    def commit_deferred(
        self, deferred: DeferredObject, outcome: ExportOutcome | WorkerLost
    ) -> None:
        """Finish a deferred instance."""
        if isinstance(outcome, WorkerLost):
            message = "the worker process died over it, twice"
            outcome = _failed(deferred, Code.INTERNAL, outcome.reason, message)
        elif outcome.missing:
            message = "the stored bytes are not where the index says; restore the blob"
            outcome = _failed(deferred, Code.DATA_LOSS, Reason.DATA_LOSS, message)
        elif not outcome.exported and not outcome.failures:
            message = "the instance was deleted while it was exported"
            outcome = _failed(deferred, Code.NOT_FOUND, Reason.SOURCE_NOT_FOUND, message)
        settled = outcome
        commits.commit_deferred(self._run, deferred, lambda tx: self._settle(tx, settled))


def _deferred(instance: InstanceToExport, why: str) -> DeferredObject:
    return DeferredObject(
        ordinal=instance.ordinal,
        source=instance.source,
        version=None,
        size=instance.size,
        why=why,
    )


def _failed(deferred: DeferredObject, code: Code, reason: Reason, message: str) -> ExportOutcome:
    failure = ObjectFailure(source=deferred.source, code=code, reason=reason, message=message)
    return ExportOutcome(
        exported=(), failures=((deferred.ordinal, failure),), missing=(), seconds=0.0
    )


def _parse_paths(uri: str, content: bytes) -> list[InstancePath]:
    """Give the paths of a filter in order, without those that another one contains.

    References
    ----------
    Cloud Healthcare v1 ``DicomFilterConfig``.
    """
    paths = set()
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            paths.add(parse_instance_path(line))
        except InvalidArgument as error:
            raise InvalidArgument(
                f"line {number} of the filter {uri}: {error.message}", "filter_config"
            ) from error
    kept: list[InstancePath] = []
    # By their parts: as texts, study 1.2.3 would come between study 1.2 and a series of it.
    for path in sorted(paths, key=_parts):
        if not kept or not str(path).startswith(f"{kept[-1]}/"):
            kept.append(path)
    return kept


def _parts(path: InstancePath) -> tuple[str, str, str]:
    return (
        path.study_instance_uid,
        path.series_instance_uid or "",
        path.sop_instance_uid or "",
    )
