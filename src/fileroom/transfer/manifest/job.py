"""An operation's manifest is written once all its objects are settled, before it ends.

A server that dies over it writes it again: its files have the same names and say the same.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fileroom.database.operations import Kind, State
from fileroom.errors import (
    Aborted,
    FileroomError,
    Internal,
    ResourceExhausted,
    Unavailable,
)
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.uri import parse_uri_prefix
from fileroom.operations.operation import account
from fileroom.transfer.claims import every_claim, this_claim
from fileroom.transfer.manifest.files import ManifestFiles
from fileroom.transfer.manifest.metadata import MetadataRows
from fileroom.transfer.manifest.verifying import Verification
from fileroom.transfer.options import ExportOptions, ImportOptions, read_options

if TYPE_CHECKING:
    from fileroom.database.operations import Json, Operation
    from fileroom.operations.runner import Job, Run
    from fileroom.transfer.facilities import Facilities

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithManifest:
    """The job of operations of a kind, with the manifest that such an operation may leave."""

    facilities: Facilities
    job: Job

    def __call__(self, run: Run) -> bool:
        """Do the job, then write what became of each object."""
        request = run.operation.request
        options: ExportOptions | ImportOptions
        if run.operation.kind is Kind.EXPORT:
            options = read_options(request, ExportOptions)
        else:
            options = read_options(request, ImportOptions)
        if not options.manifest_uri_prefix:
            return self.job(run)
        try:
            done = self.job(run)
        except (Aborted, ResourceExhausted, Unavailable):
            raise  # it goes on later, here or elsewhere
        except FileroomError as error:
            self._write_what_is_done(run, options, error)
            raise
        return done and _Manifest(self.facilities, run, options).write(None)

    def _write_what_is_done(
        self, run: Run, options: ExportOptions | ImportOptions, error: FileroomError
    ) -> None:
        """Try it once: an operation that was cancelled waits for no bucket to come back."""
        try:
            _Manifest(self.facilities, run, options).write(error)
        except FileroomError as fault:
            logger.warning("no manifest could be written", extra={"cause": str(fault)})


class _Manifest:
    """The manifest of one operation, about to be written."""

    def __init__(
        self, facilities: Facilities, run: Run, options: ExportOptions | ImportOptions
    ) -> None:
        self._run = run
        self._progress = progress = run.read()
        place = parse_uri_prefix(options.manifest_uri_prefix, facilities.buckets.roots)
        bucket = open_bucket(facilities.bucket(progress, place.bucket_name, "write"))
        directory = f"{place.key}{progress.name.operation_id}/"
        # What a server left half written that died over this operation.
        bucket.sweep_writers(directory, every_claim(run.operation))
        bucket = bucket.as_writer(this_claim(run.operation))
        self._files = ManifestFiles(bucket, directory, options.manifest_format)
        self._verification: Verification | None = None
        self._metadata: MetadataRows | None = None
        if isinstance(options, ExportOptions):
            self._verification = Verification(facilities, progress, options.verify or "SIZE")
            if options.write_metadata:
                self._metadata = MetadataRows(facilities, progress)

    def write(self, error: FileroomError | None) -> bool:
        """Write it all; False if the server stops first.

        Raises
        ------
        DataLoss
            If what was exported is not where and as it was written.
        Internal
            If the ledger does not give the account.
        """
        listed: dict[str, int] = {}
        for lines in self._files.parts(self._run.database, self._progress.id, ended=True):
            if error is None:
                self._run.check()
            if self._run.stopping:
                return False
            for line in lines:
                listed[line.result] = listed.get(line.result, 0) + 1
            if self._verification is not None:
                self._verification.check(lines)
            if self._metadata is not None:
                self._files.write_metadata(self._metadata.rows(lines))
        ended = replace(self._progress, state=State.DONE)
        self._files.write_account(_account(ended, error, self._verification, self._metadata))
        _check_account(ended, listed)
        if self._verification is not None and error is None:
            self._verification.raise_differences()
        if error is None and not ended.counters.failed:
            self._files.write_success()
        return True


def _account(
    ended: Operation,
    error: FileroomError | None,
    verification: Verification | None,
    metadata: MetadataRows | None,
) -> Json:
    told: Json = {
        "operation": str(ended.name),
        "request": dict(ended.lasting_request),
        "account": dict(account(ended)),
        "bytes": ended.counters.bytes,
    }
    if error is not None:
        told["error"] = {"code": int(error.code), "message": error.message}
    if verification is not None:
        told["verification"] = verification.result()
    if metadata is not None:
        told["metadataUntold"] = metadata.untold
    return told


def _check_account(ended: Operation, listed: dict[str, int]) -> None:
    """Compare the lines of the ledger with the account, as anybody may who reads both."""
    terms = {
        name: count
        for name, count in account(ended).items()
        if name not in {"listed", "pending", "notStarted"} and count
    }
    if terms != listed:
        raise Internal(
            f"the ledger has {listed}, the account says {terms}; please report this operation"
        )
