"""Cut an instance down to its skeleton: every element, large values left out.

The walk never believes a length that it has not checked against the bytes left. It goes into
sequences by recursion, at most ``Limits.nesting`` deep. These loops run over every element of every
object that is imported, hence their form: see ``benchmarks/scan.py``.

References
----------
PS3.5 7 (the data set), 7.5 (sequences), A.4 (encapsulated pixel data)
"""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING

from fileroom.dicom.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_DELIMITER,
    ITEM_GROUP,
    KEPT_BULK_BYTES,
    PIXEL_DATA,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
    Encoding,
    dictionary_sequences,
    dictionary_vr,
    kept_bytes_max,
    shows_explicit_vr,
)
from fileroom.dicom.header import Fragments
from fileroom.dicom.plain_sequence import plain_end
from fileroom.dicom.refusal import Refused, refused, truncated, truncated_header
from fileroom.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.dicom.file_meta import Found
    from fileroom.dicom.window import Limits, Window

_ITEM_ELEMENT = ITEM & 0xFFFF
_NO_ELEMENTS: frozenset[int] = frozenset()
_NO_GROUPS: Mapping[int, frozenset[int]] = {}


class Walk:
    """One walk through one object.

    Attributes
    ----------
    found
        Takes the wanted elements of the top level; of those with the same tag the last.
    fragments
        Of the pixel data of the top level, where they are encapsulated.
    in_order
        Whether the groups of the top level rise.
    """

    __slots__ = ("_limits", "_sparse", "_wanted", "_window", "found", "fragments", "in_order")

    def __init__(
        self,
        window: Window,
        wanted: Mapping[int, frozenset[int]],
        found: dict[int, Found],
        limits: Limits,
        *,
        sparse: bool = False,
    ) -> None:
        self._window = window
        self._wanted = wanted
        self._limits = limits
        self._sparse = sparse
        self.found = found
        self.fragments: Fragments | None = None
        self.in_order = True

    def data_set(self, position: int, encoding: Encoding) -> None:
        """Walk the data set from ``position`` to the end of the object."""
        end = self._window.size
        if encoding.implicit:
            end = self._implicit(position, end, 0, delimited=False)
        else:
            end = self._explicit(position, end, 0, encoding, delimited=False)
        self._window.keep_to(end)

    def _explicit(
        self, position: int, end: int, depth: int, encoding: Encoding, *, delimited: bool
    ) -> int:
        """Walk a data set that ends at ``end`` or, ``delimited``, before; give where."""
        window, found = self._window, self.found
        unpack, unpack_length, short, long, sequence = encoding.explicit
        nesting = self._limits.nesting
        wanted = _NO_GROUPS if depth else self._wanted
        wanted_here = _NO_ELEMENTS
        last_group = element = -1
        begun = position
        while True:
            buffer, base = window.buffer, window.base
            at, start = position - base, begun - base
            stop = min(end, window.end) - base
            try:
                while at < stop:
                    start = at
                    group, element, vr, length = unpack(buffer, at)
                    if group != last_group:
                        if group == ITEM_GROUP or not group:
                            break
                        if group < last_group and not depth:
                            self.in_order = False
                        last_group = group
                        wanted_here = wanted.get(group, _NO_ELEMENTS)
                    if vr in short:
                        if element in wanted_here:
                            value = buffer[at + 8 : at + 8 + length]
                            found[group << 16 | element] = vr, value, base + at
                        at += 8 + length
                    elif vr in long:
                        at += 12
                        (length,) = unpack_length(buffer, start + 8)
                        if length > long[vr]:
                            if length == UNDEFINED_LENGTH:
                                break
                            window.cut(base + at, length)
                            if element in wanted_here:
                                found[group << 16 | element] = vr, None, base + start
                        elif element in wanted_here:
                            value = buffer[at : at + length]
                            found[group << 16 | element] = vr, value, base + start
                        at += length
                    elif vr == sequence:
                        (length,) = unpack_length(buffer, at + 8)
                        if depth < nesting:
                            after = plain_end(buffer, at + 12, length, stop, encoding)
                            if after:
                                at = after
                                continue
                        tag, begun = group << 16 | element, base + at
                        position = self._items(tag, begun, begun + 12, length, end, depth, encoding)
                        buffer, base = window.buffer, window.base
                        at, start = position - base, begun - base
                        stop = min(end, window.end) - base
                    else:
                        break
                else:
                    position, begun = base + at, base + start
                    tag = last_group << 16 | element
                    if self._over(tag, begun, position, end, delimited=delimited):
                        return position
                    continue
            except struct.error:
                return self._broken_off(last_group << 16 | element, base + start, depth)
            tag, begun = group << 16 | element, base + start
            if tag == ITEM_DELIMITER and delimited:
                return begun + 8
            position = self._container(tag, begun, end, depth, encoding)

    def _implicit(self, position: int, end: int, depth: int, *, delimited: bool) -> int:
        """Walk a data set in implicit VR, otherwise as ``_explicit``."""
        window, found = self._window, self.found
        unpack, sequences = IMPLICIT_LITTLE.unpack, dictionary_sequences()
        wanted = _NO_GROUPS if depth else self._wanted
        wanted_here = _NO_ELEMENTS
        last_group = element = -1
        begun = position
        while True:
            buffer, base = window.buffer, window.base
            at, start = position - base, begun - base
            stop = min(end, window.end) - base
            try:
                while at < stop:
                    start = at
                    group, element, length = unpack(buffer, at)
                    if group != last_group:
                        if group == ITEM_GROUP or not group:
                            break
                        if group < last_group and not depth:
                            self.in_order = False
                        last_group = group
                        wanted_here = wanted.get(group, _NO_ELEMENTS)
                    tag = group << 16 | element
                    if tag in sequences or length == UNDEFINED_LENGTH:
                        break
                    at += 8
                    if length > KEPT_BULK_BYTES and length > kept_bytes_max(dictionary_vr(tag)):
                        window.cut(base + at, length)
                        if element in wanted_here:
                            found[tag] = 0, None, base + start
                    elif element in wanted_here:
                        found[tag] = 0, buffer[at : at + length], base + start
                    at += length
                else:
                    position, begun = base + at, base + start
                    tag = last_group << 16 | element
                    if self._over(tag, begun, position, end, delimited=delimited):
                        return position
                    continue
            except struct.error:
                return self._broken_off(last_group << 16 | element, base + start, depth)
            tag, begun = group << 16 | element, base + start
            if tag == ITEM_DELIMITER and delimited:
                return begun + 8
            position = self._container(tag, begun, end, depth, IMPLICIT_LITTLE)

    def _over(self, tag: int, start: int, position: int, end: int, *, delimited: bool) -> bool:
        """Tell whether a data set is over at ``position``; if not, hold what follows.

        Refuses one whose last element, ``tag`` at ``start``, does not end where it must.
        """
        if position == end and not delimited:
            return True
        if position < min(end, self._window.size):
            self._window.load(position)
            return False
        if position > self._window.size or (delimited and end == self._window.size):
            raise truncated(tag, start)
        if position > end:
            raise refused(
                "an element is longer than the sequence item that holds it",
                Reason.MALFORMED,
                tag,
                start,
            )
        if delimited:
            raise refused(
                "a sequence item of undefined length is not closed", Reason.MALFORMED, tag, start
            )
        return True

    def _broken_off(self, tag: int, position: int, depth: int) -> int:
        """Refuse an object whose last bytes make no header, unless they are padding."""
        if not depth and self._window.only_padding_from(position):
            return position
        raise truncated_header(tag, position, self._window.base + len(self._window.buffer))

    def _container(self, tag: int, start: int, end: int, depth: int, encoding: Encoding) -> int:
        """Walk the sequence or the fragments at ``start``; give where it ends."""
        at = start - self._window.base
        buffer = self._window.buffer
        if tag >> 16 in {0, ITEM_GROUP}:
            if not depth and self._window.only_padding_from(start):
                return start
            raise refused(
                "an item, delimiter or command element stands where none may be",
                Reason.MALFORMED,
                tag,
                start,
            )
        if encoding.implicit:
            _, _, length = encoding.unpack(buffer, at)
            vr = dictionary_vr(tag)
            value = start + 8
        else:
            _, _, number, _ = encoding.unpack(buffer, at)
            if number not in encoding.names:
                raise refused("an element has an unknown VR", Reason.MALFORMED, tag, start)
            vr = encoding.names[number]
            try:
                (length,) = encoding.unpack_length(buffer, at + 8)
            except struct.error:
                raise truncated(tag, start) from None
            value = start + 12
        if vr == "SQ":
            return self._items(tag, start, value, length, end, depth, encoding)
        if vr in {"OB", "OW"} or tag == PIXEL_DATA:
            return self._fragments(tag, value, end, depth, encoding)
        if vr == "UN":
            # PS3.5 6.2.2: the items are implicit VR little endian. Writers that kept the
            # encoding of the data set are told by what the items hold.
            inner = IMPLICIT_LITTLE if encoding is EXPLICIT_BIG else encoding
            return self._items(tag, start, value, length, end, depth, inner)
        raise refused(f"an element of VR {vr} has undefined length", Reason.MALFORMED, tag, start)

    def _items(
        self,
        tag: int,
        start: int,
        position: int,
        length: int,
        end: int,
        depth: int,
        encoding: Encoding,
    ) -> int:
        """Walk the items of a sequence, from ``position``; give where the sequence ends."""
        depth += 1
        if depth > self._limits.nesting:
            raise self._too_deep(tag, start)
        delimited = length == UNDEFINED_LENGTH
        sequence_end = end if delimited else position + length
        if sequence_end > end:
            raise self._longer(tag, start, sequence_end)
        window = self._window
        unpack = encoding.unpack_item
        while delimited or position < sequence_end:
            if position >= window.end < window.size:
                window.load(position)
            buffer, at = window.buffer, position - window.base
            try:
                group, element, length = unpack(buffer, at)
            except struct.error:
                raise truncated(tag, position) from None
            if group != ITEM_GROUP or element != _ITEM_ELEMENT:
                if delimited and group << 16 | element == SEQUENCE_DELIMITER:
                    return position + 8
                raise refused(
                    "a sequence holds something other than an item",
                    Reason.MALFORMED,
                    tag,
                    position,
                )
            open_end = length == UNDEFINED_LENGTH
            item_end = sequence_end if open_end else position + 8 + length
            if item_end > sequence_end:
                raise self._longer(tag, position, item_end)
            if not length:
                position = item_end
                continue
            implicit = encoding.implicit
            if encoding is EXPLICIT_LITTLE:
                implicit = not shows_explicit_vr(buffer, at + 8)
            if implicit:
                position = self._implicit(position + 8, item_end, depth, delimited=open_end)
            else:
                position = self._explicit(
                    position + 8, item_end, depth, encoding, delimited=open_end
                )
        return position

    def _too_deep(self, tag: int, position: int) -> Refused:
        return refused(
            f"sequences are nested deeper than {self._limits.nesting}",
            Reason.NESTING_LIMIT,
            tag,
            position,
        )

    def _longer(self, tag: int, position: int, end: int) -> Refused:
        if end > self._window.size:
            return truncated(tag, position)
        return refused(
            "a sequence or item is longer than what holds it", Reason.MALFORMED, tag, position
        )

    def _fragments(self, tag: int, value: int, end: int, depth: int, encoding: Encoding) -> int:
        """Cut out the fragments at ``value``; the delimiter after them is kept.

        Large fragments are passed over: only what is around their headers is read.
        """
        window, unpack = self._window, encoding.unpack_item
        if self._sparse and tag == PIXEL_DATA and not depth:
            self.fragments = window.pass_fragments(value)
            if self.fragments is not None:
                return end
        window.keep_to(value)
        buffer, base = window.buffer, window.base
        position, length, lengths = value, 0, array("I")
        for _ in range(self._limits.fragments + 1):
            at = position - base
            if at + 8 > len(buffer):
                at = window.fragment_header(position, length)
                buffer, base = window.buffer, window.base
            try:
                group, element, length = unpack(buffer, at)
            except struct.error:
                raise truncated(tag, position) from None
            if group != ITEM_GROUP or element != _ITEM_ELEMENT or length == UNDEFINED_LENGTH:
                if group << 16 | element != SEQUENCE_DELIMITER:
                    raise refused(
                        "pixel data hold something other than a fragment",
                        Reason.MALFORMED,
                        tag,
                        position,
                    )
                window.cut(value, position - value)
                if tag == PIXEL_DATA and not depth:
                    self.fragments = Fragments(value, lengths)
                return position + 8
            lengths.append(length)
            position += 8 + length
            if position > end:
                raise self._longer(tag, position - 8 - length, position)
        raise refused(
            f"pixel data have more than {self._limits.fragments} fragments",
            Reason.ELEMENT_LIMIT,
            tag,
            position,
        )
