"""The element that holds the pixels of an instance.

References
----------
PS3.3 C.7.6.3 (Pixel Data), C.7.6.24 and C.7.6.25 (Float and Double Float Pixel Data)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.dicom.encoding import PIXEL_DATA, UNDEFINED_LENGTH
from fileroom.dicom.frames.errors import NoPixelData
from fileroom.dicom.header import find_elements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.dicom.header import Element, Header

PIXEL_ELEMENTS: Final = (PIXEL_DATA, 0x7FE00008, 0x7FE00009)
"""Of which an instance has at most one (PS3.3 C.7.6.3.1.1)."""
_UNDEFINED: Final = UNDEFINED_LENGTH.to_bytes(4, "little")


def find_pixel_data(header: Header) -> Element:
    """Give the element with the pixels.

    Raises
    ------
    NoPixelData
        If the instance has none, or an empty one.
    """
    return pixel_element(find_elements(header, PIXEL_ELEMENTS))


def pixel_element(found: Mapping[int, Element]) -> Element:
    """Give the element with the pixels among others; raises as ``find_pixel_data`` does."""
    for tag in PIXEL_ELEMENTS:
        element = found.get(tag)
        if element is not None and element.length and element.items is None:
            return element
    raise NoPixelData("missing pixel data: this instance has no frames")


def is_encapsulated(header: Header, pixel_data: Element) -> bool:
    """Tell whether pixel data are encapsulated, as their length in the file says it.

    Encapsulated pixel data have an undefined length (PS3.5 A.4), and are always cut out.
    """
    cut = pixel_data.cut
    return cut is not None and header.skeleton[cut.position - 4 : cut.position] == _UNDEFINED
