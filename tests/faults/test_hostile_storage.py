"""A cloud fails, lies or stalls; a bucket gives the right bytes, or a clear error."""

from __future__ import annotations

import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import pytest

from fileroom.archive.ingest import Writer, store_object
from fileroom.archive.layout import StoreIdentity, make_blob_bucket
from fileroom.errors import Aborted, AlreadyExists, DataLoss, FileroomError, NotFound, Unavailable
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.cloud import bucket as cloud_bucket
from fileroom.objectstore.cloud.attempts import AT_ONCE_FIRST, ATTEMPTS_MAX, LONGEST_WAIT_SECONDS
from fileroom.objectstore.cloud.provider import CONNECTIONS_MAX
from fileroom.objectstore.contract import Resumable
from fileroom.transfer.importing.reading import ListedObject, ReadAhead, Watched, read_object
from tests import fault_tools as tools
from tests.corpus import mr_instance
from tests.hostile_buckets import (
    IDLE_SECONDS,
    Waits,
    bucket,
    filled,
    frozen,
    hostile,
    keys_of,
    opened,
    storage,
    waits,
)
from tests.hostile_dialects import Asked, Reply
from tests.hostile_storage import (
    Fault,
    HostileBucket,
    Rule,
    after,
    asked_otherwise,
    dripping,
    ended,
    flipped,
    halved,
    lengthened,
    refused,
    refused_as,
    shortened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fileroom.database.instances import InstanceRecord
    from fileroom.objectstore.cloud import CloudBucket

__all__ = ["bucket", "frozen", "hostile", "opened", "storage", "waits"]

CONTENT: Final = bytes(range(256)) * 4
HANG_SECONDS: Final = 120.0
"""After which what ought to end on a busy machine too is taken to hang."""


# What passes

PASSING: Final[dict[str, Fault]] = {
    "busy": refused_as("busy"),
    "500": refused(500, "InternalError"),
    "502": refused(502, "BadGateway"),
    "504": refused(504, "GatewayTimeout"),
    "closed before the answer": ended("closed"),
    "reset before the answer": ended("reset"),
    "closed after the header": ended("closed", sent=0),
    "closed in the body": ended("closed", sent=50),
    "reset in the body": ended("reset", sent=50),
    "half of the body as all": halved,
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_read_that_fails_in_passing_is_repeated(
    bucket: CloudBucket, hostile: HostileBucket, fault: Fault
) -> None:
    hostile.put("a", CONTENT)
    for operation in ("list", "get"):
        hostile.obey(Rule(fault=fault, operation=operation, times=2))

    [entry] = bucket.list()
    assert bucket.read("a", entry.version) == CONTENT


@pytest.mark.parametrize("name", [name for name in PASSING if "body" not in name])
def test_a_look_that_fails_in_passing_is_repeated(
    bucket: CloudBucket, hostile: HostileBucket, name: str
) -> None:
    version = hostile.put("a", CONTENT).version
    hostile.obey(Rule(fault=PASSING[name], operation="find", times=2))

    entry = bucket.find("a")
    assert entry is not None
    assert (entry.size, entry.version) == (len(CONTENT), version)


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_write_that_fails_in_passing_is_repeated(
    bucket: CloudBucket, hostile: HostileBucket, fault: Fault
) -> None:
    large = [bytes(5 << 20), CONTENT, bytes(5 << 20)]
    for operation in ("put", "begin", "part", "delete"):
        hostile.obey(Rule(fault=fault, operation=operation, times=1))

    assert bucket.write("a", [CONTENT]).size == len(CONTENT)
    assert hostile.content("a") == CONTENT
    assert bucket.delete("a")
    assert bucket.find("a") is None
    entry = bucket.write("b", large)
    assert hostile.content("b") == b"".join(large)
    assert bucket.find("b") == entry


@pytest.mark.parametrize("times", [2, None], ids=["in passing", "always"])
def test_a_host_that_is_not_found_is_looked_up_again(
    bucket: CloudBucket,
    hostile: HostileBucket,
    monkeypatch: pytest.MonkeyPatch,
    times: int | None,
) -> None:
    hostile.put("a", CONTENT)
    look_up = socket.getaddrinfo
    failed: list[str] = []

    def fails(host: str, *more: Any, **named: Any) -> Any:
        if times is None or len(failed) < times:
            failed.append(host)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return look_up(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    if times is None:
        with pytest.raises(Unavailable, match=f"{hostile.scheme}://scans"):
            bucket.read("a")
        assert len(failed) >= ATTEMPTS_MAX
    else:
        assert bucket.read("a") == CONTENT
        assert len(failed) == times


LARGE: Final = [bytes(5 << 20), CONTENT, bytes(5 << 20)]


@pytest.mark.parametrize("pieces", [[CONTENT], LARGE], ids=["small", "large"])
@pytest.mark.parametrize("name", ["closed before the answer", "500"])
def test_a_write_where_nothing_is_whose_answer_is_lost_is_known_again(
    bucket: CloudBucket, hostile: HostileBucket, name: str, pieces: list[bytes]
) -> None:
    for operation in ("put", "begin", "part", "finish"):
        hostile.obey(Rule(fault=PASSING[name], operation=operation, times=1))

    entry = bucket.write("a", pieces, if_absent=True)

    assert hostile.content("a") == b"".join(pieces)
    assert bucket.find("a") == entry
    with pytest.raises(AlreadyExists, match="'a'"):
        bucket.write("a", pieces, if_absent=True)


@pytest.mark.parametrize("pieces", [[CONTENT], LARGE], ids=["small", "large"])
@pytest.mark.parametrize("fault", [None, "closed before the answer", "500"])
def test_what_came_since_the_look_is_never_taken_for_what_was_written(
    bucket: CloudBucket, hostile: HostileBucket, fault: str | None, pieces: list[bytes]
) -> None:
    other = bytes(len(b"".join(pieces)))

    def come(asked: Asked, answer: Callable[[Asked], Reply]) -> Reply:
        hostile.put("a", other)
        return answer(asked) if fault is None else PASSING[fault](asked, answer)

    for operation in ("put", "finish"):
        hostile.obey(Rule(fault=come, operation=operation, times=1))

    with pytest.raises(AlreadyExists, match="'a'"):
        bucket.write("a", pieces, if_absent=True)
    assert hostile.content("a") == other


@pytest.mark.parametrize("pieces", [[CONTENT], LARGE], ids=["small", "large"])
@pytest.mark.parametrize("storage", ["s3"], indirect=True)
def test_a_server_without_conditional_writes_is_looked_at_before_each(
    bucket: CloudBucket, hostile: HostileBucket, pieces: list[bytes]
) -> None:
    unknown = refused(501, "NotImplemented")
    hostile.obey(Rule(fault=unknown, when=lambda asked: asked.if_absent))

    assert bucket.write("a", pieces, if_absent=True).size == len(b"".join(pieces))
    with pytest.raises(AlreadyExists, match="'a'"):
        bucket.write("a", [b"other"], if_absent=True)
    assert bucket.write("b", pieces, if_absent=True).size == len(b"".join(pieces))
    assert hostile.content("a") == hostile.content("b") == b"".join(pieces)
    assert sum(one.if_absent for one in hostile.requests) == 1


@pytest.mark.parametrize("sent", [-1, 50], ids=["before the answer", "in the body"])
def test_a_connection_that_falls_silent_is_given_up_and_the_read_repeated(
    bucket: CloudBucket, hostile: HostileBucket, sent: int
) -> None:
    hostile.put("a", CONTENT)
    for operation in ("list", "get"):
        hostile.obey(Rule(fault=ended("silent", sent=sent), operation=operation, times=1))

    began = time.monotonic()
    assert keys_of(bucket) == ["a"]
    assert bucket.read("a") == CONTENT
    assert 2 * IDLE_SECONDS <= time.monotonic() - began < 10


@pytest.mark.parametrize("form", ["seconds", "moment"])
def test_a_wait_that_is_asked_for_is_kept(
    bucket: CloudBucket, hostile: HostileBucket, waits: Waits, form: str
) -> None:
    asked = "7" if form == "seconds" else formatdate(time.time() + 8, usegmt=True)
    hostile.put("a", CONTENT)
    hostile.obey(Rule(fault=refused(429, retry_after=asked), operation="get", times=1))
    hostile.obey(Rule(fault=refused(503, retry_after=asked), operation="list", times=1))

    assert bucket.read("a") == CONTENT
    assert keys_of(bucket) == ["a"]
    assert len(waits.seconds) == 2
    assert all(6 < seconds < 8.5 for seconds in waits.seconds)


def test_a_wait_that_is_asked_for_and_too_long_is_left_to_the_caller(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    hostile.obey(Rule(fault=refused(503, retry_after="3600"), operation="list"))

    with pytest.raises(Unavailable, match="scans"):
        keys_of(bucket)
    assert len(hostile.asked("list")) == 1


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_does_not_pass_is_given_up(
    bucket: CloudBucket, hostile: HostileBucket, waits: Waits, fault: Fault
) -> None:
    hostile.put("a", CONTENT)
    version = hostile.put("a", CONTENT).version
    hostile.obey(Rule(fault=fault))

    with (
        bucket.open("a", version, size=len(CONTENT)) as source,
        pytest.raises(Unavailable, match=f"{hostile.scheme}://scans"),
    ):
        source.read_at(0, len(CONTENT))
    repeats = 3 if hostile.scheme == "az" else 1  # by Azure's library itself
    assert ATTEMPTS_MAX <= len(hostile.asked("get")) <= repeats * ATTEMPTS_MAX
    assert len(waits.seconds) == ATTEMPTS_MAX - 1
    assert max(waits.seconds) <= LONGEST_WAIT_SECONDS


def test_a_busy_bucket_is_asked_by_fewer_at_a_time_and_then_by_more(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    content = filled(hostile, 250)
    borne = 3

    def slowly(asked: Asked, answer: Callable[[Asked], Reply]) -> Reply:
        time.sleep(0.02)  # long enough for requests to meet, however slowly threads begin
        busy = asked.under_way > borne
        return refused_as("busy")(asked, answer) if busy else answer(asked)

    hostile.obey(Rule(fault=slowly, operation="get"))
    with ThreadPoolExecutor(2 * AT_ONCE_FIRST) as threads:
        assert list(threads.map(bucket.read, content)) == list(content.values())
    asked = hostile.asked("get")
    refusals = len(asked) - len(content)
    assert max(one.under_way for one in asked[:20]) > borne
    assert 0 < refusals < len(content)
    assert max(one.under_way for one in asked[-100:]) <= AT_ONCE_FIRST
    assert bucket.at_once < AT_ONCE_FIRST

    hostile.mend()
    for key in content:
        bucket.read(key)
    assert bucket.at_once > AT_ONCE_FIRST


@pytest.mark.parametrize(("bytes_max", "objects_max"), [(8000, 8), (500, 1)])
def test_what_waits_to_be_written_is_bounded_by_its_bytes(
    bucket: CloudBucket,
    hostile: HostileBucket,
    monkeypatch: pytest.MonkeyPatch,
    bytes_max: int,
    objects_max: int,
) -> None:
    monkeypatch.setattr(cloud_bucket, "_WAITING_BYTES_MAX", bytes_max)
    monkeypatch.setattr(cloud_bucket, "_LOOK_SECONDS", 0.005)
    answered: list[str] = []
    waiting: list[int] = []
    looked: list[float] = []

    def slowly(asked: Asked, answer: Callable[[Asked], Reply]) -> Reply:
        time.sleep(0.02)
        reply = answer(asked)
        answered.append(asked.key)
        return reply

    def contents() -> Iterator[tuple[str, bytes]]:
        for number in range(30):
            waiting.append(number - len(answered))
            yield f"{number:02}", bytes(1000)

    hostile.obey(Rule(fault=slowly, operation="put"))
    entries = bucket.write_many(contents(), alive=lambda: looked.append(time.monotonic()))

    # On a busy machine a request may be given up and sent again.
    assert [entry.key for entry in entries] == keys_of(bucket) == sorted(set(answered))
    assert max(waiting) <= objects_max
    assert looked


# Bytes


def test_a_bit_that_was_flipped_once_is_set_right(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    hostile.obey(Rule(fault=flipped(500), operation="get", times=1))

    assert bucket.read("a") == CONTENT
    assert len(hostile.asked("get")) == 2


def test_a_bit_that_is_flipped_each_time_is_a_loss(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    hostile.obey(Rule(fault=flipped(500), operation="get"))

    with pytest.raises(DataLoss, match="'a'"):
        bucket.read("a")
    assert len(hostile.asked("get")) == 2


def test_a_flipped_bit_is_seen_in_what_is_read_piece_by_piece(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    hostile.obey(Rule(fault=flipped(5), operation="get", times=1))

    with bucket.open("a") as source:
        source.read_at(0, 300)
        source.read_at(300, 300)
        with pytest.raises(DataLoss, match="'a'"):
            source.read_at(600, 1000)


def test_a_flipped_bit_is_seen_though_the_header_was_read_before(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    with bucket.open("a") as source:
        source.read_at(0, 300)
        source.read_at(900, 10)
        hostile.obey(Rule(fault=flipped(5), operation="get", times=1))
        source.read_at(0, 300)
        with pytest.raises(DataLoss, match="'a'"):
            source.read_at(300, 1000)


def test_a_flipped_bit_is_seen_behind_what_an_earlier_attempt_fetched(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    for is_whole in (True, False):
        with bucket.open("a") as source:
            assert isinstance(source, Resumable)
            source.read_at(0, 300)
            source.recall(0, CONTENT[:100])
            source.recall(100, CONTENT[100:200] if is_whole else bytes(100))
            source.read_at(200, 300)
            if is_whole:
                assert source.read_at(500, 1000) == CONTENT[500:]
            else:
                with pytest.raises(DataLoss, match="'a'"):
                    source.read_at(500, 1000)


def test_a_large_instance_with_a_flipped_bit_is_not_stored(
    bucket: CloudBucket, hostile: HostileBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.archive.ingest.PIECE_BYTES", 256 << 10)
    file = mr_instance(rows=400)
    make_blob_bucket(LocalBlobs(tmp_path), "store", StoreIdentity())
    writer = Writer(bucket=LocalBlobs(tmp_path).bucket("store"), number=1)
    hostile.put("a", file)

    def stored() -> InstanceRecord:
        with bucket.open("a") as source:
            return store_object(writer, Watched(source, 0), ordinal=0, source="a", version="v")

    hostile.obey(Rule(fault=flipped(40_000), operation="get", skip=2, times=1))
    with pytest.raises(DataLoss, match="'a'"):
        stored()
    assert stored().place.sha256 == sha256(file).digest()


@pytest.mark.parametrize("told", ["its own length", "the whole length"])
def test_a_body_that_ends_early_is_never_taken_for_the_object(
    bucket: CloudBucket, hostile: HostileBucket, told: str
) -> None:
    content = CONTENT[:20]
    version = hostile.put("a", content).version

    def cut(length: int) -> Fault:
        return ended("closed", sent=length) if told == "the whole length" else shortened(length)

    for length in range(len(content)):
        hostile.obey(Rule(fault=cut(length), operation="get", times=1))
        assert bucket.read("a", version) == content
    hostile.obey(Rule(fault=cut(7), operation="get"))
    for offset, wanted in ((0, 20), (0, 10), (5, 10)):
        with bucket.open("a", version, size=20) as source, suppress(Unavailable):
            assert source.read_at(offset, wanted) == content[offset : offset + wanted]


def test_a_large_instance_whose_body_ends_early_is_stored_whole_or_not_at_all(
    bucket: CloudBucket, hostile: HostileBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.archive.ingest.PIECE_BYTES", 64 << 10)
    draw = random.Random(tools.draw_seed())
    file = mr_instance(rows=400)
    make_blob_bucket(LocalBlobs(tmp_path), "store", StoreIdentity())
    blobs = LocalBlobs(tmp_path).bucket("store")
    writer = Writer(bucket=blobs, number=1)
    hostile.put("a", file)
    for ordinal in range(20):
        length, skip = draw.randrange(64 << 10), draw.randrange(4)
        cut = draw.choice((ended("closed", sent=length), ended("reset", sent=length)))
        hostile.mend()
        hostile.obey(Rule(fault=cut, operation="get", skip=skip, times=draw.choice((1, 10**6))))
        with bucket.open("a") as source:
            try:
                record = store_object(
                    writer, Watched(source, 0), ordinal=ordinal, source="a", version="v"
                )
            except Unavailable:
                continue
        with blobs.open(record.place.key) as kept:
            assert kept.read_at(0, len(file) + 1) == file
    keys = [path for path in tmp_path.rglob("*") if path.stat().st_size == len(file)]
    assert 0 < len(keys) < 20


def test_a_body_that_goes_on_too_long_is_never_taken_for_the_object(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    version = hostile.put("a", CONTENT).version
    hostile.obey(Rule(fault=lengthened(b"more"), operation="get", times=1))
    assert bucket.read("a", version) == CONTENT

    hostile.obey(Rule(fault=lengthened(bytes(5 << 20)), operation="get"))
    for offset, wanted in ((0, len(CONTENT)), (5, 10)):
        with bucket.open("a", version, size=len(CONTENT)) as source, pytest.raises(Unavailable):
            source.read_at(offset, wanted)


@pytest.mark.parametrize("told", ["of all bytes", "of others"])
def test_another_range_than_was_asked_for_is_never_given(
    bucket: CloudBucket, hostile: HostileBucket, told: str
) -> None:
    version = hostile.put("a", CONTENT).version
    span = None if told == "of all bytes" else (5, 14)
    hostile.obey(
        Rule(fault=asked_otherwise(lambda asked: replace(asked, span=span)), operation="get")
    )

    with bucket.open("a", version, size=len(CONTENT)) as source, pytest.raises(FileroomError):
        source.read_at(0, 10)


# Versions


def test_an_object_that_changes_after_it_was_listed_is_aborted(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    [entry] = bucket.list()
    hostile.put("a", CONTENT[::-1])

    with (
        bucket.open("a", entry.version, size=entry.size) as source,
        pytest.raises(Aborted, match="'a'"),
    ):
        source.read_at(0, entry.size)
    assert len(hostile.asked("get")) == 1
    assert bucket.read("a") == CONTENT[::-1]


def test_ranges_of_two_versions_are_never_mixed(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    change = after(lambda: hostile.put("a", CONTENT[::-1]))
    hostile.obey(Rule(fault=change, operation="get", skip=2, times=1))

    with bucket.open("a") as source:
        assert source.read_at(0, 100) == CONTENT[:100]
        assert source.read_at(100, 100) == CONTENT[100:200]
        for _ in range(2):
            with pytest.raises(Aborted):
                source.read_at(200, 100)


def test_a_cloud_that_ignores_the_version_asked_for_is_found_out(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    version = hostile.put("a", CONTENT).version
    hostile.put("a", CONTENT[::-1])
    hostile.obey(
        Rule(fault=asked_otherwise(lambda asked: replace(asked, version="")), operation="get")
    )

    for length in (100, len(CONTENT)):
        with bucket.open("a", version, size=len(CONTENT)) as source, pytest.raises(Aborted):
            source.read_at(0, length)


def test_an_object_that_is_deleted_after_it_was_listed_is_not_found(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    [entry] = bucket.list()
    hostile.remove("a")

    with bucket.open("a", entry.version, size=entry.size) as source, pytest.raises(NotFound):
        source.read_at(0, entry.size)
    assert len(hostile.asked("get")) == 1


# Patience

POOL_FAULTS: Final[dict[str, Fault]] = {
    "bodies that go on too long": lengthened(bytes(2 << 20)),
    "long errors": lambda _, __: Reply(status=403, body=bytes(200 << 10)),
    "expired credentials": refused_as("expired"),
    "resets": ended("reset", sent=100),
}


@pytest.mark.parametrize("fault", POOL_FAULTS.values(), ids=POOL_FAULTS)
def test_no_fault_uses_up_the_connections(
    bucket: CloudBucket, hostile: HostileBucket, fault: Fault
) -> None:
    version = hostile.put("a", CONTENT).version
    hostile.obey(Rule(fault=fault, operation="get", times=CONNECTIONS_MAX + 8))
    read: list[bytes] = []

    def until_it_is_read() -> None:
        while not read:
            with suppress(FileroomError):
                source = bucket.open("a", version, size=len(CONTENT))
                read.append(source.read_at(0, len(CONTENT)))

    thread = threading.Thread(target=until_it_is_read, daemon=True)
    thread.start()
    thread.join(HANG_SECONDS)
    assert not thread.is_alive()
    assert read == [CONTENT]


def test_an_object_that_comes_byte_by_byte_does_not_keep_a_batch(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    hostile.put("b", CONTENT)
    hostile.obey(Rule(fault=dripping(0.01), operation="get", key="a"))
    objects = [
        ListedObject(ordinal=number, key=entry.key, size=entry.size, version=entry.version)
        for number, entry in enumerate(bucket.list())
    ]
    alive = threading.Event()
    with ReadAhead(bucket, objects, read_object) as reads:
        assert reads.take(objects[0], 0.5, alive.set) is None
        read = reads.take(objects[1], 5, alive.set)
    assert read is not None
    assert read.data == CONTENT
