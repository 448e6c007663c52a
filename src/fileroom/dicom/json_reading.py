"""DICOM JSON Model to elements (PS3.18 F.2), whatever they are then written in.

Nothing is believed: depth, number of elements, and every type are checked, and what is wrong is
named by its JSON path.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from fileroom.dicom.byte_order import WORD_BYTES, swapped
from fileroom.dicom.encoding import ITEM_GROUP, LONG_VRS, SHORT_VRS, dictionary_vr
from fileroom.dicom.header import Cut, Element
from fileroom.dicom.json_values import INLINE_VRS, decode_inline, encode_values, wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.dicom.encoding import Encoding
    from fileroom.dicom.json_model import JsonObject

    FindBulk = Callable[[int, int, str, str], Cut]
    """Gives where a value is: of which tag, how deep in sequences, at which JSON path, and its
    BulkDataURI."""

NESTING_MAX: Final = 64
"""Sequences within one another, as ``part10.Limits`` has it."""
ELEMENTS_MAX: Final = 1_000_000
"""Elements of one data set: some twenty times those of the largest enhanced instances."""

SPECIFIC_CHARACTER_SET: Final = 0x00080005

_KEY = re.compile(r"[0-9A-F]{8}")
_VRS: Final = SHORT_VRS | LONG_VRS
_CONTENTS: Final = ("Value", "BulkDataURI", "InlineBinary")
_NAMES: Final = frozenset({"vr", *_CONTENTS})
_FILE_META_GROUP: Final = 2
_NO_GROUPS: Final = frozenset({0, 1, 3, 5, 7, ITEM_GROUP, 0xFFFF})
"""Those that no data element may have (PS3.5 7.1, 7.8)."""


class ElementReader:
    """Reads the elements of one data set, and counts them.

    Parameters
    ----------
    specific_character_set
        What text is written in, whatever the data set says of itself.
    encoding
        What the elements are written in.
    find_bulk
        Where values are that are not in the JSON; ``None`` if none may be elsewhere.
    """

    def __init__(
        self,
        specific_character_set: str | None,
        encoding: Encoding,
        *,
        find_bulk: FindBulk | None = None,
    ) -> None:
        self._charset = specific_character_set
        self._order = ">" if encoding.big_endian else "<"
        self._implicit = encoding.implicit
        self._find_bulk = find_bulk
        self._left = ELEMENTS_MAX

    def elements(self, model: object, path: str, depth: int = 0) -> tuple[Element, ...]:
        """Give the elements of a data set in the order of their tags.

        Group lengths and file meta information are left out: the writer makes its own.

        Raises
        ------
        InvalidArgument
            If it is no data set in the DICOM JSON Model, or over a limit.
        """
        if not isinstance(model, dict):
            raise wrong(path, "expected an object of data elements")
        self._left -= len(model)
        if self._left < 0:
            raise wrong(path, f"the data set has more than {ELEMENTS_MAX} elements")
        found = []
        for key in sorted(model):
            here = f"{path}.{key}"
            if not _KEY.fullmatch(key):
                raise wrong(path, "expected names of eight hexadecimal digits, upper case")
            tag = int(key, 16)
            if tag & 0xFFFF == 0 or tag >> 16 == _FILE_META_GROUP:
                continue
            if tag >> 16 in _NO_GROUPS:
                raise wrong(here, "no data element may have this group (PS3.5 7.1)")
            found.append(self._element(tag, model[key], here, depth))
        return tuple(found)

    def _element(self, tag: int, content: object, path: str, depth: int) -> Element:
        vr, name, value = parse_content(content, path)
        if tag == SPECIFIC_CHARACTER_SET:
            # The JSON is UTF-8 and says so; the file says what its text is written in.
            encoded = (self._charset or "").encode("ascii")
            return Element(tag, "CS", encoded, len(encoded))
        if name is None:
            return Element(tag, vr, b"", 0, None, () if vr == "SQ" else None)
        known = dictionary_vr(tag) if self._implicit else "UN"
        if known != "UN" and (vr == "SQ") != (known == "SQ"):
            raise wrong(f"{path}.vr", f"Implicit VR has only {known} here (PS3.5 A.1)")
        path = f"{path}.{name}"
        if name == "BulkDataURI" and vr != "SQ":
            return self._bulk(tag, vr, value, path, depth)
        if name == "InlineBinary" and vr in INLINE_VRS:
            inline = decode_inline(value, path)
            if self._order == ">":
                inline = swapped(inline, WORD_BYTES.get(vr, 1))
            return Element(tag, vr, inline, len(inline))
        if name != "Value" or vr in INLINE_VRS:
            raise wrong(path, f"a value of {vr} is not given so (PS3.18 F.2.2)")
        if not isinstance(value, list):
            raise wrong(path, "expected an array")
        if vr == "SQ":
            return Element(tag, vr, b"", 0, None, self._items(value, path, depth + 1))
        encoded = encode_values(vr, value, path, self._charset, self._order)
        return Element(tag, vr, encoded, len(encoded))

    def _items(self, items: list[object], path: str, depth: int) -> tuple[tuple[Element, ...], ...]:
        if depth > NESTING_MAX:
            raise wrong(path, f"sequences are nested deeper than {NESTING_MAX}")
        self._left -= len(items)
        return tuple(
            () if item is None else self.elements(item, f"{path}[{at}]", depth)
            for at, item in enumerate(items)
        )

    def _bulk(self, tag: int, vr: str, value: object, path: str, depth: int) -> Element:
        if not isinstance(value, str):
            raise wrong(path, "expected text")
        if self._find_bulk is None:
            raise wrong(path, "bulk data cannot be given here; give the value itself")
        cut = self._find_bulk(tag, depth, path, value)
        return Element(tag, vr, b"", cut.length, cut)


def parse_content(content: object, path: str) -> tuple[str, str | None, object]:
    """Give the VR of an element, and the name and the content of what holds its value."""
    if not isinstance(content, dict):
        raise wrong(path, "expected an object with vr")
    element = cast("JsonObject", content)
    vr = element.get("vr")
    if not isinstance(vr, str) or vr not in _VRS:
        raise wrong(f"{path}.vr", "expected a VR (PS3.5 6.2)")
    names = [name for name in _CONTENTS if element.get(name) is not None]
    if len(names) > 1 or not element.keys() <= _NAMES:
        raise wrong(path, f"expected vr and at most one of {', '.join(_CONTENTS)}")
    return (vr, names[0], element[names[0]]) if names else (vr, None, None)
