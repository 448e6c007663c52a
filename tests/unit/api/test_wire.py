"""JSON in and out as Google writes it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.api.errors import HTTP_STATUS, error_answer, status_answer
from fileroom.api.wire import (
    Dataset,
    DicomStore,
    DicomStoreMetrics,
    ExportDicomDataRequest,
    ImportDicomDataRequest,
    decode_message,
    int64,
    json_answer,
    timestamp,
)
from fileroom.errors import (
    Code,
    Internal,
    InvalidArgument,
    NotFound,
    Unauthenticated,
    Unavailable,
)

GCS_SOURCE = "gs://BUCKET/*.dcm"


@pytest.mark.clause(
    "Cloud Healthcare v1 JSON", "single-quoted JSON of the documentation's curl lines is accepted"
)
@pytest.mark.parametrize(
    "body",
    [
        b'{"gcsSource": {"uri": "gs://BUCKET/*.dcm"}}',
        b'{"gcs_source": {"uri": "gs://BUCKET/*.dcm"}}',
        b"{'gcsSource': {'uri': 'gs://BUCKET/*.dcm'}}",
        b"{ gcsSource: { uri: 'gs://BUCKET/*.dcm', }, }",
        b'\n {"gcsSource": {"uri": "gs://BUCKET/*.dcm"}, "blobStorageSettings": null}\n',
    ],
)
def test_every_spelling_that_google_takes_is_taken(body: bytes) -> None:
    message = decode_message(body, ImportDicomDataRequest)

    assert message.gcs_source is not None
    assert message.gcs_source.uri == GCS_SOURCE


def test_empty_body_is_an_empty_message() -> None:
    assert decode_message(b"", DicomStore) == DicomStore()
    assert decode_message(b" {} ", DicomStore) == DicomStore()


@pytest.mark.clause("Cloud Healthcare v1 JSON", "an unknown field is refused in Google's words")
def test_unknown_field_is_refused_in_googles_words() -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_message(b'{"output_config": {}}', ExportDicomDataRequest)

    message = 'Invalid JSON payload received. Unknown name "output_config": Cannot find field.'
    assert body_of(error_answer(caught.value)) == {
        "error": {
            "code": 400,
            "message": message,
            "status": "INVALID_ARGUMENT",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"description": message}],
                }
            ],
        }
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"gcsSource": {"urx": "a"}}', "Unknown name \"urx\" at 'gcs_source'"),
        (b'{"gcsSource": {"uri": 1}}', "Invalid value at 'gcs_source.uri'"),
        (b'{"gcsSource": "a"}', "Invalid value at 'gcs_source': Expected object, got str"),
        (b'{"gcsSource": {}, "gcs_source": {}}', "given twice"),
        (
            b'{"blobStorageSettings": {"blobStorageClass": "COLD"}}',
            "Invalid value at 'blob_storage_settings.blob_storage_class'",
        ),
        (b"[]", "Root element must be a message"),
        (b'"text"', "Root element must be a message"),
        (b"{", "Invalid JSON payload received"),
        (b'{"gcsSource": {"uri": "\xff"}}', "Invalid JSON payload received"),
        (b"\xff\xfe", "Invalid JSON payload received"),
        (b"{'a':" * 200, "Invalid JSON payload received"),
        (b'{"a":' * 100_000, "Invalid JSON payload received"),
        (b"{'gcsSource': {'uri': '" + b"x" * 65_536 + b"'}}", "Invalid JSON payload received"),
        (b'{"gcsSource": {"uri": NaN}}', "Invalid"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(body: bytes, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_message(body, ImportDicomDataRequest)

    assert words in caught.value.message


def test_all_unknown_fields_are_named_at_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_message(b'{"one": 1, "two": 2}', Dataset)

    details = body_of(error_answer(caught.value))["error"]["details"]
    assert len(details[0]["fieldViolations"]) == 2


@given(st.lists(st.none() | st.booleans() | st.integers() | st.text(max_size=5), max_size=3))
def test_no_json_value_breaks_the_decoder(value: object) -> None:
    for content in (value, {"labels": value}, {"streamConfigs": [value]}):
        try:
            decode_message(msgspec.json.encode(content), DicomStore)
        except InvalidArgument:
            continue


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(body: bytes) -> None:
    try:
        decode_message(body, DicomStore)
    except InvalidArgument:
        return


@pytest.mark.clause(
    "Cloud Healthcare v1 JSON", "int64 are strings; zero, false and empty fields are left out"
)
def test_zero_false_and_empty_are_left_out() -> None:
    answer = json_answer(
        DicomStoreMetrics(name="n", study_count=int64(0), instance_count=int64(2**53 + 1))
    )

    assert body_of(answer) == {"name": "n", "instanceCount": "9007199254740993"}


@pytest.mark.clause("Cloud Healthcare v1 JSON", "timestamps are RFC 3339 with Z")
def test_timestamps_are_rfc_3339() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00Z"
    assert timestamp(1_700_000_000_123_456) == "2023-11-14T22:13:20.123456Z"


def test_every_code_has_an_http_status() -> None:
    assert set(HTTP_STATUS) == set(Code)


def test_error_answers_say_how_to_go_on() -> None:
    assert error_answer(Unauthenticated("no")).headers["WWW-Authenticate"].startswith("Bearer")
    assert error_answer(Unavailable("soon")).headers["Retry-After"]
    assert body_of(error_answer(NotFound("no store", "name")))["error"] == {
        "code": 404,
        "message": "no store",
        "status": "NOT_FOUND",
    }


def test_internal_error_tells_nothing_of_the_inside() -> None:
    answer = error_answer(Internal("/srv/fileroom/blobs/ab is gone"))

    assert answer.status == 500
    assert isinstance(answer.body, bytes)
    assert b"/srv" not in answer.body


def test_status_without_a_code_has_the_same_shape() -> None:
    answer = status_answer(406, "INVALID_ARGUMENT", "no", headers={"X": "y"})

    assert answer.status == 406
    assert body_of(answer)["error"]["code"] == 406
    assert answer.headers == {"X": "y"}


def body_of(answer: object) -> Any:
    body = getattr(answer, "body", b"")
    return json.loads(body)
