"""The HTTP edge: who is let in, what is refused before it is read, how answers look."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from typing import TYPE_CHECKING

import pytest

from fileroom.api.connections import HEAD_BYTES_MAX, HEADERS_MAX
from fileroom.api.requests import BODY_BYTES_MAX
from fileroom.settings import Settings
from fileroom.telemetry import JsonFormatter
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.api.conftest import ServedDeployment

DATASETS = "projects/p1/locations/us-central1/datasets"
STORE = f"{DATASETS}/edge/dicomStores/s1"


@pytest.fixture(scope="module")
def store(server: ServedDeployment) -> str:
    return server.make_store(server.make_dataset("edge"), "s1")


class Log:
    """All that the server logs, as it would stand in the log."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(JsonFormatter())
        # The test's own client runs in the same process.
        self.handler.addFilter(lambda record: not record.name.startswith(("httpx2", "httpcore2")))

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    def requests(self, count: int) -> list[dict[str, object]]:
        """Give the lines of that many requests; the last one is written after its answer."""
        deadline = time.monotonic() + 5
        while self.text.count('"message": "request"') < count and time.monotonic() < deadline:
            time.sleep(0.01)
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in lines if line["message"] == "request"]


@pytest.fixture
def log() -> Iterator[Log]:
    log, root = Log(), logging.getLogger()
    level = root.level
    root.addHandler(log.handler)
    root.setLevel(logging.INFO)
    yield log
    root.setLevel(level)
    root.removeHandler(log.handler)


# Who is let in


@pytest.mark.clause("Cloud Healthcare v1 errors", "no token or a wrong one is 401 UNAUTHENTICATED")
@pytest.mark.parametrize("header", [None, "Bearer guess", "Basic dTpw", "Bearer"])
def test_every_route_wants_the_token(server: ServedDeployment, header: str | None) -> None:
    for path in (DATASETS, f"{STORE}/dicomWeb/studies", f"{STORE}:getDICOMStoreMetrics"):
        request = server.client.build_request("GET", f"/v1/{path}")
        del request.headers["Authorization"]
        if header is not None:
            request.headers["Authorization"] = header
        answer = server.client.send(request)

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
        assert answer.json()["error"]["status"] == "UNAUTHENTICATED"


@pytest.mark.clause(
    "Cloud Healthcare v1 global parameters", "the token may come as access_token in the query"
)
def test_token_in_the_query_is_taken_and_never_logged(server: ServedDeployment, log: Log) -> None:
    request = server.client.build_request(
        "GET", f"/v1/{DATASETS}", params={"access_token": server.token, "key": "ZZSECRET"}
    )
    del request.headers["Authorization"]

    assert server.client.send(request).status_code == 200
    assert [line["method"] for line in log.requests(1)] == ["datasets.list"]
    assert server.token not in log.text
    assert "ZZSECRET" not in log.text


def test_health_is_public_and_knows_any_host(server: ServedDeployment) -> None:
    for path in ("/healthz", "/readyz"):
        answer = server.raw(
            f"GET {path} HTTP/1.1\r\nHost: 10.1.2.3\r\nConnection: close\r\n\r\n".encode()
        )
        assert answer.startswith(b"HTTP/1.1 200")


def test_mode_none_asks_for_nothing(tmp_path: Path) -> None:
    with served(Settings(data=tmp_path / "data", workers=1, auth=("none",))) as open_server:
        assert open_server.call("GET", DATASETS).status_code == 200
        assert not (tmp_path / "data" / "access-token").exists()


# What a web page could have sent


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.1"])
def test_foreign_host_is_refused(server: ServedDeployment, host: str) -> None:
    answer = server.client.get(f"/v1/{DATASETS}", headers={"Host": host})

    assert answer.status_code == 421
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("host", ["localhost", "[::1]:8080", "127.0.0.1", "FILES.example.org:443"])
def test_own_hosts_are_known(server: ServedDeployment, host: str) -> None:
    assert server.client.get(f"/v1/{DATASETS}", headers={"Host": host}).status_code == 200


def test_page_of_another_site_can_change_nothing(server: ServedDeployment, store: str) -> None:
    for origin in ("https://evil.example", "null"):
        answer = server.client.delete(f"/v1/{store}", headers={"Origin": origin})
        assert answer.status_code == 403
    assert server.get(store)["name"] == store


def test_cors_knows_the_configured_origins_only(server: ServedDeployment) -> None:
    ours, foreign = "https://viewer.example.org", "https://evil.example"
    preflight = {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }

    let = server.client.options(f"/v1/{DATASETS}", headers={"Origin": ours, **preflight})
    refused = server.client.options(f"/v1/{DATASETS}", headers={"Origin": foreign, **preflight})
    read = server.client.get(f"/v1/{DATASETS}", headers={"Origin": ours})

    assert let.headers["Access-Control-Allow-Origin"] == ours
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert read.headers["Access-Control-Allow-Origin"] == ours
    assert "Access-Control-Allow-Credentials" not in read.headers
    assert "Origin" in read.headers["Vary"]


def test_jsonp_is_refused(server: ServedDeployment) -> None:
    assert server.call("GET", DATASETS, callback="f").status_code == 400


# Paths and verbs


def test_unknown_path_has_googles_body(server: ServedDeployment) -> None:
    for path in ("/", "/v1/nothing", "/v3/projects", f"/v1/{STORE}/dicomWeb/patients"):
        answer = server.client.get(path)
        error = answer.json()["error"]
        message = error.pop("message")
        assert (answer.status_code, error) == (404, {"code": 404, "status": "NOT_FOUND"})
        assert message.startswith(f"Method not found. This API has no path {path!r}; ")
        remedy = "dicomStores/S" if path.startswith("/v1/") else "/openapi.json tells them all"
        assert message.endswith(remedy)


def test_wrong_verb_names_the_right_ones(server: ServedDeployment) -> None:
    answer = server.client.put(f"/v1/{STORE}")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, PATCH")


def test_encoded_paths_mean_the_same(server: ServedDeployment, store: str) -> None:
    for path in (store.replace("edge", "%65dge"), f"{store}/", store.replace("/s1", "/s1?")):
        assert server.client.get(f"/v1/{path}").json() == {"name": store}
    assert server.client.get(f"/v1/{DATASETS}/a%2Fb").status_code == 400


@pytest.mark.clause(
    "Cloud Healthcare v1",
    "what comes later is 501 UNIMPLEMENTED and says what to use",
    holds="deviation",
)
@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", ":deidentify"),
    ],
)
def test_what_comes_later_says_so(
    server: ServedDeployment, store: str, verb: str, path: str
) -> None:
    answer = server.client.request(verb, f"/v1/{store}{path}")

    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (501, "UNIMPLEMENTED")
    assert "is not offered by this version: " in error["message"]


# Limits


@pytest.mark.clause("Cloud Healthcare v1 quotas", "a request over 10 MB is refused")
def test_body_over_the_limit_is_refused_unread(server: ServedDeployment, store: str) -> None:
    head = (
        f"POST /v1/{store}:import HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {server.token}\r\n"
    )
    announced = server.raw(f"{head}Content-Length: {10**12}\r\n\r\n".encode())
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    counted = server.raw(
        f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
        + chunk * (BODY_BYTES_MAX // 0x100000 + 1)
    )

    for answer in (announced, counted):
        assert answer.startswith(b"HTTP/1.1 413")
        assert f"exceeds the limit: {BODY_BYTES_MAX} bytes".encode() in answer


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * HEAD_BYTES_MAX + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * HEADERS_MAX + b"\r\n", b"431"),
        (b"GET /" + b"x" * HEAD_BYTES_MAX + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 5_000_000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
    ],
)
def test_head_that_is_too_large_or_wrong_is_cut_off(
    server: ServedDeployment, request_head: bytes, status: bytes
) -> None:
    answer = server.raw(request_head)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == int(status)


def test_client_that_says_nothing_is_sent_away(
    server: ServedDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.api.connections.HEAD_SECONDS", 0.2)

    for said in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "):
        began = time.monotonic()
        assert server.raw(said) == b""
        assert time.monotonic() - began < 5


def test_body_that_stalls_is_given_up(
    server: ServedDeployment, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.api.requests.BODY_IDLE_SECONDS", 0.2)
    head = (
        f"POST /v1/{store}:import HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: 10\r\n\r\n{{"
    )

    assert server.raw(head.encode()).startswith(b"HTTP/1.1 408")


def test_server_at_its_limit_says_when_to_come_back(
    server: ServedDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.api.app.REQUESTS_MAX", 0)

    answer = server.call("GET", DATASETS)

    assert (answer.status_code, answer.json()["error"]["status"]) == (503, "UNAVAILABLE")
    assert answer.headers["Retry-After"] == "1"
    assert server.client.get("/healthz").status_code == 200


# How answers look


def test_json_is_indented_unless_the_client_minds(server: ServedDeployment, store: str) -> None:
    assert f'{{\n  "name": "{store}"\n}}\n' == server.call("GET", store).text
    assert f'{{"name":"{store}"}}' == server.call("GET", store, prettyPrint="false").text


def test_every_answer_guards_the_browser(server: ServedDeployment) -> None:
    for answer in (server.call("GET", DATASETS), server.client.get("/nothing")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])
        assert "server" not in answer.headers


def test_unread_body_does_not_spoil_the_connection(server: ServedDeployment, store: str) -> None:
    for _ in range(3):
        unread = server.client.post(f"/v1/{store}:deidentify", content=b"x" * 300_000)
        assert unread.status_code == 501
        assert server.call("GET", store).status_code == 200


def test_log_line_of_a_request_holds_names_and_figures_only(
    server: ServedDeployment, store: str, log: Log
) -> None:
    server.call("GET", f"{store}/dicomWeb/studies", PatientName="ZZPHI^PLANTED", alt="json")
    server.call("GET", f"{store}/dicomWeb/studies/1.2.99999.7/metadata")
    server.call("POST", f"{store}:import", {"gcsSource": {"uri": "gs://ZZPHI/**"}})

    requests = log.requests(3)
    assert [line["method"] for line in requests] == [
        "datasets.dicomStores.searchForStudies",
        "datasets.dicomStores.studies.retrieveMetadata",
        "datasets.dicomStores.import",
    ]
    assert [line["status"] for line in requests] == [204, 404, 400]
    assert {line["resource"] for line in requests} == {store}
    assert all(line["requestId"] and line["milliseconds"] for line in requests)
    assert "ZZPHI" not in log.text
    assert "1.2.99999.7" not in log.text


def test_fault_of_ours_is_told_to_the_log_and_not_to_the_caller(
    server: ServedDeployment, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("ZZPHI /srv/secret")

    monkeypatch.setattr("fileroom.database.stores.list_datasets", broken)

    answer = server.call("GET", DATASETS)

    assert (answer.status_code, answer.json()["error"]["status"]) == (500, "INTERNAL")
    assert "srv" not in answer.text
    assert "ValueError" in log.text
    assert "ZZPHI" not in log.text
    assert answer.headers["X-Request-Id"] in log.text
