from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pydicom
import pytest

from fileroom.api.dicomweb import answers
from fileroom.archive.metadata.telling import OWN_INSTANCES
from tests.corpus import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    JPEG_BASELINE,
    encapsulated_instance,
    minimal_instance,
)
from tests.unit.api.web import Web, numbers, parts

if TYPE_CHECKING:
    import httpx2

    from tests.unit.api.conftest import ServedDeployment

AS_STORED = "application/dicom; transfer-syntax=*"
INSTANCE = "studies/1.2/series/1.2.3/instances/1.2.3.4"


@pytest.fixture(scope="module")
def web(server: ServedDeployment) -> Web:
    """A store with one study of two series, every answer of which is read and not changed."""
    web = Web(server, next(numbers))
    web.add(
        *(
            minimal_instance(
                study_instance_uid="1.2",
                series_instance_uid=f"1.2.{series}",
                sop_instance_uid=f"1.2.{series}.{instance}",
                modality="CT" if series == 3 else "MR",
            )
            for series in (3, 5)
            for instance in (4, 6, 7)
        )
    )
    return web


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An instance of the store ``encodings``."""

    web: Web
    path: str
    data: bytes


@pytest.fixture(scope="module")
def encodings(server: ServedDeployment) -> dict[str, Stored]:
    """A store with an instance in each of some transfer syntaxes, of two pixels."""
    web = Web(server, next(numbers))
    stored = {}
    for number, syntax in enumerate((EXPLICIT, IMPLICIT, BIG_ENDIAN, JPEG_BASELINE)):
        uids: dict[str, Any] = {
            "study_instance_uid": f"1.{number}",
            "series_instance_uid": f"1.{number}.2",
            "sop_instance_uid": f"1.{number}.3",
        }
        if syntax == JPEG_BASELINE:
            data = encapsulated_instance(**uids)
        else:
            data = minimal_instance(
                transfer_syntax_uid=syntax, rows=1, columns=2, pixel_data=[1, 515], **uids
            )
        path = f"studies/1.{number}/series/1.{number}.2/instances/1.{number}.3"
        stored[syntax] = Stored(web=web, path=path, data=data)
    web.add(*(each.data for each in stored.values()))
    return stored


# ------------------------------------------------------------------ search


@pytest.mark.clause("Cloud Healthcare conformance, Search", "search answers at six paths")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("studies", 1),
        ("series", 2),
        ("instances", 6),
        ("studies/1.2/series", 2),
        ("studies/1.2/instances", 6),
        ("studies/1.2/series/1.2.3/instances", 3),
        ("studies/", 1),
        ("studies/1.2/series/1.2.3/instances/", 3),
    ],
)
def test_search_answers_dicom_json_at_each_path(web: Web, path: str, expected: int) -> None:
    answer = web.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert len(answer.json()) == expected


@pytest.mark.clause("Cloud Healthcare conformance, Search", "no match is 204 without a body")
@pytest.mark.parametrize(
    "path", ["studies?PatientID=nobody", "studies/9.9/series", "instances?limit=1&offset=100"]
)
def test_no_match_is_204_without_a_body(web: Web, path: str) -> None:
    answer = web.get(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers


def test_generated_clients_parameters_and_accept_are_taken(web: Web) -> None:
    for accept in ("application/json", "*/*", "application/dicom+json,multipart/related", None):
        answer = web.get("series", accept, alt="json", prettyPrint="false", Modality="CT")
        assert answer.status_code == 200
        assert [each["0020000E"]["Value"] for each in answer.json()] == [["1.2.3"]]


@pytest.mark.clause("Cloud Healthcare conformance, Search", "unknown keys are 400, with its texts")
@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "instances?PixelData=1",
            "PixelData is not a supported instance or study or series level attribute",
        ),
        ("studies?Foo=x", "unknown/unsupported QIDO attribute: Foo"),
        ("studies?limit=5001", "limit must be a whole number from 1 to 5000"),
        ("instances?limit=50001", "limit must be a whole number from 1 to 50000"),
        ("studies?offset=1000001", "offset must be"),
        ("studies?StudyDate=yesterday", "StudyDate must be"),
        ("studies/x/series", "not a UID"),
    ],
)
def test_what_cannot_be_searched_is_400_and_says_why(web: Web, path: str, text: str) -> None:
    answer = web.get(path)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["status"] == "INVALID_ARGUMENT"
    assert text in error["message"]


def test_a_search_of_an_absent_store_is_404_and_of_an_absent_dataset_403(web: Web) -> None:
    for store, status in [(f"{web.store}x", 404), (web.store.replace("web-", "none-"), 403)]:
        for path in ("studies", "instances?Foo=x", INSTANCE, f"{INSTANCE}/metadata"):
            answer = web.server.client.get(f"/v1/{store}/dicomWeb/{path}")
            assert answer.status_code == status, path


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize(
    ("path", "most"),
    [("instances", answers.JSON_PIECE_OBJECTS), ("studies/1.7/metadata", OWN_INSTANCES)],
)
def test_long_answers_come_in_pieces_and_are_one_array(
    server: ServedDeployment, path: str, most: int, more: int
) -> None:
    web = Web(server, next(numbers))
    uids = [f"1.2.{number}" for number in range(most + more)]
    web.add(*(minimal_instance(study_instance_uid="1.7", sop_instance_uid=uid) for uid in uids))
    answer = web.get(path)
    assert ("content-length" in answer.headers) is (more == 0)
    assert {each["00080018"]["Value"][0] for each in answer.json()} == set(uids)


# ------------------------------------------------------------------ metadata


@pytest.mark.clause("PS3.18 10.4", "metadata at study, series and instance level as DICOM JSON")
def test_metadata_answer_at_three_levels(web: Web) -> None:
    for path, expected in [("studies/1.2", 6), ("studies/1.2/series/1.2.3", 3), (INSTANCE, 1)]:
        answer = web.get(f"{path}/metadata", "application/dicom+json")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/dicom+json"
        assert len(answer.json()) == expected
    (told,) = answer.json()
    assert told["00080018"] == {"vr": "UI", "Value": ["1.2.3.4"]}
    assert told["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Sample^Sam"}]}
    assert answer.headers["etag"].startswith('"')
    assert answer.headers["content-length"] == str(len(answer.content))


def test_bulk_data_uris_begin_with_the_public_url(encodings: dict[str, Stored]) -> None:
    stored = encodings[EXPLICIT]
    (told,) = stored.web.get(f"{stored.path}/metadata").json()
    uri = f"{stored.web.url}/{stored.path}/bulkdata/7FE00010"
    assert told["7FE00010"]["BulkDataURI"] == uri


@pytest.mark.clause("PS3.18 10.4", "what is absent is 404", holds="chosen")
@pytest.mark.parametrize(
    "path",
    [
        "studies/9.9/metadata",
        "studies/1.2/series/9.9/metadata",
        f"{INSTANCE}5/metadata",
        f"{INSTANCE}5",
    ],
)
def test_what_is_absent_is_404(web: Web, path: str) -> None:
    answer = web.get(path, AS_STORED if path.endswith("5") else None)
    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == "NOT_FOUND"


@pytest.mark.clause(
    "PS3.18 8.7.3", "metadata as multipart/related of application/dicom+xml, a part an instance"
)
@pytest.mark.parametrize("path", ["studies/1.2", f"{INSTANCE}"])
def test_metadata_come_as_xml_where_asked(web: Web, path: str) -> None:
    answer = web.get(f"{path}/metadata", "multipart/related; type=application/dicom+xml")
    assert answer.status_code == 200
    assert answer.headers["etag"].startswith('W/"')
    told = [
        root.findtext("DicomAttribute[@keyword='SOPInstanceUID']/Value")
        for root in map(ElementTree.fromstring, documents(answer))
    ]
    as_json = web.get(f"{path}/metadata").json()
    assert told == [each["00080018"]["Value"][0] for each in as_json]


def documents(answer: httpx2.Response) -> list[bytes]:
    found = parts(answer)
    assert {media_type for media_type, _ in found} == {"application/dicom+xml"}
    return [body for _, body in found]


def test_metadata_in_another_form_are_406(web: Web) -> None:
    answer = web.get(f"{INSTANCE}/metadata", "application/dicom+xml")
    assert answer.status_code == 406
    assert "application/dicom+json" in answer.json()["error"]["message"]


@pytest.mark.clause(
    "Cloud Healthcare conformance, Search", "results as parts of XML where Accept asks for them"
)
def test_results_of_a_search_in_xml(web: Web) -> None:
    answer = web.get("instances", "multipart/related; type=application/dicom+xml")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("multipart/related")
    found = parts(answer)
    assert len(found) == len(web.get("instances").json())
    for media_type, body in found:
        assert media_type == "application/dicom+xml"
        model = ElementTree.fromstring(body)
        assert model.tag == "NativeDicomModel"
        assert model.find("DicomAttribute[@keyword='SOPInstanceUID']") is not None


@pytest.mark.clause("RFC 9110 13.1.2", "metadata that the client has answer 304")
def test_metadata_that_are_known_are_not_sent_again(server: ServedDeployment) -> None:
    web = Web(server, next(numbers))
    uids: dict[str, Any] = {"study_instance_uid": "1.2", "series_instance_uid": "1.2.3"}
    web.add(minimal_instance(**uids, sop_instance_uid="1.2.3.4"))
    for path in ("studies/1.2", "studies/1.2/series/1.2.3", INSTANCE):
        etag = web.get(f"{path}/metadata").headers["etag"]
        for known in (etag, f'"other", W/{etag}', "*"):
            answer = web.get(f"{path}/metadata", known=known)
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == etag
            assert "content-length" not in answer.headers
        assert web.get(f"{path}/metadata", known='"other"').status_code == 200
    xml = "multipart/related; type=application/dicom+xml"
    assert web.get("studies/1.2/metadata", xml, known=etag).status_code == 304
    web.add(minimal_instance(**uids, sop_instance_uid="1.2.3.5"))
    answer = web.get("studies/1.2/metadata", known=etag)
    assert (answer.status_code, len(answer.json())) == (200, 2)


@pytest.mark.clause(
    "Fileroom", "BulkDataURIs begin with public_url and the version asked for", holds="own rule"
)
def test_kept_metadata_name_the_url_that_was_asked(server: ServedDeployment) -> None:
    web = Web(server, next(numbers))
    web.add(
        *(
            minimal_instance(
                study_instance_uid="1.2",
                series_instance_uid="1.2.3",
                sop_instance_uid=f"1.2.3.{at}",
                rows=1,
                columns=2,
                pixel_data=[1, 2],
            )
            for at in range(60)
        )
    )
    path = f"{web.store}/dicomWeb/studies/1.2"
    for version in ("v1", "v1beta1", "v1"):
        told = server.client.get(f"/{version}/{path}/metadata").json()
        start = f"{server.deployment.settings.public_url}/{version}/{path}/"
        assert len(told) == 60
        assert all(each["7FE00010"]["BulkDataURI"].startswith(start) for each in told)


# ------------------------------------------------------------------ instances


@pytest.mark.clause("PS3.18 8.7.3", "transfer-syntax=* gives the very bytes that were stored")
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, JPEG_BASELINE])
def test_as_stored_is_byte_for_byte(encodings: dict[str, Stored], syntax: str) -> None:
    stored = encodings[syntax]
    data = stored.data
    for accept in (AS_STORED, f"application/dicom; transfer-syntax={syntax}"):
        answer = stored.web.get(stored.path, accept)
        assert answer.status_code == 200
        assert answer.content == data
        assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={syntax}"
        assert answer.headers["content-length"] == str(len(data))
        assert answer.headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    for accept in (
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        "multipart/related; transfer-syntax=*; type=application/dicom",
    ):
        answer = stored.web.get(stored.path, accept)
        assert answer.status_code == 200
        assert answer.headers["content-length"] == str(len(answer.content))
        assert parts(answer) == [(f"application/dicom; transfer-syntax={syntax}", data)]


@pytest.mark.clause("PS3.18 8.7.3.5.2", "without a wish an instance is Explicit VR Little Endian")
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/dicom"])
def test_the_default_is_explicit_little_endian(
    encodings: dict[str, Stored], syntax: str, accept: str | None
) -> None:
    stored = encodings[syntax]
    answer = stored.web.get(stored.path, accept)
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(len(answer.content))
    if accept == "application/dicom":
        body = answer.content
    else:
        ((_, body),) = parts(answer)
    result = pydicom.dcmread(BytesIO(body))
    assert result.file_meta.TransferSyntaxUID == EXPLICIT
    assert result.PixelData == b"\1\0\3\2"
    assert (body == stored.data) is (syntax == EXPLICIT)


def test_an_impossible_accept_is_406(web: Web) -> None:
    for accept in ("image/png", "application/dicom; transfer-syntax=1.2.3", "*/*;q=0"):
        assert web.get(INSTANCE, accept).status_code == 406


def test_data_are_never_run_as_a_page(web: Web) -> None:
    for path in (INSTANCE, "studies", f"{INSTANCE}/metadata"):
        answer = web.get(path, "*/*")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
