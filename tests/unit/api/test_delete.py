"""Deletions, metrics and storage classes over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.corpus import minimal_instance
from tests.unit.api.test_operations import finish
from tests.unit.api.web import Web, numbers

if TYPE_CHECKING:
    import httpx2

    from tests.unit.api.conftest import ServedDeployment

STUDY, SERIES = "studies/1.2", "studies/1.2/series/1.2.3"
INSTANCE = f"{SERIES}/instances/1.2.3.4"
UIDS = [("1.2", "1.2.3", "1.2.3.4"), ("1.2", "1.2.3", "1.2.3.5"), ("1.2", "1.2.6", "1.2.6.7")]
SIZE = len(
    minimal_instance(
        study_instance_uid="1.2", series_instance_uid="1.2.3", sop_instance_uid="1.2.3.4"
    )
)


def filled(server: ServedDeployment) -> Web:
    """Give a store with two studies: of two series, and of one instance."""
    web = Web(server, next(numbers))
    web.add(
        *(
            minimal_instance(
                study_instance_uid=study, series_instance_uid=series, sop_instance_uid=one
            )
            for study, series, one in [*UIDS, ("1.9", "1.9.1", "1.9.1.1")]
        )
    )
    return web


@pytest.fixture(scope="module")
def counted(server: ServedDeployment) -> Web:
    return filled(server)


def send(web: Web, verb: str, path: str, body: object = None) -> httpx2.Response:
    return web.server.call(verb, f"{web.store}/dicomWeb/{path}", body)


def started(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"name"}
    return str(answer.json()["name"])


# Delete


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.studies.series.instances.delete",
    "the answer is 200 and {}, and the instance is gone",
)
def test_instance_is_gone_when_the_answer_comes(server: ServedDeployment) -> None:
    web = filled(server)
    answer = send(web, "DELETE", INSTANCE)

    assert (answer.status_code, answer.json()) == (200, {})
    assert web.get(INSTANCE).status_code == 404
    assert web.get(f"{INSTANCE}/metadata").status_code == 404
    assert len(web.get(f"{SERIES}/instances").json()) == 1
    again = send(web, "DELETE", INSTANCE)
    assert (again.status_code, again.json()["error"]["status"]) == (404, "NOT_FOUND")


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.studies.delete",
    "the answer names an operation, whose response is Empty and whose counter tells the instances",
)
@pytest.mark.parametrize(
    ("path", "method", "deleted"), [(STUDY, "DeleteStudy", 3), (SERIES, "DeleteSeries", 2)]
)
def test_study_and_series_are_deleted_by_an_operation(
    server: ServedDeployment, path: str, method: str, deleted: int
) -> None:
    web = filled(server)
    name = started(send(web, "DELETE", path))
    seen = [web.get(path + below).status_code for below in ("/metadata", "/instances")]
    operation = finish(server, name)

    assert seen == [404, 204]
    assert operation["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    metadata = operation["metadata"]
    assert metadata["apiMethodName"] == (f"google.cloud.healthcare.v1.dicom.DicomService.{method}")
    assert metadata["counter"] == {"success": str(deleted)}
    assert metadata["fileroom"]["deleted"] == metadata["fileroom"]["total"] == deleted
    metrics = server.get(f"{web.store}:getDICOMStoreMetrics")
    assert metrics["instanceCount"] == str(4 - deleted)
    assert metrics["blobStorageSizeBytes"] == str((4 - deleted) * SIZE)


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.studies.delete",
    "what does not exist is 404, a UID that is none is 400",
    holds="chosen",
)
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("studies/9.9", 404),
        ("studies/1.2/series/9.9", 404),
        ("studies/1.2/series/1.2.3/instances/9.9", 404),
        ("studies/1.9/series/1.2.3", 404),
        ("studies/x", 400),
        ("studies/1.2/series/x/instances/1", 400),
    ],
)
def test_what_is_not_there_cannot_be_deleted(counted: Web, path: str, status: int) -> None:
    answer = send(counted, "DELETE", path)

    assert answer.status_code == status
    assert answer.json()["error"]["status"] == {404: "NOT_FOUND", 400: "INVALID_ARGUMENT"}[status]


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.studies.delete",
    "a study that is being deleted may be deleted again: both operations end, and the study's UID "
    "is free then",
    holds="chosen",
)
def test_study_may_be_deleted_twice_and_stored_again(server: ServedDeployment) -> None:
    web = filled(server)
    answers = [send(web, "DELETE", STUDY) for _ in range(2)]
    ended = [finish(server, started(answer)) for answer in answers if answer.status_code == 200]

    assert answers[1].status_code in {200, 404}
    assert sum(one["metadata"]["fileroom"]["deleted"] for one in ended) == 3
    web.add(
        minimal_instance(
            study_instance_uid="1.2", series_instance_uid="1.2.3", sop_instance_uid="1.2.3.4"
        )
    )
    assert web.get(INSTANCE, "application/dicom; transfer-syntax=*").status_code == 200


# Metrics


@pytest.mark.clause(
    "Cloud Healthcare v1 getStudyMetrics",
    "numbers of 64 bits are strings, and study is the full resource path",
)
def test_study_metrics(counted: Web) -> None:
    assert send(counted, "GET", f"{STUDY}:getStudyMetrics").json() == {
        "study": f"{counted.store}/dicomWeb/{STUDY}",
        "seriesCount": "2",
        "instanceCount": "3",
        "blobStorageSizeBytes": str(3 * SIZE),
    }


@pytest.mark.clause("Cloud Healthcare v1 getSeriesMetrics", "series is the full resource path")
def test_series_metrics(counted: Web) -> None:
    assert send(counted, "GET", f"{SERIES}:getSeriesMetrics").json() == {
        "series": f"{counted.store}/dicomWeb/{SERIES}",
        "instanceCount": "2",
        "blobStorageSizeBytes": str(2 * SIZE),
    }


@pytest.mark.clause(
    "Cloud Healthcare v1 getStorageInfo",
    "size, storage class and the time of the last change of class",
)
def test_storage_info(counted: Web) -> None:
    info = send(counted, "GET", f"{INSTANCE}:getStorageInfo").json()

    assert info["referencedResource"] == f"{counted.store}/dicomWeb/{INSTANCE}"
    blob = info["blobStorageInfo"]
    assert (blob["sizeBytes"], blob["storageClass"]) == (str(SIZE), "STANDARD")
    assert blob["storageClassUpdateTime"].endswith("Z")


@pytest.mark.parametrize(
    "path",
    [
        "studies/9.9:getStudyMetrics",
        "studies/1.2/series/9.9:getSeriesMetrics",
        "studies/1.2/series/1.2.3/instances/9.9:getStorageInfo",
    ],
)
def test_nothing_is_told_of_what_does_not_exist(counted: Web, path: str) -> None:
    assert send(counted, "GET", path).status_code == 404


# Storage classes


@pytest.mark.clause(
    "Cloud Healthcare v1 setBlobStorageSettings",
    "of a study, series or instance: an operation sets the class, and getStorageInfo tells it",
)
@pytest.mark.parametrize(("path", "updated"), [(STUDY, 3), (SERIES, 2), (INSTANCE, 1)])
def test_storage_class_is_set_below_a_path(
    server: ServedDeployment, path: str, updated: int
) -> None:
    web = filled(server)
    before = send(web, "GET", f"{INSTANCE}:getStorageInfo").json()["blobStorageInfo"]
    body = {"blobStorageSettings": {"blobStorageClass": "NEARLINE"}}
    operation = finish(server, started(send(web, "POST", f"{path}:setBlobStorageSettings", body)))

    assert operation["response"]["@type"].endswith("dicom.SetBlobStorageSettingsResponse")
    assert operation["metadata"]["apiMethodName"].endswith("DicomService.SetBlobStorageSettings")
    assert operation["metadata"]["counter"] == {"success": str(updated)}
    after = send(web, "GET", f"{INSTANCE}:getStorageInfo").json()["blobStorageInfo"]
    assert after["storageClass"] == "NEARLINE"
    assert after["storageClassUpdateTime"] > before["storageClassUpdateTime"]


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.setBlobStorageSettings",
    "with filterConfig the class of what the file names is set, without it of all",
)
def test_storage_class_is_set_for_a_filter_and_for_a_store(server: ServedDeployment) -> None:
    web = filled(server)
    bucket = server.deployment.settings.data / "buckets" / "filters"
    bucket.mkdir(exist_ok=True)
    (bucket / "paths.txt").write_text(f"/{SERIES}\n")
    verb = f"{web.store}:setBlobStorageSettings"
    settings = {"blobStorageSettings": {"blobStorageClass": "ARCHIVE"}}
    some = {**settings, "filterConfig": {"resourcePathsGcsUri": "gs://filters/paths.txt"}}
    first = finish(server, started(server.call("POST", verb, some)))
    second = finish(server, started(server.call("POST", verb, settings)))

    assert first["metadata"]["fileroom"]["updated"] == 2
    told = second["metadata"]["fileroom"]
    assert (told["updated"], told["unchanged"]) == (2, 2)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("", {}, "blob_storage_class"),
        ("", {"blobStorageSettings": {}}, "blob_storage_class"),
        ("", {"blobStorageSettings": {"blobStorageClass": "FROZEN"}}, "blob_storage_class"),
        (
            "",
            {"blobStorageSettings": {"blobStorageClass": "ARCHIVE"}, "filterConfig": {}},
            "filter_config",
        ),
        (
            f"/dicomWeb/{STUDY}",
            {
                "blobStorageSettings": {"blobStorageClass": "ARCHIVE"},
                "filterConfig": {"resourcePathsGcsUri": "gs://filters/paths.txt"},
            },
            "filter_config",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(
    counted: Web, path: str, body: object, field: str
) -> None:
    answer = counted.server.call("POST", f"{counted.store}{path}:setBlobStorageSettings", body)

    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.import",
    "blobStorageSettings is the storage class of what is imported",
)
def test_import_takes_a_storage_class(server: ServedDeployment) -> None:
    web = Web(server, next(numbers))
    bucket = server.deployment.settings.data / "buckets" / "classes"
    bucket.mkdir()
    study, series, one = UIDS[0]
    (bucket / "a.dcm").write_bytes(
        minimal_instance(study_instance_uid=study, series_instance_uid=series, sop_instance_uid=one)
    )
    body = {
        "gcsSource": {"uri": "gs://classes/**"},
        "blobStorageSettings": {"blobStorageClass": "COLDLINE"},
    }
    finish(server, started(server.call("POST", f"{web.store}:import", body)))

    info = send(web, "GET", f"{INSTANCE}:getStorageInfo").json()
    assert info["blobStorageInfo"]["storageClass"] == "COLDLINE"
