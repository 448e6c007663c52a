"""What an instance says of how one of its frames is to be shown.

Read from the header, in the process that has the file; the tables that were cut out of it are read
once, in the order of the file. numpy is not needed for it.

References
----------
PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT), C.7.6.16.2.9 and .10 (the same, per frame of an
enhanced multi-frame image), C.7.6.3.1.5 and .6 (palettes), C.7.5.1.1.2 (padding), C.11.4 and .6
(Presentation LUT Shape)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from fileroom.dicom.byte_order import swapped
from fileroom.dicom.header import big_endian, find_elements
from fileroom.dicom.pixels.description import PixelDescription, parse_pixel_description
from fileroom.dicom.pixels.failure import malformed
from fileroom.dicom.pixels.windows import Window, find_window
from fileroom.dicom.rewriting import check_header_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fileroom.dicom.header import Element, Header

    Values = Mapping[int, Element]

_PADDING_VALUE: Final = 0x00280120
_PADDING_LIMIT: Final = 0x00280121
_WINDOW_CENTER: Final = 0x00281050
_WINDOW_WIDTH: Final = 0x00281051
_RESCALE_INTERCEPT: Final = 0x00281052
_RESCALE_SLOPE: Final = 0x00281053
_VOI_LUT_FUNCTION: Final = 0x00281056
_PALETTE_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_PALETTE_DATA: Final = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED_PALETTE_DATA: Final = (0x00281221, 0x00281222, 0x00281223)
_MODALITY_LUT_SEQUENCE: Final = 0x00283000
_LUT_DESCRIPTOR: Final = 0x00283002
_LUT_DATA: Final = 0x00283006
_VOI_LUT_SEQUENCE: Final = 0x00283010
_FRAME_VOI_LUT_SEQUENCE: Final = 0x00289132
_PIXEL_VALUE_TRANSFORMATION_SEQUENCE: Final = 0x00289145
_PRESENTATION_LUT_SHAPE: Final = 0x20500020
_SHARED_FUNCTIONAL_GROUPS: Final = 0x52009229
_PER_FRAME_FUNCTIONAL_GROUPS: Final = 0x52009230
_TOP: Final = frozenset(
    {
        _PADDING_VALUE, _PADDING_LIMIT, _WINDOW_CENTER, _WINDOW_WIDTH, _RESCALE_INTERCEPT,
        _RESCALE_SLOPE, _VOI_LUT_FUNCTION, *_PALETTE_DESCRIPTORS, *_PALETTE_DATA,
        *_SEGMENTED_PALETTE_DATA, _MODALITY_LUT_SEQUENCE, _VOI_LUT_SEQUENCE,
        _PRESENTATION_LUT_SHAPE, _SHARED_FUNCTIONAL_GROUPS, _PER_FRAME_FUNCTIONAL_GROUPS,
    }
)  # fmt: skip
_TABLE_BYTES_MAX: Final = 1 << 18
"""65,536 entries of 16 bits, and as much again for the segments of a palette."""
_ENTRIES_MAX: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupTable:
    """A table as the file has it, made little endian."""

    entries: int
    first: int
    """The value that the first entry is for."""
    bits: int
    """Of an entry."""
    data: bytes
    segmented: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """How a frame is turned into a picture; it pickles."""

    description: PixelDescription
    transfer_syntax_uid: str
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: LookupTable | None = None
    window: Window | None = None
    voi_lut: LookupTable | None = None
    """Goes before the window where an instance has both."""
    inverted: bool = False
    padding: tuple[int, int] | None = None
    """The least and the greatest value that is no measurement."""
    palette: tuple[LookupTable, LookupTable, LookupTable] | None = None


def read_presentation(
    header: Header, frame: int, read: Callable[[int, int], bytes]
) -> Presentation:
    """Give how one frame, counted from 1, is to be shown.

    ``read`` gives bytes that were cut out of the header.

    Raises
    ------
    PixelError
        ``NO_PIXEL_DATA``, or ``MALFORMED`` where a table contradicts itself.
    """
    return Presentations(header, parse_pixel_description(header), read).of_frame(frame)


class Presentations:
    """How the frames of one instance are to be shown: its header is read once for all of them.

    ``description`` is the header's; ``read`` gives bytes that were cut out of it.
    """

    def __init__(
        self,
        header: Header,
        description: PixelDescription,
        read: Callable[[int, int], bytes],
    ) -> None:
        check_header_size(header)
        self._header = header
        self._order: Literal["big", "little"] = "big" if big_endian(header) else "little"
        self._description = description
        self._read = read
        self._tables: dict[int, bytes] = {}
        """Cut values by their offset: read in the order of the file."""

        self._top = find_elements(header, _TOP)
        for element in self._top.values():
            self._keep(element)

    def of_frame(self, frame: int) -> Presentation:
        """Give how one frame, counted from 1, is to be shown; raises as ``read_presentation``."""
        top, description = self._top, self._description
        inverted = (
            description.photometric_interpretation == "MONOCHROME1"
            or _text(top, _PRESENTATION_LUT_SHAPE) == "INVERSE"
        )
        modality = self._of_frame(top, frame, _PIXEL_VALUE_TRANSFORMATION_SEQUENCE)
        voi = self._of_frame(top, frame, _FRAME_VOI_LUT_SEQUENCE)
        slope = _number(modality, _RESCALE_SLOPE, 1.0)
        return Presentation(
            description=description,
            transfer_syntax_uid=self._header.transfer_syntax_uid,
            slope=slope or 1.0,
            intercept=_number(modality, _RESCALE_INTERCEPT, 0.0),
            modality_lut=self._item_table(modality, _MODALITY_LUT_SEQUENCE),
            window=find_window(
                _text(voi, _WINDOW_CENTER),
                _text(voi, _WINDOW_WIDTH),
                _text(voi, _VOI_LUT_FUNCTION),
                of_floats=description.is_float,
            ),
            voi_lut=self._item_table(voi, _VOI_LUT_SEQUENCE),
            inverted=inverted,
            padding=self._padding(top),
            palette=self._palette(top),
        )

    def _keep(self, element: Element) -> None:
        """Read tables that were cut out, also those of a sequence's items."""
        cut = element.cut
        if cut is not None and element.tag in {*_PALETTE_DATA, *_SEGMENTED_PALETTE_DATA, _LUT_DATA}:
            if cut.length > _TABLE_BYTES_MAX:
                raise malformed("a lookup table is longer than its 65,536 entries may be")
            self._tables[cut.offset] = self._read(cut.offset, cut.length)
        if element.tag in {_MODALITY_LUT_SEQUENCE, _VOI_LUT_SEQUENCE}:
            for inner in (element.items or ((),))[0]:
                self._keep(inner)

    def _of_frame(self, top: Values, frame: int, tag: int) -> Values:
        """Give the item of a functional group for a frame: its own, the shared one, or the top."""
        own = _items(top, _PER_FRAME_FUNCTIONAL_GROUPS)[frame - 1 : frame]
        for item in (*own, *_items(top, _SHARED_FUNCTIONAL_GROUPS)[:1]):
            group = next((element for element in item if element.tag == tag), None)
            if group is not None and group.items:
                found = _by_tag(group.items[0])
                for element in found.values():
                    self._keep(element)
                return found
        return top

    def _item_table(self, found: Values, tag: int) -> LookupTable | None:
        """Give the table of the first item of a sequence."""
        items = _items(found, tag)
        if not items:
            return None
        item = _by_tag(items[0])
        if _LUT_DATA not in item:
            return None
        return self._table(item, _LUT_DESCRIPTOR, _LUT_DATA)

    def _table(
        self, found: Values, descriptor: int, data: int, *, segmented: bool = False
    ) -> LookupTable:
        numbers = self._shorts(found.get(descriptor))
        if len(numbers) != 3:
            raise malformed("a lookup table has no descriptor of three numbers")
        entries, first, bits = numbers
        if self._description.is_signed and first >= 1 << 15:
            first -= 1 << 16
        if not 0 < bits <= 16:
            raise malformed("the entries of a lookup table have 1 to 16 bits")
        return LookupTable(
            entries=entries or _ENTRIES_MAX,
            first=first,
            bits=bits,
            data=self._words(found[data]),
            segmented=segmented,
        )

    def _palette(self, top: Values) -> tuple[LookupTable, LookupTable, LookupTable] | None:
        if self._description.photometric_interpretation != "PALETTE COLOR":
            return None
        for tags, segmented in ((_PALETTE_DATA, False), (_SEGMENTED_PALETTE_DATA, True)):
            if all(tag in top for tag in tags):
                red, green, blue = (
                    self._table(top, descriptor, data, segmented=segmented)
                    for descriptor, data in zip(_PALETTE_DESCRIPTORS, tags, strict=True)
                )
                return red, green, blue
        raise malformed("the instance has a palette color photometric interpretation, no palette")

    def _padding(self, top: Values) -> tuple[int, int] | None:
        ends = []
        for tag in (_PADDING_VALUE, _PADDING_LIMIT):
            numbers = self._shorts(top.get(tag))
            if numbers:
                value = numbers[0]
                if self._description.is_signed and value >= 1 << 15:
                    value -= 1 << 16
                ends.append(value)
        if not ends or _PADDING_VALUE not in top:
            return None
        return min(ends), max(ends)

    def _words(self, element: Element) -> bytes:
        value = element.value
        if element.cut is not None:
            value = self._tables.get(element.cut.offset, b"")
        return swapped(value, 2) if self._order == "big" and element.vr != "OB" else value

    def _shorts(self, element: Element | None) -> tuple[int, ...]:
        if element is None:
            return ()
        value = element.value
        return tuple(
            int.from_bytes(value[at : at + 2], self._order) for at in range(0, len(value) - 1, 2)
        )


def _by_tag(item: Iterable[Element]) -> dict[int, Element]:
    return {element.tag: element for element in item}


def _items(found: Values, tag: int) -> tuple[tuple[Element, ...], ...]:
    return (found[tag].items or ()) if tag in found else ()


def _text(found: Values, tag: int) -> str:
    element = found.get(tag)
    return "" if element is None else element.value.decode("ascii", "replace").strip(" \0")


def _number(found: Values, tag: int, default: float) -> float:
    """Give the first value of a DS; the default where it is absent or no finite number."""
    try:
        number = float(_text(found, tag).split("\\", 1)[0])
    except ValueError:
        return default
    return number if math.isfinite(number) else default
