"""QIDO-RS over HTTP: both dialects, the total, and what a store indexes."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from fileroom.archive.retrieve import StoreContent
from fileroom.database.stores import get_dicom_store
from fileroom.names import DicomStoreName, parse_name
from fileroom.settings import Settings
from tests.corpus import minimal_instance
from tests.store_content import FilledStore
from tests.unit.api.conftest import ServedDeployment, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

_numbers = count(1)
OHIF = (
    "studies?limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060"
    "%2C00080061&PatientName=*sam*&ModalitiesInStudy=CT,MR&StudyDescription=*&StudyDate=19700101-"
)


class Store:
    """A DICOM store of its own."""

    def __init__(self, server: ServedDeployment, body: object = None) -> None:
        self.server = server
        dataset = server.make_dataset(f"search-{next(_numbers)}")
        self.name = server.make_store(dataset, "s", body)

    def add(self, *files: bytes) -> None:
        deployment, name = self.server.deployment, parse_name(self.name)
        assert isinstance(name, DicomStoreName)
        with deployment.database.read() as connection:
            store = get_dicom_store(connection, name)
        content = StoreContent(
            database=deployment.database,
            blobs=deployment.blobs,
            buckets=deployment.buckets,
            store_id=store.id,
            blob_prefix=store.blob_prefix,
        )
        FilledStore(content=content, name=name).add(files, writer=next(_numbers))

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.server.client.get(f"/v1/{self.name}/dicomWeb/{path}", headers=headers)

    def error(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
        return str(answer.json()["error"]["message"])


def files() -> Iterator[bytes]:
    """Give three studies, of which the first has two series of two instances."""
    for study, series, instance in [
        (1, 1, 1),
        (1, 1, 2),
        (1, 2, 1),
        (1, 2, 2),
        (2, 1, 1),
        (3, 1, 1),
    ]:
        yield minimal_instance(
            study_instance_uid=f"1.{study}",
            series_instance_uid=f"1.{study}.{series}",
            sop_instance_uid=f"1.{study}.{series}.{instance}",
            modality="CT" if series == 1 else "MR",
            patient_id=f"P{study}",
            instance_number=str(instance),
            extra=[(0x00180015, "CS", "CHEST" if study == 1 else "HEAD")],
        )


@pytest.fixture(scope="module")
def store(server: ServedDeployment) -> Store:
    store = Store(server)
    store.add(*files())
    return store


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    data = tmp_path_factory.mktemp("google") / "data"
    with served(Settings(data=data, workers=1, search="google")) as server:
        store = Store(server)
        store.add(*files())
        yield store


def values(answer: httpx2.Response, key: str) -> list[Any]:
    assert answer.status_code == 200, answer.text
    return [each[key]["Value"] for each in answer.json()]


@pytest.mark.clause("OHIF study list", "its request is answered with modalities and counts")
def test_the_study_list_of_ohif_is_answered(store: Store) -> None:
    answer = store.get(
        OHIF, Accept="application/dicom+json, multipart/related; type=application/octet-stream"
    )
    assert values(answer, "0020000D") == [["1.1"], ["1.2"], ["1.3"]]
    assert values(answer, "00080061") == [["CT", "MR"], ["CT"], ["CT"]]
    assert values(answer, "00201206") == [[2], [1], [1]]
    assert values(answer, "00201208") == [[4], [1], [1]]
    assert all("00080060" not in each for each in answer.json())


@pytest.mark.clause(
    "PS3.18 10.6", "X-Total-Count tells how many results there are in all", holds="own rule"
)
@pytest.mark.parametrize(
    ("path", "total", "shown"),
    [
        ("studies?limit=1", "3", 1),
        ("series", "4", 4),
        ("instances?limit=2&offset=1", "6", 2),
        ("studies/1.1/instances?limit=1&InstanceNumber=2", "2", 1),
        ("studies?PatientID=nobody", "0", 0),
        ("instances?limit=1&InstanceNumber=1", None, 1),
    ],
)
def test_the_total_stands_in_a_header(
    store: Store, google: Store, path: str, total: str | None, shown: int
) -> None:
    answer = store.get(path, Origin="https://viewer.example.org")
    assert answer.headers.get("x-total-count") == total
    assert (len(answer.json()) if shown else answer.status_code) == (shown or 204)
    assert "X-Total-Count" in answer.headers["access-control-expose-headers"]
    if "InstanceNumber" not in path:
        assert "x-total-count" not in google.get(path).headers


@pytest.mark.clause("Cloud Healthcare conformance, Search", "search = google knows its keys alone")
@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "instances?SOPClassUID=1.2",
            "SOPClassUID is not a supported instance or study or series level attribute",
        ),
        ("studies?StudyDescription=x", "StudyDescription is not a supported study level attribute"),
        (
            "studies?ModalitiesInStudy=CT",
            "ModalitiesInStudy is not a supported study level attribute",
        ),
        ("series?StudyID=x", "StudyID is not a supported series or study level attribute"),
        ("studies?StudyTime=10", "StudyTime is not a supported study level attribute"),
        ("instances?BodyPartExamined=x", "BodyPartExamined is not a supported instance or study"),
        (
            "instances?includefield=AvailableTransferSyntaxUID",
            "unknown/unsupported QIDO attribute: AvailableTransferSyntaxUID",
        ),
        ("studies?StudyInstanceUID=1.1,1.2", "is not a UID"),
        ("studies?StudyDate=2024", "StudyDate must be"),
        ("studies?fuzzymatching=x", "fuzzymatching must be"),
    ],
)
def test_googles_dialect_refuses_what_google_refuses(google: Store, path: str, text: str) -> None:
    assert text in google.error(path)


def test_googles_dialect_has_no_wildcards_and_its_own_default_fields(google: Store) -> None:
    assert google.get("studies?PatientID=P*").status_code == 204
    assert google.get("studies?PatientName=Sample*").status_code == 204
    assert values(google.get("studies?PatientID=P2"), "0020000D") == [["1.2"]]
    assert not {"00080061", "00201206", "00201208"} & set(google.get("studies").json()[0])
    assert "0020000D" not in google.get("instances").json()[0]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("studies?PatientID=P?", ["1.1", "1.2", "1.3"]),
        ("studies?00100020=*2", ["1.2"]),
        ("studies?PatientName=sample^*", ["1.1", "1.2", "1.3"]),
        ("studies?StudyInstanceUID=1.3%5C1.1", ["1.1", "1.3"]),
        ("studies?StudyTime=030400-0305", ["1.1", "1.2", "1.3"]),
        ("studies?ModalitiesInStudy=MR", ["1.1"]),
        ("series?Modality=MR&BodyPartExamined=CHEST", ["1.1"]),
        (
            "studies/1.1/instances?BodyPartExamined=CHEST&SOPInstanceUID=1.1.1.1&includefield=0020000D",
            ["1.1"],
        ),
    ],
)
def test_extended_search_over_http(store: Store, path: str, expected: list[str]) -> None:
    assert values(store.get(path), "0020000D") == [[uid] for uid in expected]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("studies?BodyPartExamined=CHEST", "fileroomOptions.indexedAttributes"),
        ("studies?StudyInstanceUID=1.*", "is not a UID"),
        ("studies?Modality=CT", "ModalitiesInStudy"),
        ("studies?00400275=x", "values of VR SQ are not searched"),
    ],
)
def test_extended_search_says_what_to_do(store: Store, path: str, text: str) -> None:
    assert text in store.error(path)


def test_a_store_indexes_what_its_options_name(server: ServedDeployment) -> None:
    options = {"fileroomOptions": {"indexedAttributes": ["BodyPartExamined"]}}
    store = Store(server, options)
    assert server.get(store.name)["fileroomOptions"] == options["fileroomOptions"]
    early = store.get("studies?BodyPartExamined=CHEST")
    store.add(*files())
    assert early.status_code in {204, 503}
    if early.status_code == 503:
        assert early.headers["retry-after"]
        assert "BodyPartExamined is being indexed" in early.json()["error"]["message"]
    deadline = time.monotonic() + 20
    while (answer := store.get("studies?BodyPartExamined=CHEST")).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert values(answer, "0020000D") == [["1.1"]]

    refused = server.call(
        "PATCH", store.name, {"fileroomOptions": {"indexedAttributes": ["X"]}},
        updateMask="fileroomOptions",
    )  # fmt: skip
    assert refused.status_code == 400
    patched = server.call("PATCH", store.name, {}, updateMask="fileroomOptions.indexedAttributes")
    assert patched.status_code == 200, patched.text
    assert "fileroomOptions" not in patched.json()
    assert "not indexed" in store.error("studies?BodyPartExamined=CHEST")
