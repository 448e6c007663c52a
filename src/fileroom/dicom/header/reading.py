"""Read the elements of a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.dicom.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_GROUP,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
    Encoding,
    data_set_encoding,
    dictionary_vr,
    item_encoding,
)
from fileroom.dicom.header.values import Element
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fileroom.dicom.header.values import Cut, Header

_LAST_GROUP = 0xFFFF
_PIXEL_REPRESENTATION = 0x00280103


def big_endian(header: Header) -> bool:
    """Tell whether the values of the data set are big endian."""
    return data_set_start(header)[1] is EXPLICIT_BIG


def file_meta(header: Header) -> tuple[Element, ...]:
    """Give the file meta information: group 2, always explicit VR little endian."""
    end, _ = data_set_start(header)
    return tuple(_Reader(header, 0).data_set(end, EXPLICIT_LITTLE))


def elements(
    header: Header, *, stop_after: int | None = None, sequence_bytes_max: int | None = None
) -> Iterator[Element]:
    """Give the elements of the data set, in the order of the file.

    Parameters
    ----------
    stop_after
        The last tag that is wanted; all of its group is given.
    sequence_bytes_max
        A longer sequence is given without its items.
    """
    start, encoding = data_set_start(header)
    reader = _Reader(header, start, sequence_bytes_max)
    last_group = _LAST_GROUP
    if stop_after is not None and header.in_order:
        last_group = stop_after >> 16
    return reader.data_set(None, encoding, last_group=last_group)


def find_elements(header: Header, tags: Collection[int]) -> dict[int, Element]:
    """Give those of the tags that the top level of the data set has; of equal ones the last."""
    if not tags:
        return {}
    start, encoding = data_set_start(header)
    last_group = max(tags) >> 16 if header.in_order else _LAST_GROUP
    reader = _Reader(header, start)
    found = reader.data_set(None, encoding, last_group=last_group, only=frozenset(tags))
    return {element.tag: element for element in found}


def extents(header: Header) -> Iterator[tuple[int, int, int]]:
    """Give tag, start and end in the skeleton of each element of the top level."""
    start, encoding = data_set_start(header)
    return _Reader(header, start).extents(encoding)


def data_set_start(header: Header) -> tuple[int, Encoding]:
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

    Lengths in the skeleton are the file's: they are compared with ``_at + _shift``, where
    ``_shift`` is what was cut out so far.
    """

    __slots__ = ("_at", "_cut_at", "_cuts", "_end", "_next_cut", "_sequence_bytes_max", "_shift",
                 "_skeleton")  # fmt: skip

    def __init__(self, header: Header, start: int, sequence_bytes_max: int | None = None) -> None:
        self._skeleton = header.skeleton
        self._end = len(header.skeleton) + sum([cut.length for cut in header.cuts])
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
        last_group: int = _LAST_GROUP,
        only: frozenset[int] | None = None,
        signed: bool = False,
    ) -> Iterator[Element]:
        """Give the elements up to ``end``, an item delimiter, or the end of ``last_group``.

        ``signed`` says whether pixels are, which decides between US and SS in implicit VR.
        """
        skeleton = self._skeleton
        unpack, unpack_length = encoding.unpack, encoding.unpack_length
        implicit, names, short = encoding.implicit, encoding.names, encoding.short
        new = tuple.__new__
        at = self._at
        if end is None:
            end = self._end
        stop = end - self._shift
        while at < stop:
            start = at
            if implicit:
                group, element, length = unpack(skeleton, at)
                tag = group << 16 | element
                vr = dictionary_vr(tag)
                if vr == "US or SS":
                    vr = "SS" if signed else "US"
                at += 8
            else:
                group, element, number, length = unpack(skeleton, at)
                tag = group << 16 | element
                at += 8
                if number in short:
                    # The usual case; such a value is never cut.
                    if group > last_group:
                        return
                    if only is None or tag in only:
                        value = skeleton[at : at + length]
                        yield new(Element, (tag, names[number], value, length, None, None))
                    at += length
                    continue
                vr = names.get(number, "")
                if vr:
                    (length,) = unpack_length(skeleton, at)
                    at += 4
            if group > last_group:
                return
            if group == ITEM_GROUP:
                self._at = start + 8
                return
            wanted = only is None or tag in only
            if at != self._cut_at and vr != "SQ" and length != UNDEFINED_LENGTH:
                if wanted:
                    yield Element(tag, vr, skeleton[at : at + length], length)
                if tag == _PIXEL_REPRESENTATION and length:
                    signed = skeleton[at] & 1 == 1
                at += length
                continue
            self._at = at
            found = self._large(tag, vr, length, encoding, wanted=wanted, signed=signed)
            if found is not None:
                yield found
            at = self._at
            stop = end - self._shift
        self._at = at
        if at > stop:
            raise self._damaged()

    def extents(self, encoding: Encoding) -> Iterator[tuple[int, int, int]]:
        """Give tag, start and end in the skeleton of each element up to the end."""
        while self._at < len(self._skeleton):
            start = self._at
            tag, vr, length = self._head(encoding)
            if tag >> 16 == ITEM_GROUP:
                return
            if self._at == self._cut_at or vr == "SQ" or length == UNDEFINED_LENGTH:
                self._large(tag, vr, length, encoding, wanted=False, signed=False)
            else:
                self._at += length
            yield tag, start, self._at

    def _head(self, encoding: Encoding) -> tuple[int, str, int]:
        """Give tag, VR and length of the element that is next, and pass over them."""
        skeleton, at = self._skeleton, self._at
        self._at += 8
        if encoding.implicit:
            group, element, length = encoding.unpack(skeleton, at)
            return group << 16 | element, dictionary_vr(group << 16 | element), length
        group, element, number, length = encoding.unpack(skeleton, at)
        vr = encoding.names.get(number, "")
        if number not in encoding.short and vr:
            (length,) = encoding.unpack_length(skeleton, self._at)
            self._at += 4
        return group << 16 | element, vr, length

    def _large(
        self, tag: int, vr: str, length: int, encoding: Encoding, *, wanted: bool, signed: bool
    ) -> Element | None:
        """Give the sequence or the cut value that is next, or pass over it."""
        if self._at == self._cut_at:
            cut = self._take_cut()
            if length == UNDEFINED_LENGTH:
                # Past the sequence delimiter that ends encapsulated pixel data.
                self._at += 8
                vr = "OB" if encoding.implicit else vr
            return Element(tag, vr, b"", cut.length, cut) if wanted else None
        if vr != "SQ" and encoding is EXPLICIT_BIG:
            # UN of undefined length (PS3.5 6.2.2).
            encoding = IMPLICIT_LITTLE
        if not wanted:
            self._skip(length, encoding)
            return None
        before = self._at + self._shift
        items = self._sequence(length, encoding, signed=signed)
        return Element(tag, "SQ", b"", self._at + self._shift - before, None, items)

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
            f"a stored header is damaged at byte {self._at}; it must be cut again from the blob"
        )
