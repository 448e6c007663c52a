from __future__ import annotations

import pickle
import random
import struct
import tracemalloc
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels.processing import (
    _expand_segmented_lut,
    apply_color_lut,
    apply_modality_lut,
    apply_voi_lut,
    convert_color_space,
)
from pydicom.pixels.utils import pixel_array

from fileroom.dicom.part10 import Refused, scan
from fileroom.dicom.pixels.decode import DecodedFrame
from fileroom.dicom.pixels.description import find_pixel_description
from fileroom.dicom.pixels.encode import encode_frame
from fileroom.dicom.pixels.failure import PixelError
from fileroom.dicom.pixels.grayscale import windowed
from fileroom.dicom.pixels.picture import scaled, through_viewport, write_picture
from fileroom.dicom.pixels.presentation import LookupTable, Presentation, read_presentation
from fileroom.dicom.pixels.render import render_frame
from fileroom.dicom.pixels.rendering_options import (
    VIEWPORT_SIDE_MAX,
    RenderingOptions,
    Viewport,
    parse_rendering_options,
)
from fileroom.dicom.pixels.tables import in_bands, table_entries
from fileroom.dicom.pixels.windows import Window, WindowFunction
from fileroom.errors import InvalidArgument, Reason
from tests.corpus import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Row, Value
from tests.dicom_files import wheel_files
from tests.pixels import described, drawn, instance, parsed, reader, stored_frames

if TYPE_CHECKING:
    import pydicom
    from numpy.typing import NDArray

    from fileroom.dicom.pixels.description import PixelDescription

SIGNED = described(bits=16, stored=12, signed=True)


def presented(data: bytes, frame: int = 1) -> Presentation:
    header = scan(data).header
    return read_presentation(header, frame, reader(header, data))


def rendered(
    data: bytes, frame: int = 1, options: RenderingOptions | None = None
) -> NDArray[np.uint8]:
    presentation = presented(data, frame)
    stored = stored_frames(data, presentation.description)[frame - 1]
    picture = render_frame(stored, presentation, "image/png", options or RenderingOptions())
    pixels: NDArray[np.uint8] = imagecodecs.png_decode(picture)
    return pixels


def eight_bits(levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.floor(levels * 255 + 0.5).astype(np.uint8)


def stretched(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    numbers = values.astype(float)
    return eight_bits((numbers - numbers.min()) / (numbers.max() - numbers.min()))


def close(ours: NDArray[np.generic], theirs: NDArray[np.generic], by: int = 1) -> bool:
    """Tell whether two pictures are equal but for rounding."""
    return bool(np.abs(ours.astype(int) - theirs.astype(int)).max() <= by)


# Grey levels


@pytest.mark.clause("PS3.3 C.11.2.1.2", "a window is applied after the rescale, as pydicom does it")
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_a_windowed_picture_is_what_pydicom_computes(syntax: str, function: str | None) -> None:
    rows: list[Row] = [
        (0x00281050, "DS", "-900\\0"), (0x00281051, "DS", "1500.5\\1"),
        (0x00281052, "DS", "-1024"), (0x00281053, "DS", "1.5"),
    ]  # fmt: skip
    if function:
        rows.append((0x00281056, "CS", function))
    pixels = drawn(SIGNED)
    data = instance(SIGNED, pixels, tuple(rows), transfer_syntax_uid=syntax)
    dataset = parsed(data)
    values = apply_modality_lut(pixels[0, :, :, 0], dataset)
    shown = apply_voi_lut(values, dataset, index=0)
    # pydicom maps onto the range of the rescaled values.
    low, high = -1024 - 2048 * 1.5, -1024 + 2047 * 1.5
    expected = eight_bits((shown - low) / (high - low))
    assert close(rendered(data), expected)
    assert len(np.unique(expected)) > 50


@pytest.mark.clause("PS3.3 C.11.2.1.2.1", "LINEAR, at the values that the standard works out")
def test_windows_are_those_of_the_standard() -> None:
    def levels(function: WindowFunction, center: float, width: float, *at: float) -> list[float]:
        window = Window(center=center, width=width, function=function)
        return [round(float(level), 6) for level in windowed(np.array(at), window)]

    linear, exact = WindowFunction.LINEAR, WindowFunction.LINEAR_EXACT
    assert levels(linear, 2048, 4096, 0, 4095, 2047.5) == [0, 1, 0.5]
    assert levels(linear, 2048, 1, 2047, 2048) == [0, 1]
    assert levels(linear, 0, 100, -50, 49) == [0, 1]
    assert levels(exact, 0, 100, -50, 0, 50, 80) == [0, 0.5, 1, 1]
    assert levels(WindowFunction.SIGMOID, 10, 4, 10, -1e9, 1e9, 11) == [0.5, 0, 1, 0.731059]


@pytest.mark.clause(
    "PS3.3 C.11.2",
    "without a window the range from least to greatest value is shown",
    holds="chosen",
)
@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("signed", [False, True])
def test_without_a_window_the_whole_range_is_shown(bits: int, signed: bool) -> None:
    description = described(bits=bits, signed=signed)
    pixels = drawn(description)
    assert close(rendered(instance(description, pixels)), stretched(pixels[0, :, :, 0]), 0)


@pytest.mark.clause("PS3.3 C.7.6.3.1.2", "the least value of MONOCHROME1 is white")
def test_monochrome1_is_inverted_once() -> None:
    pixels = drawn(described())
    plain = rendered(instance(described(), pixels))
    shape: Row = (0x20500020, "CS", "INVERSE")
    for colour, rows in (("MONOCHROME1", ()), ("MONOCHROME1", (shape,)), ("MONOCHROME2", (shape,))):
        data = instance(described(colour=colour), pixels, rows)
        assert close(rendered(data), 255 - plain)


@pytest.mark.clause("PS3.3 C.7.5.1.1.2", "padding does not widen the range that is shown")
def test_padding_does_not_count() -> None:
    pixels = drawn(SIGNED)
    pixels[0, :5] = -2000
    pixels[0, 5, :9] = -1990
    rows = ((0x00280120, "SS", -2000), (0x00280121, "SS", -1990))
    ours = rendered(instance(SIGNED, pixels, rows))
    assert np.array_equal(ours[6:], stretched(pixels[0, 6:, :, 0]))
    assert not ours[:5].any()


def table(first: int, bits: int, entries: list[int]) -> list[Row]:
    return [
        (0x00283002, "US", [len(entries), first & 0xFFFF, bits]),
        (0x00283006, "OW", entries),
    ]


@pytest.mark.clause("PS3.3 C.11.2.1.1", "values beyond a VOI LUT get its first or its last entry")
@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN, DEFLATED])
def test_lookup_tables_are_what_pydicom_computes(syntax: str) -> None:
    draw = random.Random(1)
    modality = table(-500, 16, sorted(draw.choices(range(3000), k=1000)))
    voi = table(200, 12, sorted(draw.choices(range(4096), k=2000)))
    rows: tuple[Row, ...] = ((0x00283000, "SQ", [modality]), (0x00283010, "SQ", [voi]))
    pixels = drawn(SIGNED)
    data = instance(SIGNED, pixels, rows, transfer_syntax_uid=syntax)
    first = np.array(modality[1][2])[np.clip(pixels[0, :, :, 0] + 500, 0, 999)]
    second = np.array(voi[1][2])[np.clip(first - 200, 0, 1999)]
    assert np.array_equal(rendered(data), eight_bits(second / 4095))


@pytest.mark.clause(
    "PS3.3 C.7.6.16.2.10",
    "a frame's own window goes before the shared one, and that before the top's",
)
def test_each_frame_has_its_window() -> None:
    def group(tag: int, *rows: Row) -> Row:
        return (tag, "SQ", [list(rows)])

    def voi(center: str) -> Row:
        return group(0x00289132, (0x00281050, "DS", center), (0x00281051, "DS", "400"))

    rescale = group(0x00289145, (0x00281052, "DS", "-100"), (0x00281053, "DS", "2"))
    description = replace(SIGNED, number_of_frames=3)
    rows: tuple[Row, ...] = (
        (0x00281050, "DS", "7"), (0x00281051, "DS", "7"),
        (0x52009229, "SQ", [[rescale, voi("300")]]),
        (0x52009230, "SQ", [[voi("100")], [voi("200")], []]),
    )  # fmt: skip
    data = instance(description, drawn(description), rows)
    found = [presented(data, frame) for frame in (1, 2, 3)]
    assert [each.window.center for each in found if each.window] == [100, 200, 300]
    assert {(each.slope, each.intercept) for each in found} == {(2.0, -100.0)}


@pytest.mark.parametrize("element", ["FloatPixelData", "DoubleFloatPixelData"])
def test_floating_point_samples_are_shown(element: str) -> None:
    description = described(bits=32 if element == "FloatPixelData" else 64)
    values = np.linspace(-1.5, 2.5, 37 * 42).reshape(1, 37, 42, 1)
    kind, tag, vr = (
        ("<f4", 0x7FE00008, "OF") if element == "FloatPixelData" else ("<f8", 0x7FE00009, "OD")
    )
    rows: tuple[Row, ...] = ((tag, vr, values.astype(kind).tobytes()),)
    data = instance(description, values, rows, pixel_data=None)
    assert close(rendered(data), stretched(values[0, :, :, 0]))
    numbers = values.astype(kind)
    numbers[0, 0, 0] = np.nan
    numbers[0, 0, 1] = np.inf
    presentation = presented(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert render_frame(numbers.tobytes(), presentation, "image/png")


def test_single_bits_are_black_and_white() -> None:
    presentation = Presentation(description=described(bits=1), transfer_syntax_uid=EXPLICIT)
    size = presentation.description.native_frame_bytes
    for frame, level in ((bytes(size), 0), (b"\xff" * size, 255)):
        picture = imagecodecs.png_decode(render_frame(frame, presentation, "image/png"))
        assert (picture == level).all()


# Colour


@pytest.mark.clause("PS3.3 C.7.6.3.1.2", "YBR_FULL becomes RGB by the equations of the standard")
def test_ycbcr_is_what_pydicom_computes() -> None:
    description = described(colour="YBR_FULL")
    pixels = drawn(description, noise=True)
    expected = convert_color_space(pixels[0], "YBR_FULL", "RGB")
    assert close(rendered(instance(description, pixels)), expected)


@pytest.mark.parametrize(("bits", "stored"), [(8, 8), (16, 16), (16, 12), (8, 5)])
def test_rgb_is_shown_in_eight_bits(bits: int, stored: int) -> None:
    description = described(bits=bits, stored=stored, colour="RGB")
    pixels = drawn(description)
    expected = pixels[0].astype(float) * 255 / ((1 << stored) - 1)
    assert close(rendered(instance(description, pixels)), expected.round())


def palette_rows(bits: int, first: int, entries: int, draw: random.Random) -> tuple[Row, ...]:
    rows: list[Row] = []
    for channel in range(3):
        numbers = draw.choices(range(1 << bits), k=entries)
        data: Value = bytes(numbers) + b"\0" * (entries % 2) if bits == 8 else numbers
        rows.append((0x00281101 + channel, "US", [entries, first, bits]))
        rows.append((0x00281201 + channel, "OW", data))
    return tuple(rows)


@pytest.mark.clause("PS3.3 C.7.6.3.1.5", "indices beyond a palette get its first or last colour")
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, DEFLATED])
@pytest.mark.parametrize(("bits", "first", "entries"), [(8, 0, 256), (16, 0, 256), (16, 20, 99)])
def test_a_palette_is_what_pydicom_computes(
    bits: int, first: int, entries: int, syntax: str
) -> None:
    description = described(colour="PALETTE COLOR")
    pixels = drawn(description)
    rows = palette_rows(bits, first, entries, random.Random(bits))
    data = instance(description, pixels, rows, transfer_syntax_uid=syntax)
    theirs = apply_color_lut(pixels[0, :, :, 0], parsed(data))
    assert np.array_equal(rendered(data), theirs >> (bits - 8))


@pytest.mark.clause("PS3.3 C.7.9.2", "segmented palettes are expanded: discrete, linear, indirect")
@pytest.mark.parametrize("bits", [8, 16])
def test_segmented_palettes_are_what_pydicom_computes(bits: int) -> None:
    top = (1 << bits) - 1
    words = [0, 3, 1, 5, 9, 1, 40, top, 0, 2, 7, 7, 1, 10, 0]
    entries = 3 + 40 + 2 + 10
    code = "B" if bits == 8 else "H"
    data = struct.pack(f"<{len(words)}{code}", *words)
    ours = table_entries(
        LookupTable(entries=entries, first=0, bits=bits, data=data, segmented=True)
    )
    theirs = _expand_segmented_lut(tuple(words), f"<{code}")
    assert np.abs(ours.astype(int) - np.array(theirs)).max() <= 1
    again = [2, 2, 0, 0, 0, 0] if bits == 8 else [2, 2, 0, 0]
    data += struct.pack(f"<{len(again)}{code}", *again)
    twice = table_entries(
        LookupTable(entries=entries + 43, first=0, bits=bits, data=data, segmented=True)
    )
    assert np.array_equal(twice[:entries], ours)
    assert twice[entries : entries + 3].tolist() == [1, 5, 9]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([8, 16]), st.integers(1, 65536), st.booleans())
def test_no_table_is_read_beyond_its_end(
    data: bytes, bits: int, entries: int, segmented: bool
) -> None:
    hostile = LookupTable(entries=entries, first=0, bits=bits, data=data, segmented=segmented)
    try:
        found = table_entries(hostile)
    except PixelError as error:
        refused = error.reason
        assert refused is Reason.MALFORMED
    else:
        assert len(found) == entries


def test_a_palette_that_is_too_short_is_refused() -> None:
    description = described(colour="PALETTE COLOR")
    rows = tuple(
        (tag, vr, value[:50] if isinstance(value, bytes) else value)
        for tag, vr, value in palette_rows(8, 0, 256, random.Random(0))
    )
    with pytest.raises(PixelError, match="fewer entries"):
        rendered(instance(description, drawn(description), rows))


# Parameters


@pytest.mark.clause("PS3.18 8.3.5.1.4", "window replaces the instance's own")
def test_a_window_of_the_request_is_used() -> None:
    rows = ((0x00281050, "DS", "0"), (0x00281051, "DS", "9"))
    pixels = drawn(SIGNED)
    options = parse_rendering_options(window="100,2000,linear-exact")
    expected = eight_bits(np.clip((pixels[0, :, :, 0].astype(float) - 100) / 2000 + 0.5, 0, 1))
    assert close(rendered(instance(SIGNED, pixels, rows), options=options), expected)


@pytest.mark.clause(
    "PS3.18 8.3.5.1.3", "a viewport cuts out a region, mirrors it, and keeps its aspect ratio"
)
def test_a_viewport_cuts_and_mirrors() -> None:
    pixels = drawn(described())
    data = instance(described(), pixels)
    whole = rendered(data)

    def through(text: str) -> NDArray[np.uint8]:
        return rendered(data, options=parse_rendering_options(viewport=text))

    assert np.array_equal(through("10,20,5,7,10,20"), whole[7:27, 5:15])
    assert np.array_equal(through("10,20,5,7,-10,20"), whole[7:27, 5:15][:, ::-1])
    assert np.array_equal(through("10,20,5,7,10,-20"), whole[7:27, 5:15][::-1])
    assert np.array_equal(through("42,37,,,,"), whole)
    assert through("84,1000").shape == (74, 84)
    assert through("21,1000").shape == (18, 21)
    assert through("1000,5").shape == (5, 6)
    assert through("1,1").shape == (1, 1)
    with pytest.raises(InvalidArgument, match="outside the frame") as refused:
        through("10,10,42,0,5,5")
    assert refused.value.detail == "viewport"


@pytest.mark.parametrize("shape", [(5000, 1), (1, 5000), (1, 1), (300, 7, 3)])
def test_noise_of_any_shape_is_written_as_png(shape: tuple[int, ...]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    assert np.array_equal(imagecodecs.png_decode(write_picture(noise, "image/png", 90)), noise)


def test_a_viewport_mirrors_a_frame_of_one_row() -> None:
    row = np.arange(4, dtype=np.uint8).reshape(1, 4)
    mirrored = parse_rendering_options(viewport="1,4,0,0,-1,4").viewport
    assert mirrored is not None
    assert through_viewport(row.T, mirrored).shape == (4, 1)


def test_scaling_keeps_what_is_even_and_averages_what_is_not() -> None:
    even = np.full((50, 60, 3), 77, np.uint8)
    assert (scaled(even, 7, 9) == 77).all()
    assert (scaled(even, 170, 90) == 77).all()
    board = np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 255
    assert np.abs(scaled(board, 8, 8).astype(int) - 128).max() <= 1
    ramp = np.tile(np.arange(0, 250, 2, dtype=np.uint8), (4, 1))
    assert (np.diff(scaled(ramp, 4, 400).astype(int)) >= 0).all()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("viewport", "10"), ("viewport", "0,10"), ("viewport", "10,10,1"), ("viewport", "-5,5"),
        ("viewport", "10001,1"), ("viewport", "5,5,-1,0,3,3"), ("viewport", "5,5,0,0,0,3"),
        ("viewport", "a,b"), ("viewport", "5,5,nan,0,1,1"), ("viewport", "1e1,5"),
        ("window", "1"), ("window", "1,0,linear"), ("window", "1,-5,sigmoid"),
        ("window", "1,5,cubic"), ("window", "inf,5,linear"), ("window", "1,0.5,linear"),
        ("quality", "0"), ("quality", "101"), ("quality", "1.5"), ("quality", ""),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named_with_what_is_allowed(name: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=name) as refused:
        parse_rendering_options(**{name: text})
    assert refused.value.detail == name


@pytest.mark.clause("PS3.18 8.3.5.1.2", "quality is that of a lossy picture, from 1 to 100")
def test_quality_makes_a_jpeg_smaller() -> None:
    data = instance(described(), drawn(described()))
    presentation = presented(data)
    frame = stored_frames(data, presentation.description)[0]
    sizes = [
        len(render_frame(frame, presentation, "image/jpeg", parse_rendering_options(quality=text)))
        for text in ("10", "50", "90", "100")
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.clause(
    "Cloud Healthcare quotas, DICOM",
    "a viewport is for frames of at most 50 MB and 10,000 pixels a side",
)
def test_a_viewport_has_its_limits() -> None:
    asked = RenderingOptions(viewport=Viewport(width=10, height=10))
    for description in (
        described(rows=VIEWPORT_SIDE_MAX + 1, columns=1),
        described(bits=16, rows=6000, columns=6000),
    ):
        presentation = Presentation(description=description, transfer_syntax_uid=EXPLICIT)
        with pytest.raises(PixelError) as refused:
            render_frame(b"", presentation, "image/jpeg", asked)
        assert refused.value.reason is Reason.MEMORY_LIMIT
    data = instance(described(), drawn(described()))
    with pytest.raises(PixelError, match="smaller viewport"):
        rendered(data, options=parse_rendering_options(viewport="10000,10000"))


# Real files


def test_pydicoms_own_files_are_rendered_as_pydicom_would() -> None:
    compared = rendered_files = 0
    for file in wheel_files():
        data = file.read_bytes()
        try:
            description = find_pixel_description(scan(data).header)
        except (Refused, PixelError):
            continue
        if description is None:
            continue
        try:
            ours = rendered(data)
        except PixelError:
            continue
        rendered_files += 1
        theirs = their_picture(parsed(data), description)
        if theirs is not None:
            assert close(ours, theirs), file.name
            compared += 1
    assert rendered_files > 70
    assert compared > 40


def their_picture(
    dataset: pydicom.FileDataset, description: PixelDescription
) -> NDArray[np.uint8] | None:
    """Give the first frame in 8 bits; ``None`` for what pydicom has no steps for."""
    functional = "SharedFunctionalGroupsSequence" in dataset or description.is_float
    if functional or dataset.get("VOILUTSequence") or description.bits_allocated == 1:
        return None
    if (
        "JPEG" in dataset.file_meta.TransferSyntaxUID.name
        and "2000" not in dataset.file_meta.TransferSyntaxUID.name
    ):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = pixel_array(dataset, index=0)
    except Exception:
        return None
    if description.samples_per_pixel == 3:
        return (pixels >> (description.bits_stored - 8)).astype(np.uint8)
    if description.photometric_interpretation == "PALETTE COLOR":
        colours = apply_color_lut(pixels, dataset)
        return (colours >> (8 * (colours.itemsize - 1))).astype(np.uint8)
    values = apply_modality_lut(pixels, dataset).astype(float)
    if "WindowWidth" in dataset and dataset.WindowWidth:
        center, width = (
            value if isinstance(value, (int, float)) else value[0]
            for value in (dataset.WindowCenter, dataset.WindowWidth)
        )
        levels = np.clip((values - (center - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1)
    else:
        padding = dataset.get("PixelPaddingValue")
        counted = values if padding is None else values[pixels != padding]
        counted = counted if counted.size else values
        low, high = counted.min(), counted.max()
        levels = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    if description.photometric_interpretation == "MONOCHROME1":
        levels = 1 - levels
    return eight_bits(levels)


def test_a_presentation_crosses_to_another_process() -> None:
    description = described(colour="PALETTE COLOR")
    data = instance(description, drawn(description), palette_rows(16, 0, 256, random.Random(2)))
    presentation = presented(data)
    assert pickle.loads(pickle.dumps(presentation)) == presentation


def test_a_compressed_frame_is_rendered_as_its_samples() -> None:
    pixels = drawn(SIGNED)
    native = instance(SIGNED, pixels)
    frame = encode_frame(
        DecodedFrame(samples=pixels[0], photometric_interpretation="MONOCHROME2"),
        SIGNED,
        "1.2.840.10008.1.2.4.201",
    )
    presentation = replace(presented(native), transfer_syntax_uid="1.2.840.10008.1.2.4.201")
    picture = imagecodecs.png_decode(render_frame(frame, presentation, "image/png"))
    assert np.array_equal(picture, rendered(native))


def test_looking_up_takes_little_memory_beside_the_picture() -> None:
    values = np.zeros((3000, 3000), np.uint8)
    table = np.arange(256, dtype=np.uint8)
    tracemalloc.start()
    found = in_bands(lambda band: np.take(table, band), values, np.dtype(np.uint8))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.shape == values.shape
    assert peak < 3 * values.nbytes
