"""Uncompressed instances of any encoding as Explicit VR Little Endian.

What clients get that do not say which transfer syntax they want. Nothing is decoded: values are
copied, their bytes reversed where the source is big endian. Sequences and items get undefined
lengths, so that the file can be written while it is read.

References
----------
PS3.5 A.1 to A.3 and A.5 (the encodings), 6.2.2 (UN), 7.5 (sequences), 8.1.1 (pixel data);
PS3.10 7.1 (file meta information)
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from fileroom.dicom.byte_order import WORD_BYTES, swapped
from fileroom.dicom.encoding import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
)
from fileroom.dicom.header import big_endian, elements, file_meta
from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.errors import Unimplemented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fileroom.dicom.header import Cut, Element, Header

PIECE_BYTES: Final = 1 << 20
_PREAMBLE: Final = bytes(128) + b"DICM"
"""Zeros: what another format's reader found in the old one is no longer true."""
_GROUP_LENGTH: Final = 0x00020000
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_SHORT = Struct("<HH2sH")
_LONG = Struct("<HH2sHI")
_ITEM = Struct("<HHI")
_SHORT_LENGTH_MAX: Final = 0xFFFF
_LONG_VRS: Final = frozenset(LONG_VRS)
_PADDED_WITH_NUL: Final = frozenset({"OB", "OW", "UI", "UN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A value that is copied from the source while the file is written."""

    cut: Cut
    word_bytes: int
    """Words of so many bytes are reversed; 1 where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """A file to be written: bytes, and values to be copied."""

    parts: tuple[bytes | Copied, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return sum(
            part.cut.length if isinstance(part, Copied) else len(part) for part in self.parts
        )

    def pieces(self, read: Callable[[int, int], bytes]) -> Iterator[bytes]:
        """Give the file in pieces of at most 1 MB.

        ``read`` gives bytes of the stored file, of a deflated one its inflated data set; offsets
        rise from call to call.
        """
        for part in self.parts:
            if isinstance(part, bytes):
                yield from (
                    part[start : start + PIECE_BYTES] for start in range(0, len(part), PIECE_BYTES)
                )
                continue
            for start in range(0, part.cut.length, PIECE_BYTES):
                length = min(PIECE_BYTES, part.cut.length - start)
                piece = read(part.cut.offset + start, length)
                yield swapped(piece, part.word_bytes) if part.word_bytes > 1 else piece


def explicit_little_endian(header: Header) -> Rewriting:
    """Give how an instance is written in Explicit VR Little Endian.

    Raises
    ------
    Unimplemented
        If its pixel data are compressed.
    """
    if header.transfer_syntax_uid not in NATIVE_TRANSFER_SYNTAXES:
        raise Unimplemented(
            f"transfer syntax {header.transfer_syntax_uid} cannot be decompressed yet; ask for"
            " transfer-syntax=*"
        )
    if header.transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        data_set = _restored(header)
    else:
        data_set = _data_set(elements(header), reversed_words=big_endian(header))
    return Rewriting(parts=_merged([_PREAMBLE + _file_meta(header), *data_set]))


def file_meta_bytes(header: Header) -> int:
    """Give the length of group 2 in the stored file, which follows byte 132."""
    return sum(
        len(_head(element.tag, element.vr, element.length)) + element.length
        for element in file_meta(header)
    )


def _file_meta(header: Header) -> bytes:
    """Give group 2 with the new transfer syntax and its own length."""
    padded = EXPLICIT_VR_LITTLE_ENDIAN.encode() + b"\0"
    content = bytearray()
    for element in file_meta(header):
        if element.tag == _GROUP_LENGTH:
            continue
        value = padded if element.tag == _TRANSFER_SYNTAX_UID else element.value
        content += _head(element.tag, element.vr, len(value)) + value
    length = Struct("<I").pack(len(content))
    return _head(_GROUP_LENGTH, "UL", len(length)) + length + bytes(content)


def _restored(header: Header) -> Iterator[bytes | Copied]:
    """Give the inflated data set: the skeleton with what was cut out put back."""
    start = file_meta_bytes(header)
    for cut in header.cuts:
        yield header.skeleton[start : cut.position]
        yield Copied(cut=cut, word_bytes=1)
        start = cut.position
    yield header.skeleton[start:]


def _data_set(found: Iterable[Element], *, reversed_words: bool) -> Iterator[bytes | Copied]:
    for element in found:
        if element.tag & 0xFFFF == 0:
            # Group lengths would no longer be true; they are retired (PS3.5 7.2).
            continue
        if element.items is not None:
            yield _head(element.tag, "SQ", UNDEFINED_LENGTH)
            for item in element.items:
                yield _item(ITEM, UNDEFINED_LENGTH)
                yield from _data_set(item, reversed_words=reversed_words)
                yield _item(ITEM_DELIMITER, 0)
            yield _item(SEQUENCE_DELIMITER, 0)
        else:
            yield from _element(element, reversed_words=reversed_words)


def _element(element: Element, *, reversed_words: bool) -> Iterator[bytes | Copied]:
    vr, length = element.vr, element.length
    word_bytes = WORD_BYTES.get(vr, 1) if reversed_words else 1
    if vr not in _LONG_VRS and length + length % 2 > _SHORT_LENGTH_MAX:
        # Implicit VR has room for what this VR has not (PS3.5 6.2.2).
        vr = "UN"
    yield _head(element.tag, vr, length + length % 2)
    if element.cut is not None:
        yield Copied(cut=element.cut, word_bytes=word_bytes)
    else:
        yield swapped(element.value, word_bytes) if word_bytes > 1 else element.value
    if length % 2:
        yield b"\0" if vr in _PADDED_WITH_NUL else b" "


def _head(tag: int, vr: str, length: int) -> bytes:
    group, number = tag >> 16, tag & 0xFFFF
    if vr in _LONG_VRS:
        return _LONG.pack(group, number, vr.encode(), 0, length)
    return _SHORT.pack(group, number, vr.encode(), length)


def _item(tag: int, length: int) -> bytes:
    return _ITEM.pack(tag >> 16, tag & 0xFFFF, length)


def _merged(parts: Iterable[bytes | Copied]) -> tuple[bytes | Copied, ...]:
    """Give the parts with neighbouring bytes made one."""
    merged: list[bytes | Copied] = []
    together = bytearray()
    for part in parts:
        if isinstance(part, bytes):
            together += part
            continue
        if together:
            merged.append(bytes(together))
            together.clear()
        merged.append(part)
    if together:
        merged.append(bytes(together))
    return tuple(merged)
