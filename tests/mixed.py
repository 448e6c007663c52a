"""Instances of every kind that an export meets, and the pictures of their frames."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from fileroom.dicom.part10 import scan
from fileroom.dicom.pixels.description import parse_pixel_description
from fileroom.dicom.pixels.frames import reencode_frame
from fileroom.dicom.pixels.presentation import read_presentation
from fileroom.dicom.pixels.render import render_frame
from tests.corpus import EXPLICIT, IMPLICIT, RLE, UID_ROOT, sr_instance
from tests.frames import encapsulated
from tests.pixels import described, drawn, reader, stored_frames, transcoded
from tests.pixels import instance as pixel_instance

if TYPE_CHECKING:
    from fileroom.dicom.pixels.description import PixelDescription

Uids = tuple[str, str, str]

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
MPEG4 = "1.2.840.10008.1.2.4.102"
EIGHT_BITS = described(rows=16, columns=17)
TWELVE_BITS = described(bits=16, stored=12, signed=True, rows=16, columns=17)
COLOUR = described(colour="RGB", rows=16, columns=17)
FRAMES = described(frames=3, rows=16, columns=17)


def numbered(number: int) -> Uids:
    """Give the UIDs of an instance."""
    root = f"{UID_ROOT}.6"
    return root, f"{root}.1", f"{root}.1.{number}"


def made(key: Uids, description: Any = EIGHT_BITS, **overrides: Any) -> bytes:
    """Give a native file."""
    study, series, sop = key
    return pixel_instance(
        description,
        drawn(description),
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=sop,
        **overrides,
    )


def named(key: Uids) -> dict[str, Any]:
    names = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")
    return dict(zip(names, key, strict=True))


def attributes(description: PixelDescription) -> dict[str, Any]:
    """Give the Image Pixel Module of an encapsulated file."""
    kept = asdict(description)
    for name in ("planar_configuration", "number_of_frames", "pixel_element"):
        del kept[name]
    return kept


def corrupt(key: Uids) -> bytes:
    """Give two frames, the second of which no decoder reads."""
    good = made(key, replace(EIGHT_BITS, number_of_frames=2))
    frame = reencode_frame(stored_frames(good, EIGHT_BITS)[0], EIGHT_BITS, EXPLICIT, JPEG_2000)
    return encapsulated(
        [[frame], [frame[: len(frame) // 3]]],
        JPEG_2000,
        **named(key),
        **attributes(EIGHT_BITS),
    )


MIXED: dict[Uids, bytes] = {
    (key := numbered(1)): made(key),
    (key := numbered(2)): made(key, TWELVE_BITS, transfer_syntax_uid=IMPLICIT),
    (key := numbered(3)): made(key, FRAMES),
    (key := numbered(4)): transcoded(made(key, TWELVE_BITS), JPEG_2000),
    (key := numbered(5)): transcoded(made(key, FRAMES), RLE),
    (key := numbered(6)): transcoded(made(key, COLOUR), JPEG_BASELINE),
    (key := numbered(7)): sr_instance(**named(key)),
    (key := numbered(8)): encapsulated([[b"\0\0\1\xba"]], MPEG4, **named(key)),
    (key := numbered(9)): corrupt(key),
}
CORRUPT, VIDEO, SR = numbered(9), numbered(8), numbered(7)


def own_pictures(content: bytes, media_type: Any) -> list[bytes]:
    """Give the pictures of a file's frames, made by the renderer alone."""
    header = scan(content).header
    frames = stored_frames(content, parse_pixel_description(header))
    return [
        render_frame(frame, read_presentation(header, number, reader(header, content)), media_type)
        for number, frame in enumerate(frames, 1)
    ]
