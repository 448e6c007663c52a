"""Clients that send too much, too slowly, too often."""

from __future__ import annotations

import os
import socket
import stat
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from fileroom.api import requests
from fileroom.api.dicomweb import parts
from fileroom.api.rates import FAILURES_AT_ONCE
from fileroom.database import dialects
from fileroom.settings import Settings
from tests.server import running_server
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.api.conftest import ServedDeployment

MIB = 1 << 20
GROWTH_BYTES_MAX = 64 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDeployment]:
    data = tmp_path_factory.mktemp("limits") / "data"
    (data / "buckets" / "demo").mkdir(parents=True)
    with served(Settings(data=data, workers=1, unfinished_operations=2)) as running:
        yield running


@pytest.fixture(scope="module")
def studies(server: ServedDeployment) -> str:
    return server.make_store(server.make_dataset("limits"), "s") + "/dicomWeb/studies"


def stow(server: ServedDeployment, studies: str, *headers: str) -> bytes:
    """Give the head of a request that stores."""
    lines = (
        f"POST /v1/{studies} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Authorization: Bearer {server.token}",
        "Content-Type: multipart/related; type=application/dicom; boundary=b",
        *headers,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_search_that_takes_too_long_is_given_up(
    server: ServedDeployment, studies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "STEPS", 1)
    assert server.client.get(f"/v1/{studies}?PatientName=*a*").status_code == 204
    monkeypatch.setattr(dialects, "STATEMENT_SECONDS", -1)
    answer = server.client.get(f"/v1/{studies}?PatientName=*a*")

    assert answer.status_code == 503
    assert "the database took more than" in answer.json()["error"]["message"]


@pytest.mark.parametrize("length", ["-1", "1e3", "18446744073709551616", "0x10", "5, 6"])
def test_a_length_that_is_none_is_refused(
    server: ServedDeployment, studies: str, length: str
) -> None:
    answer = server.raw(stow(server, studies, f"Content-Length: {length}") + b"x")

    assert status_of(answer) == 400


def test_two_lengths_or_two_ways_to_tell_it_are_refused(
    server: ServedDeployment, studies: str
) -> None:
    """Else a proxy and this server could see two requests where the other sees one."""
    for headers in (
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
    ):
        assert status_of(server.raw(stow(server, studies, *headers) + b"0\r\n\r\n")) == 400


def test_a_terabyte_that_is_only_announced_costs_nothing(
    server: ServedDeployment, studies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "BODY_IDLE_SECONDS", 0.3)
    before = psutil.Process().memory_info().rss

    answer = server.raw(stow(server, studies, "Content-Length: 1099511627776") + b"--b\r\n")

    assert status_of(answer) == 408
    assert psutil.Process().memory_info().rss - before < GROWTH_BYTES_MAX


def test_a_body_that_trickles_in_is_given_up_in_the_end(
    server: ServedDeployment, studies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "BODY_SECONDS", 1.0)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(stow(server, studies, "Transfer-Encoding: chunked"))
        connection.settimeout(0.1)
        answer = b""
        end = time.monotonic() + 10
        while not answer and time.monotonic() < end:
            connection.sendall(b"1\r\nx\r\n")
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                continue

    assert status_of(answer) == 408


def test_a_long_body_that_is_no_file_costs_no_memory(
    server: ServedDeployment, studies: str
) -> None:
    process, peak, sent = psutil.Process(), 0, 0
    before = process.memory_info().rss
    piece = b"10000\r\n" + b"\0" * 65_536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(stow(server, studies, "Transfer-Encoding: chunked"))
        connection.sendall(b"b\r\n--b\r\n\r\nDICM\r\n")
        while sent < 256 * MIB:
            connection.sendall(piece)
            sent += 65_536
            if sent % (16 * MIB) == 0:
                peak = max(peak, process.memory_info().rss)
        connection.sendall(b"9\r\n\r\n--b--\r\n\r\n0\r\n\r\n")
        answer = connection.recv(1000)

    assert status_of(answer) == 409
    assert peak - before < GROWTH_BYTES_MAX


def test_parts_without_end_are_refused(server: ServedDeployment, studies: str) -> None:
    body = b"--b\r\n\r\n\r\n" * (parts.PARTS_MAX + 1) + b"--b--\r\n"
    answer = server.client.post(
        f"/v1/{studies}",
        content=body,
        headers={"Content-Type": "multipart/related; type=application/dicom; boundary=b"},
    )

    assert answer.status_code == 400
    assert "more than 20000 parts" in answer.text


def test_a_part_over_the_limit_is_refused_as_it_comes(
    server: ServedDeployment, studies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES_MAX", 1000)
    body = b"--b\r\n\r\n" + b"\0" * 2000 + b"\r\n--b--\r\n"
    answer = server.client.post(
        f"/v1/{studies}",
        content=body,
        headers={"Content-Type": "multipart/related; type=application/dicom; boundary=b"},
    )

    assert answer.status_code == 400
    assert "put the file into a bucket" in answer.text


@pytest.mark.parametrize("boundary", ["x" * 257, "x" * MIB, "", '"'])
def test_a_boundary_that_is_none_is_refused(
    server: ServedDeployment, studies: str, boundary: str
) -> None:
    kind = f"Content-Type: multipart/related; boundary={boundary}"
    head = stow(server, studies, "Content-Length: 4").replace(
        b"Content-Type: multipart/related; type=application/dicom; boundary=b", kind.encode()
    )

    assert status_of(server.raw(head + b"abcd")) in {400, 431}


def test_a_million_headers_are_cut_off(server: ServedDeployment) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 1_000_000
    answer = server.raw(head)

    assert not answer or status_of(answer) == 431


def test_operations_that_wait_are_bounded(server: ServedDeployment) -> None:
    store = server.make_store(server.make_dataset("quota"), "s")
    server.deployment.runner.stop(10)  # so that they wait
    body = {"gcsSource": {"uri": "gs://demo/**"}}

    answers = [server.call("POST", f"{store}:import", body) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert answers[2].headers["Retry-After"]
    other = server.make_store(store.partition("/dicomStores")[0], "other")
    assert server.call("POST", f"{other}:import", body).status_code == 200


def test_who_guesses_is_slowed_down_and_hinders_no_other(tmp_path: Path) -> None:
    with served(Settings(data=tmp_path / "data", workers=1)) as running:
        guess = {"Authorization": "Bearer guess"}
        statuses = [
            running.client.get("/v1/projects", headers=guess).status_code
            for _ in range(FAILURES_AT_ONCE + 5)
        ]
        assert statuses[:FAILURES_AT_ONCE] == [401] * FAILURES_AT_ONCE
        assert statuses[-1] == 429
        refused = running.client.get("/v1/projects", headers=guess)
        assert refused.headers["Retry-After"]
        assert running.client.get("/v1/projects").status_code == 200


def test_who_guesses_proofs_is_slowed_down_too(tmp_path: Path) -> None:
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "guess"}
    with served(Settings(data=tmp_path / "data", workers=1)) as running:
        statuses = [
            running.client.post("/token", data=form).status_code
            for _ in range(FAILURES_AT_ONCE + 5)
        ]

    assert statuses[:FAILURES_AT_ONCE] == [400] * FAILURES_AT_ONCE
    assert statuses[-1] == 429


def test_requests_in_a_second_are_bounded(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", workers=1)
    with served(replace(settings, requests_per_second=1)) as running:
        statuses = [running.client.get("/v1/projects").status_code for _ in range(15)]
        assert statuses[:10] == [200] * 10
        assert 429 in statuses
        assert running.client.get("/healthz").status_code == 200


def test_what_a_server_keeps_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the mask of its user: nobody else enters the directory of rows and blobs."""
    data = tmp_path / "data"
    mask = os.umask(0)
    try:
        with running_server(data):
            pass
    finally:
        os.umask(mask)

    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "access-token").stat().st_mode) == 0o600
