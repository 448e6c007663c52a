"""``projects.locations.datasets.dicomStores`` without what lies below ``dicomWeb/``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from fileroom.api.healthcare.identities import identity, keep_identity, tell_deleted
from fileroom.api.healthcare.storage_classes import find_storage_class, parse_storage_class
from fileroom.api.healthcare.store_rules import indexed_tags, to_config, wants_delivery
from fileroom.api.healthcare.update_masks import apply_update_mask, parse_update_mask
from fileroom.api.wire import (
    EMPTY,
    DicomStore,
    DicomStoreMetrics,
    ExportDicomDataRequest,
    ImportDicomDataRequest,
    ListDicomStoresResponse,
    SetBlobStorageSettingsRequest,
    int64,
    json_answer,
)
from fileroom.archive.layout import make_blob_bucket
from fileroom.database import stores
from fileroom.database.content_metrics import store_metrics
from fileroom.database.extra_attributes import set_indexed_attributes
from fileroom.errors import FileroomError, InvalidArgument, Unimplemented
from fileroom.names import DicomStoreName
from fileroom.transfer.changing.storage_class import request_storage_class
from fileroom.transfer.exporting.job import request_export
from fileroom.transfer.importing.job import request_import
from fileroom.transfer.options import ExportOptions, ImportOptions

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call
    from fileroom.database.engine import Connection

logger = logging.getLogger(__name__)

MUTABLE = (
    "labels",
    "notificationConfig",
    "notificationConfigs",
    "streamConfigs",
    "fileroomOptions",
)


def create(call: Call) -> Answer:
    """Create a DICOM store; its directories are durable before it is visible."""
    name = DicomStoreName(call.dataset, call.parameter("dicomStoreId") or "")
    config = to_config(call.request_as(DicomStore))
    database, blobs = call.deployment.database, call.deployment.blobs
    with database.read() as connection:
        dataset = stores.get_dataset(connection, call.dataset, permission=call.permission)
        if stores.find_dicom_store(connection, name) is not None:
            raise stores.already_there(name)
    # Some hundred directories: made here and not in the writer, which everybody waits for.
    blob_prefix = stores.new_blob_prefix()
    make_blob_bucket(blobs, blob_prefix, identity(name, config, dataset))
    try:
        store = database.write(
            lambda transaction: _with_indexes(
                transaction,
                stores.insert_dicom_store(transaction, name, config, blob_prefix=blob_prefix),
            )
        )
    except FileroomError:
        blobs.delete(blob_prefix)
        raise
    _log_undelivered(store)
    return json_answer(to_wire(store))


def get(call: Call) -> Answer:
    """Give a DICOM store's settings."""
    return json_answer(to_wire(_get(call)))


def list_(call: Call) -> Answer:
    """Give the DICOM stores of a dataset by name."""
    with call.deployment.database.read() as connection:
        page = stores.list_dicom_stores(
            connection,
            call.dataset,
            page_size=call.page_size(),
            page_token=call.parameter("pageToken") or "",
            filter_text=call.parameter("filter") or "",
        )
    return json_answer(
        ListDicomStoresResponse(
            dicom_stores=[to_wire(store) for store in page.items],
            next_page_token=page.next_page_token,
        )
    )


def patch(call: Call) -> Answer:
    """Replace what the mask names."""
    masks = parse_update_mask(call.parameter("updateMask"), DicomStore, mutable=MUTABLE)
    new = msgspec.to_builtins(call.request_as(DicomStore))

    def change(old: stores.Config) -> stores.Config:
        return to_config(msgspec.convert(apply_update_mask(old, new, masks), DicomStore))

    store = call.deployment.database.write(
        lambda transaction: _with_indexes(
            transaction, stores.update_dicom_store(transaction, call.dicom_store, change)
        )
    )
    keep_identity(call.deployment, call.dicom_store)
    _log_undelivered(store)
    return json_answer(to_wire(store))


def delete(call: Call) -> Answer:
    """Delete a DICOM store with its instances; its name is free at once."""
    store = call.deployment.database.write(
        lambda transaction: stores.delete_dicom_store(transaction, call.dicom_store)
    )
    tell_deleted(call.deployment, [store.blob_prefix])
    return EMPTY


def get_metrics(call: Call) -> Answer:
    """Give what a DICOM store holds."""
    with call.deployment.database.read() as connection:
        store = stores.get_dicom_store(connection, call.dicom_store, permission=call.permission)
        metrics = store_metrics(connection, store.id)
    return json_answer(
        DicomStoreMetrics(
            name=str(store.name),
            study_count=int64(metrics.study_count),
            series_count=int64(metrics.series_count),
            instance_count=int64(metrics.instance_count),
            blob_storage_size_bytes=int64(metrics.size_bytes),
        )
    )


def import_(call: Call) -> Answer:
    """Start an import and name its operation."""
    body = call.request_as(ImportDicomDataRequest)
    options = body.fileroom_options or ImportOptions()
    uri = "" if body.gcs_source is None else body.gcs_source.uri
    if not uri and not options.retry_of:
        raise InvalidArgument(
            "gcs_source.uri is required, as in {'gcsSource': {'uri': 'gs://BUCKET/**.dcm'}}",
            "gcs_source.uri",
        )
    _get(call)
    operation = request_import(
        call.deployment.facilities,
        call.dicom_store,
        uri,
        storage_class=find_storage_class(body.blob_storage_settings),
        options=options,
        api_version=call.api_version,
        principal=call.principal.name,
    )
    return json_answer({"name": str(operation)})


def export(call: Call) -> Answer:
    """Start an export and name its operation."""
    body = call.request_as(ExportDicomDataRequest)
    if body.bigquery_destination is not None and body.gcs_destination is not None:
        raise InvalidArgument(
            "an export has exactly one of gcs_destination and bigquery_destination", "destination"
        )
    if body.bigquery_destination is not None:
        raise Unimplemented(
            "bigquery_destination: this server does not export to BigQuery yet; export to"
            " gcs_destination, or read the metadata through DICOMweb meanwhile",
            "bigquery_destination",
        )
    if body.gcs_destination is None or not body.gcs_destination.uri_prefix:
        raise InvalidArgument(
            "gcs_destination.uri_prefix is required, as in"
            " {'gcsDestination': {'uriPrefix': 'gs://BUCKET/DIRECTORY'}}",
            "gcs_destination.uri_prefix",
        )
    _get(call)
    operation = request_export(
        call.deployment.facilities,
        call.dicom_store,
        body.gcs_destination.uri_prefix,
        mime_type=body.gcs_destination.mime_type,
        filter_uri="" if body.filter_config is None else body.filter_config.resource_paths_gcs_uri,
        options=body.fileroom_options or ExportOptions(),
        api_version=call.api_version,
        principal=call.principal.name,
    )
    return json_answer({"name": str(operation)})


def set_blob_storage_settings(call: Call) -> Answer:
    """Start to set the storage class of all instances, or of those that a filter names."""
    body = call.request_as(SetBlobStorageSettingsRequest)
    filter_uri = "" if body.filter_config is None else body.filter_config.resource_paths_gcs_uri
    if body.filter_config is not None and not filter_uri:
        raise InvalidArgument(
            "filter_config.resource_paths_gcs_uri is required; leave filter_config out for all",
            "filter_config.resource_paths_gcs_uri",
        )
    operation = request_storage_class(
        call.deployment.facilities,
        call.dicom_store,
        parse_storage_class(body.blob_storage_settings),
        filter_uri=filter_uri,
        api_version=call.api_version,
        principal=call.principal.name,
        permission=call.permission,
    )
    return json_answer({"name": str(operation)})


def to_wire(store: stores.DicomStore) -> DicomStore:
    """Give a DICOM store as on the wire."""
    return msgspec.convert({**store.config, "name": str(store.name)}, DicomStore)


def _get(call: Call) -> stores.DicomStore:
    with call.deployment.database.read() as connection:
        return stores.get_dicom_store(connection, call.dicom_store, permission=call.permission)


def _with_indexes(transaction: Connection, store: stores.DicomStore) -> stores.DicomStore:
    """Have the attributes indexed that a store's settings name, from the same commit on."""
    set_indexed_attributes(transaction, store.id, indexed_tags(store.config))
    return store


def _log_undelivered(store: stores.DicomStore) -> None:
    if wants_delivery(store.config):
        logger.warning(
            "notification and stream settings are kept; this version delivers nothing",
            extra={"dicomStore": str(store.name)},
        )
