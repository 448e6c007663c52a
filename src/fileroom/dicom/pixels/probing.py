"""Whether every codec works on this machine: one tiny frame through each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fileroom.dicom.pixels.decode import DecodedFrame, decode_frame
from fileroom.dicom.pixels.description import PixelDescription
from fileroom.dicom.pixels.encode import encodable, encode_frame
from fileroom.dicom.pixels.syntaxes import JPEG_BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIDE: Final = 16
_LOSS_MAX: Final = 16
"""How far apart a sample of a lossy form may come back."""


def probe_codecs() -> Iterator[tuple[str, str]]:
    """Yield each transfer syntax with what is wrong with its codec, which is nothing if empty."""
    for uid in sorted(encodable()):
        yield uid, _probe(uid)


def _probe(uid: str) -> str:
    bits = 8 if uid == JPEG_BASELINE else 12
    allocated = 8 if bits == 8 else 16
    description = PixelDescription(
        rows=_SIDE,
        columns=_SIDE,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        planar_configuration=0,
        bits_allocated=allocated,
        bits_stored=bits,
        high_bit=bits - 1,
        pixel_representation=0,
        number_of_frames=1,
    )
    ramp = np.arange(_SIDE * _SIDE).reshape(_SIDE, _SIDE, 1).astype(f"<u{allocated // 8}")
    frame = DecodedFrame(samples=ramp, photometric_interpretation="MONOCHROME2")
    try:
        given = decode_frame(encode_frame(frame, description, uid), description, uid)
    except Exception as error:  # whatever a library that is broken throws
        return f"{type(error).__name__}: {error}"
    apart = int(np.abs(given.samples.astype(int) - ramp.astype(int)).max())
    return "" if apart <= _LOSS_MAX else f"a sample came back {apart} apart"
