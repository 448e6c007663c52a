from __future__ import annotations

import base64
import errno
import gzip
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from fileroom.api.storage.checksums import Checksums
from fileroom.api.storage.sessions import UploadSession, UploadSessions
from fileroom.errors import NotFound, ResourceExhausted, Unavailable
from fileroom.objectstore.local import LocalBucket

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from tests.unit.api.storage.conftest import Storage

CONTENT = bytes(range(256)) * 10
BOUNDARY = "==9=="


def multipart(storage: Storage, *parts: bytes, **query: str) -> httpx2.Response:
    """Send parts as google-cloud-storage does."""
    lines = [
        b"--%b\r\ncontent-type: a/b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), each) for each in parts
    ]
    return storage.upload(
        b"".join(lines) + b"--%b--" % BOUNDARY.encode(),
        {"Content-Type": f'multipart/related; boundary="{BOUNDARY}"'},
        uploadType="multipart",
        **query,
    )


def begin(storage: Storage, body: object = None, size: int | None = None, **query: str) -> str:
    """Begin a resumable upload and give where its bytes are to be sent."""
    headers = {} if size is None else {"X-Upload-Content-Length": str(size)}
    content = b"" if body is None else json.dumps(body).encode()
    answer = storage.upload(content, headers, uploadType="resumable", **query)
    assert answer.status_code == 200, answer.text
    public_url = storage.server.deployment.settings.public_url
    assert answer.headers["Location"].startswith(f"{public_url}/upload/storage/v1/b/")
    return answer.headers["Location"].removeprefix(public_url)


def send(
    storage: Storage, place: str, content: bytes, content_range: str | None, **headers: str
) -> httpx2.Response:
    told = {} if content_range is None else {"Content-Range": content_range}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return storage.server.client.put(place, content=content, headers=told | named)


def left_over(directory: Path) -> list[str]:
    """Give what is in a bucket, temporary files included."""
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


@pytest.mark.clause(
    "Cloud Storage JSON API, objects.insert",
    "an object is sent in one request, as it is or with JSON beside, and is durable once answered",
)
def test_an_object_is_sent_as_it_is(storage: Storage) -> None:
    answer = storage.upload(CONTENT, name="d/a:b.dcm")

    assert answer.status_code == 200, answer.text
    assert (storage.directory / "d" / "a:b.dcm").read_bytes() == CONTENT
    told = answer.json()
    sums = Checksums()
    sums.write(CONTENT)
    assert (told.pop("crc32c"), told.pop("md5Hash")) == (sums.crc32c, sums.md5_hash)
    assert told == storage.object("d/a:b.dcm").json()
    assert storage.upload(b"", name="empty").json()["size"] == "0"


def test_an_object_is_sent_with_json_beside(storage: Storage) -> None:
    sums = Checksums()
    sums.write(CONTENT)
    described = {
        "name": "d/a.dcm",
        "contentType": "application/dicom",
        "metadata": {"site": "north"},
        "crc32c": sums.crc32c,
        "md5Hash": sums.md5_hash,
    }

    answer = multipart(storage, json.dumps(described).encode(), CONTENT)

    assert answer.status_code == 200, answer.text
    assert storage.object("d/a.dcm", alt="media").content == CONTENT
    assert multipart(storage, b"", b"x", name="named").json()["name"] == "named"


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((b'{"name": "a"}',), "two parts"),
        ((b'{"name": "a"}', b"x", b"y"), "two parts"),
        ((b'["a"]', b"x"), "JSON object"),
        ((b"{", b"x"), "JSON object"),
        ((b"{}", b"x"), "Required parameter: name"),
        ((b'{"name": 1}', b"x"), "Required parameter: name"),
        ((b'{"name": "' + b"a" * (64 << 10) + b'"}', b"x"), "bytes"),
        ((b'{"name": "a", "crc32c": "AAAAAA=="}', b"x"), "doesn't match calculated crc32c"),
        ((b'{"name": "a", "md5Hash": "AAAA"}', b"x"), "doesn't match calculated md5Hash"),
    ],
)
def test_parts_that_are_no_object_are_refused(
    storage: Storage, parts: tuple[bytes, ...], why: str
) -> None:
    answer = multipart(storage, *parts)

    assert (answer.status_code, why in answer.text) == (400, True), answer.text
    assert left_over(storage.directory) == []


@pytest.mark.parametrize(
    "name", ["", "d/", "/a", "a//b", "../a", "a/./b", ".fileroom-x", "a\0b", "n" * 300]
)
@pytest.mark.parametrize("kind", ["media", "resumable"])
def test_a_name_that_no_file_can_have_is_refused(storage: Storage, kind: str, name: str) -> None:
    content = b"{}" if kind == "resumable" else b"x"
    answer = storage.upload(content, uploadType=kind, name=name)
    if kind == "resumable" and answer.status_code == 200:
        place = answer.headers["Location"].partition("/upload")[2]
        answer = send(storage, f"/upload{place}", b"x", None)

    assert answer.status_code == 400, answer.text
    assert left_over(storage.directory) == []


@pytest.mark.parametrize("kind", ["", "multi", "multipart"])
def test_an_upload_says_of_which_kind_it_is(storage: Storage, kind: str) -> None:
    answer = storage.upload(b"x", uploadType=kind, name="a")

    assert answer.status_code == 400, answer.text


def test_a_hash_in_the_header_is_compared(storage: Storage) -> None:
    sums = Checksums()
    sums.write(b"x")
    good = {"X-Goog-Hash": f"crc32c={sums.crc32c}, md5={sums.md5_hash},other=1"}

    assert storage.upload(b"x", good, name="a").status_code == 200
    assert storage.upload(b"y", good, name="b").status_code == 400
    assert left_over(storage.directory) == ["a"]


def test_an_upload_that_fails_makes_no_directory(storage: Storage) -> None:
    wrong = {"X-Goog-Hash": f"md5={base64.b64encode(bytes(16)).decode()}"}

    assert storage.upload(b"x", wrong, name="x/y/z").status_code == 400
    assert storage.upload(b"x", name="x").status_code == 200


@pytest.mark.clause(
    "Cloud Storage JSON API, objects.insert",
    "gzip of the transport is unpacked; with uploadType=media it may be the object's, and is 400",
)
def test_gzip_is_the_transports_or_refused(storage: Storage) -> None:
    packed = {"Content-Encoding": "gzip"}

    refused = storage.upload(gzip.compress(b"inner"), packed, name="a")
    assert (refused.status_code, "leave the header out" in refused.text) == (400, True)
    assert storage.upload(gzip.compress(b"inner"), name="a.gz").status_code == 200
    assert gzip.decompress((storage.directory / "a.gz").read_bytes()) == b"inner"
    place = begin(storage, {"name": "b"})
    part = send(storage, place, gzip.compress(CONTENT[:1000]), "bytes 0-999/*", **packed)
    assert part.headers["Range"] == "bytes=0-999"
    body = b"--9\r\n\r\n{}\r\n--9\r\n\r\ninner\r\n--9--"
    both = packed | {"Content-Type": "multipart/related; boundary=9"}
    sent = storage.upload(gzip.compress(body), both, uploadType="multipart", name="c")
    assert sent.status_code == 200, sent.text
    assert (storage.directory / "c").read_bytes() == b"inner"


def test_what_the_settings_do_not_allow_is_403(storage: Storage) -> None:
    for kind in ("media", "multipart", "resumable"):
        answer = storage.server.client.post(
            "/upload/storage/v1/b/shared/o", params={"uploadType": kind, "name": "a"}, content=b""
        )
        assert answer.status_code == 403, answer.text
        assert "storage.objects.create access to bucket 'gs://shared'" in answer.text


def test_a_bucket_to_write_into_only_takes_objects(storage: Storage) -> None:
    answer = storage.server.client.post(
        "/upload/storage/v1/b/inbox/o", params={"uploadType": "media", "name": "a"}, content=b"x"
    )

    assert answer.status_code == 200, answer.text


@pytest.mark.clause(
    "Cloud Storage JSON API, preconditions", "ifGenerationMatch is kept, and 412 where it fails"
)
def test_a_condition_is_kept(storage: Storage) -> None:
    first = storage.upload(b"first", name="a", ifGenerationMatch="0")
    assert first.status_code == 200

    again = storage.upload(b"again", name="a", ifGenerationMatch="0")
    assert (again.status_code, again.json()["error"]["code"]) == (412, 412)
    other = storage.upload(b"other", name="a", ifGenerationMatch="1")
    assert other.status_code == 412
    assert storage.upload(b"x", name="b", ifGenerationMatch="1").status_code == 412
    assert (storage.directory / "a").read_bytes() == b"first"

    generation = first.json()["generation"]
    assert storage.upload(b"next", name="a", ifGenerationMatch=generation).status_code == 200
    assert storage.upload(b"x", name="a", ifGenerationMatch="x").status_code == 400


def test_of_many_that_are_to_be_first_one_is(storage: Storage) -> None:
    answers: list[int] = []

    def race(number: int) -> None:
        place = begin(storage, {"name": "a"}, ifGenerationMatch="0")
        barrier.wait()
        answers.append(send(storage, place, b"%d" % number, None).status_code)

    barrier = threading.Barrier(6)
    threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [200, 412, 412, 412, 412, 412]
    assert left_over(storage.directory) == ["a"]


def test_each_generation_is_greater_than_the_one_before(storage: Storage) -> None:
    generations: list[int] = []

    def overwrite() -> None:
        for _ in range(20):
            answer = storage.upload(b"x", name="a")
            generations.append(int(answer.json()["generation"]))

    threads = [threading.Thread(target=overwrite) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(generations)) == 160
    assert storage.object("a").json()["generation"] == str(max(generations))


def test_a_full_disk_is_told_without_a_name_in_the_log(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = os.write

    def full(file: int, piece: bytes) -> int:
        if len(piece) == 4096:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, piece)

    monkeypatch.setattr(os, "write", full)
    answer = storage.upload(b"x" * 4096, name="DOE^JANE.dcm")

    assert (answer.status_code, "DOE" in answer.text) == (507, False)
    assert left_over(storage.directory) == []
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    assert [getattr(record, "cause", "") for record in ours if record.levelname == "WARNING"] == [
        "no space to write the object (No space left on device); free some or add to it"
    ]


# In several requests


@pytest.mark.clause(
    "Cloud Storage JSON API, resumable uploads",
    "an object is sent in several requests, and 308 tells how much of it is there",
)
def test_an_object_is_sent_in_several_requests(storage: Storage) -> None:
    place = begin(storage, {"name": "d/a.dcm"})

    assert send(storage, place, b"", "bytes */*").headers.get("Range") is None
    first = send(storage, place, CONTENT[:1000], "bytes 0-999/*")
    assert (first.status_code, first.headers["Range"]) == (308, "bytes=0-999")
    assert storage.object("d/a.dcm").status_code == 404
    asked = send(storage, place, b"", f"bytes */{len(CONTENT)}")
    assert (asked.status_code, asked.headers["Range"]) == (308, "bytes=0-999")
    again = send(storage, place, CONTENT[500:1500], "bytes 500-1499/*")
    assert (again.status_code, again.headers["Range"]) == (308, "bytes=0-1499")
    last = send(storage, place, CONTENT[1500:], f"bytes 1500-{len(CONTENT) - 1}/{len(CONTENT)}")
    assert last.status_code == 200, last.text

    assert last.json()["name"] == "d/a.dcm"
    assert (storage.directory / "d" / "a.dcm").read_bytes() == CONTENT
    told_again = send(storage, place, b"", f"bytes */{len(CONTENT)}")
    assert told_again.json() == last.json()


@pytest.mark.parametrize("content_range", [None, "bytes 0-2559/2560", "bytes 0-2559/*"])
def test_an_announced_object_may_come_at_once(storage: Storage, content_range: str | None) -> None:
    place = begin(storage, None, len(CONTENT), name="a")

    assert send(storage, place, CONTENT, content_range).status_code == 200
    assert (storage.directory / "a").read_bytes() == CONTENT


def test_an_empty_object_comes_in_several_requests(storage: Storage) -> None:
    place = begin(storage, {"name": "empty"})

    assert send(storage, place, b"", "bytes */0").status_code == 200
    assert (storage.directory / "empty").read_bytes() == b""


@pytest.mark.parametrize(
    ("content", "content_range", "why"),
    [
        (b"xy", "bytes 20-21/*", "10 bytes are there"),
        (b"xy", "bytes 10-11/20", "30 were announced"),
        (b"xyz", "bytes 10-11/30", "longer than"),
        (b"x", "bytes 10-11/30", "shorter than"),
        (b"x", "bytes 11-10/30", "not of the form"),
        (b"x", "10-11", "not of the form"),
        (b"x" * 21, "bytes 10-30/*", "more bytes came"),
        (b"x", "bytes */30", "longer than"),
        (b"xy", None, "longer than came"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(
    storage: Storage, content: bytes, content_range: str | None, why: str
) -> None:
    place = begin(storage, {"name": "a"}, 30)
    assert send(storage, place, CONTENT[:10], "bytes 0-9/30").status_code == 308

    answer = send(storage, place, content, content_range)

    assert (answer.status_code, why in answer.text) == (400, True), answer.text
    there = int(send(storage, place, b"", "bytes */30").headers["Range"].rpartition("-")[2]) + 1
    rest = send(storage, place, CONTENT[there:30], f"bytes {there}-29/30")
    assert rest.status_code == 200, rest.text


@pytest.mark.parametrize(
    ("content_range", "why"),
    [
        ("bytes */5", "are there or follow"),
        ("bytes 3-9/5", "are there or follow"),
        ("bytes 10-12/12", "are there or follow"),
        ("bytes 10-11/12", "longer than"),
        (None, "longer than came"),
    ],
)
def test_a_size_that_cannot_be_is_not_kept(
    storage: Storage, content_range: str | None, why: str
) -> None:
    place = begin(storage, {"name": "a"})
    assert send(storage, place, CONTENT[:10], "bytes 0-9/*").status_code == 308

    wrong = send(storage, place, b"xyz" if content_range else b"", content_range)

    assert (wrong.status_code, why in wrong.text) == (400, True), wrong.text
    assert send(storage, place, b"", "bytes */*").headers["Range"] == "bytes=0-9"
    assert send(storage, place, CONTENT[10:30], "bytes 10-29/30").status_code == 200
    assert (storage.directory / "a").read_bytes() == CONTENT[:30]


def test_an_object_with_another_checksum_is_not_kept(storage: Storage) -> None:
    place = begin(storage, {"name": "a"})
    wrong = base64.b64encode(bytes(4)).decode()

    answer = send(storage, place, b"x", "bytes 0-0/1", X_Goog_Hash=f"crc32c={wrong}")

    assert (answer.status_code, "crc32c" in answer.text) == (400, True)
    assert send(storage, place, b"", "bytes */1").status_code == 404
    assert left_over(storage.directory) == []


def test_an_upload_is_of_its_bucket(storage: Storage) -> None:
    place = begin(storage, {"name": "a"})

    for other in (place.replace(storage.bucket, "inbox"), place[:-3] + "xyz"):
        answer = send(storage, other, b"x", None)
        assert (answer.status_code, "begin it again" in answer.text) == (404, True)


# Sessions


def session(bucket: str = "b") -> Any:
    class Held:
        closed = 0

        def close(self) -> None:
            self.closed += 1

    return UploadSession(bucket=bucket, incoming=Held(), total_bytes=None)  # type: ignore[arg-type]


def test_uploads_under_way_are_bounded() -> None:
    sessions = UploadSessions(sessions_max=2)
    first, second = session(), session()
    name, _ = sessions.add(first), sessions.add(second)

    with pytest.raises(ResourceExhausted, match="2 resumable uploads are under way"):
        sessions.add(session())
    sessions.take(name, "b")
    sessions.drop(first)
    assert first.incoming.closed == 1
    sessions.add(session())
    sessions.close()
    assert second.incoming.closed == 1


def test_an_upload_without_a_word_is_given_up() -> None:
    sessions = UploadSessions(idle_seconds=0.0)
    silent, busy = session(), session()
    busy.is_taken = True
    name = sessions.add(silent)
    sessions.add(busy)

    with pytest.raises(NotFound):
        sessions.take(name, "b")
    assert (silent.incoming.closed, busy.incoming.closed) == (1, 0)


def test_an_upload_is_one_requests_at_a_time() -> None:
    sessions = UploadSessions()
    held = session()
    name = sessions.add(held)
    sessions.take(name, "b")

    with pytest.raises(Unavailable):
        sessions.take(name, "b")
    sessions.give_back(held)
    assert sessions.take(name, "b") is held


def test_a_server_that_ends_leaves_nothing_of_uploads_under_way(tmp_path: Path) -> None:
    bucket = LocalBucket(tmp_path)
    sessions = UploadSessions()
    writer = bucket.writer("d/a")
    held = session()
    held.incoming.close = writer.abort
    sessions.add(held)

    assert len(left_over(tmp_path)) == 1
    sessions.close()
    assert left_over(tmp_path) == []
