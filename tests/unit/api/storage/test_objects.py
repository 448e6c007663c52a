from __future__ import annotations

import logging
import os
from collections import deque
from typing import TYPE_CHECKING

import httpx2
import pytest

from fileroom.api.storage import listing
from fileroom.api.storage.places import without_names
from fileroom.telemetry import JsonFormatter

if TYPE_CHECKING:
    from tests.unit.api.storage.conftest import Storage

KEYS = ("a-b/x.dcm", "a.dcm", "a/b/c.dcm", "a/b/d.txt", "a/e.dcm", "z.dcm")


# Listing


@pytest.mark.clause(
    "Cloud Storage JSON API, objects.list",
    "objects are listed by name, by prefix, level by level, within bounds and by pattern",
)
def test_objects_are_listed_by_name(storage: Storage) -> None:
    storage.put(*KEYS)

    assert storage.names() == list(KEYS)
    assert storage.names(prefix="a/") == ["a/b/c.dcm", "a/b/d.txt", "a/e.dcm"]
    assert storage.names(prefix="a/b") == ["a/b/c.dcm", "a/b/d.txt"]
    assert storage.names(startOffset="a/b/d.txt", endOffset="z.dcm") == ["a/b/d.txt", "a/e.dcm"]
    assert storage.names(startOffset="a.") == list(KEYS[1:])
    assert storage.names(endOffset="a.") == ["a-b/x.dcm"]
    assert storage.names(matchGlob="**.dcm", prefix="a/") == ["a/b/c.dcm", "a/e.dcm"]
    assert storage.names(matchGlob="a/*") == ["a/e.dcm"]
    assert storage.names(matchGlob="a/{b/c,e}.dcm") == ["a/b/c.dcm", "a/e.dcm"]
    assert storage.names(matchGlob="b*", prefix="a/") == []
    assert "items" not in storage.page(prefix="nothing")


@pytest.mark.parametrize(
    ("query", "names", "prefixes"),
    [
        ({}, ["a.dcm", "z.dcm"], ["a-b/", "a/"]),
        ({"prefix": "a"}, ["a.dcm"], ["a-b/", "a/"]),
        ({"prefix": "a/"}, ["a/e.dcm"], ["a/b/"]),
        ({"prefix": "a/b/", "startOffset": "a/b/d"}, ["a/b/d.txt"], []),
        ({"startOffset": "a/"}, ["z.dcm"], ["a/"]),
        ({"startOffset": "a/e.dcm"}, ["z.dcm"], ["a/"]),
        ({"startOffset": "a/f"}, ["z.dcm"], []),
        ({"endOffset": "a/b"}, ["a.dcm"], ["a-b/"]),
        ({"endOffset": "a/c"}, ["a.dcm"], ["a-b/", "a/"]),
        ({"startOffset": "a/c", "endOffset": "a/d"}, [], []),
        ({"startOffset": "a.dcm"}, ["a.dcm", "z.dcm"], ["a/"]),
        ({"matchGlob": "*.dcm"}, ["a.dcm", "z.dcm"], []),
        ({"matchGlob": "a-?/"}, [], ["a-b/"]),
    ],
)
def test_one_level_is_listed_with_its_directories(
    storage: Storage, query: dict[str, str], names: list[str], prefixes: list[str]
) -> None:
    storage.put(*KEYS)
    (storage.directory / "empty").mkdir()

    page = storage.page(delimiter="/", **query)

    assert [each["name"] for each in page.get("items", [])] == names
    assert page.get("prefixes", []) == prefixes


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"delimiter": "/"},
        {"startOffset": "a.dcm"},
        {"startOffset": "a/b/c.dcm", "delimiter": "/"},
        {"startOffset": "a/b/c.dcm", "delimiter": "/", "prefix": "a/"},
    ],
)
@pytest.mark.parametrize("size", ["1", "2", "5", "7"])
def test_pages_are_the_whole_listing(storage: Storage, query: dict[str, str], size: str) -> None:
    storage.put(*KEYS)
    whole = storage.page(**query)
    names, prefixes, token = [], [], ""
    while True:
        page = storage.page(**query, maxResults=size, **({"pageToken": token} if token else {}))
        found = page.get("items", [])
        assert len(found) + len(page.get("prefixes", [])) <= int(size)
        names += [each["name"] for each in found]
        prefixes += page.get("prefixes", [])
        assert len(names) + len(prefixes) <= len(KEYS), "a page comes again"
        token = page.get("nextPageToken", "")
        if not token:
            break

    assert names == [each["name"] for each in whole["items"]]
    assert prefixes == whole.get("prefixes", [])


def test_a_page_is_cut_short_when_looking_takes_long(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put(*(f"{number}.txt" for number in range(20)), "z.dcm")
    monkeypatch.setattr(listing, "PAGE_SECONDS", -1.0)

    pages, names, token = 0, [], ""
    while True:
        query = {"pageToken": token} if token else {}
        page = storage.page(matchGlob="**.dcm", **query)
        names += [each["name"] for each in page.get("items", [])]
        pages += 1
        token = page.get("nextPageToken", "")
        if not token:
            break

    assert names == ["z.dcm"]
    assert pages > 10


@pytest.mark.parametrize(
    "query",
    [
        {"delimiter": "-"},
        {"matchGlob": "[a"},
        {"maxResults": "-1"},
        {"maxResults": "many"},
        {"pageToken": "x"},
        {"softDeleted": "true"},
    ],
)
def test_what_a_listing_does_not_know_is_refused(storage: Storage, query: dict[str, str]) -> None:
    assert storage.ask(f"{storage.bucket}/o", **query).status_code == 400


def test_a_page_token_is_of_use_for_its_listing_alone(storage: Storage) -> None:
    storage.put(*KEYS)
    token = storage.page(maxResults="1")["nextPageToken"]

    answer = storage.ask(f"{storage.bucket}/o", pageToken=token, prefix="a")

    assert answer.status_code == 400


# One object


@pytest.mark.clause(
    "Cloud Storage JSON API, objects.get", "an object is told, and read whole or by range"
)
@pytest.mark.parametrize("key", ["a.dcm", "a dir/b:c%20?.dcm", "é/ü", "o", "a/iam/testPermissions"])
def test_an_object_is_told(storage: Storage, key: str) -> None:
    storage.put(key, content=b"12345")
    changed = (storage.directory / key).stat().st_mtime_ns

    told = storage.object(key).json()

    assert told["name"] == key
    assert (told["kind"], told["bucket"], told["size"]) == ("storage#object", storage.bucket, "5")
    assert told["generation"] == str(changed)
    assert storage.page()["items"] == [told]
    for link in ("selfLink", "mediaLink"):
        path = told[link].removeprefix(storage.server.deployment.settings.public_url)
        answer = storage.server.client.get(path)
        assert answer.content == b"12345" if link == "mediaLink" else answer.json() == told


@pytest.mark.parametrize(
    ("key", "content_type"),
    [
        ("a.dcm", "application/dicom"),
        ("A.DCM", "application/dicom"),
        ("a.png", "image/png"),
        ("a.html", "text/html"),
        ("IM0001", "application/octet-stream"),
        ("a.txt.gz", "application/octet-stream"),
        ("http://b/x.json", "application/json"),
    ],
)
def test_the_name_tells_the_media_type(storage: Storage, key: str, content_type: str) -> None:
    key = key.replace("//", "/")
    storage.put(key)

    assert storage.object(key).json()["contentType"] == content_type
    media = storage.object(key, alt="media")
    assert media.headers["Content-Type"] == content_type
    assert "sandbox" in media.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-500", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=3-1", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1", 200, b"0123456789", None),
    ],
)
@pytest.mark.parametrize("root", ["", "/download"])
def test_a_range_is_read(
    storage: Storage, root: str, asked: str, status: int, content: bytes | None, told: str | None
) -> None:
    storage.put("d/a.dcm", content=b"0123456789")
    url = f"{root}/storage/v1/b/{storage.bucket}/o/d%2Fa.dcm"

    answer = storage.server.client.get(url, params={"alt": "media"}, headers={"Range": asked})

    assert answer.status_code == status
    assert answer.headers.get("Content-Range") == told
    if content is not None:
        assert answer.content == content
        assert answer.headers["X-Goog-Generation"] == storage.object("d/a.dcm").json()["generation"]


def test_a_large_object_streams(storage: Storage) -> None:
    content = os.urandom(5 << 20) + b"end"
    storage.put("large", content=content)

    answer = storage.object("large", alt="media")

    assert answer.content == content
    assert answer.headers["Content-Length"] == str(len(content))
    assert (
        storage.object("large", {"Range": "bytes=1048570-3145740"}, alt="media").content
        == (content[1_048_570:3_145_741])
    )


def test_an_empty_object_is_read(storage: Storage) -> None:
    storage.put("empty", content=b"")

    assert storage.object("empty").json()["size"] == "0"
    assert storage.object("empty", alt="media").content == b""
    assert storage.object("empty", {"Range": "bytes=0-"}, alt="media").status_code == 416


@pytest.mark.parametrize(
    "key", ["b", "d", "d/", "d//a", "../d/a", "/etc/passwd", "link", "a" * 300]
)
def test_an_object_that_is_not_there_is_404(storage: Storage, key: str) -> None:
    storage.put("d/a")
    (storage.directory / "link").symlink_to("d/a")

    for query in ({}, {"alt": "media"}):
        answer = storage.object(key, **query)
        assert answer.status_code == 404, answer.text
        message = answer.json()["error"]["message"]
        assert message.startswith(f"No such object: {storage.bucket}/{key}")


def test_a_slash_that_is_not_encoded_is_explained(storage: Storage) -> None:
    storage.put("d/a.dcm")

    answer = storage.ask(f"{storage.bucket}/o/d/a.dcm")

    assert (answer.status_code, "written %2F" in answer.text) == (404, True)


def test_head_tells_the_length_alone(storage: Storage) -> None:
    storage.put("a", content=b"12345")

    url = f"/storage/v1/b/{storage.bucket}/o/a"
    answer = storage.server.client.head(url, params={"alt": "media"})

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == "5"


def test_another_generation_is_not_given(storage: Storage) -> None:
    storage.put("a")
    generation = storage.object("a").json()["generation"]

    for query in ({}, {"alt": "media"}):
        assert storage.object("a", generation=generation, **query).status_code == 200
        assert storage.object("a", generation="1", **query).status_code == 404
        assert storage.object("a", ifGenerationMatch=generation, **query).status_code == 200
        assert storage.object("a", ifGenerationMatch="1", **query).status_code == 412


def test_what_the_settings_do_not_allow_is_403(storage: Storage) -> None:
    for path in ("inbox/o", "inbox/o/a"):
        answer = storage.ask(path)
        assert answer.status_code == 403
        message = answer.json()["error"]["message"]
        assert "access to bucket 'gs://inbox'" in message
        assert "'read' among allow" in message


def test_what_is_changed_while_it_is_read_breaks_off_and_logs_no_name(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    storage.put("DOE^JANE/1.dcm", content=b"0" * (32 << 20))
    with storage.server.client.stream(
        "GET", f"/storage/v1/b/{storage.bucket}/o/DOE%5EJANE%2F1.dcm", params={"alt": "media"}
    ) as answer:
        pieces = answer.iter_bytes()
        next(pieces)
        storage.put("DOE^JANE/1.dcm", content=b"1" * (32 << 20))
        with pytest.raises(httpx2.RemoteProtocolError):
            deque(pieces)

    assert storage.object("DOE^JANE/2.dcm").status_code == 404
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    formatter = JsonFormatter()
    text = "\n".join(formatter.format(record) for record in ours)
    assert f"projects/_/buckets/{storage.bucket}" in text
    assert "an answer broke off" in text
    assert "DOE" not in text


# What logs are told


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "cannot access object 'DOE^J/1.dcm' (No space); is",
            "cannot access the object (No space); is",
        ),
        ('object "O\'Neil" does', "the object does"),
        ("directory 'a\\'b\"' could", "the directory could"),
        ("nothing is named", "nothing is named"),
    ],
)
def test_names_of_objects_are_left_out_of_messages(message: str, expected: str) -> None:
    assert without_names(message) == expected
