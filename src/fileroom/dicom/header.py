"""The header of an instance: every element of the file, large values cut out.

The skeleton is the file without its preamble and without the cut values: putting each value back
at its position gives the file's bytes from offset 132 on (for a deflated data set: the file meta
information and the inflated stream).

Encapsulated pixel data are one cut, from the first item (the basic offset table) up to the
sequence delimiter, which stays in the skeleton.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, NamedTuple, Protocol

import zstandard

from fileroom.dicom.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_DELIMITER,
    ITEM_GROUP,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
    Encoding,
    data_set_encoding,
    dictionary_vr,
    item_encoding,
)
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

CURRENT_DICTIONARY_ID = 1
_FORMAT_VERSION = 1
_PREFIX = Struct("<BBB")
"""Version, flags, length of the transfer syntax UID."""
_COUNT = Struct("<I")
_CUT = Struct("<IQQ")
_IN_ORDER = 1
_PIXEL_REPRESENTATION = 0x00280103


class ByteSource(Protocol):
    """Bytes of known size that can be read anywhere."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Read; short only at the end."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A value that is not in the skeleton."""

    position: int
    """Where it belongs in the skeleton."""
    offset: int
    """Where it is in the file; in the inflated stream of a deflated data set."""
    length: int


@dataclass(frozen=True, slots=True)
class Header:
    """File meta information and data set of one instance without large values."""

    transfer_syntax_uid: str
    skeleton: bytes
    cuts: tuple[Cut, ...]
    in_order: bool = True
    """Whether the tags of the top level rise, as PS3.5 7.1 demands."""


class Element(NamedTuple):
    """One data element."""

    tag: int
    vr: str
    """As written; from the dictionary in implicit VR, ``UN`` if unknown there."""
    value: bytes
    """As encoded, padding included; empty if cut, or a sequence."""
    length: int
    """Bytes of the value in the file, whatever is cut out of it."""
    cut: Cut | None = None
    items: tuple[tuple[Element, ...], ...] | None = None
    """Of a sequence."""


def big_endian(header: Header) -> bool:
    """Tell whether the values of the data set are big endian."""
    return _data_set(header)[1] is EXPLICIT_BIG


def file_meta(header: Header) -> tuple[Element, ...]:
    """Give the file meta information: group 2, always explicit VR little endian."""
    end, _ = _data_set(header)
    return tuple(_Reader(header, 0).data_set(end, EXPLICIT_LITTLE))


def elements(
    header: Header, *, stop_after: int | None = None, sequence_bytes_max: int | None = None
) -> Iterator[Element]:
    """Give the elements of the data set, in the order of the file.

    Parameters
    ----------
    stop_after
        The last tag that is wanted.
    sequence_bytes_max
        A longer sequence is given without its items.
    """
    start, encoding = _data_set(header)
    reader = _Reader(header, start, sequence_bytes_max)
    last = stop_after if header.in_order else None
    yield from reader.data_set(None, encoding, stop_after=last)


def find_elements(header: Header, tags: Collection[int]) -> dict[int, Element]:
    """Give those of the tags that the top level of the data set has."""
    if not tags:
        return {}
    start, encoding = _data_set(header)
    reader = _Reader(header, start)
    last = max(tags) if header.in_order else None
    found = reader.data_set(None, encoding, stop_after=last, only=frozenset(tags))
    return {element.tag: element for element in found}


def _data_set(header: Header) -> tuple[int, Encoding]:
    """Give where in the skeleton the data set starts, and its encoding."""
    skeleton = header.skeleton
    at = 0
    while skeleton[at : at + 2] == b"\x02\x00":
        _, _, vr, length = EXPLICIT_LITTLE.unpack(skeleton, at)
        if vr in EXPLICIT_LITTLE.short:
            at += 8 + length
        else:
            at += 12 + EXPLICIT_LITTLE.unpack_length(skeleton, at + 8)[0]
    return at, data_set_encoding(header.transfer_syntax_uid, skeleton[at : at + 8])


class _Reader:
    """Walks a skeleton, which a scan has found well formed.

    Lengths in the skeleton are the file's. They are compared with ``at + shift``, where ``shift``
    is what was cut out so far.
    """

    def __init__(
        self, header: Header, start: int, sequence_bytes_max: int | None = None
    ) -> None:
        self._skeleton = header.skeleton
        self._end = len(header.skeleton) + sum(cut.length for cut in header.cuts)
        self._cuts = header.cuts
        self._next_cut = 0
        self._cut_at = header.cuts[0].position if header.cuts else -1
        self._at = start
        self._shift = 0
        self._sequence_bytes_max = sequence_bytes_max

    def data_set(
        self,
        end: int | None,
        encoding: Encoding,
        *,
        stop_after: int | None = None,
        only: frozenset[int] | None = None,
        signed: bool = False,
    ) -> Iterator[Element]:
        """Give the elements up to ``end`` or to an item delimiter."""
        skeleton = self._skeleton
        unpack = encoding.unpack
        implicit, names, short = encoding.implicit, encoding.names, encoding.short
        if end is None:
            end = self._end
        last = (ITEM_GROUP << 16) - 1 if stop_after is None else stop_after
        while self._at + self._shift < end:
            at = self._at
            if implicit:
                group, element, length = unpack(skeleton, at)
            else:
                group, element, number, length = unpack(skeleton, at)
            tag = group << 16 | element
            if tag > last:
                if tag == ITEM_DELIMITER:
                    self._at = at + 8
                return
            at += 8
            if implicit:
                vr = dictionary_vr(tag)
                if vr == "US or SS":
                    vr = "SS" if signed else "US"
            else:
                vr = names[number]
                if number not in short:
                    (length,) = encoding.unpack_length(skeleton, at)
                    at += 4
            self._at = at
            if at == self._cut_at:
                cut = self._take_cut()
                if only is None or tag in only:
                    yield Element(tag, vr, b"", cut.length, cut)
                if length == UNDEFINED_LENGTH:
                    # The sequence delimiter that ends encapsulated pixel data.
                    self._at += 8
            elif vr == "SQ" or length == UNDEFINED_LENGTH:
                inner = encoding
                if vr != "SQ":
                    vr = "SQ"
                    inner = IMPLICIT_LITTLE if encoding is EXPLICIT_BIG else encoding
                before = at + self._shift
                if only is None or tag in only:
                    items = self._sequence(length, inner, signed=signed)
                    yield Element(tag, vr, b"", self._at + self._shift - before, None, items)
                else:
                    self._skip(length, inner)
            else:
                self._at = at + length
                if only is None or tag in only:
                    yield Element(tag, vr, skeleton[at : at + length], length)
                if tag == _PIXEL_REPRESENTATION and length:
                    signed = skeleton[at] & 1 == 1
        if self._at + self._shift > end:
            raise self._damaged()

    def _take_cut(self) -> Cut:
        cut = self._cuts[self._next_cut]
        self._next_cut += 1
        self._shift += cut.length
        more = self._next_cut < len(self._cuts)
        self._cut_at = self._cuts[self._next_cut].position if more else -1
        return cut

    def _sequence(
        self, length: int, encoding: Encoding, *, signed: bool
    ) -> tuple[tuple[Element, ...], ...]:
        """Give the items of the sequence whose value is next, unless it is too long."""
        bound = self._sequence_bytes_max
        if bound is not None and len(self._skeleton) + self._shift - self._at > bound:
            at, shift, next_cut, cut_at = self._at, self._shift, self._next_cut, self._cut_at
            self._skip(length, encoding)
            if self._at + self._shift - at - shift > bound:
                return ()
            self._at, self._shift, self._next_cut, self._cut_at = at, shift, next_cut, cut_at
        items = []
        for end, inner in self._items(length, encoding):
            items.append(tuple(self.data_set(end, inner, signed=signed)))
        return tuple(items)

    def _skip(self, length: int, encoding: Encoding) -> None:
        """Pass over the sequence whose value is next."""
        if length == UNDEFINED_LENGTH:
            for end, inner in self._items(length, encoding):
                for _ in self.data_set(end, inner, only=frozenset()):
                    pass
            return
        end = self._at + self._shift + length
        while self._cut_at >= 0 and self._cut_at + self._shift < end:
            self._take_cut()
        self._at = end - self._shift

    def _items(self, length: int, encoding: Encoding) -> Iterator[tuple[int | None, Encoding]]:
        """Give where each item's data set ends, and its encoding, with ``_at`` at its start."""
        skeleton = self._skeleton
        end = None if length == UNDEFINED_LENGTH else self._at + self._shift + length
        while end is None or self._at + self._shift < end:
            group, element, item_length = encoding.unpack_item(skeleton, self._at)
            self._at += 8
            tag = group << 16 | element
            if tag == SEQUENCE_DELIMITER:
                return
            if tag != ITEM:
                raise self._damaged()
            inner = encoding
            if item_length:
                inner = item_encoding(encoding, skeleton, self._at)
            if item_length == UNDEFINED_LENGTH:
                yield None, inner
            else:
                yield self._at + self._shift + item_length, inner

    def _damaged(self) -> DataLoss:
        return DataLoss(
            f"the stored header is damaged at byte {self._at}; cut it again from the blob"
        )


def encode_header(header: Header, dictionary_id: int) -> bytes:
    """Give the header as one zstd frame, compressed with a numbered dictionary."""
    compressor = _codecs(header_dictionary(dictionary_id)).compressor
    return compressor.compress(serialize_header(header))


def serialize_header(header: Header) -> bytes:
    """Give the header as bytes before compression."""
    uid = header.transfer_syntax_uid.encode("ascii")
    parts = [
        _PREFIX.pack(_FORMAT_VERSION, _IN_ORDER if header.in_order else 0, len(uid)),
        uid,
        _COUNT.pack(len(header.cuts)),
        *(_CUT.pack(cut.position, cut.offset, cut.length) for cut in header.cuts),
        header.skeleton,
    ]
    return b"".join(parts)


def decode_header(z: bytes, dictionary: bytes) -> Header:
    """Give the header that ``encode_header`` took.

    Raises
    ------
    DataLoss
        If the bytes are damaged or of another format; the header is cut again from the blob.
    """
    try:
        data = _codecs(dictionary).decompressor.decompress(z, max_output_size=1 << 30)
        version, flags, uid_length = _PREFIX.unpack_from(data)
        at = _PREFIX.size + uid_length
        uid = data[_PREFIX.size : at].decode("ascii")
        (count,) = _COUNT.unpack_from(data, at)
        at += _COUNT.size
        skeleton_at = at + count * _CUT.size
        cuts = tuple(Cut(*fields) for fields in _CUT.iter_unpack(data[at:skeleton_at]))
    except (zstandard.ZstdError, StructError, UnicodeDecodeError) as error:
        raise DataLoss("a stored header cannot be read; cut it again from the blob") from error
    if version != _FORMAT_VERSION:
        raise DataLoss(f"a stored header has format {version}, which this version cannot read")
    return Header(uid, data[skeleton_at:], cuts, bool(flags & _IN_ORDER))


@cache
def header_dictionary(dictionary_id: int) -> bytes:
    """Give the shipped dictionary of that number. It never changes and is never removed."""
    return files("fileroom.dicom").joinpath(f"header-{dictionary_id}.dict").read_bytes()


class _Codecs(NamedTuple):
    compressor: zstandard.ZstdCompressor
    decompressor: zstandard.ZstdDecompressor


_local = threading.local()
"""Compressors are not safe to share between threads."""


def _codecs(dictionary: bytes) -> _Codecs:
    known: dict[bytes, _Codecs] = _local.__dict__.setdefault("codecs", {})
    codecs = known.get(dictionary)
    if codecs is None:
        trained = zstandard.ZstdCompressionDict(dictionary)
        codecs = known[dictionary] = _Codecs(
            zstandard.ZstdCompressor(level=3, dict_data=trained),
            zstandard.ZstdDecompressor(dict_data=trained),
        )
    return codecs
