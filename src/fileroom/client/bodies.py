"""The bodies of requests that start operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack, cast

from fileroom.names import DatasetName, DicomStoreName

if TYPE_CHECKING:
    from fileroom.client.values import JsonObject


class TransferOptions(TypedDict, total=False):
    """What an import or an export may be asked for beyond Google's API."""

    priority: str
    """``LOW``, ``NORMAL`` or ``HIGH``: what begins first, and is given more of the workers."""
    manifest_uri_prefix: str
    """Below which the ledger is written at the end, in a directory named as the operation."""
    manifest_format: str
    """``NDJSON``, ``CSV`` or ``PARQUET``; NDJSON unless given."""


class ImportOptions(TransferOptions, total=False):
    """What an import may be asked for."""

    mode: str
    """``REFERENCE`` leaves objects where they lie, and reads only their headers."""
    duplicate_policy: str
    """``KEEP_FIRST`` or ``REPLACE``; what is stored with other bytes fails unless given."""
    retry_of: str
    """The full name of an import that has ended, of which only what failed is imported."""
    validate_only: bool
    """Whether it is only told what would become of each object: nothing is stored."""


class ExportOptions(TransferOptions, total=False):
    """What an export may be asked for."""

    since: str
    """The full name of an export that went well: only what changed since is exported."""
    if_exists: str
    """``SKIP_IDENTICAL`` or ``FAIL``; what has the name of a file is overwritten unless given."""
    verify: str
    """``CONTENT`` reads all again that was written, before ``_SUCCESS``; ``SIZE`` unless given."""
    write_metadata: bool
    """Whether the metadata of all that was exported are written beside the ledger, as Parquet."""


def import_body(uri: str, storage_class: str = "", **options: Unpack[ImportOptions]) -> JsonObject:
    """Give an ``ImportDicomDataRequest``."""
    body: JsonObject = {"gcsSource": {"uri": uri}} if uri else {}
    if storage_class:
        body |= storage_class_body(storage_class, "")
    return body | _options(options)


def export_body(
    uri_prefix: str, mime_type: str, filter_config_gcs_uri: str, **options: Unpack[ExportOptions]
) -> JsonObject:
    """Give an ``ExportDicomDataRequest``."""
    destination: JsonObject = {"uriPrefix": uri_prefix}
    if mime_type:
        destination["mimeType"] = mime_type
    body: JsonObject = {"gcsDestination": destination, **_filter(filter_config_gcs_uri)}
    return body | _options(options)


def bigquery_body(destination: JsonObject, filter_config_gcs_uri: str) -> JsonObject:
    """Give an ``ExportDicomDataRequest`` to BigQuery."""
    return {"bigqueryDestination": destination, **_filter(filter_config_gcs_uri)}


def deidentify_body(destination: DatasetName | DicomStoreName, config: JsonObject) -> JsonObject:
    """Give a ``DeidentifyDatasetRequest`` or a ``DeidentifyDicomStoreRequest``."""
    kind = "destinationStore" if isinstance(destination, DicomStoreName) else "destinationDataset"
    return {kind: str(destination), "config": config}


def storage_class_body(storage_class: str, filter_config_gcs_uri: str) -> JsonObject:
    """Give a ``SetBlobStorageSettingsRequest``."""
    settings: JsonObject = {"blobStorageSettings": {"blobStorageClass": storage_class}}
    return settings | _filter(filter_config_gcs_uri)


def _options(options: TransferOptions) -> JsonObject:
    given = cast("JsonObject", {_camel(name): value for name, value in options.items() if value})
    return {"fileroomOptions": given} if given else {}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _filter(gcs_uri: str) -> JsonObject:
    return {"filterConfig": {"resourcePathsGcsUri": gcs_uri}} if gcs_uri else {}
