"""A study that an eye, and a test, can judge on the screen.

Each picture is a body with two lungs and a spine, and a block at the patient's left that would tell
a mirrored one. A bright vessel wanders from left to right with the slice or frame: where it is
says which one is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import imagecodecs
import numpy as np
import rle.rle

from tests.corpus import (
    CT_IMAGE,
    EXPLICIT,
    JPEG_BASELINE,
    MULTI_FRAME_SC,
    RLE,
    UID_ROOT,
    Fragments,
    Row,
    Value,
    instance_rows,
    part10,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

SIDE: Final = 256
STUDY: Final = f"{UID_ROOT}.77"
PATIENT: Final = "Phantom^Paula"
STUDY_DESCRIPTION: Final = "Thorax phantom"
JPEG_LS: Final = "1.2.840.10008.1.2.4.80"
JPEG_2000: Final = "1.2.840.10008.1.2.4.90"

_INTERCEPT: Final = -1024
_CENTRE, _WIDTH = 40, 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series of the study, as the viewer should show it."""

    number: int
    description: str
    pictures: int
    transfer_syntax_uid: str = EXPLICIT

    @property
    def uid(self) -> str:
        return f"{STUDY}.{self.number}"


CT: Final = Series(number=1, description="CT native", pictures=24)
COMPRESSED: Final = (
    Series(number=2, description="CT JPEG 2000", pictures=4, transfer_syntax_uid=JPEG_2000),
    Series(number=3, description="CT JPEG-LS", pictures=4, transfer_syntax_uid=JPEG_LS),
    Series(number=4, description="CT RLE", pictures=4, transfer_syntax_uid=RLE),
)
MULTI_FRAME: Final = Series(
    number=5,
    description="Cine JPEG",
    pictures=12,
    transfer_syntax_uid=JPEG_BASELINE,
)
SERIES: Final = (CT, *COMPRESSED, MULTI_FRAME)

SPOTS: Final = {
    "air": (-0.3, -0.42),
    "body": (0.0, -0.1),
    "left lung": (0.2, 0.0),
    "right lung": (-0.2, 0.0),
    "spine": (0.0, 0.2),
    "block": (0.42, -0.42),
    "no block": (-0.42, -0.42),
}
"""Places of the picture, from its middle, in parts of its side; the patient's left is right."""


def vessel_of(picture: int, pictures: int) -> tuple[float, float]:
    """Give where the vessel is in the n-th picture, from one."""
    return -0.3 + 0.6 * (picture - 1) / (pictures - 1), -0.22


def study() -> Iterator[bytes]:
    """Give every file of the study."""
    for series in (CT, *COMPRESSED):
        for number in range(1, series.pictures + 1):
            yield _slice(series, number)
    yield _cine(MULTI_FRAME)


def hounsfield_units(picture: int, pictures: int) -> NDArray[np.int16]:
    """Draw a picture."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE - 0.5
    drawn = np.full((SIDE, SIDE), -1000, np.int16)

    def disc(place: tuple[float, float], radius: tuple[float, float], value: int) -> None:
        inside = ((x - place[0]) / radius[0]) ** 2 + ((y - place[1]) / radius[1]) ** 2 < 1
        drawn[inside] = value

    disc((0, 0), (0.43, 0.34), 40)
    for side in (-0.2, 0.2):
        disc((side, 0), (0.1, 0.12 + 0.05 * picture / pictures), -800)
    disc(SPOTS["spine"], (0.06, 0.06), 700)
    disc(vessel_of(picture, pictures), (0.025, 0.025), 400)
    drawn[(abs(x - 0.42) < 0.04) & (abs(y + 0.42) < 0.04)] = 1000
    return drawn


def samples(picture: int, pictures: int) -> NDArray[np.uint16]:
    """Give a picture as CT series store it."""
    return (hounsfield_units(picture, pictures) - _INTERCEPT).astype("<u2")


def _slice(series: Series, number: int) -> bytes:
    extra: list[Row] = [
        (0x00180050, "DS", "5"),
        (0x00200032, "DS", f"-128\\-128\\{5 * number}"),
        (0x00200037, "DS", "1\\0\\0\\0\\1\\0"),
        (0x00200052, "UI", f"{STUDY}.100"),
        (0x00280030, "DS", "1\\1"),
        (0x00281050, "DS", str(_CENTRE)),
        (0x00281051, "DS", str(_WIDTH)),
        (0x00281052, "DS", str(_INTERCEPT)),
        (0x00281053, "DS", "1"),
        (0x00281054, "LO", "HU"),
        _pixels([samples(number, series.pictures)], series.transfer_syntax_uid),
    ]
    return _file(series, number, 12, extra, sop_class_uid=CT_IMAGE, modality="CT")


def _cine(series: Series) -> bytes:
    frames = []
    for number in range(1, series.pictures + 1):
        shown = (hounsfield_units(number, series.pictures) - (_CENTRE - _WIDTH / 2)) / _WIDTH
        frames.append((shown.clip(0, 1) * 255).astype(np.uint8))
    extra = [
        (0x00181063, "DS", "100"),
        _pixels(frames, series.transfer_syntax_uid),
    ]
    return _file(
        series,
        1,
        8,
        extra,
        sop_class_uid=MULTI_FRAME_SC,
        modality="US",
        number_of_frames=str(series.pictures),
    )


def _file(
    series: Series, number: int, bits_stored: int, extra: list[Row], **values: Value
) -> bytes:
    rows = instance_rows(
        image_type="DERIVED\\PRIMARY\\AXIAL",
        patient_name=PATIENT,
        study_description=STUDY_DESCRIPTION,
        study_instance_uid=STUDY,
        series_instance_uid=series.uid,
        series_number=str(series.number),
        series_description=series.description,
        sop_instance_uid=f"{series.uid}.{number}",
        instance_number=str(number),
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        rows=SIDE,
        columns=SIDE,
        bits_allocated=16 if bits_stored > 8 else 8,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1,
        pixel_representation=0,
        **values,
    )
    data_set = sorted([*rows, *extra], key=lambda row: row[0])
    return part10(data_set, transfer_syntax_uid=series.transfer_syntax_uid)


def _pixels(frames: Sequence[NDArray[np.generic]], transfer_syntax_uid: str) -> Row:
    if transfer_syntax_uid == EXPLICIT:
        return (0x7FE00010, "OW", b"".join(frame.tobytes() for frame in frames))
    encode = _ENCODERS[transfer_syntax_uid]
    return (0x7FE00010, "OB", Fragments(tuple(encode(frame) for frame in frames)))


def _rle(frame: NDArray[np.generic]) -> bytes:
    return bytes(rle.rle.encode_frame(frame.tobytes(), SIDE, SIDE, 1, 8 * frame.itemsize, "<"))


_ENCODERS: Final[dict[str, Callable[[NDArray[np.generic]], bytes]]] = {
    JPEG_2000: lambda frame: bytes(
        imagecodecs.jpeg2k_encode(frame, level=0, reversible=True, codecformat="j2k")
    ),
    JPEG_BASELINE: lambda frame: bytes(imagecodecs.jpeg8_encode(frame, level=95)),
    JPEG_LS: lambda frame: bytes(imagecodecs.jpegls_encode(frame)),
    RLE: _rle,
}
