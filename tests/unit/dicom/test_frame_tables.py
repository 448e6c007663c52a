"""Tables of frames: every offset comes back, one chunk at a time, and damage is found out."""

from __future__ import annotations

import random
from array import array
from itertools import accumulate

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fileroom.dicom.frames import (
    FRAMES_IN_CHUNK,
    FragmentedFrame,
    chunk_of,
    decode_chunk,
    encode_table,
)
from fileroom.errors import DataLoss


def table(start: int, lengths: list[int]) -> list[bytes]:
    return list(encode_table(start, array("Q", lengths)))


@given(st.integers(0, 1 << 50), st.lists(st.integers(8, 1 << 40), min_size=1, max_size=50))
def test_every_frame_comes_back(start: int, lengths: list[int]) -> None:
    (z,) = table(start, lengths)
    chunk = decode_chunk(z)

    assert chunk.number_of_frames == len(chunk) == len(lengths)
    offsets = accumulate(lengths[:-1], initial=start)
    assert [chunk.frame(index) for index in range(len(chunk))] == [
        FragmentedFrame(offset=offset, length=length)
        for offset, length in zip(offsets, lengths, strict=True)
    ]


def test_one_chunk_is_enough_for_its_frames() -> None:
    draw = random.Random(1)
    lengths = [8 + 2 * draw.randrange(20_000) for _ in range(2 * FRAMES_IN_CHUNK + 3)]
    chunks = table(1000, lengths)

    assert len(chunks) == 3
    for number in (1, FRAMES_IN_CHUNK, FRAMES_IN_CHUNK + 1, len(lengths)):
        chunk = decode_chunk(chunks[chunk_of(number)])
        place = chunk.frame((number - 1) % FRAMES_IN_CHUNK)
        assert place.offset == 1000 + sum(lengths[: number - 1])
        assert place.length == lengths[number - 1]
        assert chunk.number_of_frames == len(lengths)


def test_frames_of_one_size_take_next_to_nothing_and_others_little() -> None:
    draw = random.Random(2)
    uniform = table(0, [5008] * FRAMES_IN_CHUNK)
    drawn = table(0, [8 + draw.randrange(1 << 16) for _ in range(FRAMES_IN_CHUNK)])

    assert len(uniform[0]) < 150
    assert len(drawn[0]) < 2.2 * FRAMES_IN_CHUNK


def test_a_damaged_chunk_is_found_out() -> None:
    (z,) = table(7, [100, 200, 4000])
    whole = decode_chunk(z)
    lost = 0
    for at in range(len(z)):
        damaged = bytearray(z)
        damaged[at] ^= 0x10
        try:
            assert decode_chunk(bytes(damaged)) == whole  # a bit that zstd leaves unused
        except DataLoss:
            lost += 1
        with pytest.raises(DataLoss, match="made again"):
            decode_chunk(z[:at])
    assert lost >= len(z) - 1


@pytest.mark.parametrize(
    "content",
    [
        bytes(1 << 24),
        b"",
        b"\2" + bytes(23),
        b"\1\0\0\0" + b"\xff" * 20,
        b"\1\0\0\0" + (0).to_bytes(4, "little") + bytes(16),
        b"\1\0\0\0" + (2).to_bytes(4, "little") + (1).to_bytes(8, "little") + bytes(24),
        b"\1\0\0\0" + (1).to_bytes(4, "little") + (1).to_bytes(8, "little") + b"\xff" * 16,
    ],
    ids=["bomb", "empty", "version", "count", "no frame", "more than all", "beyond any file"],
)
def test_what_a_chunk_says_of_itself_is_not_believed(content: bytes) -> None:
    z = zstandard.ZstdCompressor(write_checksum=True).compress(content)

    with pytest.raises(DataLoss):
        decode_chunk(z)
    with pytest.raises(DataLoss):
        decode_chunk(zstandard.ZstdCompressor(write_content_size=False).compress(content))
