"""An operation's manifest is written once all its objects are settled, before it ends.

A server that dies over it writes it again: its files have the same names and say the same.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.database.operations import Kind, State
from fileroom.errors import (
    Aborted,
    Cancelled,
    FileroomError,
    Internal,
    ResourceExhausted,
    Unavailable,
)
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.uri import parse_uri_prefix
from fileroom.operations.operation import account
from fileroom.transfer.manifest.files import ManifestFiles
from fileroom.transfer.manifest.metadata import MetadataRows
from fileroom.transfer.manifest.verifying import Verification
from fileroom.transfer.options import ExportOptions, ImportOptions, read_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from fileroom.database.operations import Json, Operation
    from fileroom.operations.runner import Job, Run
    from fileroom.transfer.facilities import Facilities

    _Rows = list[dict[str, Any]]

logger = logging.getLogger(__name__)

AT_A_TIME: Final = 250
"""Objects that are verified together."""
LOOK_SECONDS: Final = 0.25
"""How often it is looked what somebody asks of the operation."""


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
            if not self.job(run):
                return False
        except (Aborted, ResourceExhausted, Unavailable):
            raise  # it goes on later, here or elsewhere
        except FileroomError as error:
            self._write_what_is_done(run, options, error)
            raise
        try:
            return _Manifest(self.facilities, run, options).write(None)
        except Cancelled as error:
            self._write_what_is_done(run, options, error)
            raise

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
        writer, claim = progress.name.operation_id, run.operation.fence
        # What a server left half written that died over this operation.
        bucket.sweep_writers(directory, writer, below=claim)
        bucket = bucket.as_writer(writer, claim)
        self._files = ManifestFiles(bucket, directory, options.manifest_format)
        self._looked_at = 0.0
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
        Aborted
            If another server took the operation over, which has the last word then.
        """
        if error is not None:  # it is no success, and somebody waits for its end
            self._verification = self._metadata = None
        self._run.check_claim()
        self._files.begin()
        try:
            listed = self._write_parts(heeding=error is None)
        except _Stopped:
            return False
        ended = replace(self._progress, state=State.DONE)
        self._run.check_claim()
        self._files.write_account(_account(ended, error, self._verification, self._metadata))
        self._files.end()
        _check_account(ended, listed)
        if self._verification is not None:
            self._verification.raise_differences()
        if error is None and not ended.counters.failed:
            self._run.check_claim()
            self._files.write_success()
        return True

    def _write_parts(self, *, heeding: bool) -> dict[str, int]:
        """Write the ledger, verify what it tells and write metadata; give how many of each.

        All the while ``heeding`` what somebody asks of the operation, or only a server's stop.
        """
        listed: dict[str, int] = {}
        for lines in self._files.parts(self._run.database, self._progress.id, ended=True):
            self._look(heeding=heeding)
            for line in lines:
                listed[line.result] = listed.get(line.result, 0) + 1
            if self._verification is not None:
                for at in range(0, len(lines), AT_A_TIME):
                    look = partial(self._look, heeding=heeding)
                    self._verification.check(lines[at : at + AT_A_TIME], look)
            if self._metadata is not None:
                rows = self._metadata.rows(lines)
                self._files.write_metadata(self._looking(rows, heeding=heeding))
        return listed

    def _looking(self, rows: Iterator[_Rows], *, heeding: bool) -> Iterator[_Rows]:
        for some in rows:
            self._look(heeding=heeding)
            yield some

    def _look(self, *, heeding: bool) -> None:
        """Leave off if somebody asks for it; it may be asked at every piece of an object."""
        if self._run.stopping:
            raise _Stopped
        if heeding and time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._run.check()


class _Stopped(Exception):
    """The server stops, or somebody has the operation wait: all is written again later."""


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
