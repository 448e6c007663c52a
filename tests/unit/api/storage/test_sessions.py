"""Uploads in several requests, when many of them are over, and names that they may not give."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from fileroom.api.storage import sessions as storage_sessions
from fileroom.api.storage.sessions import (
    SESSIONS_MAX,
    UploadSession,
    UploadSessions,
    expire_uploads,
)
from fileroom.errors import NotFound
from fileroom.objectstore.local import LocalBucket

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from tests.unit.api.storage.conftest import Storage


def begin(storage: Storage, name: str) -> httpx2.Response:
    described = json.dumps({"name": name}).encode()
    return storage.upload(described, uploadType="resumable")


def send(storage: Storage, begun: httpx2.Response, content: bytes) -> httpx2.Response:
    assert begun.status_code == 200, begun.text
    place = begun.headers["Location"].partition("/upload")[2]
    return storage.server.client.put(f"/upload{place}", content=content)


def test_uploads_that_are_over_keep_no_other_from_beginning(storage: Storage) -> None:
    uploads = [begin(storage, "0")]
    for number in range(1, 2 * SESSIONS_MAX + 5):
        assert send(storage, uploads[-1], b"x").status_code == 200
        uploads.append(begin(storage, str(number)))

    assert send(storage, uploads[-1], b"x").json()["size"] == "1"
    assert send(storage, uploads[-2], b"x").status_code == 200  # its client saw no answer
    assert send(storage, uploads[0], b"x").status_code == 404


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a\nb", "a line feed"),
        ("a\rb", "a carriage return"),
        ("/".join(["n" * 200] * 8), "at most 1024 bytes"),
        ("d/" * 101 + "a", "at most 100 directories"),
    ],
)
def test_a_name_that_no_uri_can_hold_is_refused(storage: Storage, name: str, why: str) -> None:
    for answer in (begin(storage, name), storage.upload(b"x", name=name)):
        assert (answer.status_code, why in answer.text) == (400, True), answer.text
    assert list(storage.directory.iterdir()) == []


def test_a_deep_name_is_taken_and_listed(storage: Storage) -> None:
    name = "d/" * 100 + "a"

    assert storage.upload(b"x", name=name).status_code == 200
    assert storage.names() == [name]


@pytest.mark.clause(
    "Cloud Storage JSON API, resumable uploads", "DELETE gives up an upload, and answers 499"
)
def test_an_upload_is_given_up(storage: Storage) -> None:
    begun = begin(storage, "d/a")
    place = f"/upload{begun.headers['Location'].partition('/upload')[2]}"
    assert send_range(storage, place, b"half", "bytes 0-3/*").status_code == 308
    assert len(list(storage.directory.iterdir())) == 1

    gone = storage.server.client.delete(place)

    assert (gone.status_code, gone.content) == (499, b"")
    assert list(storage.directory.iterdir()) == []
    assert storage.server.client.delete(place).status_code == 404
    assert send_range(storage, place, b"", "bytes */*").status_code == 404


def test_one_without_a_word_gives_way_where_there_are_too_many() -> None:
    sessions = UploadSessions(sessions_max=2, waiting_seconds=0.0)
    first, second, third = held("b"), held("b"), held("b")
    names = [sessions.add(first), sessions.add(second)]
    sessions.take(names[0], "b")

    sessions.add(third)

    assert [each.incoming.closed for each in (first, second, third)] == [0, 1, 0]
    sessions.give_back(first)
    assert sessions.take(names[0], "b") is first
    with pytest.raises(NotFound):
        sessions.take(names[1], "b")


def test_what_is_left_expires_without_a_further_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_sessions, "EXPIRY_SECONDS", 0.01)
    sessions = UploadSessions(idle_seconds=0.0)
    left = held("b")
    sessions.add(left)

    async def wait() -> None:
        with anyio.move_on_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(expire_uploads, sessions, anyio.to_thread.run_sync)
                while not left.incoming.closed:
                    await anyio.sleep(0.01)
                group.cancel_scope.cancel()

    anyio.run(wait)
    assert left.incoming.closed == 1


def test_what_a_killed_server_left_is_swept_with_the_first_upload(storage: Storage) -> None:
    (storage.directory / "d").mkdir()
    dead, living = (storage.directory / "d" / f".fileroom-{each}-0" for each in ("dead", "living"))
    for path in (dead, living):
        path.write_bytes(b"half")
    began_at = storage.server.deployment.facilities.booted_at
    os.utime(dead, (began_at - 1, began_at - 1))
    os.utime(living, (began_at + 1, began_at + 1))

    assert storage.upload(b"x", name="a").status_code == 200

    end = time.monotonic() + 10
    while dead.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert (dead.exists(), living.exists()) == (False, True)


def test_a_bucket_that_cannot_be_swept_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = UploadSessions()
    sessions.sweep_once("gone", LocalBucket(tmp_path / "gone"))

    end = time.monotonic() + 10
    while not caplog.records and time.monotonic() < end:
        time.sleep(0.01)
    assert [record.getMessage() for record in caplog.records] == ["a bucket was not swept"]


def held(bucket: str) -> Any:
    class Held:
        closed = 0

        def close(self) -> None:
            self.closed += 1

    return UploadSession(bucket=bucket, incoming=Held(), total_bytes=None)  # type: ignore[arg-type]


def send_range(storage: Storage, place: str, content: bytes, content_range: str) -> httpx2.Response:
    return storage.server.client.put(
        place, content=content, headers={"Content-Range": content_range}
    )
