"""A shortcut through sequences that hold nothing to cut and nothing to index."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fileroom.dicom.encoding import (
    ITEM,
    ITEM_DELIMITER,
    ITEM_GROUP,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
)

if TYPE_CHECKING:
    from fileroom.dicom.encoding import Encoding

_ITEM_ELEMENT = ITEM & 0xFFFF
_NO_DATA_GROUPS = frozenset({0, ITEM_GROUP})


def plain_end(buffer: bytes, at: int, length: int, stop: int, encoding: Encoding) -> int:
    """Give where a sequence ends whose items hold only short values in explicit VR; else 0.

    Most sequences are such, and so are walked in half the time. All of it must be before ``stop``.
    What is found to be wrong is left for the walk to tell.
    """
    unpack, unpack_item, short = encoding.unpack, encoding.unpack_item, encoding.plain
    delimited = length == UNDEFINED_LENGTH
    end = stop if delimited else at + length
    if end > stop:
        return 0
    try:
        while at < end:
            group, element, length = unpack_item(buffer, at)
            at += 8
            if group != ITEM_GROUP or element != _ITEM_ELEMENT:
                is_end = delimited and group << 16 | element == SEQUENCE_DELIMITER
                return at if is_end else 0
            item_end = end if length == UNDEFINED_LENGTH else at + length
            while at < item_end:
                group, element, vr, value_length = unpack(buffer, at)
                at += 8
                if vr in short and group not in _NO_DATA_GROUPS:
                    at += value_length
                elif group << 16 | element == ITEM_DELIMITER and length == UNDEFINED_LENGTH:
                    break
                else:
                    return 0
            else:
                if at != item_end or length == UNDEFINED_LENGTH:
                    return 0
    except struct.error:
        return 0
    return at if at == end and not delimited else 0
