"""Walk the file meta information (PS3.10 7.1)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fileroom.dicom.encoding import EXPLICIT_LITTLE, KEPT_VALUE_BYTES
from fileroom.dicom.refusal import refused, truncated, truncated_header
from fileroom.errors import Reason

if TYPE_CHECKING:
    from fileroom.dicom.window import Window

Found = tuple[int, bytes | None, int]
"""A wanted element: VR, as its encoding's number (0 in implicit VR); value, None if it was cut
out; position."""


def walk_file_meta(
    window: Window, position: int, wanted: frozenset[int], found: dict[int, Found]
) -> int:
    """Walk the file meta information; give the position of the data set.

    Its group length is not believed: elements belong to it while their group is 2.
    """
    unpack, unpack_length, short, long, _ = EXPLICIT_LITTLE.explicit
    while True:
        if position >= window.end < window.size:
            window.load(position)
        at, buffer = position - window.base, window.buffer
        if buffer[at : at + 2] != b"\x02\x00":
            return position
        tag = 2 << 16
        try:
            _, element, vr, length = unpack(buffer, at)
            tag |= element
            at += 8
            if vr not in short:
                if vr not in long:
                    raise refused(
                        "an element of the file meta information has no VR it may have",
                        Reason.MALFORMED,
                        tag,
                        position,
                    )
                (length,) = unpack_length(buffer, at)
                at += 4
        except struct.error:
            raise truncated_header(tag, position, window.size) from None
        end = window.base + at + length
        if end > window.size:
            raise truncated(tag, position)
        if length > KEPT_VALUE_BYTES:
            raise refused(
                "an element of the file meta information is longer than 64 KB",
                Reason.HEADER_LIMIT,
                tag,
                position,
            )
        if element in wanted:
            found[tag] = vr, buffer[at : at + length], position
        position = end
