"""STOW-RS over HTTP, against a real deployment."""

from __future__ import annotations

import json
import socket
import time
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pydicom
import pytest

from fileroom.api import requests
from fileroom.api.dicomweb import parts
from fileroom.api.errors import error_answer
from fileroom.archive import storing
from fileroom.archive.check import check_store
from fileroom.database import schema
from fileroom.database.collection import living_stores
from fileroom.database.instances import CONFLICT_MESSAGE
from fileroom.errors import ResourceExhausted
from tests.corpus import UID_ROOT, minimal_instance
from tests.multipart_bodies import BOUNDARY, DICOM_PARTS, multipart_body
from tests.places import root_of
from tests.unit.database.rows import all_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx2

    from tests.unit.api.conftest import ServedDeployment

JSON = "application/dicom+json"
STUDY = f"{UID_ROOT}.7"
ZEROS = b"\0" * 64
_numbers = count(1)


def instance(number: int = 1, *, study: str = STUDY, **overrides: Any) -> bytes:
    return minimal_instance(
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        sop_instance_uid=f"{study}.1.{number}",
        **overrides,
    )


class Web:
    """The ``dicomWeb`` path of a DICOM store of its own."""

    def __init__(self, server: ServedDeployment) -> None:
        self.server = server
        self.store = server.make_store(server.make_dataset(f"stow-{next(_numbers)}"), "s")

    @property
    def url(self) -> str:
        return f"{self.server.deployment.settings.public_url}/v1/{self.store}/dicomWeb"

    def send(
        self,
        content: bytes,
        content_type: str = "application/dicom",
        *,
        path: str = "studies",
        accept: str = JSON,
        verb: str = "POST",
        version: str = "v1",
        **headers: str,
    ) -> httpx2.Response:
        return self.server.client.request(
            verb,
            f"/{version}/{self.store}/dicomWeb/{path}",
            content=content,
            headers={"Content-Type": content_type, "Accept": accept}
            | {name.replace("_", "-"): value for name, value in headers.items()},
        )

    def send_parts(self, *contents: bytes, **options: Any) -> httpx2.Response:
        return self.send(multipart_body(contents), DICOM_PARTS, **options)

    def retrieve(self, number: int = 1, study: str = STUDY) -> httpx2.Response:
        return self.server.client.get(
            f"/v1/{self.store}/dicomWeb/studies/{study}/series/{study}.1/instances/"
            f"{study}.1.{number}",
            headers={"Accept": "application/dicom; transfer-syntax=*"},
        )

    @property
    def instances(self) -> int:
        return int(self.server.get(f"{self.store}:getDICOMStoreMetrics").get("instanceCount", "0"))

    @property
    def blobs(self) -> Path:
        with self.server.deployment.database.read() as connection:
            prefix = living_stores(connection)[-1].blob_prefix
        return root_of(self.server.deployment.blobs) / prefix

    @property
    def left_in_tmp(self) -> int:
        return sum(1 for _ in (self.blobs / "tmp").iterdir())


@pytest.fixture
def web(server: ServedDeployment) -> Web:
    return Web(server)


def stored_uids(answer: httpx2.Response) -> list[str]:
    items = answer.json().get("00081199", {"Value": []})["Value"]
    return [item["00081155"]["Value"][0] for item in items]


def failures(answer: httpx2.Response) -> list[tuple[str | None, int, str]]:
    """Give SOP Instance UID, FailureReason and FailureDetail of each."""
    return [
        (
            item.get("00081155", {"Value": [None]})["Value"][0],
            item["00081197"]["Value"][0],
            item["00091097"]["Value"][0],
        )
        for item in answer.json().get("00081198", {"Value": []})["Value"]
    ]


# One instance


@pytest.mark.clause("Cloud Healthcare API: Store", "a single part application/dicom is stored: 200")
@pytest.mark.clause("PS3.18 10.5.3", "the answer names each stored instance and where it is")
def test_one_file_is_stored_and_found_again(web: Web) -> None:
    data = instance()
    answer = web.send(data)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == JSON
    assert answer.json() == {
        "00081190": {"vr": "UR", "Value": [f"{web.url}/studies/{STUDY}"]},
        "00081199": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
                    "00081155": {"vr": "UI", "Value": [f"{STUDY}.1.1"]},
                    "00081190": {
                        "vr": "UR",
                        "Value": [
                            f"{web.url}/studies/{STUDY}/series/{STUDY}.1/instances/{STUDY}.1.1"
                        ],
                    },
                }
            ],
        },
    }
    assert web.retrieve().content == data
    assert web.left_in_tmp == 0


@pytest.mark.clause("Cloud Healthcare API: Store", "the answer is XML unless Accept says JSON")
@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/dicom+xml", "a/b"])
def test_the_answer_is_xml_unless_json_is_asked_for(web: Web, accept: str) -> None:
    assert web.send(instance(), accept=accept).status_code == 200
    answer = web.send(instance(patient_id="P2"), accept=accept)

    assert answer.status_code == 409
    assert answer.headers["Content-Type"] == "application/dicom+xml"
    root = ElementTree.fromstring(answer.content)
    detail = root.find(
        "DicomAttribute[@keyword='FailedSOPSequence']/Item/DicomAttribute[@keyword='FailureDetail']"
    )
    assert detail is not None
    assert (detail.get("tag"), detail.get("privateCreator")) == ("00090097", "GOOGLE")
    assert detail.findtext("Value") == CONFLICT_MESSAGE
    reason = root.find(".//DicomAttribute[@keyword='FailureReason']/Value")
    assert reason is not None
    assert reason.text == "272"


@pytest.mark.clause("Cloud Healthcare API: Store", "the very same instance once more: 200")
@pytest.mark.clause("Cloud Healthcare API: Store", "same UIDs and other bytes: 409, reason 272")
def test_identical_is_success_and_differing_is_a_failure_that_keeps_the_first(web: Web) -> None:
    first = instance()
    for _ in range(3):
        assert web.send(first).status_code == 200
    answer = web.send(instance(patient_id="P2"))

    assert answer.status_code == 409
    assert failures(answer) == [(f"{STUDY}.1.1", 272, CONFLICT_MESSAGE)]
    assert "already exists" in CONFLICT_MESSAGE
    assert "00081199" not in answer.json()
    assert web.retrieve().content == first
    assert web.instances == 1


@pytest.mark.clause("Cloud Healthcare API: Store", "what is no DICOM file: 409, reason 272")
@pytest.mark.parametrize("data", [b"x", b"<html>", ZEROS * 4, instance()[:200]])
def test_what_is_not_dicom_fails_and_leaves_nothing(web: Web, data: bytes) -> None:
    answer = web.send(data)

    assert answer.status_code == 409
    ((uid, reason, detail),) = failures(answer)
    assert (uid, reason) == (None, 272)
    assert detail
    assert web.instances == 0
    assert web.left_in_tmp == 0


# Many parts


@pytest.mark.clause("PS3.18 10.5.3.2", "parts fail alone: 409 names the stored and the failed")
def test_each_part_is_told_of(web: Web) -> None:
    web.send(instance(3))
    answer = web.send_parts(
        instance(1), b"junk", instance(2), instance(3, patient_id="P2"), b"", instance(1)
    )

    assert answer.status_code == 409
    assert stored_uids(answer) == [f"{STUDY}.1.1", f"{STUDY}.1.2", f"{STUDY}.1.1"]
    assert [(uid, reason) for uid, reason, _ in failures(answer)] == [
        (None, 272),
        (f"{STUDY}.1.3", 272),
        (None, 272),
    ]
    assert web.instances == 3
    assert web.left_in_tmp == 0


def test_more_parts_than_a_slice_are_all_stored(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "SLICE_PARTS", 3)
    numbers = list(range(1, 11))
    answer = web.send_parts(*(instance(number) for number in numbers), instance(2, patient_id="X"))

    assert stored_uids(answer) == [f"{STUDY}.1.{number}" for number in numbers]
    assert failures(answer) == [(f"{STUDY}.1.2", 272, CONFLICT_MESSAGE)]
    assert all(web.retrieve(number).content == instance(number) for number in numbers)


def test_studies_of_one_request_have_no_url_in_common(web: Web) -> None:
    answer = web.send_parts(instance(1), instance(1, study=f"{UID_ROOT}.8"))

    assert answer.status_code == 200
    assert "00081190" not in answer.json()
    assert len(stored_uids(answer)) == 2


@pytest.mark.clause("PS3.18 10.5.1", "an instance of another study than the path's fails")
def test_the_study_of_the_path_is_the_only_one(web: Web) -> None:
    answer = web.send_parts(
        instance(1), instance(1, study=f"{UID_ROOT}.8"), path=f"studies/{STUDY}/"
    )

    assert answer.status_code == 409
    assert stored_uids(answer) == [f"{STUDY}.1.1"]
    ((uid, reason, detail),) = failures(answer)
    assert (uid, reason) == (f"{UID_ROOT}.8.1.1", 272)
    assert "another study" in detail
    assert web.instances == 1


# What is refused as a whole


@pytest.mark.clause("Cloud Healthcare API: Store", "a media type that is not stored: 400")
@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "image/jpeg",
        "multipart/form-data; boundary=x",
        'multipart/related; type="application/dicom+xml"; boundary=x',
        'multipart/related; type="application/dicom"',
    ],
)
def test_a_bad_media_type_is_refused(web: Web, content_type: str) -> None:
    answer = web.send(instance(), content_type)

    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert web.instances == 0


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/dicom"),
        (b"", DICOM_PARTS),
        (multipart_body([]), DICOM_PARTS),
        (multipart_body([instance(1), instance(2)])[:-6], DICOM_PARTS),
        (multipart_body([instance(1), instance(2)])[:-100], DICOM_PARTS),
    ],
)
def test_a_body_without_parts_or_end_stores_nothing(
    web: Web, body: bytes, content_type: str
) -> None:
    assert web.send(body, content_type).status_code == 400
    assert web.instances == 0
    assert web.left_in_tmp == 0


def test_more_parts_than_a_request_may_have_are_refused(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PARTS_MAX", 2)
    assert web.send_parts(instance(1), instance(2)).status_code == 200
    answer = web.send_parts(instance(3), instance(4), instance(5))
    assert answer.status_code == 400
    assert "several requests" in answer.json()["error"]["message"]
    assert web.instances == 2


def test_a_compressed_body_is_refused(web: Web) -> None:
    assert web.send(instance(), Content_Encoding="gzip").status_code == 400


def test_a_store_that_is_not_there_is_told_before_the_body(web: Web) -> None:
    web.store += "-absent"
    assert web.send(instance()).status_code == 404


@pytest.mark.parametrize(
    ("number", "storage_class"),
    list(enumerate(["STANDARD", "nearline", "COLDLINE", "ARCHIVE"])),
)
@pytest.mark.clause("Cloud Healthcare API: Store", "the header Storage-Class is kept")
def test_storage_class_is_kept(web: Web, number: int, storage_class: str) -> None:
    uid = f"{UID_ROOT}.9.{number}"
    answer = web.send(instance(study=uid), Storage_Class=storage_class)

    assert answer.status_code == 200
    with web.server.deployment.database.read() as connection:
        rows = all_rows(connection, schema.instances)
    kept = [row.storage_class for row in rows if row.sop_instance_uid == f"{uid}.1.1"]
    assert kept == [storage_class.upper()]


def test_a_storage_class_that_is_none_is_refused(web: Web) -> None:
    answer = web.send(instance(), Storage_Class="FROZEN")
    assert answer.status_code == 400
    assert "NEARLINE" in answer.json()["error"]["message"]


def test_a_full_disk_is_another_status_than_a_quota() -> None:
    assert error_answer(ResourceExhausted("no space", "NO_SPACE")).status == 507
    assert error_answer(ResourceExhausted("a quota")).status == 429


# PUT


@pytest.mark.clause("Cloud Healthcare API v1beta1: updateInstances", "PUT replaces")
def test_put_replaces_and_adds(web: Web) -> None:
    web.send(instance(1))
    replaced = instance(1, patient_id="P2")
    answer = web.send_parts(replaced, instance(2), verb="PUT", version="v1beta1")

    assert answer.status_code == 200
    assert stored_uids(answer) == [f"{STUDY}.1.1", f"{STUDY}.1.2"]
    assert f"/v1beta1/{web.store}" in answer.json()["00081190"]["Value"][0]
    assert web.retrieve(1).content == replaced
    assert web.instances == 2
    assert web.send(instance(1), verb="PUT").status_code == 405


def test_put_does_not_replace_what_the_same_request_stored(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    for slice_parts in (100, 1):
        monkeypatch.setattr(storing, "SLICE_PARTS", slice_parts)
        first = instance(1, patient_id=f"A{slice_parts}")
        answer = web.send_parts(
            first, instance(1, patient_id=f"B{slice_parts}"), verb="PUT", version="v1beta1"
        )
        assert answer.status_code == 409
        ((_, _, detail),) = failures(answer)
        assert "more than once" in detail
        assert web.retrieve(1).content == first


# Metadata and bulk data


JSON_PARTS = DICOM_PARTS.replace('"application/dicom"', '"application/dicom+json"')
PIXELS = bytes(range(256)) * 2


def metadata(number: int = 1, *, uri: str = "pixels", **changes: Any) -> dict[str, Any]:
    """Give an instance of 16 x 16 pixels as DICOM JSON; a change to None leaves out."""
    model: dict[str, Any] = {
        "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]},
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
        "00080018": {"vr": "UI", "Value": [f"{STUDY}.1.{number}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]},
        "0020000D": {"vr": "UI", "Value": [STUDY]},
        "0020000E": {"vr": "UI", "Value": [f"{STUDY}.1"]},
        "00280010": {"vr": "US", "Value": [16]},
        "7FE00010": {"vr": "OW", "BulkDataURI": uri},
    }
    model |= {name.removeprefix("x"): change for name, change in changes.items()}
    return {name: element for name, element in model.items() if element is not None}


def json_body(models: list[dict[str, Any]], *bulk: tuple[str, bytes]) -> bytes:
    document = multipart_body(
        [json.dumps(models).encode()],
        headers=["Content-Type: application/dicom+json; transfer-syntax=1.2.840.10008.1.2.1"],
    )
    values = [
        multipart_body(
            [value],
            headers=["Content-Type: application/octet-stream", f"Content-Location: {location}"],
        )
        for location, value in bulk
    ]
    end = f"--{BOUNDARY}--\r\n".encode()
    return b"".join(part.removesuffix(end) for part in (document, *values)) + end


@pytest.mark.clause("PS3.18 10.5.2", "metadata as DICOM JSON with bulk data in other parts")
@pytest.mark.clause("Cloud Healthcare API: Store", "JSON mode, bulk data by Content-Location")
def test_metadata_and_bulk_data_become_files(web: Web) -> None:
    body = json_body([metadata(1, uri="a"), metadata(2, uri="b")], ("b", b"22"), ("a", PIXELS))
    answer = web.send(body, JSON_PARTS)

    assert answer.status_code == 200, answer.text
    assert stored_uids(answer) == [f"{STUDY}.1.1", f"{STUDY}.1.2"]
    first, second = (pydicom.dcmread(BytesIO(web.retrieve(n).content)) for n in (1, 2))
    assert first.PixelData == PIXELS
    assert second.PixelData == b"22"
    assert str(first.PatientName) == "Müller^Jörg"
    assert web.left_in_tmp == 0


def test_an_instance_of_json_fails_alone(web: Web) -> None:
    wrong: dict[str, Any] = {"x00080005": None}
    body = json_body(
        [metadata(1, **wrong), metadata(2), metadata(3), metadata(4, uri="absent")],
        ("pixels", PIXELS),
    )
    answer = web.send(body, JSON_PARTS)

    assert answer.status_code == 409
    assert stored_uids(answer) == [f"{STUDY}.1.2"]
    reasons = {uid: detail for uid, _, detail in failures(answer)}
    assert "$[0].00080005" in reasons[f"{STUDY}.1.1"]
    assert "same BulkDataURI" in reasons[f"{STUDY}.1.3"]
    assert "Content-Location" in reasons[f"{STUDY}.1.4"]
    assert web.instances == 1
    assert web.left_in_tmp == 0


@pytest.mark.parametrize(
    "body",
    [
        multipart_body([b"[]"], headers=["Content-Type: application/dicom+json"]),
        multipart_body([b"{"], headers=["Content-Type: application/dicom+json"]),
        multipart_body([instance()]),
        multipart_body([json.dumps([metadata()]).encode()] * 2, headers=["X: y"]),
        multipart_body([]),
    ],
)
def test_json_that_is_none_is_refused_as_a_whole(web: Web, body: bytes) -> None:
    answer = web.send(body, JSON_PARTS)
    assert answer.status_code == 400, answer.text
    assert web.left_in_tmp == 0


def test_metadata_over_the_limit_are_refused(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "METADATA_BYTES_MAX", 1000)
    models = [metadata(number, uri=str(number)) for number in range(1, 9)]
    assert web.send(json_body(models), JSON_PARTS).status_code == 400


# Bodies that do not come as they should


def open_request(web: Web, length: int | None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", web.server.port), timeout=10)
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    connection.sendall(
        f"POST /v1/{web.store}/dicomWeb/studies HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {web.server.token}\r\nContent-Type: {DICOM_PARTS}\r\n"
        f"Accept: {JSON}\r\n{size}\r\n\r\n".encode()
    )
    return connection


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_clean(web: Web) -> None:
    requests = web.server.deployment.requests
    wait_for(lambda: not web.left_in_tmp and not requests.living().running)
    assert web.instances == 0


def test_a_client_that_goes_away_leaves_nothing(web: Web) -> None:
    body = multipart_body([instance(1), instance(2)])
    connection = open_request(web, len(body) + 10)
    connection.sendall(body)
    wait_for(lambda: web.left_in_tmp == 2)
    connection.close()
    wait_until_clean(web)


def test_a_body_that_stalls_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BODY_IDLE_SECONDS", 0.2)
    with open_request(web, 1000) as connection:
        connection.sendall(multipart_body([instance(1)])[:100])
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 408")
    wait_until_clean(web)


def test_a_chunked_body_of_tiny_pieces_is_stored(web: Web) -> None:
    body = multipart_body([instance(1)])
    with open_request(web, None) as connection:
        for at in range(0, len(body), 11):
            piece = body[at : at + 11]
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert stored_uids_of(answer) == [f"{STUDY}.1.1"]


def stored_uids_of(answer: bytes) -> list[str]:
    model = json.loads(answer.partition(b"\r\n\r\n")[2])
    return [item["00081155"]["Value"][0] for item in model["00081199"]["Value"]]


def test_slow_clients_hold_no_threads(web: Web) -> None:
    """More uploads that wait than there are threads, and others are served."""
    threads = web.server.deployment.settings.request_threads
    waiting = [open_request(web, 1000) for _ in range(threads + 2)]
    try:
        for connection in waiting:
            connection.sendall(multipart_body([instance(1)])[:100])
        started = time.monotonic()
        assert web.send(instance(5)).status_code == 200
        assert time.monotonic() - started < 5
    finally:
        for connection in waiting:
            connection.close()


def test_nothing_is_left_over_beside_rows(web: Web) -> None:
    """Blobs of parts that got no row are queued to be dropped; no other is left without a row."""
    web.send_parts(instance(1), instance(1), instance(1, patient_id="P2"), b"junk")
    deployment = web.server.deployment
    with deployment.database.read() as connection:
        store = living_stores(connection)[-1]
    assert list(check_store(deployment.database, deployment.blobs, store, deep=True)) == []
