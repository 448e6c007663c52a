from __future__ import annotations

import subprocess
import tracemalloc
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from openjpeg.utils import decode as openjpeg_decode
from pydicom.pixels.utils import pixel_array

from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES, TRANSFER_SYNTAXES
from fileroom.dicom.part10 import scan
from fileroom.dicom.pixels.colour import as_rgb
from fileroom.dicom.pixels.decode import DecodedFrame, decode_frame, stored_values
from fileroom.dicom.pixels.description import PixelDescription, parse_pixel_description
from fileroom.dicom.pixels.failure import PixelError
from fileroom.dicom.pixels.frames import reencode_frame
from fileroom.dicom.pixels.pairs import find_pair_obstacle
from fileroom.dicom.pixels.syntaxes import LOSSY_METHODS
from fileroom.dicom.pixels.transcode import transcoded_pieces
from fileroom.dicom.rewriting import PIECE_BYTES
from fileroom.errors import Reason
from tests.corpus import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, RLE, encapsulated_instance
from tests.pixels import described, drawn, instance, parsed, reader, stored_frames, transcoded
from tests.tools import require_tool

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
JPEG_2000_LOSSY = "1.2.840.10008.1.2.4.91"
JPEG_XL = "1.2.840.10008.1.2.4.110"
RECOMPRESSED = "1.2.840.10008.1.2.4.111"
HTJ2K_PROGRESSIVE = "1.2.840.10008.1.2.4.202"
HTJ2K_LOSSY = "1.2.840.10008.1.2.4.203"
DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
COMPRESSED = [uid for uid in TRANSFER_SYNTAXES if uid not in NATIVE_TRANSFER_SYNTAXES]
LOSSLESS = [uid for uid in COMPRESSED if uid not in LOSSY_METHODS and uid != RECOMPRESSED]

KINDS = {
    "8 bits": described(),
    "8 bits, many frames": described(frames=3, rows=19, columns=21),
    "5 bits": described(stored=5),
    "1 bit in 16": described(bits=16, stored=1),
    "8 bits in 16": described(bits=16, stored=8),
    "12 bits": described(bits=16, stored=12),
    "16 bits": described(bits=16),
    "12 bits signed": described(bits=16, stored=12, signed=True),
    "16 bits signed, many frames": described(bits=16, signed=True, frames=2),
    "8 bits signed": described(signed=True),
    "colour": described(colour="RGB"),
    "colour, many frames": described(colour="RGB", frames=2, rows=33),
    "colour of 16 bits": described(bits=16, colour="RGB"),
    "YCbCr": described(colour="YBR_FULL"),
    "palette": described(colour="PALETTE COLOR"),
    "32 bits": described(bits=32),
}
RMS_MAX = 0.008
"""Of the range of Bits Stored: what lossy syntaxes may differ by."""


def decoded(data: bytes) -> list[DecodedFrame]:
    """Decode every frame of a file, its colour made RGB where it is YCbCr by compression only."""
    header = scan(data).header
    description = parse_pixel_description(header)
    return [
        decode_frame(frame, description, header.transfer_syntax_uid)
        for frame in stored_frames(data, description)
    ]


def samples(data: bytes) -> NDArray[np.generic]:
    return np.stack([frame.samples for frame in decoded(data)])


def reasons(description: PixelDescription, stored: str) -> dict[str, str]:
    found = {asked: find_pair_obstacle(stored, asked, description) for asked in TRANSFER_SYNTAXES}
    return {asked: error.message for asked, error in found.items() if error is not None}


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "a lossless transfer syntax gives the very samples of the stored instance",
)
@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_lossless_pair_gives_the_same_samples_or_a_reason(kind: str, noise: bool) -> None:
    description = KINDS[kind]
    pixels = drawn(description, noise=noise)
    native = instance(description, pixels)
    refused = reasons(description, EXPLICIT)
    compressed = [uid for uid in LOSSLESS if uid not in refused]
    assert len(compressed) >= 1
    for uid in compressed:
        data = transcoded(native, uid)
        assert scan(data).header.transfer_syntax_uid == uid
        assert np.array_equal(samples(data), pixels), uid
        for asked in (EXPLICIT, IMPLICIT, DEFLATED):
            back = transcoded(data, asked)
            assert scan(back).header.transfer_syntax_uid == asked
            assert np.array_equal(samples(back), pixels), (uid, asked)
            colour = parsed(back).PhotometricInterpretation
            assert colour == description.photometric_interpretation


@pytest.mark.parametrize("kind", ["12 bits", "colour", "8 bits, many frames"])
def test_every_pair_of_compressed_syntaxes_gives_the_same_samples(kind: str) -> None:
    description = replace(KINDS[kind], rows=20, columns=24)
    pixels = drawn(description)
    native = instance(description, pixels)
    possible = [uid for uid in LOSSLESS if uid not in reasons(description, EXPLICIT)]
    for stored in possible:
        data = transcoded(native, stored)
        for asked in possible:
            if asked != stored:
                assert np.array_equal(samples(transcoded(data, asked)), pixels), (stored, asked)


@pytest.mark.clause(
    "PS3.3 C.7.6.1.1.5",
    "what was compressed with loss says so, with ratio and method, under its old UID",
    holds="chosen",
)
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind not in {"palette", "32 bits", "1 bit in 16"}]
)
def test_lossy_syntaxes_stay_near_and_say_what_they_are(kind: str) -> None:
    description = KINDS[kind]
    pixels = drawn(description)
    native = instance(description, pixels)
    before = parsed(native)
    for uid, method in LOSSY_METHODS.items():
        if uid in reasons(description, EXPLICIT):
            continue
        data = transcoded(native, uid)
        after = parsed(data)
        assert after.LossyImageCompression == "01"
        assert after.LossyImageCompressionMethod == method
        size = pixels[0].nbytes / len(stored_frames(data, description)[0])
        assert float(after.LossyImageCompressionRatio) == pytest.approx(size, rel=0.02)
        assert after.SOPInstanceUID == before.SOPInstanceUID
        for now, then in zip(decoded(data), pixels, strict=True):
            original = DecodedFrame(
                samples=then, photometric_interpretation=description.photometric_interpretation
            )
            if now.photometric_interpretation != original.photometric_interpretation:
                now = as_rgb(now, description.bits_stored)
                original = as_rgb(original, description.bits_stored)
            error = now.samples.astype(float) - original.samples
            rms = np.sqrt((error**2).mean()) / (1 << description.bits_stored)
            # Of few bits a rounded step is much of the range.
            assert rms < max(RMS_MAX, 1 / (1 << description.bits_stored)), (uid, rms)
            if uid.endswith(".81"):
                assert np.abs(error).max() <= max(1, (1 << description.bits_stored) // 1024)


def test_a_second_lossy_step_is_added_to_the_first() -> None:
    description = described()
    rows = (
        (0x00282110, "CS", "01"),
        (0x00282112, "DS", "10"),
        (0x00282114, "CS", "ISO_15444_1"),
    )
    after = parsed(transcoded(instance(description, drawn(description), rows), JPEG_BASELINE))
    assert after.LossyImageCompressionMethod == ["ISO_15444_1", "ISO_10918_1"]
    assert after.LossyImageCompressionRatio[0] == 10


@pytest.mark.clause(
    "PS3.3 C.7.6.1.1.5", "a decompressed JPEG says that it was compressed with loss"
)
def test_what_jpeg_has_lost_stays_said() -> None:
    description = described(colour="RGB")
    jpeg = transcoded(instance(description, drawn(description)), JPEG_BASELINE)
    silent = jpeg.replace(b"\x28\x00\x10\x21CS\x02\x0001", b"\x28\x00\x11\x21CS\x02\x0001")
    assert "LossyImageCompression" not in parsed(silent)
    after = parsed(transcoded(silent, EXPLICIT))
    assert after.LossyImageCompression == "01"
    assert after.PhotometricInterpretation == "RGB"
    assert after.PlanarConfiguration == 0


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "JPEG XL recompression comes from a JPEG source only, and gives it back bit by bit",
)
@pytest.mark.parametrize("colour", ["MONOCHROME2", "RGB"])
def test_jpeg_is_recompressed_and_given_back(colour: str) -> None:
    description = described(colour=colour, frames=2, rows=200, columns=300)
    jpeg = transcoded(instance(description, drawn(description)), JPEG_BASELINE)
    packed = transcoded(jpeg, RECOMPRESSED)
    described_now = parse_pixel_description(scan(jpeg).header)
    frames = stored_frames(packed, described_now)
    assert sum(map(len, frames)) < sum(map(len, stored_frames(jpeg, described_now)))
    back = transcoded(packed, JPEG_BASELINE)
    assert stored_frames(back, described_now) == stored_frames(jpeg, described_now)
    shown = [as_rgb(frame, 8).samples.astype(int) for frame in decoded(jpeg)]
    for now, then in zip(decoded(packed), shown, strict=True):
        assert np.abs(now.samples - then).mean() < 2


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "JPEG holds no colour of more than 8 bits, and single bits and floats are given natively only",
)
def test_the_table_of_pairs_says_why_not() -> None:
    jpegs = {JPEG_BASELINE, JPEG_EXTENDED, "1.2.840.10008.1.2.4.57", JPEG_LOSSLESS}
    assert jpegs <= reasons(KINDS["colour of 16 bits"], EXPLICIT).keys()
    assert "8 bits" in reasons(KINDS["12 bits"], EXPLICIT)[JPEG_BASELINE]
    assert JPEG_EXTENDED not in reasons(KINDS["12 bits"], EXPLICIT)
    assert reasons(KINDS["8 bits"], EXPLICIT).keys() == {RECOMPRESSED}
    assert RECOMPRESSED not in reasons(KINDS["8 bits"], JPEG_BASELINE)
    assert {JPEG_XL, "1.2.840.10008.1.2.4.112"} <= reasons(KINDS["8 bits signed"], EXPLICIT).keys()
    single = described(bits=1)
    floats = replace(described(bits=32), pixel_element="FloatPixelData")
    for description in (single, floats):
        assert reasons(description, EXPLICIT).keys() == set(COMPRESSED)
    video = reasons(KINDS["colour"], "1.2.840.10008.1.2.4.102")
    assert video.keys() == set(TRANSFER_SYNTAXES)
    assert find_pair_obstacle("1.2.840.10008.1.2.4.102", "*", KINDS["colour"]) is None
    for message in video.values():
        assert "transfer-syntax=*" in message


def test_every_reason_of_the_table_is_a_refusal_of_the_transcoder() -> None:
    description = KINDS["12 bits signed"]
    native = instance(description, drawn(description))
    refused = reasons(description, EXPLICIT)
    assert refused
    for uid in refused:
        with pytest.raises(PixelError) as error:
            transcoded(native, uid)
        assert error.value.reason is Reason.UNSUPPORTED_TRANSCODING


@pytest.mark.parametrize("stored", [IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_any_native_source_is_compressed(stored: str) -> None:
    description = described(bits=16, stored=12, signed=True, frames=2)
    pixels = drawn(description)
    rows = ((0x00281201, "OW", [*range(256)]), (0xFFFCFFFC, "OB", bytes(70)))
    after = transcoded(instance(description, pixels, rows, transfer_syntax_uid=stored), JPEG_LS)
    assert np.array_equal(samples(after), pixels)
    dataset = parsed(after)
    assert np.frombuffer(dataset[0x00281201].value, "<u2").tolist() == [*range(256)]
    assert len(dataset[0xFFFCFFFC].value) == 70


@pytest.mark.clause(
    "PS3.5 A.4", "each frame is one fragment of even length, the offset table empty"
)
def test_frames_are_fragments_and_stale_offset_tables_go() -> None:
    description = described(frames=3)
    tables = ((0x7FE00001, "OV", bytes(24)), (0x7FE00002, "OV", bytes(24)))
    data = transcoded(instance(description, drawn(description), tables), RLE)
    dataset = parsed(data)
    assert 0x7FE00001 not in dataset
    assert 0x7FE00002 not in dataset
    assert dataset.PixelData[:8] == b"\xfe\xff\x00\xe0\0\0\0\0"
    assert dataset["PixelData"].VR == "OB"
    assert dataset["PixelData"].is_undefined_length


@pytest.mark.clause("PS3.5 10.18", "progressive HTJ2K has its marker of lengths and a thumbnail")
def test_progressive_htj2k_is_what_its_name_says() -> None:
    description = described(bits=16, rows=700, columns=5000)
    native = instance(description, drawn(description))
    (frame,) = stored_frames(transcoded(native, HTJ2K_PROGRESSIVE), description)
    style = frame.find(b"\xff\x52")
    assert frame[style + 5] == 2
    assert 5000 >> frame[style + 9] <= 64
    assert b"\xff\x55" in frame[:300]


@pytest.mark.clause(
    "PS3.5 8.2.4", "YBR_RCT and YBR_ICT say that the components were transformed, and only they"
)
@pytest.mark.parametrize("uid", [JPEG_2000, JPEG_2000_LOSSY, HTJ2K_PROGRESSIVE, HTJ2K_LOSSY])
def test_the_colour_transform_is_what_the_data_set_says(uid: str) -> None:
    transformed = "YBR_ICT" if uid in LOSSY_METHODS else "YBR_RCT"
    for kind, colour in (("colour", transformed), ("YCbCr", "YBR_FULL")):
        data = transcoded(instance(KINDS[kind], drawn(KINDS[kind])), uid)
        assert parsed(data).PhotometricInterpretation == colour
        (frame,) = stored_frames(data, KINDS[kind])
        assert frame[frame.find(b"\xff\x52") + 8] == (colour == transformed)


# What others say of our frames


@pytest.mark.parametrize("uid", [JPEG_2000, HTJ2K_PROGRESSIVE, HTJ2K_LOSSY])
@pytest.mark.parametrize("kind", ["8 bits", "12 bits signed", "16 bits", "colour", "YCbCr"])
def test_openjpeg_decodes_our_jpeg_2000(kind: str, uid: str) -> None:
    description = KINDS[kind]
    pixels = drawn(description)
    frame = stored_frames(transcoded(instance(description, pixels), uid), description)[0]
    theirs = openjpeg_decode(frame).reshape(pixels[0].shape)
    error = theirs.astype(float) - pixels[0]
    assert np.abs(error).max() <= (1 << description.bits_stored) * (
        0.02 if uid in LOSSY_METHODS else 0
    )


@pytest.mark.parametrize(
    ("kind", "uid"),
    [
        (kind, uid)
        for kind in KINDS
        for uid in (RLE, JPEG_2000, HTJ2K_PROGRESSIVE)
        if find_pair_obstacle(EXPLICIT, uid, KINDS[kind]) is None
    ],
)
def test_pydicom_decodes_our_files(kind: str, uid: str) -> None:
    description = KINDS[kind]
    pixels = drawn(description)
    theirs = pixel_array(parsed(transcoded(instance(description, pixels), uid)), raw=True)
    assert np.array_equal(theirs.reshape(pixels.shape), pixels)


@pytest.mark.parametrize(
    ("program", "uid"),
    [("dcmdjpeg", JPEG_LOSSLESS), ("dcmdjpeg", "1.2.840.10008.1.2.4.57"), ("dcmdjpls", JPEG_LS),
     ("dcmdrle", RLE), ("dcmdjpeg", JPEG_BASELINE), ("dcmdjpeg", JPEG_EXTENDED),
     ("dcmdjpls", "1.2.840.10008.1.2.4.81")],
)  # fmt: skip
def test_dcmtk_decodes_our_files(program: str, uid: str, tmp_path: Path) -> None:
    tool = require_tool(program)
    for kind, description in KINDS.items():
        if uid in reasons(description, EXPLICIT):
            continue
        pixels = drawn(description)
        (tmp_path / "in.dcm").write_bytes(transcoded(instance(description, pixels), uid))
        options = ["+cn"] if program == "dcmdjpeg" else []
        subprocess.run(
            [tool, *options, str(tmp_path / "in.dcm"), str(tmp_path / "out.dcm")],
            check=True, capture_output=True,
        )  # fmt: skip
        theirs = parsed((tmp_path / "out.dcm").read_bytes())
        values = np.frombuffer(theirs.PixelData, pixels.dtype, pixels.size)
        if theirs.get("PlanarConfiguration", 0) == 1:
            frames, rows, columns, count = pixels.shape
            values = np.moveaxis(values.reshape(frames, count, rows, columns), 1, -1)
        found = DecodedFrame(
            samples=values.reshape(pixels.shape)[0],
            photometric_interpretation=theirs.PhotometricInterpretation.replace("_422", ""),
        )
        ours = DecodedFrame(
            samples=pixels[0], photometric_interpretation=description.photometric_interpretation
        )
        if uid in LOSSY_METHODS and found.photometric_interpretation == "YBR_FULL":
            found, ours = as_rgb(found, 8), as_rgb(ours, 8)
        error = stored_values(found.samples, description).astype(float) - ours.samples
        limit = 0.05 if uid in LOSSY_METHODS else 0
        assert np.abs(error).max() <= limit * (1 << description.bits_stored), kind


@pytest.mark.clause("PS3.5 A.4.13", "each frame is deflated by itself")
def test_zlib_inflates_our_deflated_frames() -> None:
    description = described(bits=16, frames=2)
    pixels = drawn(description)
    data = transcoded(instance(description, pixels), DEFLATED_FRAME)
    for frame, plane in zip(stored_frames(data, description), pixels, strict=True):
        assert zlib.decompressobj(-15).decompress(frame) == plane.tobytes()


# One frame, and faults


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "a frame as octet-stream in 1.2.840.10008.1.2.1 is its decoded samples",
)
def test_a_frame_alone_is_what_the_file_would_hold() -> None:
    description = described(bits=16, signed=True)
    pixels = drawn(description)
    frame = stored_frames(transcoded(instance(description, pixels), JPEG_LOSSLESS), description)[0]
    assert reencode_frame(frame, description, JPEG_LOSSLESS, EXPLICIT) == pixels.tobytes()
    assert reencode_frame(frame, description, JPEG_LOSSLESS, JPEG_LOSSLESS) == frame
    assert reencode_frame(pixels.tobytes(), description, BIG_ENDIAN, EXPLICIT) == pixels.tobytes()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_frames_than_promised_is_an_error(count: int) -> None:
    description = described(frames=2)
    data = instance(description, drawn(description))
    header = scan(data).header
    frames = (stored_frames(data, description) * 2)[:count]
    with pytest.raises(PixelError, match="Number of Frames") as error:
        list(transcoded_pieces(header, frames, RLE, reader(header, data)))
    assert error.value.reason is Reason.MALFORMED


def test_a_first_frame_that_cannot_be_decoded_is_an_error_before_the_first_byte() -> None:
    data = encapsulated_instance()
    header = scan(data).header
    description = parse_pixel_description(header)
    with pytest.raises(PixelError):
        transcoded_pieces(header, stored_frames(data, description), EXPLICIT, reader(header, data))


@pytest.mark.clause("own rule", "memory does not grow with the number of frames", holds="own rule")
def test_memory_does_not_grow_with_the_number_of_frames() -> None:
    one = drawn(described(bits=16, rows=256, columns=256)).tobytes()
    description = described(bits=16, rows=256, columns=256, frames=100)
    header = scan(instance(description, np.zeros(4, "<u2"))).header
    tracemalloc.start()
    try:
        pieces = transcoded_pieces(
            header, (one for _ in range(100)), DEFLATED_FRAME, lambda _, length: bytes(length)
        )
        total = sum(len(piece) for piece in pieces if len(piece) <= PIECE_BYTES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total > 4 << 20
    assert peak < 2 << 20
