"""Answers that are sent piece by piece."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest

from fileroom.api.app import create_app
from fileroom.api.calls import Answer, Call
from fileroom.api.routing import Route
from fileroom.errors import DataLoss
from fileroom.settings import Settings
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message

    from tests.unit.api.conftest import ServedDeployment

PIECE = b"x" * 65_536
PATH = "projects/p1/locations/l1/{}"
CLOSED = threading.Event()


def whole(_: Call) -> Answer:
    return Answer(media_type="text/plain", body=iter([b"one ", b"", b"two"]))


def nothing(_: Call) -> Answer:
    return Answer(media_type="text/plain", body=iter(()))


def endless(_: Call) -> Answer:
    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield PIECE
        finally:
            CLOSED.set()

    return Answer(media_type="text/plain", body=pieces())


class Watched:
    """Pieces that are no generator, and so are not closed by being forgotten."""

    def __init__(self) -> None:
        self._pieces = iter([b"first", b"rest"])

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        CLOSED.set()


class LostAtOnce(Watched):
    """Pieces of which not even the first is there."""

    def __next__(self) -> bytes:
        raise DataLoss("the blob is gone")


def held_and_lost_at_once(_: Call) -> Answer:
    return Answer(media_type="text/plain", body=LostAtOnce())


def watched(_: Call) -> Answer:
    return Answer(media_type="text/plain", body=Watched())


def lost_at_once(_: Call) -> Answer:
    def pieces() -> Iterator[bytes]:
        raise DataLoss("the blob is gone")
        yield b""

    return Answer(media_type="text/plain", body=pieces())


def lost_later(_: Call) -> Answer:
    def pieces() -> Iterator[bytes]:
        yield PIECE
        raise DataLoss("the blob is gone")

    return Answer(media_type="text/plain", headers={"Content-Length": "10000000"}, body=pieces())


def empty(_: Call) -> Answer:
    return Answer(status=204, media_type=None)


ROUTES = tuple(
    Route(name, "GET", f"projects/{{project}}/locations/{{location}}/{name}", "a.b.c", handler)
    for name, handler in {
        "whole": whole,
        "nothing": nothing,
        "endless": endless,
        "watched": watched,
        "held_and_lost_at_once": held_and_lost_at_once,
        "lost_at_once": lost_at_once,
        "lost_later": lost_later,
        "empty": empty,
    }.items()
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDeployment]:
    settings = Settings(data=tmp_path_factory.mktemp("served") / "data", workers=1)
    with served(settings, ROUTES) as running:
        yield running


def test_pieces_arrive_in_order(server: ServedDeployment) -> None:
    answer = server.call("GET", PATH.format("whole"))

    assert answer.text == "one two"
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert server.call("GET", PATH.format("nothing")).content == b""


def test_pieces_of_which_the_first_is_lost_are_closed(server: ServedDeployment) -> None:
    CLOSED.clear()

    assert server.call("GET", PATH.format("held_and_lost_at_once")).status_code == 500
    assert CLOSED.is_set()


@pytest.mark.clause("Cloud Healthcare v1 DICOMweb", "204 has no body and no Content-Type")
def test_no_content_is_nothing_at_all(server: ServedDeployment) -> None:
    answer = server.call("GET", PATH.format("empty"))

    assert (answer.status_code, answer.content) == (204, b"")
    assert "Content-Type" not in answer.headers
    assert "Content-Length" not in answer.headers


def test_error_before_the_first_piece_is_answered(server: ServedDeployment) -> None:
    answer = server.call("GET", PATH.format("lost_at_once"))

    assert (answer.status_code, answer.json()["error"]["status"]) == (500, "DATA_LOSS")


def test_error_later_never_looks_like_the_end(server: ServedDeployment) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        server.call("GET", PATH.format("lost_later"))

    assert server.call("GET", PATH.format("whole")).status_code == 200


def test_client_that_leaves_ends_the_work(server: ServedDeployment) -> None:
    CLOSED.clear()
    with server.client.stream("GET", f"/v1/{PATH.format('endless')}") as answer:
        next(answer.iter_raw())

    assert CLOSED.wait(10)


@pytest.mark.parametrize("sees", ["http.response.start", "http.response.body"])
def test_client_that_leaves_at_once_ends_the_work(server: ServedDeployment, sees: str) -> None:
    app = create_app(server.deployment, ROUTES)
    path = f"/v1/{PATH.format('watched')}"
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {server.token}".encode())]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}

    async def leave() -> None:
        gone = anyio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == sees:
                gone.set()
            if message["type"] == "http.response.body":
                await anyio.sleep_forever()

        await app(scope, receive, send)

    CLOSED.clear()
    anyio.run(leave)

    assert CLOSED.is_set()


def test_slow_reader_holds_no_thread_and_little_memory(server: ServedDeployment) -> None:
    with server.client.stream("GET", f"/v1/{PATH.format('endless')}"):
        time.sleep(0.2)
        began = time.monotonic()
        assert server.call("GET", PATH.format("whole")).status_code == 200
        assert time.monotonic() - began < 5
