"""What a manifest is asked for with: where it goes, in which form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.errors import InvalidArgument
from fileroom.objectstore.uri import parse_uri_prefix
from fileroom.rows import CSV, NDJSON, PARQUET, load_pyarrow
from fileroom.transfer.asking import check_is_place
from fileroom.transfer.options import ExportOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.names import DicomStoreName
    from fileroom.transfer.facilities import Facilities
    from fileroom.transfer.options import ManifestFormat, Options

MEDIA_TYPES: Final[Mapping[ManifestFormat, str]] = {
    "": NDJSON,
    "NDJSON": NDJSON,
    "CSV": CSV,
    "PARQUET": PARQUET,
}


def check_manifest(facilities: Facilities, name: DicomStoreName, options: Options) -> None:
    """Refuse at the request what could not be written at the end of the operation.

    Raises
    ------
    InvalidArgument
        If the place has a form that the grammar does not know, or what belongs to a manifest is
        asked for without one.
    FailedPrecondition
        If this server cannot write Parquet, or an object has the name of the place.
    PermissionDenied
        If the bucket is not one that the store may write to.
    """
    exporting = options if isinstance(options, ExportOptions) else ExportOptions()
    if not options.manifest_uri_prefix:
        for field, value in (
            ("manifest_format", options.manifest_format),
            ("verify", exporting.verify),
            ("write_metadata", exporting.write_metadata),
        ):
            if value:
                raise InvalidArgument(
                    f"{field} says how the manifest is made: name its place in manifest_uri_prefix",
                    f"fileroom_options.{field}",
                )
        return
    place = parse_uri_prefix(options.manifest_uri_prefix, facilities.buckets.roots)
    settings = facilities.buckets.resolve(place.bucket_name, right="write", dicom_store=str(name))
    check_is_place(
        settings, place, options.manifest_uri_prefix, "fileroom_options.manifest_uri_prefix"
    )
    if MEDIA_TYPES[options.manifest_format] == PARQUET or exporting.write_metadata:
        load_pyarrow()
