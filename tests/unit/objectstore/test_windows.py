"""Packs are read in windows by whoever reads on, and byte for byte by whoever does not."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import pytest

from fileroom.objectstore.blobs.windows import WINDOW_BYTES, WINDOWS_MAX, Windows
from fileroom.objectstore.local import LocalBucket

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.objectstore.local import LocalObject

CONTENT = random.Random(1).randbytes(3 * WINDOW_BYTES + 5)
STEP = 100_000


class Counted:
    """An object, and how often and how much of it was read."""

    def __init__(self, opened: LocalObject, version: str = "1") -> None:
        self._opened = opened
        self.key = opened.key
        self.size = opened.size
        self.version = version
        self.reads: list[int] = []

    def read_at(self, offset: int, length: int) -> bytes:
        read = self._opened.read_at(offset, length)
        self.reads.append(len(read))
        return read

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    made = LocalBucket(tmp_path)
    made.write("pack", [CONTENT])
    return made


def test_extents_in_a_row_cost_a_read_for_each_window(bucket: LocalBucket) -> None:
    windows = Windows()
    with Counted(bucket.open("pack")) as pack:
        read = [windows.read(pack, at, STEP) for at in range(0, len(CONTENT) - STEP, STEP)]
        assert b"".join(read) == CONTENT[: len(read) * STEP]
        assert len(pack.reads) <= 2 + len(CONTENT) // (WINDOW_BYTES - STEP)


def test_extents_here_and_there_are_read_alone(bucket: LocalBucket) -> None:
    windows = Windows()
    with Counted(bucket.open("pack")) as pack:
        for at in (9_000_000, 5_000_000, 2_000_000, 7_000_000):
            assert windows.read(pack, at, 1000) == CONTENT[at : at + 1000]
        assert pack.reads == [1000] * 4


def test_another_version_is_read_anew(bucket: LocalBucket) -> None:
    windows = Windows()
    with Counted(bucket.open("pack")) as pack, Counted(bucket.open("pack"), "2") as newer:
        for at in (0, STEP, 2 * STEP):
            windows.read(pack, at, STEP)
        assert len(pack.reads) == 2
        assert windows.read(newer, 2 * STEP, STEP) == CONTENT[2 * STEP : 3 * STEP]
        assert newer.reads


def test_what_is_forgotten_is_read_anew(bucket: LocalBucket) -> None:
    windows = Windows()
    with Counted(bucket.open("pack")) as pack:
        for at in (0, STEP):
            windows.read(pack, at, STEP)
        before = len(pack.reads)
        windows.forget("pack")
        windows.read(pack, STEP, STEP)
        assert len(pack.reads) == before + 1


def test_the_end_of_a_pack_is_no_end_of_a_window(bucket: LocalBucket) -> None:
    windows = Windows()
    with Counted(bucket.open("pack")) as pack:
        start = len(CONTENT) - 2 * STEP
        for at in (start, start + STEP):
            assert windows.read(pack, at, STEP) == CONTENT[at : at + STEP]
        assert windows.read(pack, len(CONTENT) - 5, 100) == CONTENT[-5:]


def test_only_so_many_are_held(tmp_path: Path) -> None:
    bucket, windows = LocalBucket(tmp_path), Windows()
    for number in range(2 * WINDOWS_MAX):
        bucket.write(f"p{number}", [CONTENT[: 2 * STEP]])
        with bucket.open(f"p{number}") as pack:
            windows.read(pack, 0, STEP)
            windows.read(pack, STEP, STEP)
    assert len(windows._held) == WINDOWS_MAX
    assert len(windows._ends) <= WINDOWS_MAX
    assert len(windows._drawing) <= WINDOWS_MAX


def test_readers_in_threads_get_their_own_bytes(bucket: LocalBucket) -> None:
    windows = Windows()
    with Counted(bucket.open("pack")) as pack, ThreadPoolExecutor(8) as threads:
        offsets = range(0, len(CONTENT) - STEP, STEP)
        read = list(threads.map(lambda at: windows.read(pack, at, STEP), offsets))
        assert b"".join(read) == CONTENT[: len(read) * STEP]
        assert len(pack.reads) < len(read) / 2
