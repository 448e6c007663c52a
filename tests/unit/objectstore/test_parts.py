"""A large object that came in part is gone on with, and never taken for what it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import ResourceExhausted
from fileroom.objectstore.blobs.cloud import CloudBlobs
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.cloud import CloudAddress
from fileroom.objectstore.local import parts
from fileroom.objectstore.local.parts import PartTaken, forget_parts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fileroom.objectstore.blobs.contract import BlobBucket

OF = "version 1 of gs://b/a"


@pytest.fixture(params=["directory", "cloud"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> BlobBucket:
    """A bucket, in which no more is done here than a part being taken up."""
    if request.param == "cloud":
        address = CloudAddress(scheme="gs", bucket="never-asked")
        return CloudBlobs(address, "", tmp_path).bucket("store")
    blobs = LocalBlobs(tmp_path)
    blobs.make("store", ["00"])
    return blobs.bucket("store")


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "NOTED_BYTES", 10)


def unheard(offset: int, piece: bytes) -> None:
    """Hear what is there already."""


def leave(bucket: BlobBucket, *pieces: bytes, of: str = OF) -> None:
    """Write pieces, and end without publishing them."""
    with bucket.drafts() as drafts:
        draft = drafts.take_up("00", "7-0", of, unheard)
        for piece in pieces:
            draft.write(piece)


def taken_up(bucket: BlobBucket, of: str = OF) -> bytes:
    """Give what the next writer finds."""
    with bucket.drafts() as drafts:
        heard: list[bytes] = []
        draft = drafts.take_up("00", "7-0", of, lambda _, piece: heard.append(piece))
        found = b"".join(heard)
        return found if draft.size == len(found) else found[: draft.size]


def test_what_was_noted_is_taken_up_and_what_came_after_is_not(bucket: BlobBucket) -> None:
    leave(bucket, b"0123456789", b"abcdefghij", b"klm")
    assert taken_up(bucket) == b"0123456789abcdefghij"
    assert taken_up(bucket) == b"0123456789abcdefghij"
    leave(bucket, b"next-ten--")
    assert taken_up(bucket) == b"0123456789abcdefghijnext-ten--"


def test_what_was_never_noted_leaves_nothing(bucket: BlobBucket) -> None:
    leave(bucket, b"012")
    assert list(bucket.scratch.iterdir()) == []
    assert taken_up(bucket) == b""


def test_another_version_begins_again(bucket: BlobBucket) -> None:
    leave(bucket, b"0123456789")
    assert taken_up(bucket, of="version 2 of gs://b/a") == b""
    assert taken_up(bucket) == b""


@pytest.mark.parametrize("damage", ["bytes", "shorter", "log", "no log"])
def test_what_is_not_as_its_log_says_begins_again(bucket: BlobBucket, damage: str) -> None:
    leave(bucket, b"0123456789")
    part = bucket.scratch / ".fileroom-part-7-0"
    log = part.with_name(f"{part.name}.log")
    match damage:
        case "bytes":
            part.write_bytes(b"x123456789")
        case "shorter":
            part.write_bytes(b"0123")
        case "log":
            log.write_bytes(log.read_bytes().replace(b"10 ", b"10 f"))
        case _:
            log.unlink()
    assert taken_up(bucket) == b""


def test_a_note_that_was_not_finished_counts_for_nothing(bucket: BlobBucket) -> None:
    leave(bucket, b"0123456789", b"abcdefghij")
    log = bucket.scratch / ".fileroom-part-7-0.log"
    log.write_bytes(log.read_bytes()[:-3])
    assert taken_up(bucket) == b"0123456789"
    leave(bucket, b"once-more-")
    log.write_bytes(log.read_bytes()[:-3])
    assert taken_up(bucket) == b"0123456789"


def test_a_disk_that_takes_no_more_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.make("store", ["00"])
    bucket = blobs.bucket("store")
    before = len(os.listdir("/proc/self/fd"))
    with bucket.drafts() as drafts:
        draft = drafts.take_up("00", "7-0", OF, unheard)
        draft.write(b"0123456789")
        full = ResourceExhausted("the disk is full")
        monkeypatch.setattr("fileroom.objectstore.local.draft.sync_unnamed", raising(full))
        with pytest.raises(ResourceExhausted):
            drafts.publish([(draft, "00/whole")])
    assert len(os.listdir("/proc/self/fd")) == before
    assert taken_up(bucket) == b"0123456789"


def raising(error: Exception) -> Callable[..., None]:
    """Give a function that raises an error."""

    def fail(*_: object) -> None:
        raise error

    return fail


def test_while_another_writer_holds_it_the_object_is_begun_again(bucket: BlobBucket) -> None:
    leave(bucket, b"0123456789")
    with bucket.drafts() as drafts, bucket.drafts() as others:
        held = drafts.take_up("00", "7-0", OF, unheard)
        other = others.take_up("00", "7-0", OF, unheard)
        assert (held.size, other.size) == (10, 0)
        other.write(b"of its own")
        held.write(b"rest")
    assert taken_up(bucket) == b"0123456789"
    assert {path.name for path in bucket.scratch.iterdir()} == {
        ".fileroom-part-7-0",
        ".fileroom-part-7-0.log",
    }


def test_a_part_that_was_published_meanwhile_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"whole")
    opened = os.open(path, os.O_RDWR)
    path.rename(tmp_path / "blob")
    directory = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(PartTaken):
        parts._lock(opened, "part", directory)
    path.write_bytes(b"another")
    with pytest.raises(PartTaken):
        parts._lock(opened, "part", directory)
    os.close(opened)
    os.close(directory)


def test_what_is_published_is_whole_and_leaves_no_part(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.make("store", ["00"])
    bucket = blobs.bucket("store")
    leave(bucket, b"0123456789")
    with bucket.drafts() as drafts:
        draft = drafts.take_up("00", "7-0", OF, unheard)
        draft.write(b"rest")
        drafts.publish([(draft, "00/whole")])
    assert bucket.read("00/whole") == b"0123456789rest"
    assert list(bucket.scratch.iterdir()) == []


def test_what_is_forgotten_is_not_taken_up(bucket: BlobBucket) -> None:
    leave(bucket, b"0123456789")
    with bucket.drafts() as drafts:
        drafts.forget(drafts.take_up("00", "7-0", OF, unheard))
    assert list(bucket.scratch.iterdir()) == []
    leave(bucket, b"0123456789")
    forget_parts(bucket.scratch, "8-")
    assert taken_up(bucket) == b"0123456789"
    forget_parts(bucket.scratch, "7-")
    assert list(bucket.scratch.iterdir()) == []


def test_a_writer_that_is_killed_leaves_what_it_noted(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.make("store", ["00"])
    program = f"""
import os
from pathlib import Path
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.local import parts
parts.NOTED_BYTES = 10
drafts = LocalBlobs(Path({str(tmp_path)!r})).bucket("store").drafts()
draft = drafts.take_up("00", "7-0", {OF!r}, print)
draft.write(b"0123456789")
draft.write(b"lost")
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -9
    assert taken_up(blobs.bucket("store")) == b"0123456789"


def test_a_part_is_swept_after_a_day(bucket: BlobBucket) -> None:
    leave(bucket, b"0123456789")
    assert bucket.sweep_temporaries(older_than_seconds=0) == 0
    for path in bucket.scratch.iterdir():
        day_before = path.stat().st_mtime - 86_401
        os.utime(path, (day_before, day_before))
    assert bucket.sweep_temporaries(older_than_seconds=0) == 2
