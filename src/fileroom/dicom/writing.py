"""Elements as bytes: what a file that Fileroom writes is made of.

Values are not held where they are large: a ``Copied`` stands for one and says where to read it.
Sequences and items get undefined lengths, so that a file can be written while it is read.

References
----------
PS3.5 7.1 (data elements), 7.5 (sequences), A.4 (encapsulated pixel data), 6.2.2 (UN);
PS3.10 7.1 (file meta information)
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from fileroom.dicom.byte_order import WORD_BYTES, swapped
from fileroom.dicom.encoding import (
    EXPLICIT_LITTLE,
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fileroom.dicom.encoding import Encoding
    from fileroom.dicom.header import Cut, Element

PREAMBLE: Final = bytes(128) + b"DICM"
"""Zeros: what another format's reader found in an old one is no longer true."""
_GROUP_LENGTH: Final = 0x00020000
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_SHORT_LENGTH_MAX: Final = 0xFFFF
_LONG_VRS: Final = frozenset(LONG_VRS)
_PADDED_WITH_NUL: Final = frozenset({"OB", "OW", "UI", "UN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A value that is copied from its source while the file is written."""

    cut: Cut
    word_bytes: int = 1
    """Words of so many bytes are reversed; 1 where nothing is."""


Part = bytes | Copied


@dataclass(frozen=True, slots=True)
class _Heads:
    """The ways to write what stands before a value, in one byte order."""

    short: Struct
    long: Struct
    implicit: Struct


def _heads(order: str) -> _Heads:
    return _Heads(Struct(f"{order}HH2sH"), Struct(f"{order}HH2sHI"), Struct(f"{order}HHI"))


_LITTLE: Final = _heads("<")
_BIG: Final = _heads(">")


def write_file_meta(found: Iterable[Element], transfer_syntax_uid: str) -> bytes:
    """Give preamble and group 2, with that transfer syntax and its own length.

    The elements are those of a file, in order, or those a new one is to have.
    """
    uid = padded(transfer_syntax_uid.encode("ascii"), "UI")
    content = bytearray()
    for element in found:
        if element.tag == _GROUP_LENGTH:
            continue
        value = uid if element.tag == _TRANSFER_SYNTAX_UID else element.value
        content += element_head(element.tag, element.vr, len(value)) + value
    length = Struct("<I").pack(len(content))
    return b"".join([PREAMBLE, element_head(_GROUP_LENGTH, "UL", 4), length, content])


def data_set_parts(
    found: Iterable[Element], encoding: Encoding, *, reversed_words: bool = False
) -> Iterator[Part]:
    """Give how a data set is written.

    Parameters
    ----------
    found
        Its elements, in order. Group lengths are left out: they would no longer be true, and are
        retired (PS3.5 7.2).
    encoding
        How it is written.
    reversed_words
        Whether the values have the other byte order.
    """
    for element in found:
        if element.tag & 0xFFFF == 0:
            continue
        if element.items is not None:
            yield element_head(element.tag, "SQ", UNDEFINED_LENGTH, encoding)
            for item in element.items:
                yield item_head(ITEM, UNDEFINED_LENGTH, encoding)
                yield from data_set_parts(item, encoding, reversed_words=reversed_words)
                yield item_head(ITEM_DELIMITER, 0, encoding)
            yield item_head(SEQUENCE_DELIMITER, 0, encoding)
        else:
            yield from _element(element, encoding, reversed_words=reversed_words)


def encapsulated_parts(tag: int, vr: str, frames: Iterable[Sequence[Part]]) -> Iterator[Part]:
    """Give how pixel data are written whose frames are one fragment each, little endian.

    The basic offset table is empty, as it may be (PS3.5 A.4).
    """
    yield element_head(tag, vr, UNDEFINED_LENGTH)
    yield item_head(ITEM, 0)
    for frame in frames:
        length = sum(map(part_bytes, frame))
        yield item_head(ITEM, length + length % 2)
        yield from frame
        yield bytes(length % 2)
    yield item_head(SEQUENCE_DELIMITER, 0)


def element_head(tag: int, vr: str, length: int, encoding: Encoding = EXPLICIT_LITTLE) -> bytes:
    """Give what stands before a value."""
    heads = _BIG if encoding.big_endian else _LITTLE
    group, number = tag >> 16, tag & 0xFFFF
    if encoding.implicit:
        return heads.implicit.pack(group, number, length)
    if vr in _LONG_VRS:
        return heads.long.pack(group, number, vr.encode("ascii"), 0, length)
    return heads.short.pack(group, number, vr.encode("ascii"), length)


def item_head(tag: int, length: int, encoding: Encoding = EXPLICIT_LITTLE) -> bytes:
    """Give the start of an item, or a delimiter."""
    heads = _BIG if encoding.big_endian else _LITTLE
    return heads.implicit.pack(tag >> 16, tag & 0xFFFF, length)


def padded(value: bytes, vr: str) -> bytes:
    """Give a value of even length (PS3.5 7.1.1)."""
    return value + _padding(vr) if len(value) % 2 else value


def part_bytes(part: Part) -> int:
    """Give the length of a part."""
    return part.cut.length if isinstance(part, Copied) else len(part)


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Give the parts with neighbouring bytes made one."""
    result: list[Part] = []
    together = bytearray()
    for part in parts:
        if isinstance(part, bytes):
            together += part
            continue
        if together:
            result.append(bytes(together))
            together.clear()
        result.append(part)
    if together:
        result.append(bytes(together))
    return tuple(result)


def _element(element: Element, encoding: Encoding, *, reversed_words: bool) -> Iterator[Part]:
    vr, length = element.vr, element.length
    word_bytes = WORD_BYTES.get(vr, 1) if reversed_words else 1
    if not encoding.implicit and vr not in _LONG_VRS and length + length % 2 > _SHORT_LENGTH_MAX:
        # Implicit VR has room for what this VR has not (PS3.5 6.2.2).
        vr = "UN"
    yield element_head(element.tag, vr, length + length % 2, encoding)
    if element.cut is not None:
        yield Copied(cut=element.cut, word_bytes=word_bytes)
    else:
        yield swapped(element.value, word_bytes) if word_bytes > 1 else element.value
    if length % 2:
        yield _padding(vr)


def _padding(vr: str) -> bytes:
    return b"\0" if vr in _PADDED_WITH_NUL else b" "
