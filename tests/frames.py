"""Encapsulated pixel data with all kinds of offset tables, and the frames of a file in memory."""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from fileroom.dicom.frames import (
    NativeFrames,
    check_has_frames,
    decode_chunk,
    encode_table,
    find_frames,
    frame_lengths,
    single_frame,
)
from fileroom.dicom.header import Cut
from fileroom.dicom.part10 import scan
from tests.corpus import Fragments, Row, minimal_instance
from tests.scanning import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.dicom.frames import Read

_FRAMES_MAX = 3000
_FROM_FRAMES = ""


def encapsulated(
    frames: Sequence[Sequence[bytes]],
    transfer_syntax_uid: str,
    table: str = "basic",
    *,
    offsets: Sequence[int] | None = None,
    number_of_frames: str | None = _FROM_FRAMES,
    **values: Any,
) -> bytes:
    """Give an instance whose frames are these fragments, with a true offset table or the given."""
    sizes = [sum(8 + len(each) + len(each) % 2 for each in frame) for frame in frames]
    if offsets is None:
        offsets = list(accumulate(sizes[:-1], initial=0))
    basic = struct.pack(f"<{len(offsets)}I", *offsets) if table == "basic" else b""
    fragments = Fragments(tuple(each for frame in frames for each in frame), basic)
    extra: list[Row] = [(0x7FE00010, "OB", fragments)]
    if table == "extended":
        lengths = [size - 8 for size in sizes]
        extra.append((0x7FE00001, "OV", struct.pack(f"<{len(offsets)}Q", *offsets)))
        extra.append((0x7FE00002, "OV", struct.pack(f"<{len(lengths)}Q", *lengths)))
    if number_of_frames == _FROM_FRAMES:
        number_of_frames = str(len(frames))
    return minimal_instance(
        transfer_syntax_uid=transfer_syntax_uid,
        number_of_frames=number_of_frames,
        extra=extra,
        **values,
    )


def frames_of(data: bytes, read: Read | None = None) -> list[bytes]:
    """Give the frames of a file, by its header, its fragments and the table made of them."""
    scanned = scan(data)
    header, uid = scanned.header, scanned.header.transfer_syntax_uid
    check_has_frames(uid)
    if read is None:
        counted_in = stream(header, data)

        def read(offset: int, length: int) -> bytes:
            return counted_in[offset : offset + length]

    if scanned.fragments is None:
        found = find_frames(header)
        assert isinstance(found, NativeFrames)
        numbers = range(1, min(found.number_of_frames, _FRAMES_MAX) + 1)
        return [b"".join(found.frame(number).pieces(read)) for number in numbers]
    number_of_frames = scanned.attributes.number_of_frames
    start, lengths = frame_lengths(scanned.fragments, number_of_frames, uid, read)
    chunks = [decode_chunk(z) for z in encode_table(start, lengths)]
    places = [chunk.frame(index) for chunk in chunks for index in range(len(chunk))]
    frames = [b"".join(place.pieces(read)) for place in places]
    if len(frames) == 1:
        cut = find_frames(header)
        assert isinstance(cut, Cut)
        assert b"".join(single_frame(cut).pieces(read)) == frames[0]
    return frames
