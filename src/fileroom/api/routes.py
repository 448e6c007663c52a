"""The route table: every method of the API, who may call it, what answers it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.api import dicomweb, logging
from fileroom.api.healthcare import (
    datasets,
    dicom_stores,
    ledger,
    locations,
    operations,
    policies,
    previews,
    projects,
    promotions,
    service_accounts,
)
from fileroom.api.later import Later
from fileroom.api.routing import Route
from fileroom.api.storage.routes import STORAGE_ROUTES
from fileroom.api.wire import (
    CancelOperationRequest,
    Dataset,
    DicomStore,
    DicomStoreMetrics,
    Empty,
    ExportDicomDataRequest,
    ImportDicomDataRequest,
    ListDatasetsResponse,
    ListDicomStoresResponse,
    ListLocationsResponse,
    ListOperationsResponse,
    Location,
    Operation,
    SeriesMetrics,
    SetBlobStorageSettingsRequest,
    StorageInfo,
    StudyMetrics,
)
from fileroom.auth.authorize import UNCONDITIONAL

if TYPE_CHECKING:
    import msgspec

    from fileroom.api.calls import Handler

PAGES: Final = ("pageSize", "pageToken")
BETA: Final = ("v1beta1",)

PROJECT: Final = "projects/{project}/locations"
LOCATION: Final = f"{PROJECT}/{{location}}"
DATASET: Final = f"{LOCATION}/datasets/{{dataset}}"
STORE: Final = f"{DATASET}/dicomStores/{{dicomStore}}"
OPERATION: Final = f"{DATASET}/operations/{{operation}}"
ACCOUNTS: Final = "projects/{project}/serviceAccounts"
# Below dicomWeb/:
STUDY: Final = "/studies/{study}"
SERIES: Final = f"{STUDY}/series/{{series}}"
INSTANCE: Final = f"{SERIES}/instances/{{instance}}"
FRAMES: Final = f"{INSTANCE}/frames/{{frames}}"

_DEIDENTIFY: Final = Later("export the DICOM store and de-identify the files")


def _method(
    prefix: str,
    service: str,
    method: str,
    verb: str,
    template: str,
    right: str,
    handler: Handler,
    response: type[msgspec.Struct] | None = None,
    request: type[msgspec.Struct] | None = None,
    *,
    query: tuple[str, ...] | None = (),
) -> Route:
    return Route(
        f"{prefix}.{method}",
        verb,
        template,
        f"healthcare.{service}.{right}",
        handler,
        request=request,
        response=response,
        query=query,
    )


_dataset: Final = partial(_method, "datasets", "datasets")
_store: Final = partial(_method, "datasets.dicomStores", "dicomStores")
_operation: Final = partial(_method, "datasets.operations", "operations")


def _policies(method: partial[Route], resource: str) -> tuple[Route, ...]:
    """Give the methods of a resource that has a policy."""
    return (
        method(
            "getIamPolicy",
            "GET",
            f"{resource}:getIamPolicy",
            "getIamPolicy",
            policies.get,
            policies.Policy,
            query=(policies.REQUESTED_VERSION,),
        ),
        method(
            "setIamPolicy",
            "POST",
            f"{resource}:setIamPolicy",
            "setIamPolicy",
            policies.set_,
            policies.Policy,
            policies.SetIamPolicyRequest,
        ),
        replace(
            method(
                "testIamPermissions",
                "POST",
                f"{resource}:testIamPermissions",
                "get",
                policies.test,
                policies.TestIamPermissionsResponse,
                policies.TestIamPermissionsRequest,
            ),
            permission=UNCONDITIONAL,
        ),
    )


def _account(
    method: str,
    verb: str,
    below: str,
    handler: Handler,
    response: type[msgspec.Struct],
    request: type[msgspec.Struct] | None = None,
    query: tuple[str, ...] = (),
) -> Route:
    """One method of service accounts, or of their keys, as Google has it in its IAM API."""
    *_, kind, right = f"serviceAccounts.{method}".split(".")
    kind = "serviceAccountKeys" if kind == "keys" else kind
    return Route(
        f"fileroom.serviceAccounts.{method}",
        verb,
        f"{ACCOUNTS}{below}",
        f"iam.{kind}.{right}",
        handler,
        request=request,
        response=response,
        query=query,
    )


def _web(
    verb: str,
    path: str,
    method: str,
    right: str,
    handler: Handler,
    response: type[msgspec.Struct] | None = None,
) -> Route:
    """One method below ``dicomWeb``; its query is its own, and a body is not read."""
    permission = f"healthcare.dicomStores.dicomWeb{right}"
    method, path = f"datasets.dicomStores.{method}", f"{STORE}/dicomWeb{path}"
    return Route(method, verb, path, permission, handler, response=response, query=None)


def _stow(path: str, method: str) -> Route:
    """One method that stores the instances of a body of any size."""
    route = _web("POST", path, method, "Write", dicomweb.store_instances)
    return replace(route, upload=dicomweb.begin_store)


def _beta(verb: str, path: str, method: str, handler: Handler) -> Route:
    """One method below ``dicomWeb`` that v1 does not have."""
    return replace(_web(verb, path, method, "Update", handler), versions=BETA)


def _put(path: str, method: str) -> Route:
    """One method that stores instances in the place of others."""
    route = _beta("PUT", path, method, dicomweb.store_instances)
    return replace(route, upload=dicomweb.begin_update)


def _patch(path: str, method: str) -> Route:
    """One method that replaces attributes of what is stored; of many, as an operation."""
    route = _beta("PATCH", f"{path}/metadata", method, dicomweb.update_metadata)
    response = None if path == INSTANCE else Operation
    return replace(route, has_document=True, response=response)


ROUTES: Final = (
    Route("get", "GET", LOCATION, "healthcare.locations.get", locations.get, response=Location),
    Route(
        "list",
        "GET",
        PROJECT,
        "healthcare.locations.list",
        locations.list_,
        response=ListLocationsResponse,
        query=(*PAGES, "filter", "extraLocationTypes"),
    ),
    # Datasets
    _dataset(
        "list",
        "GET",
        f"{LOCATION}/datasets",
        "list",
        datasets.list_,
        ListDatasetsResponse,
        query=PAGES,
    ),
    _dataset(
        "create",
        "POST",
        f"{LOCATION}/datasets",
        "create",
        datasets.create,
        Operation,
        Dataset,
        query=("datasetId",),
    ),
    _dataset("get", "GET", DATASET, "get", datasets.get, Dataset),
    _dataset(
        "patch",
        "PATCH",
        DATASET,
        "update",
        datasets.patch,
        Dataset,
        Dataset,
        query=("updateMask",),
    ),
    _dataset("delete", "DELETE", DATASET, "delete", datasets.delete, Empty),
    _dataset("deidentify", "POST", f"{DATASET}:deidentify", "deidentify", _DEIDENTIFY),
    *_policies(_dataset, DATASET),
    # DICOM stores
    _store(
        "list",
        "GET",
        f"{DATASET}/dicomStores",
        "list",
        dicom_stores.list_,
        ListDicomStoresResponse,
        query=(*PAGES, "filter"),
    ),
    _store(
        "create",
        "POST",
        f"{DATASET}/dicomStores",
        "create",
        dicom_stores.create,
        DicomStore,
        DicomStore,
        query=("dicomStoreId",),
    ),
    _store("get", "GET", STORE, "get", dicom_stores.get, DicomStore),
    _store(
        "patch",
        "PATCH",
        STORE,
        "update",
        dicom_stores.patch,
        DicomStore,
        DicomStore,
        query=("updateMask",),
    ),
    _store("delete", "DELETE", STORE, "delete", dicom_stores.delete, Empty),
    _store(
        "import",
        "POST",
        f"{STORE}:import",
        "import",
        dicom_stores.import_,
        Operation,
        ImportDicomDataRequest,
    ),
    Route(
        "fileroom.dicomStores.previewImport",
        "POST",
        f"{STORE}:previewImport",
        "healthcare.dicomStores.import",
        previews.preview,
        request=ImportDicomDataRequest,
        response=previews.PreviewImportResponse,
    ),
    _store(
        "export",
        "POST",
        f"{STORE}:export",
        "export",
        dicom_stores.export,
        Operation,
        ExportDicomDataRequest,
    ),
    _store(
        "getDICOMStoreMetrics",
        "GET",
        f"{STORE}:getDICOMStoreMetrics",
        "get",
        dicom_stores.get_metrics,
        DicomStoreMetrics,
    ),
    _store("deidentify", "POST", f"{STORE}:deidentify", "deidentify", _DEIDENTIFY),
    _store(
        "setBlobStorageSettings",
        "POST",
        f"{STORE}:setBlobStorageSettings",
        "update",
        dicom_stores.set_blob_storage_settings,
        Operation,
        SetBlobStorageSettingsRequest,
    ),
    Route(
        "fileroom.dicomStores.promote",
        "POST",
        f"{STORE}:promote",
        "healthcare.dicomStores.import",
        promotions.promote,
        request=promotions.PromoteDicomDataRequest,
        response=Operation,
    ),
    *_policies(_store, STORE),
    # Operations
    _operation(
        "list",
        "GET",
        f"{DATASET}/operations",
        "list",
        operations.list_,
        ListOperationsResponse,
        query=(*PAGES, "filter", "returnPartialSuccess"),
    ),
    _operation("get", "GET", OPERATION, "get", operations.get, Operation),
    _operation(
        "cancel",
        "POST",
        f"{OPERATION}:cancel",
        "cancel",
        operations.cancel,
        Empty,
        CancelOperationRequest,
    ),
    *(
        Route(
            f"fileroom.operations.{verb}",
            "POST",
            f"{OPERATION}:{verb}",
            "healthcare.operations.cancel",
            handler,
            request=CancelOperationRequest,
            response=Empty,
        )
        for verb, handler in (("pause", operations.pause), ("resume", operations.resume))
    ),
    Route(
        "fileroom.operations.undo",
        "POST",
        f"{OPERATION}:undo",
        "healthcare.dicomStores.dicomWebDelete",
        operations.undo,
        request=CancelOperationRequest,
        response=Operation,
    ),
    Route(
        "fileroom.operations.failures",
        "GET",
        f"{OPERATION}:failures",
        "healthcare.operations.get",
        operations.failures,
        query=(*PAGES, "reason", "format"),
    ),
    Route(
        "fileroom.operations.ledger",
        "GET",
        f"{OPERATION}:ledger",
        "healthcare.dicomStores.dicomWebRead",
        ledger.ledger,
        query=("format",),
    ),
    # What Google has in other APIs
    Route(
        "fileroom.projects.list",
        "GET",
        "projects",
        "resourcemanager.projects.list",
        projects.list_,
        response=projects.ListProjectsResponse,
        query=PAGES,
        per_item=True,
    ),
    Route(
        "fileroom.entries.list",
        "POST",
        "entries:list",
        "logging.logEntries.list",
        logging.list_,
        request=logging.ListLogEntriesRequest,
        response=logging.ListLogEntriesResponse,
        versions=("v2",),
        per_item=True,
    ),
    _account(
        "list",
        "GET",
        "",
        service_accounts.list_,
        service_accounts.ListServiceAccountsResponse,
        query=PAGES,
    ),
    _account(
        "create",
        "POST",
        "",
        service_accounts.create,
        service_accounts.ServiceAccount,
        service_accounts.CreateServiceAccountRequest,
    ),
    _account("get", "GET", "/{account}", service_accounts.get, service_accounts.ServiceAccount),
    _account("delete", "DELETE", "/{account}", service_accounts.delete, Empty),
    _account(
        "disable",
        "POST",
        "/{account}:disable",
        service_accounts.disable,
        Empty,
        service_accounts.DisableServiceAccountRequest,
    ),
    _account(
        "enable",
        "POST",
        "/{account}:enable",
        service_accounts.enable,
        Empty,
        service_accounts.EnableServiceAccountRequest,
    ),
    _account(
        "keys.list",
        "GET",
        "/{account}/keys",
        service_accounts.list_keys,
        service_accounts.ListServiceAccountKeysResponse,
    ),
    _account(
        "keys.create",
        "POST",
        "/{account}/keys",
        service_accounts.create_key,
        service_accounts.ServiceAccountKey,
        service_accounts.CreateServiceAccountKeyRequest,
    ),
    _account(
        "keys.get",
        "GET",
        "/{account}/keys/{key}",
        service_accounts.get_key,
        service_accounts.ServiceAccountKey,
    ),
    _account("keys.delete", "DELETE", "/{account}/keys/{key}", service_accounts.delete_key, Empty),
    *STORAGE_ROUTES,
    # QIDO-RS
    _web("GET", "/studies", "searchForStudies", "Read", dicomweb.search_for_studies),
    _web("GET", "/series", "searchForSeries", "Read", dicomweb.search_for_series),
    _web("GET", "/instances", "searchForInstances", "Read", dicomweb.search_for_instances),
    _web("GET", STUDY + "/series", "studies.searchForSeries", "Read", dicomweb.search_for_series),
    _web(
        "GET",
        STUDY + "/instances",
        "studies.searchForInstances",
        "Read",
        dicomweb.search_for_instances,
    ),
    _web(
        "GET",
        SERIES + "/instances",
        "studies.series.searchForInstances",
        "Read",
        dicomweb.search_for_instances,
    ),
    # WADO-RS
    _web("GET", STUDY, "studies.retrieveStudy", "Read", dicomweb.retrieve_instances),
    _web("GET", SERIES, "studies.series.retrieveSeries", "Read", dicomweb.retrieve_instances),
    _web(
        "GET",
        INSTANCE,
        "studies.series.instances.retrieveInstance",
        "Read",
        dicomweb.retrieve_instance,
    ),
    _web(
        "GET", STUDY + "/metadata", "studies.retrieveMetadata", "Read", dicomweb.retrieve_metadata
    ),
    _web(
        "GET",
        SERIES + "/metadata",
        "studies.series.retrieveMetadata",
        "Read",
        dicomweb.retrieve_metadata,
    ),
    _web(
        "GET",
        INSTANCE + "/metadata",
        "studies.series.instances.retrieveMetadata",
        "Read",
        dicomweb.retrieve_metadata,
    ),
    _web(
        "GET",
        INSTANCE + "/rendered",
        "studies.series.instances.retrieveRendered",
        "Read",
        dicomweb.retrieve_rendered,
    ),
    _web(
        "GET",
        FRAMES,
        "studies.series.instances.frames.retrieveFrames",
        "Read",
        dicomweb.retrieve_frames,
    ),
    _web(
        "GET",
        FRAMES + "/rendered",
        "studies.series.instances.frames.retrieveRendered",
        "Read",
        dicomweb.retrieve_rendered,
    ),
    *(
        Route(
            "fileroom.dicomWeb.retrieveThumbnail",
            "GET",
            f"{STORE}/dicomWeb{path}/thumbnail",
            "healthcare.dicomStores.dicomWebRead",
            dicomweb.retrieve_thumbnail,
            query=None,
        )
        for path in (STUDY, SERIES, INSTANCE, FRAMES)
    ),
    _web(
        "GET",
        INSTANCE + "/bulkdata/{tag}/{rest+}",
        "studies.series.instances.bulkdata.retrieveBulkdata",
        "Read",
        dicomweb.retrieve_bulk_data,
    ),
    # STOW-RS, delete, update
    _stow("/studies", "storeInstances"),
    _stow(STUDY, "studies.storeInstances"),
    _web("DELETE", STUDY, "studies.delete", "Delete", dicomweb.delete_study_or_series, Operation),
    _web(
        "DELETE",
        SERIES,
        "studies.series.delete",
        "Delete",
        dicomweb.delete_study_or_series,
        Operation,
    ),
    _web(
        "DELETE",
        INSTANCE,
        "studies.series.instances.delete",
        "Delete",
        dicomweb.delete_instance,
        Empty,
    ),
    _put("/studies", "updateInstances"),
    _put(STUDY, "studies.updateInstances"),
    _patch(STUDY, "studies.updateMetadata"),
    _patch(SERIES, "studies.series.updateMetadata"),
    _patch(INSTANCE, "studies.series.instances.updateMetadata"),
    # Metrics and storage below dicomWeb
    _web(
        "GET",
        STUDY + ":getStudyMetrics",
        "dicomWeb.studies.getStudyMetrics",
        "Read",
        dicomweb.get_study_metrics,
        StudyMetrics,
    ),
    _web(
        "GET",
        SERIES + ":getSeriesMetrics",
        "dicomWeb.studies.series.getSeriesMetrics",
        "Read",
        dicomweb.get_series_metrics,
        SeriesMetrics,
    ),
    _web(
        "GET",
        INSTANCE + ":getStorageInfo",
        "dicomWeb.studies.series.instances.getStorageInfo",
        "Read",
        dicomweb.get_storage_info,
        StorageInfo,
    ),
    *(
        replace(
            _web(
                "POST",
                path + ":setBlobStorageSettings",
                "dicomWeb.studies.setBlobStorageSettings",
                "Update",
                dicomweb.set_blob_storage_settings,
                Operation,
            ),
            request=SetBlobStorageSettingsRequest,
        )
        for path in (STUDY, SERIES, INSTANCE)
    ),
)
