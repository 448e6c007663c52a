"""Uploads in several requests, when many of them are over, and names that they may not give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fileroom.api.storage.sessions import SESSIONS_MAX

if TYPE_CHECKING:
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


@pytest.mark.parametrize("name", ["a\nb", "a\rb"])
def test_a_name_that_no_path_can_hold_is_refused(storage: Storage, name: str) -> None:
    begun = begin(storage, name)

    assert (begun.status_code, "end of a line" in begun.text) == (400, True), begun.text
