"""The element that holds the pixels of an instance.

References
----------
PS3.3 C.7.6.3 (Pixel Data), C.7.6.24 and C.7.6.25 (Float and Double Float Pixel Data)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.dicom.encoding import PIXEL_DATA, UNDEFINED_LENGTH
from fileroom.dicom.frames.errors import NoPixelData

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.dicom.header import Cut, Element, Header

PIXEL_ELEMENTS: Final = (PIXEL_DATA, 0x7FE00008, 0x7FE00009)
"""Of which an instance has at most one (PS3.3 C.7.6.3.1.1)."""
_UNDEFINED: Final = UNDEFINED_LENGTH.to_bytes(4, "little")


def pixel_element(found: Mapping[int, Element]) -> Element:
    """Give the element with the pixels among those found.

    Raises
    ------
    NoPixelData
        If the instance has none, or an empty one.
    """
    for tag in PIXEL_ELEMENTS:
        element = found.get(tag)
        if element is not None and element.length and element.items is None:
            return element
    raise NoPixelData("missing pixel data: this instance has no frames")


def is_encapsulated(header: Header, pixel_data: Cut) -> bool:
    """Tell whether pixel data are encapsulated, as their length in the file says it.

    Encapsulated pixel data have an undefined length (PS3.5 A.4), and are always cut out.
    """
    return header.skeleton[pixel_data.position - 4 : pixel_data.position] == _UNDEFINED
