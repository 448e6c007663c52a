"""One server and its methods, named as the API names them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO, Unpack

from fileroom.client import values
from fileroom.client.bodies import (
    bigquery_body,
    deidentify_body,
    export_body,
    import_body,
    storage_class_body,
)
from fileroom.client.matches import Matches, search
from fileroom.client.paths import below, content_path, name_path, to_name, web_path
from fileroom.client.policies import Policies
from fileroom.client.polling import poll
from fileroom.client.queries import page_query, search_query
from fileroom.client.retrieval import Retrieval
from fileroom.client.service_accounts import ServiceAccounts
from fileroom.client.storing import StoreResult, store_files
from fileroom.client.transport import Sending, Transport
from fileroom.client.values import Operation
from fileroom.closing import Closing
from fileroom.names import (
    DatasetName,
    DicomStoreName,
    InstancePath,
    LocationName,
    OperationName,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fileroom.client.bodies import ExportOptions, ImportOptions
    from fileroom.client.values import (
        ContentMetrics,
        Dataset,
        DicomStore,
        DicomStoreMetrics,
        JsonObject,
        Location,
        StorageInfo,
    )
    from fileroom.errors import ObjectFailure, Reason, Unavailable

    Content = InstancePath | str

DEFAULT_URL = "http://127.0.0.1:8080"
_BETA = Sending(api_version="v1beta1")


class Client(Closing):
    """The datasets, DICOM stores, operations and instances of one Fileroom server.

    A resource is named by its full name, as text or as a value of ``fileroom.names``. Each method
    raises the class of ``fileroom.errors`` that the server's answer stands for, and
    ``Unavailable`` if there was none. Nothing but ``wait`` repeats a request.

    Examples
    --------
    >>> with Client("http://127.0.0.1:8080", token) as client:
    ...     operation = client.import_(dicom_store, "gs://demo/**")
    ...     client.wait(operation).counters.success
    """

    def __init__(
        self, url: str = DEFAULT_URL, token: str | None = None, *, timeout_seconds: float = 60.0
    ) -> None:
        self._transport = Transport(url, token, timeout_seconds=timeout_seconds)

    @property
    def url(self) -> str:
        """The server's URL, without a closing slash."""
        return self._transport.url

    @property
    def policies(self) -> Policies:
        """The IAM policies of datasets and DICOM stores."""
        return Policies(self._transport)

    @property
    def service_accounts(self) -> ServiceAccounts:
        """The service accounts, by which programs prove who they are."""
        return ServiceAccounts(self._transport)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # Locations

    def get_location(self, name: LocationName | str) -> Location:
        """Give one location."""
        return values.to_location(self._transport.call("GET", name_path(name, LocationName)))

    def list_locations(self, project: str) -> Iterator[Location]:
        """Give the locations that a project may use."""
        pages = self._transport.pages(f"projects/{project}/locations", "locations", query=[])
        return map(values.to_location, pages)

    # Datasets

    def create_dataset(
        self, name: DatasetName | str, *, time_zone: str = "", encryption_key: str = ""
    ) -> Operation:
        """Create a dataset and give the operation that does it."""
        dataset = to_name(name, DatasetName)
        body: JsonObject = {"timeZone": time_zone} if time_zone else {}
        if encryption_key:
            body["encryptionSpec"] = {"kmsKeyName": encryption_key}
        answer = self._transport.call(
            "POST",
            f"{dataset.parent}/datasets",
            query=[("datasetId", dataset.dataset_id)],
            body=body,
        )
        return values.to_operation(answer)

    def get_dataset(self, name: DatasetName | str) -> Dataset:
        """Give one dataset."""
        return values.to_dataset(self._transport.call("GET", name_path(name, DatasetName)))

    def list_datasets(
        self, parent: LocationName | str, *, page_size: int | None = None
    ) -> Iterator[Dataset]:
        """Give the datasets of a location, by name."""
        path = f"{name_path(parent, LocationName)}/datasets"
        pages = self._transport.pages(path, "datasets", query=page_query(page_size))
        return map(values.to_dataset, pages)

    def patch_dataset(
        self, name: DatasetName | str, changes: JsonObject, *, update_mask: Sequence[str]
    ) -> Dataset:
        """Set the fields that ``update_mask`` names, in the API's spelling."""
        return values.to_dataset(self._patch(name_path(name, DatasetName), changes, update_mask))

    def delete_dataset(self, name: DatasetName | str) -> None:
        """Delete a dataset with all its DICOM stores."""
        self._transport.call("DELETE", name_path(name, DatasetName))

    # DICOM stores

    def create_dicom_store(
        self, name: DicomStoreName | str, settings: JsonObject | None = None
    ) -> DicomStore:
        """Create a DICOM store, with the API's settings (labels, notifications, streams)."""
        dicom_store = to_name(name, DicomStoreName)
        answer = self._transport.call(
            "POST",
            f"{dicom_store.parent}/dicomStores",
            query=[("dicomStoreId", dicom_store.dicom_store_id)],
            body=settings or {},
        )
        return values.to_dicom_store(answer)

    def get_dicom_store(self, name: DicomStoreName | str) -> DicomStore:
        """Give one DICOM store."""
        return values.to_dicom_store(self._transport.call("GET", name_path(name, DicomStoreName)))

    def list_dicom_stores(
        self, parent: DatasetName | str, *, filter_text: str = "", page_size: int | None = None
    ) -> Iterator[DicomStore]:
        """Give the DICOM stores of a dataset, by name; ``filter_text`` is about labels."""
        query = [*page_query(page_size), *([("filter", filter_text)] if filter_text else [])]
        path = f"{name_path(parent, DatasetName)}/dicomStores"
        return map(values.to_dicom_store, self._transport.pages(path, "dicomStores", query=query))

    def patch_dicom_store(
        self, name: DicomStoreName | str, changes: JsonObject, *, update_mask: Sequence[str]
    ) -> DicomStore:
        """Set the fields that ``update_mask`` names, in the API's spelling."""
        answer = self._patch(name_path(name, DicomStoreName), changes, update_mask)
        return values.to_dicom_store(answer)

    def delete_dicom_store(self, name: DicomStoreName | str) -> None:
        """Delete a DICOM store with all its instances."""
        self._transport.call("DELETE", name_path(name, DicomStoreName))

    def get_dicom_store_metrics(self, name: DicomStoreName | str) -> DicomStoreMetrics:
        """Give how many studies, series, instances and bytes a DICOM store holds."""
        path = f"{name_path(name, DicomStoreName)}:getDICOMStoreMetrics"
        return values.to_dicom_store_metrics(self._transport.call("GET", path))

    # Import and export

    def import_(
        self,
        name: DicomStoreName | str,
        uri: str = "",
        *,
        storage_class: str = "",
        **options: Unpack[ImportOptions],
    ) -> Operation:
        """Start to import the objects that a ``gs://`` URI or pattern names.

        What failed in an earlier import (``retry_of``) needs no URI.
        """
        body = import_body(uri, storage_class, **options)
        return self._begin(f"{name_path(name, DicomStoreName)}:import", body)

    def promote(
        self, name: DicomStoreName | str, *, within: InstancePath | str | None = None
    ) -> Operation:
        """Start to copy in what is kept by reference: all of it, or what is below a path."""
        body: JsonObject = {"path": str(within)} if within else {}
        return self._begin(f"{name_path(name, DicomStoreName)}:promote", body)

    def export(
        self,
        name: DicomStoreName | str,
        uri_prefix: str,
        *,
        mime_type: str = "",
        filter_config_gcs_uri: str = "",
        **options: Unpack[ExportOptions],
    ) -> Operation:
        """Start to export a DICOM store below a ``gs://`` prefix.

        Without ``mime_type``, as ``image/png`` or ``application/dicom; transfer-syntax=UID``, they
        leave as they came. ``filter_config_gcs_uri`` names a file of paths that narrows the export.
        """
        body = export_body(uri_prefix, mime_type, filter_config_gcs_uri, **options)
        return self._begin(f"{name_path(name, DicomStoreName)}:export", body)

    def export_to_bigquery(
        self,
        name: DicomStoreName | str,
        destination: JsonObject,
        *,
        filter_config_gcs_uri: str = "",
    ) -> Operation:
        """Start to export metadata to the API's ``bigqueryDestination``, of a server that can."""
        body = bigquery_body(destination, filter_config_gcs_uri)
        return self._begin(f"{name_path(name, DicomStoreName)}:export", body)

    def deidentify(
        self,
        source: DatasetName | DicomStoreName,
        destination: DatasetName | DicomStoreName,
        config: JsonObject,
    ) -> Operation:
        """Start to de-identify a dataset or DICOM store into another, of a server that can."""
        return self._begin(f"{source}:deidentify", deidentify_body(destination, config))

    def set_blob_storage_settings(
        self,
        name: DicomStoreName | str,
        storage_class: str,
        *,
        within: InstancePath | str | None = None,
        filter_config_gcs_uri: str = "",
    ) -> Operation:
        """Start to set the storage class of a DICOM store's instances, or of some of them.

        These are below a path (``within``), or below those that a file names, as in ``export``.
        """
        path = content_path(name, within) if within else name_path(name, DicomStoreName)
        body = storage_class_body(storage_class, filter_config_gcs_uri)
        return self._begin(f"{path}:setBlobStorageSettings", body)

    # Operations

    def get_operation(self, name: OperationName | str) -> Operation:
        """Give an operation as it stands."""
        return values.to_operation(self._transport.call("GET", name_path(name, OperationName)))

    def list_operations(
        self, parent: DatasetName | str, *, filter_text: str = "", page_size: int | None = None
    ) -> Iterator[Operation]:
        """Give the operations of a dataset, newest first; ``done=false`` may be the filter."""
        query = [*page_query(page_size), *([("filter", filter_text)] if filter_text else [])]
        path = f"{name_path(parent, DatasetName)}/operations"
        pages = self._transport.pages(path, "operations", query=query)
        return map(values.to_operation, pages)

    def cancel_operation(self, name: OperationName | str) -> None:
        """Ask an operation to end; it is ``done`` a moment later, and keeps what it did."""
        self._transport.call("POST", f"{name_path(name, OperationName)}:cancel", body={})

    def pause_operation(self, name: OperationName | str) -> None:
        """Ask an operation to wait until ``resume_operation``; deletions cannot."""
        self._transport.call("POST", f"{name_path(name, OperationName)}:pause", body={})

    def resume_operation(self, name: OperationName | str) -> None:
        """Have an operation go on that was asked to wait."""
        self._transport.call("POST", f"{name_path(name, OperationName)}:resume", body={})

    def undo_import(self, name: OperationName | str) -> Operation:
        """Start to take an import back: what it created goes, what it replaced comes back.

        What somebody changed since stays.
        """
        return self._begin(f"{name_path(name, OperationName)}:undo", {})

    def failures(
        self,
        name: OperationName | str,
        *,
        reason: Reason | None = None,
        page_size: int | None = None,
    ) -> Iterator[ObjectFailure]:
        """Give the objects that failed, each with its reason, page by page as they are reached."""
        query = [*page_query(page_size), *([("reason", str(reason))] if reason else [])]
        path = f"{name_path(name, OperationName)}:failures"
        pages = self._transport.pages(path, "failures", query=query)
        return map(values.to_object_failure, pages)

    def ledger(self, name: OperationName | str) -> Iterator[JsonObject]:
        """Give what became of every object of an operation, as they arrive: see the API."""
        path = f"{name_path(name, OperationName)}:ledger"
        with self._transport.open("GET", path, accept="application/x-ndjson") as response:
            yield from map(json.loads, response.iter_lines())

    def ledger_to(self, file: BinaryIO, name: OperationName | str, form: str) -> int:
        """Write the ledger as ``ndjson``, ``csv`` or ``parquet``, and give its size in bytes."""
        path, query = f"{name_path(name, OperationName)}:ledger", [("format", form)]
        with self._transport.open("GET", path, query=query) as response:
            return sum(map(file.write, response.iter_bytes()))

    def wait(
        self,
        operation: Operation | OperationName | str,
        *,
        poll_seconds: float = 1.0,
        patience_seconds: float = 120.0,
        on_progress: Callable[[Operation], None] | None = None,
        on_unavailable: Callable[[Unavailable], None] | None = None,
    ) -> Operation:
        """Give an operation once it is done, whether it went well or not.

        It is read soon at first, then every ``poll_seconds``; ``on_progress`` is called with each
        reading. A server that is gone is awaited for ``patience_seconds`` with growing pauses, as
        an operation goes on by itself when its server is back; ``on_unavailable`` hears of each
        attempt that failed.

        Raises
        ------
        Unavailable
            If the server stayed away for longer.
        """
        name = operation.name if isinstance(operation, Operation) else operation
        return poll(
            lambda: self.get_operation(name),
            poll_seconds=poll_seconds,
            patience_seconds=patience_seconds,
            on_progress=on_progress,
            on_unavailable=on_unavailable,
        )

    # DICOMweb

    def search_studies(
        self,
        name: DicomStoreName | str,
        filters: Mapping[str, str] | None = None,
        *,
        include_fields: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
        fuzzy_matching: bool = False,
    ) -> Matches:
        """Give the studies that match, all of them or the first ``limit`` after ``offset``.

        ``filters`` and ``include_fields`` name attributes by keyword or by eight hexadecimal
        digits. Nothing is asked, nor any error raised, before the first match is drawn.

        References
        ----------
        PS3.18 10.6
        """
        query = search_query(filters, include_fields, fuzzy_matching=fuzzy_matching)
        return search(self._transport, f"{web_path(name)}/studies", query, limit, offset)

    def search_series(
        self,
        name: DicomStoreName | str,
        filters: Mapping[str, str] | None = None,
        *,
        within: InstancePath | str | None = None,
        include_fields: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> Matches:
        """Give the series that match, as ``search_studies``, also ``within`` a study."""
        query = search_query(filters, include_fields)
        return search(self._transport, below(name, within, "series"), query, limit, offset)

    def search_instances(
        self,
        name: DicomStoreName | str,
        filters: Mapping[str, str] | None = None,
        *,
        within: InstancePath | str | None = None,
        include_fields: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> Matches:
        """Give the instances that match, as ``search_studies``, also ``within`` a study, series."""
        query = search_query(filters, include_fields)
        return search(self._transport, below(name, within, "instances"), query, limit, offset)

    def store_instances(
        self,
        name: DicomStoreName | str,
        files: Iterable[Path | str | bytes],
        *,
        replace: bool = False,
        storage_class: str | None = None,
    ) -> StoreResult:
        """Store DICOM files, named or given, in one request, and tell what became of them.

        An instance that the store has already with other bytes is refused, unless ``replace``.

        References
        ----------
        PS3.18 10.5
        """
        path = f"{web_path(name)}/studies"
        return store_files(
            self._transport, path, files, replace=replace, storage_class=storage_class
        )

    def retrieve_instance(
        self,
        name: DicomStoreName | str,
        instance: InstancePath | str,
        *,
        transfer_syntax: str = "*",
    ) -> bytes:
        """Give one instance as a DICOM file; ``*`` is the file as it was stored."""
        return b"".join(self.retrieval(name).file_pieces(instance, transfer_syntax))

    def retrieve_instance_to(
        self,
        file: BinaryIO,
        name: DicomStoreName | str,
        instance: InstancePath | str,
        *,
        transfer_syntax: str = "*",
    ) -> int:
        """Write one instance to a file as it arrives, and give its size in bytes."""
        pieces = self.retrieval(name).file_pieces(instance, transfer_syntax)
        return sum(map(file.write, pieces))

    def retrieve_metadata(self, name: DicomStoreName | str, path: Content) -> list[JsonObject]:
        """Give the metadata of every instance of a study, series or instance, as DICOM JSON."""
        return list(self.retrieval(name).metadata(path))

    def retrieval(self, name: DicomStoreName | str) -> Retrieval:
        """Give what retrieves studies, series, frames, pictures and bulk data of a DICOM store."""
        return Retrieval(self._transport, web_path(name))

    def get_study_metrics(self, name: DicomStoreName | str, study: Content) -> ContentMetrics:
        """Give how many series, instances and bytes a study holds."""
        path = f"{content_path(name, study, 'study')}:getStudyMetrics"
        return values.to_content_metrics(self._transport.call("GET", path))

    def get_series_metrics(self, name: DicomStoreName | str, series: Content) -> ContentMetrics:
        """Give how many instances and bytes a series holds."""
        path = f"{content_path(name, series, 'series')}:getSeriesMetrics"
        return values.to_content_metrics(self._transport.call("GET", path))

    def get_storage_info(self, name: DicomStoreName | str, instance: Content) -> StorageInfo:
        """Give how large an instance is, and its storage class."""
        path = f"{content_path(name, instance, 'instance')}:getStorageInfo"
        return values.to_storage_info(self._transport.call("GET", path))

    def delete_study(self, name: DicomStoreName | str, study: Content) -> Operation:
        """Hide a study at once, and give the operation that deletes what it holds."""
        path = content_path(name, study, "study")
        return values.to_operation(self._transport.call("DELETE", path))

    def delete_series(self, name: DicomStoreName | str, series: Content) -> Operation:
        """Hide a series at once, and give the operation that deletes what it holds."""
        path = content_path(name, series, "series")
        return values.to_operation(self._transport.call("DELETE", path))

    def delete_instance(self, name: DicomStoreName | str, instance: Content) -> None:
        """Delete one instance."""
        self._transport.call("DELETE", content_path(name, instance, "instance"))

    def patch_study(
        self, name: DicomStoreName | str, study: Content, attributes: JsonObject
    ) -> Operation:
        """Replace attributes, given as DICOM JSON, in all instances of a study.

        The operation does it; an attribute without a value becomes empty, all others stay.
        """
        path = f"{content_path(name, study, 'study')}/metadata"
        return values.to_operation(
            self._transport.call("PATCH", path, body=attributes, sending=_BETA)
        )

    def patch_series(
        self, name: DicomStoreName | str, series: Content, attributes: JsonObject
    ) -> Operation:
        """Replace attributes in all instances of a series, as ``patch_study`` of a study."""
        path = f"{content_path(name, series, 'series')}/metadata"
        return values.to_operation(
            self._transport.call("PATCH", path, body=attributes, sending=_BETA)
        )

    def patch_instance(
        self, name: DicomStoreName | str, instance: Content, attributes: JsonObject
    ) -> None:
        """Replace attributes, given as DICOM JSON, of one instance."""
        path = f"{content_path(name, instance, 'instance')}/metadata"
        with self._transport.open("PATCH", path, body=attributes, sending=_BETA) as response:
            response.read()

    def _begin(self, path: str, body: JsonObject) -> Operation:
        return values.to_operation(self._transport.call("POST", path, body=body))

    def _patch(self, path: str, changes: JsonObject, update_mask: Sequence[str]) -> JsonObject:
        query = [("updateMask", ",".join(update_mask))]
        return self._transport.call("PATCH", path, query=query, body=changes)
