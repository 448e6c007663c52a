from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from fileroom.client.pixels import parse_layout
from fileroom.errors import DataLoss, InvalidArgument, ResourceExhausted

if TYPE_CHECKING:
    from fileroom.client import Json, JsonObject

NATIVE, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"


def metadata(**values: Json) -> JsonObject:
    """Give those of a frame of two rows and four columns."""
    tags = {
        "syntax": "00020010",
        "samples": "00280002",
        "colour": "00280004",
        "planar": "00280006",
        "frames": "00280008",
        "rows": "00280010",
        "columns": "00280011",
        "bits": "00280100",
        "stored": "00280101",
        "high": "00280102",
        "signed": "00280103",
        "pixels": "7FE00010",
        "floats": "7FE00008",
        "doubles": "7FE00009",
    }
    given: dict[str, Json] = {"rows": 2, "columns": 4, "bits": 8, "pixels": 0, **values}
    return {
        tags[name]: {"vr": "UN", "Value": [value]}
        for name, value in given.items()
        if value is not None
    }


def test_frames_stand_one_after_another() -> None:
    layout = parse_layout(metadata(frames=2, bits=16))
    frames = [np.arange(8, dtype="<u2") + number for number in range(layout.number_of_frames)]
    array = layout.array((frame.tobytes() for frame in frames), 2)
    assert array.shape == (2, 2, 4)
    assert array.dtype == np.uint16
    assert array.tolist() == [frame.reshape(2, 4).tolist() for frame in frames]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ({"bits": 1}, np.uint8),
        ({"bits": 1, "signed": 1}, np.uint8),
        ({"bits": 8, "signed": 1}, np.int8),
        ({"bits": 16}, np.uint16),
        ({"bits": 32, "signed": 1}, np.int32),
        ({"bits": 64}, np.uint64),
        ({"pixels": None, "floats": 0}, np.float32),
        ({"pixels": None, "doubles": 0, "bits": None}, np.float64),
    ],
)
def test_the_type_is_that_of_the_metadata(values: dict[str, Json], dtype: type) -> None:
    array = parse_layout(metadata(**values)).array([], 0)
    assert array.shape == (0, 2, 4)
    assert array.dtype == np.dtype(dtype)


@pytest.mark.parametrize(("syntax", "planar"), [(NATIVE, 0), (NATIVE, 1), (RLE, 1)])
def test_samples_of_a_pixel_stand_together(syntax: str, planar: int) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    octets = np.moveaxis(pixels, -1, 0) if syntax == NATIVE and planar else pixels
    layout = parse_layout(metadata(syntax=syntax, samples=3, planar=planar, colour="RGB"))
    array = layout.array([octets.tobytes()], 1)
    assert array.tolist() == [pixels.tolist()]


def test_half_width_chrominance_is_given_to_both_pixels() -> None:
    layout = parse_layout(metadata(syntax=NATIVE, samples=3, colour="YBR_FULL_422", rows=1))
    array = layout.array([bytes([1, 2, 10, 20, 3, 4, 30, 40])], 1)
    assert array.tolist() == [[[[1, 10, 20], [2, 10, 20], [3, 30, 40], [4, 30, 40]]]]
    whole = bytes(range(12))
    assert layout.array([whole], 1).tobytes() == whole


def test_samples_of_one_bit_begin_at_the_lowest() -> None:
    layout = parse_layout(metadata(bits=1, rows=1, columns=10))
    assert layout.array([b"\x05\xfe"], 1).tolist() == [[[1, 0, 1, 0, 0, 0, 0, 0, 0, 1]]]


@pytest.mark.parametrize(
    ("values", "word", "expected"),
    [
        ({"stored": 12, "high": 11}, 0xF001, 1),
        ({"stored": 12, "high": 11, "signed": 1}, 0x0FFF, -1),
        ({"stored": 12, "high": 15}, 0x0010, 1),
        ({"stored": 12, "high": 15, "signed": 1}, 0xFFF7, -1),
        ({"stored": 16, "high": 15}, 0xFFFF, 0xFFFF),
        ({"stored": 12, "high": 3}, 0xFFFF, 0xFFFF),
    ],
)
def test_bits_that_are_not_stored_do_not_count(
    values: dict[str, Json], word: int, expected: int
) -> None:
    layout = parse_layout(metadata(rows=1, columns=1, bits=16, **values))
    assert layout.array([word.to_bytes(2, "little")], 1).tolist() == [[[expected]]]


@pytest.mark.parametrize("frame", [b"", bytes(7), bytes(9)])
def test_a_frame_of_another_size_is_data_loss(frame: bytes) -> None:
    for values in ({}, {"bits": 1, "columns": 32}, {"colour": "YBR_FULL_422"}):
        with pytest.raises(DataLoss, match="bytes where"):
            parse_layout(metadata(**values)).array([frame], 1)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_frames_is_data_loss(count: int) -> None:
    with pytest.raises(DataLoss, match="2 frames"):
        parse_layout(metadata()).array([bytes(8)] * count, 2)


def test_what_fits_into_no_memory_is_refused_at_once() -> None:
    layout = parse_layout(metadata(rows=65535, columns=65535, bits=64, frames=2**31 - 1))
    with pytest.raises(ResourceExhausted, match="ask for some by number"):
        layout.array(iter(()), layout.number_of_frames)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"pixels": None}, "no pixel data"),
        ({"rows": None}, "Rows"),
        ({"columns": "many"}, "Columns"),
        ({"columns": 0}, "Columns"),
        ({"bits": None}, "Bits Allocated"),
        ({"bits": 12}, "12 bits"),
        ({"bits": -8}, "Bits Allocated"),
        ({"stored": 9}, "Bits Stored"),
        ({"samples": 0}, "Samples per Pixel"),
        ({"samples": 1.5}, "Samples per Pixel"),
        ({"frames": "all"}, "Number of Frames"),
    ],
)
def test_metadata_that_do_not_say_how_large_a_frame_is_are_refused(
    values: dict[str, Json], said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        parse_layout(metadata(**values))
