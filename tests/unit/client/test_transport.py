from __future__ import annotations

import json
import socket

import pytest

from fileroom.client import Client
from fileroom.client.transport import is_loopback, to_error
from fileroom.errors import (
    Aborted,
    AlreadyExists,
    FileroomError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Unknown,
)
from tests.unit.client.scripted_server import Scripted, scripted_server

DATASET = "projects/p/locations/us-central1/datasets/d"


def google_error(code: int, status: str, message: str, field: str | None = None) -> bytes:
    error: dict[str, object] = {"code": code, "status": status, "message": message}
    if field is not None:
        error["details"] = [{"fieldViolations": [{"field": field, "description": "bad"}]}]
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status_code", "status", "kind"),
    [
        (400, "INVALID_ARGUMENT", InvalidArgument),
        (401, "UNAUTHENTICATED", Unauthenticated),
        (403, "PERMISSION_DENIED", PermissionDenied),
        (404, "NOT_FOUND", NotFound),
        (409, "ALREADY_EXISTS", AlreadyExists),
        (409, "ABORTED", Aborted),
        (429, "RESOURCE_EXHAUSTED", ResourceExhausted),
        (501, "UNIMPLEMENTED", Unimplemented),
        (503, "UNAVAILABLE", Unavailable),
        (504, "DEADLINE_EXCEEDED", Unavailable),
    ],
)
def test_google_error_body_becomes_error_of_its_status(
    status_code: int, status: str, kind: type[FileroomError]
) -> None:
    error = to_error(status_code, google_error(status_code, status, "no such thing", "x.y"), "u")
    assert type(error) is kind
    assert error.message == "no such thing"
    assert error.detail == "x.y"


def test_answer_without_google_body_becomes_error_of_its_http_status() -> None:
    error = to_error(404, b"DICOM instance does not exist.", "http://h")
    assert type(error) is NotFound
    assert error.message == "http://h answered HTTP 404: DICOM instance does not exist."
    assert type(to_error(502, b"<html>", "http://h")) is Unavailable
    assert type(to_error(418, b"", "http://h")) is Unknown


def test_error_of_a_call_is_raised_with_the_servers_words() -> None:
    answer = Scripted(403, google_error(403, "PERMISSION_DENIED", "not yours"))
    with (
        scripted_server(answer) as script,
        Client(script.url) as client,
        pytest.raises(PermissionDenied, match=r"^not yours$"),
    ):
        client.get_dataset(DATASET)


def test_absent_server_is_unavailable_and_told_with_its_url() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url) as client, pytest.raises(Unavailable, match=f"no server answers at {url}"):
            client.get_dataset(DATASET)


def test_silent_server_is_unavailable_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            Client(url, timeout_seconds=0.05) as client,
            pytest.raises(Unavailable, match=r"did not answer within 0\.05 s"),
        ):
            client.get_dataset(DATASET)


def test_broken_connection_is_unavailable_and_the_request_is_not_repeated() -> None:
    with (
        scripted_server(Scripted(None)) as script,
        Client(script.url) as client,
        pytest.raises(Unavailable, match="broke"),
    ):
        client.import_(f"{DATASET}/dicomStores/s", "gs://b/**")
    assert len(script.requests) == 1


def test_server_that_is_not_fileroom_is_told_apart() -> None:
    page = Scripted(200, b"<html>welcome</html>", "text/html")
    with (
        scripted_server(page) as script,
        Client(script.url) as client,
        pytest.raises(Unknown, match="is it a Fileroom server"),
    ):
        client.get_dataset(DATASET)


def test_redirect_is_an_error_and_the_token_goes_nowhere_else() -> None:
    with (
        scripted_server(Scripted(302, b"")) as script,
        Client(script.url, "secret") as client,
        pytest.raises(Unknown, match="HTTP 302"),
    ):
        client.get_dataset(DATASET)
    assert [headers["authorization"] for headers in script.headers] == ["Bearer secret"]


def test_no_token_sends_no_authorization() -> None:
    body = json.dumps({"name": DATASET}).encode()
    with scripted_server(Scripted(200, body)) as script, Client(script.url) as client:
        client.get_dataset(DATASET)
    assert "authorization" not in script.headers[0]


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://host", "http://"])
def test_url_that_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match=r"http://127\.0\.0\.1:8080"):
        Client(url)


def test_token_that_cannot_be_a_header_is_refused_without_showing_it() -> None:
    with pytest.raises(InvalidArgument) as raised:
        Client("http://127.0.0.1:8080", "geheim\nX: y")
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback_is_the_own_machine_only(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_list_is_read_page_by_page_as_it_is_iterated() -> None:
    first = json.dumps({"datasets": [{"name": f"{DATASET}1"}], "nextPageToken": "t/+"}).encode()
    second = json.dumps({"datasets": [{"name": f"{DATASET}2"}]}).encode()
    with (
        scripted_server(Scripted(200, first), Scripted(200, second)) as script,
        Client(script.url) as client,
    ):
        found = client.list_datasets("projects/p/locations/us-central1", page_size=5000)
        assert script.requests == []
        assert next(found).name.dataset_id == "d1"
        assert len(script.requests) == 1
        assert [dataset.name.dataset_id for dataset in found] == ["d2"]
    assert [path for _, path, _ in script.requests] == [
        "/v1/projects/p/locations/us-central1/datasets?pageSize=1000",
        "/v1/projects/p/locations/us-central1/datasets?pageSize=1000&pageToken=t%2F%2B",
    ]
