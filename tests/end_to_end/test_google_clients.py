"""Google's own client libraries, with another endpoint and nothing else changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from google.oauth2.credentials import Credentials
from googleapiclient import discovery
from googleapiclient.errors import HttpError

from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.conftest import Place
    from tests.server import RunningServer


@pytest.fixture(scope="module")
def healthcare(server: RunningServer) -> Iterator[Any]:
    """google-api-python-client, as its documentation builds it."""
    service = discovery.build(
        "healthcare",
        "v1",
        credentials=Credentials(token=server.token),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": server.url},
        static_discovery=True,
        cache_discovery=False,
    )
    yield service
    service.close()


def wait(healthcare: Any, name: str) -> dict[str, Any]:
    operations = healthcare.projects().locations().datasets().operations()
    for _ in range(200):
        operation: dict[str, Any] = operations.get(name=name).execute()
        if operation.get("done"):
            return operation
        time.sleep(0.1)
    raise AssertionError(f"{name} is not done after 20 s")


@pytest.mark.clause(
    "google-api-python-client",
    "the documented Python samples import and export with .import_() and .export()",
)
def test_google_api_python_client_imports_and_exports(healthcare: Any, place: Place) -> None:
    contents = list(slices(3))
    for index, content in enumerate(contents):
        place.put(f"{index}.dcm", content)
    dicom_stores = healthcare.projects().locations().datasets().dicomStores()

    imported = wait(
        healthcare,
        dicom_stores.import_(
            name=place.dicom_store,
            body={"gcsSource": {"uri": f"gs://{place.bucket_id}/*.dcm"}},
        ).execute()["name"],
    )
    exported = wait(
        healthcare,
        dicom_stores.export(
            name=place.dicom_store,
            body={"gcsDestination": {"uriPrefix": f"gs://{place.bucket_id}/out"}},
        ).execute()["name"],
    )

    assert imported["metadata"]["counter"] == {"success": "3"}
    assert exported["metadata"]["counter"] == {"success": "3"}
    written = (place.bucket / "out").glob("*/*/*.dcm")
    assert sorted(file.read_bytes() for file in written) == sorted(contents)


@pytest.mark.clause(
    "google-api-python-client",
    "the documented Python samples create, get, list, patch and delete datasets and DICOM stores",
)
def test_google_api_python_client_manages_resources(healthcare: Any, place: Place) -> None:
    locations = healthcare.projects().locations()
    datasets = locations.datasets()
    dicom_stores = datasets.dicomStores()
    parent = place.dataset.partition("/datasets/")[0]

    dataset = f"{parent}/datasets/made-by-python"
    created = datasets.create(parent=parent, datasetId="made-by-python", body={}).execute()
    assert wait(healthcare, created["name"])["response"]["name"] == dataset
    patched = datasets.patch(
        name=dataset, updateMask="timeZone", body={"timeZone": "GMT"}
    ).execute()
    dicom_stores.create(parent=dataset, dicomStoreId="s", body={}).execute()
    store = f"{dataset}/dicomStores/s"
    listed = dicom_stores.list(parent=dataset).execute()
    dicom_stores.delete(name=store).execute()
    with pytest.raises(HttpError) as missing_store:
        dicom_stores.get(name=store).execute()
    datasets.delete(name=dataset).execute()
    with pytest.raises(HttpError) as missing_dataset:
        datasets.get(name=dataset).execute()

    assert patched["timeZone"] == "GMT"
    assert [each["name"] for each in listed["dicomStores"]] == [store]
    assert missing_store.value.status_code == 404
    assert missing_dataset.value.status_code == 403
