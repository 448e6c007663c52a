"""An export is asked for, and its job runs the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.database import stores
from fileroom.database.operations import Kind
from fileroom.objectstore.uri import parse_uri_prefix
from fileroom.transfer.asking import ask_for, check_is_place, filter_config
from fileroom.transfer.exporting.continuing import filter_of, find_earlier
from fileroom.transfer.exporting.forms import parse_form
from fileroom.transfer.exporting.line import Export
from fileroom.transfer.manifest import check_manifest
from fileroom.transfer.options import ExportOptions, keep_options
from fileroom.transfer.pipeline import run_pipeline

if TYPE_CHECKING:
    from fileroom.database.operations import Json
    from fileroom.names import DicomStoreName, OperationName
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities

NO_OPTIONS: Final = ExportOptions()


def request_export(
    facilities: Facilities,
    name: DicomStoreName,
    uri_prefix: str,
    *,
    mime_type: str = "",
    filter_uri: str = "",
    options: ExportOptions = NO_OPTIONS,
    api_version: str,
    principal: str = "",
) -> OperationName:
    """Ask for an export; it begins as soon as the runner has room for it.

    ``filter_uri`` names a text object with one ``/studies/…`` path a line; empty means all.

    Raises
    ------
    InvalidArgument
        If a URI or the format has a form that the contract does not know.
    PermissionDenied
        If a bucket is not one that this store may use.
    FailedPrecondition
        If the prefix names an object where a directory would have to be, what it is to go on
        from did not export everything, or the manifest cannot be written as it is asked for.
    """
    destination = parse_uri_prefix(uri_prefix, facilities.buckets.roots)
    parse_form(mime_type, destination.key)
    bucket = facilities.buckets.resolve(
        destination.bucket_name, right="write", dicom_store=str(name)
    )
    check_is_place(bucket, destination, uri_prefix, "uri_prefix")
    check_manifest(facilities, name, options)
    gcs_destination: Json = {"uriPrefix": uri_prefix}
    if mime_type:
        gcs_destination["mimeType"] = mime_type
    details: Json = {
        "gcsDestination": gcs_destination,
        **filter_config(facilities, name, filter_uri),
        **keep_options(options),
    }
    earlier = None
    if options.since:
        with facilities.database.read() as connection:
            store = stores.get_dicom_store(connection, name)
            earlier = find_earlier(connection, store, options.since, filter_of(details))
    return ask_for(
        facilities,
        name,
        Kind.EXPORT,
        details,
        priority=options.rank,
        builds_on=earlier,
        api_version=api_version,
        principal=principal,
        permission="healthcare.dicomStores.export",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """The job of export operations."""

    facilities: Facilities

    def __call__(self, run: Run) -> bool:
        """Export what was stored when the operation began, from its cursor on."""
        export = Export(self.facilities, run)
        try:
            return run_pipeline(run, export)
        finally:
            export.close()
