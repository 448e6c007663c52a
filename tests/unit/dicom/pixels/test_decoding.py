from __future__ import annotations

import random
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
from pydicom.pixels.utils import pixel_array

from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES, TRANSFER_SYNTAXES
from fileroom.dicom.part10 import Refused, scan
from fileroom.dicom.pixels.decode import DecodedFrame, decode_frame, stored_values
from fileroom.dicom.pixels.description import (
    FRAME_BYTES_MAX,
    PixelDescription,
    find_pixel_description,
    parse_pixel_description,
)
from fileroom.dicom.pixels.encode import encode_frame
from fileroom.dicom.pixels.failure import PixelError
from fileroom.dicom.pixels.pairs import find_transcoding_obstacle
from fileroom.errors import Reason
from tests.corpus import BIG_ENDIAN, EXPLICIT, IMPLICIT, RLE, minimal_instance, sr_instance
from tests.dicom_files import wheel_files
from tests.pixels import described, drawn, instance, parsed, stored_frames
from tests.real_corpus import corpus_files
from tests.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
JPEG_XL = "1.2.840.10008.1.2.4.110"
HTJ2K = "1.2.840.10008.1.2.4.201"
DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
CORRUPT = "a frame that says otherwise than the header is refused; pydicom gives what fits"
DIFFERENT = {
    "JPEG2000-embedded-sequence-delimiter.dcm": CORRUPT,
}
"""Files of which pydicom gives other pixels, or some where there are none here, and why."""
COMPRESSED = [uid for uid in TRANSFER_SYNTAXES if uid not in NATIVE_TRANSFER_SYNTAXES]
SIZED = [uid for uid in COMPRESSED if uid not in {RLE, DEFLATED_FRAME} and uid[-4:] != ".111"]
"""Those whose frames tell their size, and that are written from samples."""


def their_pixels(data: bytes) -> NDArray[np.generic] | None:
    """Give what pydicom decodes of the first frame, nothing corrected."""
    dataset = parsed(data)
    options: dict[str, Any] = (
        {"correct_unused_bits": False}
        if dataset.file_meta.TransferSyntaxUID in NATIVE_TRANSFER_SYNTAXES
        else {}
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pixel_array(dataset, raw=True, index=0, **options)
    except Exception:
        return None


def compare(files: Iterable[Path]) -> tuple[int, set[str]]:
    """Compare with pydicom; give how many files are equal, and the names of the others."""
    equal, different = 0, set()
    for file in files:
        data = file.read_bytes()
        try:
            header = scan(data).header
            description = find_pixel_description(header)
        except (Refused, PixelError):
            continue
        if description is None:
            continue
        theirs = their_pixels(data)
        if theirs is None:
            continue
        try:
            frame = stored_frames(data, description)[0]
            ours = decode_frame(frame, description, header.transfer_syntax_uid).samples
        except PixelError:
            different.add(file.name)
            continue
        same_shape = ours.size == theirs.size
        if same_shape and np.array_equal(ours.reshape(theirs.shape), theirs):
            equal += 1
        else:
            different.add(file.name)
    return equal, different


def test_pydicoms_own_files_decode_into_the_pixels_that_pydicom_gives() -> None:
    equal, different = compare(wheel_files())

    assert different <= DIFFERENT.keys()
    assert equal > 60


def test_files_of_the_corpus_decode_into_the_pixels_that_pydicom_gives() -> None:
    equal, different = compare(file.path for file in corpus_files())

    assert different <= DIFFERENT.keys()
    assert equal > 300


@cache
def jpeg_files() -> tuple[Path, ...]:
    """Give real files of JPEG and JPEG-LS, one of each size, which pydicom alone cannot decode."""
    wanted = {f"1.2.840.10008.1.2.4.{item}" for item in (50, 51, 57, 70, 80, 81)}
    found: dict[int, Path] = {}
    for file in [*wheel_files(), *(file.path for file in corpus_files())]:
        data = file.read_bytes()
        try:
            header = scan(data).header
            if header.transfer_syntax_uid in wanted and find_pixel_description(header):
                found.setdefault(len(data), file)
        except (Refused, PixelError):
            continue
    return tuple(found.values())


def test_real_jpeg_and_jpeg_ls_files_decode_into_the_pixels_that_dcmtk_gives(
    tmp_path: Path,
) -> None:
    programs = {"50": "dcmdjpeg", "51": "dcmdjpeg", "57": "dcmdjpeg", "70": "dcmdjpeg",
                "80": "dcmdjpls", "81": "dcmdjpls"}  # fmt: skip
    compared = 0
    for file in jpeg_files():
        data = file.read_bytes()
        header = scan(data).header
        description = parse_pixel_description(header)
        program = programs[header.transfer_syntax_uid.rpartition(".")[2]]
        # +cn: as in the stream, no conversion of colour.
        options = ["+cn"] if program == "dcmdjpeg" else []
        out = tmp_path / "out.dcm"
        done = subprocess.run(
            [require_tool(program), *options, str(file), str(out)], capture_output=True, check=False
        )
        if done.returncode:
            continue
        theirs = parsed(out.read_bytes())
        try:
            ours = decode_frame(
                stored_frames(data, description)[0], description, header.transfer_syntax_uid
            )
        except PixelError:
            continue
        values = np.frombuffer(theirs.PixelData, ours.samples.dtype, ours.samples.size)
        if theirs.get("PlanarConfiguration", 0) == 1:
            values = np.moveaxis(values.reshape(3, *ours.samples.shape[:2]), 0, -1)
        values = values.reshape(ours.samples.shape)
        lossy = header.transfer_syntax_uid[-2:] in {"50", "51"}
        difference = stored_values(ours.samples, description).astype(int) - stored_values(
            values, description
        )
        # Inverse cosine transforms may round in two ways, and so may upsampling.
        limit = (40 if description.samples_per_pixel == 3 else 2) if lossy else 0
        assert np.abs(difference).max() <= limit, file.name
        assert np.abs(difference).mean() <= (1 if lossy else 0), file.name
        compared += 1
    assert compared > 8


# Native pixel data


@pytest.mark.clause("PS3.3 C.7.6.3.1.3", "color by plane and color by pixel are the same picture")
def test_planes_are_read_as_pixels() -> None:
    description = described(colour="RGB")
    pixels = drawn(description)[0]
    planes = np.moveaxis(pixels, -1, 0).tobytes()

    decoded = decode_frame(planes, replace(description, planar_configuration=1), EXPLICIT)

    assert np.array_equal(decoded.samples, pixels)


@pytest.mark.clause("PS3.3 C.7.6.3.1.2", "two pixels of YBR_FULL_422 share their chrominance")
def test_half_width_chrominance_is_doubled() -> None:
    description = described(colour="YBR_FULL_422", rows=1, columns=4)

    decoded = decode_frame(bytes([1, 2, 3, 4, 5, 6, 7, 8]), description, EXPLICIT)

    assert decoded.samples[0].tolist() == [[1, 3, 4], [2, 3, 4], [5, 7, 8], [6, 7, 8]]
    assert decoded.photometric_interpretation == "YBR_FULL"


def test_an_odd_number_of_columns_has_no_pairs_but_in_jpeg() -> None:
    description = described(colour="YBR_FULL_422", columns=41)
    with pytest.raises(PixelError, match="odd"):
        decode_frame(bytes(description.native_frame_bytes), description, EXPLICIT)
    frame = encoded(JPEG_BASELINE, described(colour="RGB", columns=41))
    assert decode_frame(frame, description, JPEG_BASELINE).samples.shape == (37, 41, 3)


@pytest.mark.clause("PS3.5 8.1.1", "the first of pixels of one bit is the lowest bit of a byte")
def test_bits_become_bytes() -> None:
    decoded = decode_frame(b"\x05\x01", described(bits=1, rows=3, columns=3), EXPLICIT)

    assert decoded.samples[:, :, 0].tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]


def test_unused_bits_do_not_count() -> None:
    description = described(bits=16, stored=12, signed=True, rows=1, columns=2)
    samples = decode_frame(struct.pack("<HH", 0xAFFF, 0x5001), description, EXPLICIT).samples

    assert stored_values(samples, description)[0, :, 0].tolist() == [-1, 1]


def test_a_frame_cut_short_is_refused() -> None:
    with pytest.raises(PixelError) as refused:
        decode_frame(bytes(99), described(rows=10, columns=10), EXPLICIT)
    assert refused.value.reason is Reason.MALFORMED


# The header


def test_the_description_is_read_in_either_byte_order() -> None:
    description = described(bits=16, stored=12, signed=True, frames=2)
    for syntax in (EXPLICIT, BIG_ENDIAN):
        data = instance(description, drawn(description), transfer_syntax_uid=syntax)
        assert parse_pixel_description(scan(data).header) == description


def test_an_instance_without_pixels_says_so() -> None:
    with pytest.raises(PixelError, match="no pixel data") as refused:
        parse_pixel_description(scan(sr_instance()).header)
    assert refused.value.reason is Reason.NO_PIXEL_DATA


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("rows", 0), ("columns", 0), ("samples_per_pixel", 2), ("bits_allocated", 12),
        ("bits_stored", 9), ("pixel_representation", 2), ("number_of_frames", "many"),
        ("rows", None), ("rows", b"\x25\0\0\0"),
    ],
)  # fmt: skip
def test_what_no_frame_can_be_is_refused(attribute: str, value: float | str | None) -> None:
    description = described()
    data = instance(description, drawn(description), (), **{attribute: value})
    with pytest.raises(PixelError) as refused:
        parse_pixel_description(scan(data).header)
    assert refused.value.reason is Reason.MALFORMED


# What is hostile


def encoded(uid: str, description: PixelDescription, **options: bool) -> bytes:
    frame = DecodedFrame(
        samples=drawn(description, **options)[0],
        photometric_interpretation=description.photometric_interpretation,
    )
    return encode_frame(frame, description, uid)


@pytest.mark.clause(
    "PS3.5 8.2",
    "no codec runs before the size that a compressed frame claims is compared with the header",
    holds="own rule",
)
@pytest.mark.parametrize("uid", SIZED)
def test_a_frame_that_claims_another_size_is_refused_before_it_is_decoded(
    uid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = encoded(uid, described(rows=300, columns=200))
    for name in ("jpeg8", "jpegls", "jpeg2k", "htj2k", "jpegxl"):
        monkeypatch.delattr(imagecodecs, f"{name}_decode")

    with pytest.raises(PixelError, match="another size") as refused:
        decode_frame(frame, described(rows=16, columns=16), uid)
    assert refused.value.reason is Reason.MALFORMED


def test_a_frame_over_the_limit_is_refused_before_it_is_decoded() -> None:
    description = described(rows=65_535, columns=65_535)
    assert description.decoded_frame_bytes > FRAME_BYTES_MAX
    for uid in TRANSFER_SYNTAXES:
        with pytest.raises(PixelError, match="over the limit") as refused:
            decode_frame(b"", description, uid)
        assert refused.value.reason is Reason.MEMORY_LIMIT


def test_bombs_take_no_memory() -> None:
    description = described(rows=16, columns=16)
    deflated = zlib.compress(bytes(300 << 20), 9)[2:-4]
    run = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 500_000
    jpeg = bytearray(encoded(JPEG_BASELINE, description))
    at = jpeg.find(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    tracemalloc.start()
    try:
        assert decode_frame(deflated, description, DEFLATED_FRAME).samples.size == 256
        for uid, frame in ((RLE, run), (JPEG_BASELINE, bytes(jpeg))):
            with pytest.raises(PixelError):
                decode_frame(frame, description, uid)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("uid", COMPRESSED)
def test_a_damaged_frame_is_decoded_or_refused_by_our_own_error(uid: str) -> None:
    if uid.endswith(".111"):
        frame = imagecodecs.jpegxl_encode_jpeg(encoded(JPEG_BASELINE, described()))
    else:
        frame = encoded(uid, described())
    draw = random.Random(uid)
    refused: list[Reason] = []
    for _ in range(60):
        damaged = bytearray(frame)
        if draw.random() < 0.4:
            del damaged[draw.randrange(len(damaged)) :]
        for _ in range(draw.randrange(1, 6)):
            if damaged:
                damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        try:
            decoded = decode_frame(bytes(damaged), described(), uid)
        except PixelError as error:
            refused.append(error.reason)
        else:
            assert decoded.samples.shape == (37, 42, 1)
    assert set(refused) == {Reason.MALFORMED}


def test_a_transfer_syntax_without_codec_is_refused_by_name() -> None:
    with pytest.raises(PixelError, match=r"1\.2\.840\.10008\.1\.2\.4\.100") as refused:
        decode_frame(b"", described(), "1.2.840.10008.1.2.4.100")
    assert refused.value.reason is Reason.UNSUPPORTED_TRANSCODING


def test_jp2_boxes_around_a_codestream_are_passed_over() -> None:
    description = described(bits=16)
    pixels = drawn(description)[0]
    boxed = imagecodecs.jpeg2k_encode(pixels[:, :, 0], level=0, reversible=True, codecformat="jp2")

    assert np.array_equal(decode_frame(bytes(boxed), description, JPEG_2000).samples, pixels)


# Imports


@pytest.mark.parametrize(
    "module",
    ["part10", "pixels.description", "pixels.pairs", "pixels.presentation", "pixels.render",
     "pixels.rendering_options", "pixels.frames"],
)  # fmt: skip
def test_codecs_are_loaded_where_a_frame_is_decoded_and_not_before(module: str) -> None:
    code = (
        f"import fileroom.dicom.{module}, sys;"
        "print(sorted({'imagecodecs', 'numpy', 'rle', 'pydicom'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_obstacle_is_told_from_the_header_alone() -> None:
    header = scan(minimal_instance()).header
    assert find_pixel_description(header) is None
    obstacle = find_transcoding_obstacle(header, JPEG_BASELINE)
    assert obstacle is not None
    assert obstacle.reason is Reason.NO_PIXEL_DATA
    assert find_transcoding_obstacle(header, IMPLICIT) is None


def test_attributes_that_contradict_themselves_hinder_only_what_must_be_decoded() -> None:
    description = described()
    data = instance(description, drawn(description), (), bits_allocated=12)
    header = scan(data).header
    obstacle = find_transcoding_obstacle(header, JPEG_BASELINE)
    assert obstacle is not None
    assert obstacle.reason is Reason.MALFORMED
    assert find_transcoding_obstacle(header, IMPLICIT) is None
    assert find_transcoding_obstacle(header, "*") is None
