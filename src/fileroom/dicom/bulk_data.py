"""The value that a BulkDataURI names (PS3.18 10.4.1.1.5), wherever it stands in the data set.

A value is given little endian, as Explicit VR Little Endian has it (PS3.18 8.7.3.3.1). Compressed
pixel data, which ``transfer-syntax=*`` asks for as they are stored, are given as what their
fragments hold, one after the other: without the basic offset table and the headers of items, which
only mean something inside a data set (PS3.5 A.4). For a single frame that is its bit stream; who
wants several frames apart asks for frames.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from fileroom.dicom.byte_order import WORD_BYTES, swapped
from fileroom.dicom.encoding import EXPLICIT_VR_LITTLE_ENDIAN, UNDEFINED_LENGTH
from fileroom.dicom.frames import FragmentedFrame
from fileroom.dicom.header import Cut, big_endian, find_elements
from fileroom.dicom.rewriting import Rewriting, check_header_size, in_pieces
from fileroom.dicom.writing import Copied
from fileroom.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fileroom.dicom.header import Element, Header
    from fileroom.dicom.writing import Part

    Read = Callable[[int, int], bytes]

NESTING_MAX: Final = 64
"""Sequences within one another that an instance may have."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_ITEM_HEAD = Struct("<HHI")
_LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkData:
    """A value to be given."""

    part: Part
    """The value; where it is encapsulated, all its items."""
    encapsulated: bool
    transfer_syntax_uid: str
    """Of the representation: Explicit VR Little Endian, or the compressed one."""

    @property
    def size(self) -> int | None:
        """Bytes of what is given; unknown where it is encapsulated."""
        return None if self.encapsulated else Rewriting(parts=(self.part,)).size

    def pieces(self, read: Read, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Give it in pieces of at most 1 MB; some of its bytes only where its size is known.

        ``read`` gives bytes of the stored file, of a deflated one its inflated data set; offsets
        rise from call to call.
        """
        if not self.encapsulated:
            yield from Rewriting(parts=(self.part,)).pieces(read, start, stop)
            return
        assert isinstance(self.part, Copied)
        # All fragments, the basic offset table passed over.
        cut = self.part.cut
        whole = FragmentedFrame(offset=cut.offset, length=cut.length, leading_items=1)
        yield from in_pieces(whole.pieces(read))


def find_bulk_data(header: Header, path: Sequence[str]) -> BulkData:
    """Give the value at ``tag``, or ``tag, item counted from 0, tag, …`` within sequences.

    Any value is given, also one that metadata tell in full.

    Raises
    ------
    InvalidArgument
        If the path is none of this form.
    NotFound
        If there is no such value.
    """
    tags, indices = _parsed(path)
    if indices:
        check_header_size(header)
    found = find_elements(header, {tags[0]}).get(tags[0])
    for index, tag in zip(indices, tags[1:], strict=True):
        items = found.items if found is not None else None
        if items is None or index >= len(items):
            raise _absent(path)
        # Of equal tags the last, as everywhere.
        found = {element.tag: element for element in items[index]}.get(tag)
    if found is None or found.items is not None:
        raise _absent(path)
    return _bulk_data(header, found)


def is_encapsulated(header: Header, cut: Cut) -> bool:
    """Tell whether a value that was cut out is one of undefined length (PS3.5 A.4)."""
    length = header.skeleton[cut.position - _LENGTH_BYTES : cut.position]
    return int.from_bytes(length, "little") == UNDEFINED_LENGTH


def _parsed(path: Sequence[str]) -> tuple[list[int], list[int]]:
    """Give the tags of a path and the items between them."""
    tags, indices = path[::2], path[1::2]
    if (
        len(path) % 2 == 0
        or len(indices) > NESTING_MAX
        or not all(map(_TAG.fullmatch, tags))
        or not all(map(_INDEX.fullmatch, indices))
    ):
        raise InvalidArgument(
            "bulk data are named by a tag of eight hexadecimal digits, and inside sequences by"
            f" tag/item/tag with items counted from 0, at most {NESTING_MAX} deep",
            "path",
        )
    return [int(tag, 16) for tag in tags], [int(index) for index in indices]


def _absent(path: Sequence[str]) -> NotFound:
    return NotFound(
        f"the instance has no value at {'/'.join(path)}; its metadata name those it has"
    )


def _bulk_data(header: Header, element: Element) -> BulkData:
    word_bytes = WORD_BYTES.get(element.vr, 1) if big_endian(header) else 1
    if element.cut is None:
        part: Part = swapped(element.value, word_bytes) if word_bytes > 1 else element.value
        encapsulated = False
    else:
        encapsulated = is_encapsulated(header, element.cut)
        part = Copied(cut=element.cut, word_bytes=1 if encapsulated else word_bytes)
    return BulkData(
        part=part,
        encapsulated=encapsulated,
        transfer_syntax_uid=(
            header.transfer_syntax_uid if encapsulated else EXPLICIT_VR_LITTLE_ENDIAN
        ),
    )
