"""The bodies of requests that start operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.names import DatasetName, DicomStoreName

if TYPE_CHECKING:
    from fileroom.client.values import JsonObject


def import_body(uri: str, storage_class: str, mode: str, duplicate_policy: str = "") -> JsonObject:
    """Give an ``ImportDicomDataRequest``."""
    body: JsonObject = {"gcsSource": {"uri": uri}}
    if storage_class:
        body |= storage_class_body(storage_class, "")
    given = {"mode": mode, "duplicatePolicy": duplicate_policy}
    options: JsonObject = {name: value for name, value in given.items() if value}
    if options:
        body["fileroomOptions"] = options
    return body


def export_body(uri_prefix: str, mime_type: str, filter_config_gcs_uri: str) -> JsonObject:
    """Give an ``ExportDicomDataRequest``."""
    destination: JsonObject = {"uriPrefix": uri_prefix}
    if mime_type:
        destination["mimeType"] = mime_type
    return {"gcsDestination": destination, **_filter(filter_config_gcs_uri)}


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


def _filter(gcs_uri: str) -> JsonObject:
    return {"filterConfig": {"resourcePathsGcsUri": gcs_uri}} if gcs_uri else {}
