"""Parts of a file go one by one, and nobody takes what was erased for content."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import Aborted, DataLoss, NotFound
from fileroom.objectstore.local import BLOCK_BYTES, Extent, LocalBucket, extents
from fileroom.objectstore.local.extents import is_head

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 2 * BLOCK_BYTES + 100
PLACES = [Extent(number * 3 * BLOCK_BYTES, SIZE) for number in range(3)]
FILLED = [bytes([number + 1]) * SIZE for number in range(3)]


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    """Give a bucket whose object ``pack`` has three parts."""
    bucket = LocalBucket(tmp_path)
    bucket.write("pack", [part.ljust(3 * BLOCK_BYTES, b"\0") for part in FILLED])
    return bucket


@pytest.fixture(params=["holes", "zeros"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Erase by giving blocks back, and as on a file system that cannot."""
    if request.param == "zeros":
        monkeypatch.setattr(extents, "_fallocate", None)


def content(bucket: LocalBucket, number: int) -> bytes:
    with bucket.open_extent("pack", PLACES[number]) as part:
        return part.read_at(0, SIZE)


def test_part_is_read_within_its_bounds(bucket: LocalBucket) -> None:
    with bucket.open_extent("pack", PLACES[1]) as part:
        assert part.size == SIZE
        assert part.read_at(0, SIZE) == FILLED[1]
        assert part.read_at(SIZE - 10, 100) == FILLED[1][:10]
        assert part.read_at(SIZE, 1) == b""


@pytest.mark.usefixtures("way")
def test_erased_part_is_zeros_and_its_neighbours_are_as_they_were(bucket: LocalBucket) -> None:
    bucket.erase_extents("pack", [PLACES[1]])

    assert (content(bucket, 0), content(bucket, 2)) == (FILLED[0], FILLED[2])
    with pytest.raises(NotFound, match="was erased"):
        bucket.open_extent("pack", PLACES[1])
    offset, size = PLACES[1].offset, SIZE
    assert bucket.read("pack")[offset : offset + size] == bytes(size)


@pytest.mark.usefixtures("way")
def test_parts_are_erased_again_without_harm(bucket: LocalBucket) -> None:
    for _ in range(2):
        bucket.erase_extents("pack", PLACES[:2])

    assert content(bucket, 2) == FILLED[2]


def test_object_that_is_not_there_has_no_parts(bucket: LocalBucket) -> None:
    with pytest.raises(NotFound):
        bucket.erase_extents("other", [PLACES[0]])
    with pytest.raises(NotFound):
        bucket.open_extent("other", PLACES[0])


def test_file_that_ends_before_its_part_is_data_loss(bucket: LocalBucket) -> None:
    os.truncate(bucket.root / "pack", PLACES[2].end - 1)

    with pytest.raises(DataLoss, match="bytes, not the"):
        bucket.open_extent("pack", PLACES[2])
    assert content(bucket, 1) == FILLED[1]


def test_no_file_stays_open(bucket: LocalBucket) -> None:
    before = len(os.listdir("/proc/self/fd"))
    bucket.erase_extents("pack", [PLACES[0]])
    content(bucket, 1)
    with pytest.raises(NotFound):
        bucket.open_extent("pack", PLACES[0])

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("erased_at_once", [True, False])
def test_reader_of_a_part_that_goes_gets_its_bytes_or_an_error(
    bucket: LocalBucket, *, erased_at_once: bool
) -> None:
    part = bucket.open_extent("pack", PLACES[1])
    if erased_at_once:
        bucket.erase_extents("pack", [PLACES[1]])
    eraser = threading.Thread(target=bucket.erase_extents, args=("pack", [PLACES[1]]))
    eraser.start()
    pieces = iter(lambda: part.read_at(0, SIZE), b"")
    with part, pytest.raises(Aborted, match="went while it was read"):
        assert all(piece == FILLED[1] for piece in pieces)
    eraser.join()


@pytest.mark.parametrize("sparse", [True, False])
def test_only_zeros_are_blank(bucket: LocalBucket, *, sparse: bool) -> None:
    assert not bucket.is_blank("pack", PLACES)
    bucket.erase_extents("pack", PLACES[:2])
    if not sparse:
        bucket.write("pack", [bucket.read("pack")])

    assert bucket.is_blank("pack", PLACES[:2])
    assert bucket.is_blank("pack", [])
    assert not bucket.is_blank("pack", PLACES[1:])
    with (bucket.root / "pack").open("r+b") as file:
        file.seek(PLACES[1].end - 1)
        file.write(b"x")
    assert not bucket.is_blank("pack", [PLACES[1]])


def test_head_has_a_byte_that_is_not_zero() -> None:
    assert not is_head(bytes(extents.HEAD_BYTES) + b"\1")
    assert is_head(bytes(extents.HEAD_BYTES - 1) + b"\1")
    assert not is_head(b"")
