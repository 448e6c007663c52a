"""Frames of encapsulated pixel data: which fragments make up which frame.

Every frame is a run of fragments, so that its bytes are one stretch of the file. An offset table is
believed only if each of its offsets is the header of a fragment. Where it is not, or there is none,
the number of fragments decides, and at last the ends of the code streams. Lengths come from the
fragments alone; those beside the Extended Offset Table are not needed.

References
----------
PS3.5 A.4 (encapsulation, Basic Offset Table), A.4.2 (RLE: one fragment a frame);
PS3.3 C.7.6.3.1.8 (Extended Offset Table)
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct
from typing import TYPE_CHECKING, Final, Literal

from fileroom.dicom.encoding import ITEM
from fileroom.dicom.frames.errors import NoPixelData
from fileroom.dicom.frames.pieces import PIECE_BYTES, exactly
from fileroom.dicom.header import Cut
from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES, NotAcceptable
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.dicom.frames.pieces import Read
    from fileroom.dicom.header import Fragments

_ITEM_HEADER: Final = Struct("<HHI")
"""Encapsulated pixel data are little endian always (PS3.5 A.4)."""
_JPEG_FAMILY: Final = "1.2.840.10008.1.2.4."
_JPEG_XL: Final = frozenset({f"{_JPEG_FAMILY}{number}" for number in (110, 111, 112)})
_VIDEO: Final = frozenset({f"{_JPEG_FAMILY}{number}" for number in range(100, 109)})
_VIDEO_FRAGMENTABLE: Final = frozenset({f"{uid}.1" for uid in _VIDEO})
_END_OF_STREAM: Final = b"\xff\xd9"
"""EOI of JPEG and JPEG-LS, EOC of JPEG 2000 and HTJ2K; none has it inside entropy-coded data."""
_TAIL_BYTES: Final = 16
"""In which the end of a code stream is looked for, padding after it included."""


def check_has_frames(transfer_syntax_uid: str) -> None:
    """Refuse a video, whose pictures depend on one another and cannot be given one by one.

    Raises
    ------
    NotAcceptable
        If the transfer syntax is one of MPEG-2, MPEG-4 or HEVC.
    """
    if transfer_syntax_uid in _VIDEO or transfer_syntax_uid in _VIDEO_FRAGMENTABLE:
        raise NotAcceptable(
            f"transfer syntax {transfer_syntax_uid} is a video, which has no frames that could be"
            " given alone; retrieve the instance",
            "Accept",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentedFrame:
    """One frame of encapsulated pixel data: neighbouring fragments, each after its header."""

    offset: int
    length: int
    """From the header of the first item to the end of the last: more than the frame has."""
    leading_items: int = 0
    """Items before the frame that are passed over: 1 for the basic offset table."""

    @property
    def size_max(self) -> int:
        """Bytes that it has at most: without the headers of its fragments they are fewer."""
        return self.length

    def pieces(self, read: Read) -> Iterator[bytes]:
        """Give the frame without the headers of its fragments, in pieces of at most 8 MB.

        Raises
        ------
        DataLoss
            If the file does not hold fragments there.
        """
        at, end = self.offset, self.offset + self.length
        left, leading = 0, self.leading_items
        while at < end:
            data = exactly(read, at, min(PIECE_BYTES, end - at))
            kept: list[bytes] = []
            used = 0
            while used < len(data):
                if not left:
                    if used + _ITEM_HEADER.size > len(data):
                        break  # the header goes on in the next piece
                    group, element, left = _ITEM_HEADER.unpack_from(data, used)
                    used += _ITEM_HEADER.size
                    if group << 16 | element != ITEM or left > end - at - used:
                        raise _no_fragment(at + used)
                    leading -= 1
                part = data[used : used + left]
                used += len(part)
                left -= len(part)
                if leading < 0:
                    kept.append(part)
            if not used:
                raise _no_fragment(at)
            at += used
            if kept:
                yield kept[0] if len(kept) == 1 else b"".join(kept)
        if left:
            raise _no_fragment(end)


def single_frame(pixel_data: Cut) -> FragmentedFrame:
    """Give the only frame of encapsulated pixel data: all fragments after the offset table."""
    return FragmentedFrame(offset=pixel_data.offset, length=pixel_data.length, leading_items=1)


def frame_lengths(
    fragments: Fragments, number_of_frames: int | None, transfer_syntax_uid: str, read: Read
) -> tuple[int, array[int]]:
    """Give where the first frame begins and how long each is, headers of fragments included.

    ``read`` gives bytes by the offsets that ``fragments`` counts in.

    Raises
    ------
    NoPixelData
        If there is no fragment.
    DataLoss
        If the fragments do not make up ``number_of_frames`` frames.
    """
    lengths = fragments.lengths
    count = len(lengths) - 1
    if count < 1:
        raise NoPixelData("missing pixel data: this instance has no frames")
    if transfer_syntax_uid in NATIVE_TRANSFER_SYNTAXES:
        raise DataLoss(
            f"the pixel data are encapsulated, which transfer syntax {transfer_syntax_uid} does"
            " not allow; retrieve the whole instance"
        )
    claimed = number_of_frames if number_of_frames is not None and number_of_frames > 0 else None
    start = fragments.offset + _ITEM_HEADER.size + lengths[0]
    for offsets in _offset_tables(fragments, claimed, count, read):
        found = _by_offsets(lengths, offsets)
        if found is not None:
            return start, found
    if claimed in {None, 1}:
        return start, array("Q", [sum(lengths) - lengths[0] + count * _ITEM_HEADER.size])
    if count == claimed:
        return start, array("Q", map(_ITEM_HEADER.size.__add__, lengths[1:]))
    if claimed < count and _tells_its_end(transfer_syntax_uid):
        found = _by_ends(lengths, start, read)
        if len(found) == claimed:
            return start, found
    raise DataLoss(
        f"the pixel data are {count} fragments, which cannot be told to be the {claimed} frames"
        " that the header tells of; retrieve the whole instance"
    )


def told_lengths(
    fragments: Fragments,
    number_of_frames: int | None,
    transfer_syntax_uid: str,
    read: Read,
    *,
    most: int,
) -> tuple[int, array[int]] | None:
    """Give what ``frame_lengths`` would, of fragments of which only the first was looked at.

    None where neither an offset table of at most ``most`` offsets nor the number of frames tells
    it. What a table tells is checked when a frame is read: it must begin and end with a fragment.
    """
    assert fragments.end is not None
    start = fragments.offset + _ITEM_HEADER.size + fragments.lengths[0]
    length = fragments.end - start
    if length <= 0 or transfer_syntax_uid in NATIVE_TRANSFER_SYNTAXES:
        return None
    claimed = number_of_frames if number_of_frames is not None and number_of_frames > 0 else None
    for offsets in _offset_tables(fragments, claimed, most, read):
        lengths = [after - offset for offset, after in pairwise((*offsets, length))]
        if not offsets[0] and min(lengths) > _ITEM_HEADER.size:
            return start, array("Q", lengths)
    return (start, array("Q", [length])) if claimed in {None, 1} else None


def _offset_tables(
    fragments: Fragments, claimed: int | None, most: int, read: Read
) -> Iterator[array[int]]:
    """Give the offset tables that have as many offsets as there may be frames."""
    basic = Cut(0, fragments.offset + _ITEM_HEADER.size, fragments.lengths[0])
    tables: tuple[tuple[Literal["Q", "I"], bytes | Cut], ...] = (
        ("Q", fragments.extended_offsets),
        ("I", basic),
    )
    for kind, value in tables:
        offsets = array(kind)
        length = value.length if isinstance(value, Cut) else len(value)
        number, rest = divmod(length, offsets.itemsize)
        if rest or not 0 < number <= most or claimed not in {None, number}:
            continue
        if isinstance(value, Cut):
            value = exactly(read, value.offset, length)
        offsets.frombytes(value)
        if sys.byteorder == "big":
            offsets.byteswap()
        yield offsets


def _by_offsets(lengths: array[int], offsets: array[int]) -> array[int] | None:
    """Give the frames that an offset table tells of; nothing if it does not fit the fragments.

    An offset that does not rise, or is not that of a fragment, is never met on the way.
    """
    if offsets[0]:
        return None
    found = array("Q")
    following = iter(offsets[1:])
    next_at = next(following, -1)
    begun = at = 0
    for length in lengths[1:]:
        if at == next_at:
            found.append(at - begun)
            begun, next_at = at, next(following, -1)
        at += _ITEM_HEADER.size + length
    found.append(at - begun)
    return found if len(found) == len(offsets) else None


def _tells_its_end(transfer_syntax_uid: str) -> bool:
    """Tell whether code streams of this syntax end with a marker of their own."""
    return transfer_syntax_uid.startswith(_JPEG_FAMILY) and transfer_syntax_uid not in _JPEG_XL


def _by_ends(lengths: array[int], start: int, read: Read) -> array[int]:
    """Give the frames that the ends of the code streams tell."""
    found = array("Q")
    begun = at = start
    tail = b""
    for length in lengths[1:]:
        at += _ITEM_HEADER.size + length
        few = min(length, _TAIL_BYTES)
        # The marker may be divided between two fragments.
        tail = (tail + exactly(read, at - few, few))[-_TAIL_BYTES - 1 :] if few else tail
        if tail.rstrip(b"\0").endswith(_END_OF_STREAM):
            found.append(at - begun)
            begun, tail = at, b""
    if begun < at:
        found.append(at - begun)
    return found


def _no_fragment(at: int) -> DataLoss:
    return DataLoss(
        f"the pixel data hold no fragment at byte {at}, where one was when they were stored; check"
        " the disk"
    )
