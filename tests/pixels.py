"""What the tests of pixels share: frames of files, drawn samples, and whole files of them."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
import pydicom
from pydicom.encaps import generate_frames

from fileroom.dicom.byte_order import swapped
from fileroom.dicom.encoding import DEFLATED as DEFLATED_SYNTAXES
from fileroom.dicom.inflate import Inflated
from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.part10 import scan
from fileroom.dicom.pixels.decode import sample_type
from fileroom.dicom.pixels.description import PixelDescription, parse_pixel_description
from fileroom.dicom.pixels.transcode import transcoded_pieces
from fileroom.dicom.rewriting import explicit_little_endian, file_meta_bytes
from tests.corpus import BIG_ENDIAN, EXPLICIT, Row, Value, minimal_instance

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fileroom.dicom.header import Header


class Source:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


def reader(header: Header, data: bytes) -> Callable[[int, int], bytes]:
    """Give what reads the values that were cut out of a header."""
    source = Source(data)
    if header.transfer_syntax_uid in DEFLATED_SYNTAXES:
        return Inflated(source, 132 + file_meta_bytes(header), 1 << 30).read_at
    return source.read_at


def parsed(data: bytes) -> pydicom.FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(BytesIO(data))


def stored_frames(data: bytes, description: PixelDescription) -> list[bytes]:
    """Give the frames of a file as stored, native ones in little endian; pydicom cuts them out."""
    dataset = parsed(data)
    element = dataset[description.pixel_element]
    if dataset.file_meta.TransferSyntaxUID not in NATIVE_TRANSFER_SYNTAXES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(
                generate_frames(element.value, number_of_frames=description.number_of_frames)
            )
    value = element.value
    if dataset.file_meta.TransferSyntaxUID == BIG_ENDIAN and element.VR != "OB":
        # Longer samples are reversed whole, as pydicom reads and writes them.
        value = swapped(value, max(2, description.bits_allocated // 8))
    if description.bits_allocated > 1:
        size = description.native_frame_bytes
        return [
            value[number * size : (number + 1) * size]
            for number in range(description.number_of_frames)
        ]
    bits = np.unpackbits(np.frombuffer(value, np.uint8), bitorder="little")
    size = description.native_frame_bits
    return [
        np.packbits(bits[number * size : (number + 1) * size], bitorder="little").tobytes()
        for number in range(description.number_of_frames)
    ]


def transcoded(data: bytes, asked: str) -> bytes:
    """Give a file in another transfer syntax, as a retrieval does."""
    header = scan(data).header
    read = reader(header, data)
    if {header.transfer_syntax_uid, asked} <= NATIVE_TRANSFER_SYNTAXES:
        assert asked == EXPLICIT
        return b"".join(explicit_little_endian(header).pieces(read))
    frames = stored_frames(data, parse_pixel_description(header))
    return b"".join(transcoded_pieces(header, frames, asked, read))


def described(
    *,
    bits: int = 8,
    stored: int | None = None,
    signed: bool = False,
    colour: str = "MONOCHROME2",
    frames: int = 1,
    rows: int = 37,
    columns: int = 42,
) -> PixelDescription:
    grey = colour.startswith("MONOCHROME") or colour == "PALETTE COLOR"
    return PixelDescription(
        rows=rows,
        columns=columns,
        samples_per_pixel=1 if grey else 3,
        photometric_interpretation=colour,
        planar_configuration=0,
        bits_allocated=bits,
        bits_stored=stored or bits,
        high_bit=(stored or bits) - 1,
        pixel_representation=int(signed),
        number_of_frames=frames,
    )


def drawn(
    description: PixelDescription, *, noise: bool = False, seed: int = 0
) -> NDArray[np.generic]:
    """Give ``(frames, rows, columns, samples)``: waves with a little noise, or noise alone."""
    draw = np.random.default_rng(seed)
    low = -(1 << (description.bits_stored - 1)) if description.is_signed else 0
    span = 1 << description.bits_stored
    shape = (
        description.number_of_frames,
        description.rows,
        description.columns,
        description.samples_per_pixel,
    )
    if noise:
        drawn_samples: NDArray[np.generic] = draw.integers(low, low + span, shape).astype(
            sample_type(description)
        )
        return drawn_samples
    frame, y, x, sample = np.indices(shape)
    waves = 0.5 + 0.3 * np.sin(x / 9 + sample + frame) * np.cos(y / 8)
    values = low + span * waves + draw.normal(0, span / 300, shape)
    samples: NDArray[np.generic] = np.clip(values, low, low + span - 1).astype(
        sample_type(description)
    )
    return samples


def instance(
    description: PixelDescription,
    pixels: NDArray[np.generic],
    extra: tuple[Row, ...] = (),
    **overrides: Value,
) -> bytes:
    """Give a native file, by default Explicit VR Little Endian."""
    order: Literal["<", ">"] = ">" if overrides.get("transfer_syntax_uid") == BIG_ENDIAN else "<"
    value = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    rows: list[Row] = [*extra]
    if description.samples_per_pixel > 1:
        rows.append((0x00280006, "US", description.planar_configuration))
    values: dict[str, Value] = {
        "samples_per_pixel": description.samples_per_pixel,
        "photometric_interpretation": description.photometric_interpretation,
        "number_of_frames": str(description.number_of_frames),
        "rows": description.rows,
        "columns": description.columns,
        "bits_allocated": description.bits_allocated,
        "bits_stored": description.bits_stored,
        "high_bit": description.high_bit,
        "pixel_representation": description.pixel_representation,
        "pixel_data": value + b"\0" * (len(value) % 2),
    }
    return minimal_instance(extra=rows, **(values | overrides))  # type: ignore[arg-type]
