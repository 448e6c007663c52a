"""Locations, datasets and DICOM stores over HTTP."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.places import root_of

if TYPE_CHECKING:
    from tests.unit.api.conftest import ServedDeployment

LOCATION = "projects/p1/locations/us-central1"


def error_of(answer: object) -> tuple[int, str, str]:
    body = answer.json()["error"]  # type: ignore[attr-defined]
    return body["code"], body["status"], body["message"]


# Locations


def test_any_location_exists_and_the_list_shows_the_configured_ones(
    server: ServedDeployment,
) -> None:
    assert server.get("projects/p7/locations/mars-1") == {
        "name": "projects/p7/locations/mars-1",
        "locationId": "mars-1",
    }
    assert server.get("projects/p7/locations") == {
        "locations": [{"name": "projects/p7/locations/us-central1", "locationId": "us-central1"}]
    }


def test_list_of_locations_shows_those_in_use(server: ServedDeployment) -> None:
    made = server.call("POST", "projects/p8/locations/europe-west3/datasets", {}, datasetId="d")
    assert made.status_code == 200

    first = server.get("projects/p8/locations", pageSize="1")
    second = server.get("projects/p8/locations", pageSize="1", pageToken=first["nextPageToken"])

    assert [first["locations"][0]["locationId"], second["locations"][0]["locationId"]] == [
        "europe-west3",
        "us-central1",
    ]
    assert "nextPageToken" not in second


# Datasets


@pytest.mark.clause(
    "Cloud Healthcare v1 datasets.create",
    "datasets.create answers an Operation whose response is it",
)
def test_dataset_create_answers_an_operation_that_is_done(server: ServedDeployment) -> None:
    body = {"timeZone": "Europe/Berlin"}
    made = server.call("POST", f"{LOCATION}/datasets", body, datasetId="made").json()

    assert set(made) == {"name"}
    assert made["name"].startswith(f"{LOCATION}/datasets/made/operations/")
    operation = server.get(made["name"])
    assert operation["done"] is True
    assert operation["response"] == {
        "@type": "type.googleapis.com/google.cloud.healthcare.v1.dataset.Dataset",
        "name": f"{LOCATION}/datasets/made",
        "timeZone": "Europe/Berlin",
    }
    metadata = operation["metadata"]
    assert metadata["@type"] == "type.googleapis.com/google.cloud.healthcare.v1.OperationMetadata"
    assert metadata["apiMethodName"] == (
        "google.cloud.healthcare.v1.dataset.DatasetService.CreateDataset"
    )
    assert metadata["createTime"] <= metadata["endTime"]
    assert set(metadata) == {"@type", "apiMethodName", "createTime", "endTime"}


def test_operation_bears_the_version_that_started_it(server: ServedDeployment) -> None:
    made = server.client.post(f"/v1beta1/{LOCATION}/datasets", params={"datasetId": "beta"}).json()

    operation = server.get(made["name"])

    assert operation["metadata"]["@type"].endswith("healthcare.v1beta1.OperationMetadata")
    assert "v1beta1" in operation["response"]["@type"]


def test_dataset_lives_from_create_to_delete(server: ServedDeployment) -> None:
    name = server.make_dataset("whole.life_ä-1")

    assert server.get(name) == {"name": name}
    patched = server.call("PATCH", name, {"timeZone": "UTC"}, updateMask="timeZone").json()
    assert patched == {"name": name, "timeZone": "UTC"} == server.get(name)
    cleared = server.call("PATCH", name, {}, updateMask="time_zone").json()
    assert cleared == {"name": name}
    deleted = server.call("DELETE", name)
    assert (deleted.status_code, deleted.json()) == (200, {})
    assert server.call("GET", name).status_code == 403


@pytest.mark.clause(
    "Cloud Healthcare v1 errors", "a missing dataset is 403, a missing store in one is 404"
)
def test_missing_dataset_is_denied_and_missing_store_not_found(server: ServedDeployment) -> None:
    dataset = server.make_dataset("here")
    absent = f"{LOCATION}/datasets/absent"

    for verb, path, permission in [
        ("GET", absent, "healthcare.datasets.get"),
        ("DELETE", absent, "healthcare.datasets.delete"),
        ("GET", f"{absent}/dicomStores/s", "healthcare.dicomStores.get"),
        ("GET", f"{absent}/operations/1", "healthcare.operations.get"),
        ("POST", f"{absent}/operations/1:cancel", "healthcare.operations.cancel"),
        ("GET", f"{absent}/dicomStores/s/dicomWeb/studies", "healthcare.dicomStores.dicomWebRead"),
    ]:
        code, status, message = error_of(server.call(verb, path))
        assert (code, status) == (403, "PERMISSION_DENIED"), path
        assert message.startswith(f"Permission '{permission}' denied on resource '")
        assert "(or it may not exist). See that its dataset" in message
    for verb, path in [
        ("GET", f"{dataset}/dicomStores/absent"),
        ("DELETE", f"{dataset}/dicomStores/absent"),
        ("GET", f"{dataset}/dicomStores/absent:getDICOMStoreMetrics"),
        ("GET", f"{dataset}/dicomStores/absent/dicomWeb/studies"),
        ("GET", f"{dataset}/operations/1"),
        ("POST", f"{dataset}/operations/1:cancel"),
        ("GET", f"{dataset}/operations/1:failures"),
        ("GET", f"{dataset}/operations/1:ledger"),
        ("POST", f"{dataset}/operations/1:pause"),
        ("POST", f"{dataset}/operations/1:undo"),
        ("POST", f"{dataset}/operations/1:resume"),
    ]:
        assert error_of(server.call(verb, path))[:2] == (404, "NOT_FOUND"), path
    imported = server.call(
        "POST", f"{dataset}/dicomStores/absent:import", {"gcsSource": {"uri": "gs://demo/**"}}
    )
    assert error_of(imported)[:2] == (404, "NOT_FOUND")


@pytest.mark.clause("Cloud Healthcare v1 errors", "what exists already is 409 ALREADY_EXISTS")
def test_second_of_a_name_already_exists(server: ServedDeployment) -> None:
    dataset = server.make_dataset("twice")
    server.make_store(dataset, "s")

    for path, query in [
        (f"{LOCATION}/datasets", {"datasetId": "twice"}),
        (f"{dataset}/dicomStores", {"dicomStoreId": "s"}),
    ]:
        code, status, message = error_of(server.call("POST", path, {}, **query))
        assert (code, status) == (409, "ALREADY_EXISTS")
        assert "already exists" in message


@pytest.mark.clause(
    "Cloud Healthcare v1 lists", "lists have pages of 100, at most 1000, and nextPageToken"
)
def test_datasets_are_listed_page_by_page(server: ServedDeployment) -> None:
    parent = "projects/pages/locations/us-central1"
    for number in range(5):
        made = server.call("POST", f"{parent}/datasets", {}, datasetId=f"d{number}")
        assert made.status_code == 200

    names, token = [], ""
    while True:
        page = server.get(f"{parent}/datasets", pageSize="2", pageToken=token)
        names += [dataset["name"] for dataset in page["datasets"]]
        token = page.get("nextPageToken", "")
        if not token:
            break

    assert names == [f"{parent}/datasets/d{number}" for number in range(5)]
    assert len(server.get(f"{parent}/datasets", pageSize="5000")["datasets"]) == 5
    assert server.get("projects/none/locations/us-central1/datasets") == {}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"pageSize": "-1"}, "page_size"),
        ({"pageSize": "many"}, "page_size"),
        ({"pageSize": "9" * 30}, "page_size"),
        ({"pageToken": "forged"}, "pageToken"),
        ({"pageSise": "1"}, None),
    ],
)
def test_wrong_paging_is_refused(
    server: ServedDeployment, query: dict[str, str], field: str | None
) -> None:
    error = server.call("GET", f"{LOCATION}/datasets", **query).json()["error"]

    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["details"][0]["fieldViolations"][0].get("field") == field


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 257, "a:b", "..", "a\u0000"])
def test_wrong_identifiers_are_refused(server: ServedDeployment, name: str) -> None:
    answer = server.call("POST", f"{LOCATION}/datasets", {}, datasetId=name)

    assert error_of(answer)[:2] == (400, "INVALID_ARGUMENT")


def test_encryption_is_not_pretended(server: ServedDeployment) -> None:
    body = {"encryptionSpec": {"kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}}

    answer = server.call("POST", f"{LOCATION}/datasets", body, datasetId="sealed")

    assert error_of(answer)[:2] == (400, "INVALID_ARGUMENT")
    assert "does not pretend" in error_of(answer)[2]


@pytest.mark.parametrize(
    ("mask", "body"),
    [
        (None, {"timeZone": "UTC"}),
        ("name", {"name": "other"}),
        ("encryptionSpec", {}),
        ("timezone", {"timeZone": "UTC"}),
        ("timeZone", {"timeZone": "Mars/Olympus"}),
    ],
)
def test_wrong_patch_is_refused(
    server: ServedDeployment, mask: str | None, body: dict[str, str]
) -> None:
    name = f"{LOCATION}/datasets/patched"
    server.call("POST", f"{LOCATION}/datasets", {}, datasetId="patched")

    answer = server.call("PATCH", name, body, **({"updateMask": mask} if mask else {}))

    assert error_of(answer)[:2] == (400, "INVALID_ARGUMENT")
    assert server.get(name) == {"name": name}


# DICOM stores


def test_store_lives_from_create_to_delete(server: ServedDeployment) -> None:
    dataset = server.make_dataset("stores")
    settings = {
        "labels": {"site": "north"},
        "notificationConfig": {
            "pubsubTopic": "projects/p1/topics/events",
            "sendForBulkImport": True,
        },
    }
    name = server.make_store(dataset, "s1", settings)

    assert server.get(name) == {"name": name, **settings}
    deleted = server.call("DELETE", name)
    assert (deleted.status_code, deleted.json()) == (200, {})
    assert server.call("GET", name).status_code == 404
    assert server.make_store(dataset, "s1") == name
    assert server.get(name) == {"name": name}


@pytest.mark.clause(
    "gcloud healthcare dicom-stores", "gcloud's body of dicom-stores create and update is taken"
)
def test_what_gcloud_sends_is_taken(server: ServedDeployment) -> None:
    dataset = server.make_dataset("gcloud")
    body = {"notificationConfig": {"sendForBulkImport": False}}
    name = server.make_store(dataset, "s1", body)
    assert server.get(name) == {"name": name}

    topic = {
        "notificationConfig": {
            "pubsubTopic": "projects/p1/topics/events",
            "sendForBulkImport": False,
        }
    }
    patched = server.call(
        "PATCH", name, topic, updateMask="notificationConfig.pubsubTopic", alt="json"
    )

    assert patched.json() == {
        "name": name,
        "notificationConfig": {"pubsubTopic": "projects/p1/topics/events"},
    }


def test_patch_of_labels_leaves_the_rest(server: ServedDeployment) -> None:
    dataset = server.make_dataset("labels")
    topics = [{"pubsubTopic": "projects/p1/topics/events"}]
    name = server.make_store(
        dataset, "s1", {"labels": {"a": "1", "b": "2"}, "notificationConfigs": topics}
    )

    server.call("PATCH", name, {"labels": {"a": "9"}}, updateMask="labels.a")
    assert server.get(name)["labels"] == {"a": "9", "b": "2"}
    server.call("PATCH", name, {"labels": {"c": "3"}}, updateMask="labels")

    assert server.get(name) == {
        "name": name,
        "labels": {"c": "3"},
        "notificationConfigs": topics,
    }


def test_stores_are_listed_by_label(server: ServedDeployment) -> None:
    dataset = server.make_dataset("listed")
    for number in range(4):
        server.make_store(dataset, f"s{number}", {"labels": {"parity": str(number % 2)}})

    page = server.get(f"{dataset}/dicomStores", filter='labels.parity="1"', pageSize="1")
    rest = server.get(
        f"{dataset}/dicomStores",
        filter='labels.parity="1"',
        pageToken=page["nextPageToken"],
    )

    assert [store["name"] for store in page["dicomStores"] + rest["dicomStores"]] == [
        f"{dataset}/dicomStores/s1",
        f"{dataset}/dicomStores/s3",
    ]
    wrong = server.call("GET", f"{dataset}/dicomStores", filter="name=s1")
    assert error_of(wrong)[0] == 400
    other = server.call("GET", f"{dataset}/dicomStores", pageToken=page["nextPageToken"])
    assert error_of(other)[0] == 400


def test_metrics_of_an_empty_store_are_its_name(server: ServedDeployment) -> None:
    name = server.make_store(server.make_dataset("empty"), "s1")

    assert server.get(f"{name}:getDICOMStoreMetrics") == {"name": name}


def test_store_keeps_its_identity_beside_its_blobs(server: ServedDeployment) -> None:
    name = server.make_store(server.make_dataset("identity"), "s1", {"labels": {"a": "1"}})
    server.call("PATCH", name, {"labels": {"a": "2"}}, updateMask="labels")

    kept = [path.read_text() for path in root_of(server.deployment.blobs).glob("*/.store-id")]

    (mine,) = (text for text in kept if f'"{name}"' in text)
    assert json.loads(mine) == {"name": name, "config": {"labels": {"a": "2"}}}


def test_identity_is_that_of_the_last_of_many_patches(server: ServedDeployment) -> None:
    name = server.make_store(server.make_dataset("contested"), "s1")

    def patch(key: str) -> None:
        server.call("PATCH", name, {"labels": {key: "1"}}, updateMask=f"labels.{key}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(patch, "abcdefghijklmnop"))

    kept = [path.read_text() for path in root_of(server.deployment.blobs).glob("*/.store-id")]
    (mine,) = (text for text in kept if f'"{name}"' in text)
    assert json.loads(mine)["config"]["labels"] == server.get(name)["labels"]


def test_deletion_of_a_dataset_takes_its_stores_with_it(server: ServedDeployment) -> None:
    dataset = server.make_dataset("fallen")
    store = server.make_store(dataset, "s1")

    assert server.call("DELETE", dataset).json() == {}

    assert server.call("GET", store).status_code == 403
    server.make_dataset("fallen")
    assert server.call("GET", store).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "gcs_source.uri is required"),
        ({"gcsSource": {}}, 400, "gcs_source.uri is required"),
        ({"gcsSource": {"uri": "demo/**"}}, 400, "gs://"),
        ({"gcsSource": {"uri": "gs://demo/**/a"}}, 400, "**"),
        ({"gcsSource": {"uri": "gs://not-there/**"}}, 403, "roles/storage.objectViewer"),
        ({"gcsSource": {"uri": "file:///etc/passwd"}}, 400, "gs"),
        (
            {
                "gcsSource": {"uri": "gs://demo/**"},
                "blobStorageSettings": {"blobStorageClass": "FROZEN"},
            },
            400,
            "blob_storage_class",
        ),
    ],
)
def test_import_that_cannot_be_is_refused_at_the_request(
    server: ServedDeployment, body: object, status: int, words: str
) -> None:
    store = f"{LOCATION}/datasets/refusals/dicomStores/s1"
    if server.call("GET", store).status_code != 200:
        server.make_store(server.make_dataset("refusals"), "s1")

    code, _, message = error_of(server.call("POST", f"{store}:import", body))

    assert code == status
    assert words in message


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "gcs_destination.uri_prefix is required"),
        ({"gcsDestination": {"uriPrefix": "gs://not-there/out"}}, 403, "roles/storage.objectAdmin"),
        ({"gcsDestination": {"uriPrefix": "gs://demo/*"}}, 400, "wildcard"),
        (
            {"bigqueryDestination": {"tableUri": "bq://p.d.t", "writeDisposition": "WRITE_APPEND"}},
            501,
            "BigQuery",
        ),
        (
            {"gcsDestination": {"uriPrefix": "gs://demo"}, "bigqueryDestination": {}},
            400,
            "exactly one of gcs_destination and bigquery_destination",
        ),
        ({"output_config": {}}, 400, 'Unknown name "output_config"'),
    ],
)
def test_export_that_cannot_be_is_refused_at_the_request(
    server: ServedDeployment, body: object, status: int, words: str
) -> None:
    store = f"{LOCATION}/datasets/refusals/dicomStores/s2"
    if server.call("GET", store).status_code != 200:
        server.call("POST", f"{LOCATION}/datasets", {}, datasetId="refusals")
        server.make_store(f"{LOCATION}/datasets/refusals", "s2")

    code, _, message = error_of(server.call("POST", f"{store}:export", body))

    assert code == status
    assert words in message
