"""Whole files, and single frames, in another transfer syntax.

For pairs of which at least one is compressed; from one native syntax to another nothing is decoded,
see ``fileroom.dicom.rewriting``. A file is given in pieces while its frames are decoded: one frame
is in memory at a time.

The Basic Offset Table is left empty and there is no Extended Offset Table: both stand before the
frames, and would take encoding every one of them before the first byte is sent. Each frame is one
fragment instead, so that frames are found by counting (PS3.5 A.4).

References
----------
PS3.5 A.4 (encapsulation), 8.2; PS3.3 C.7.6.1.1.5 (lossy compression), C.7.6.3 (Image Pixel)
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar

from fileroom.dicom.encoding import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    IMPLICIT_VR_LITTLE_ENDIAN,
    PIXEL_DATA,
    UNDEFINED_LENGTH,
)
from fileroom.dicom.header import Element, big_endian, elements, file_meta, find_elements
from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.pixels.description import (
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    PixelDescription,
    parse_pixel_description,
)
from fileroom.dicom.pixels.failure import malformed
from fileroom.dicom.pixels.frames import reencode_frames, reencoded_photometric_interpretation
from fileroom.dicom.pixels.pairs import require_transcodable
from fileroom.dicom.pixels.syntaxes import (
    JPEG_BASELINE,
    JPEG_LOSSY,
    JPEG_XL_RECOMPRESSION,
    LOSSY_METHODS,
)
from fileroom.dicom.rewriting import Rewriting, check_header_size, deflated, in_pieces
from fileroom.dicom.writing import (
    data_set_parts,
    element_head,
    encapsulated_parts,
    merged,
    write_file_meta,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fileroom.dicom.encoding import Encoding
    from fileroom.dicom.header import Header
    from fileroom.dicom.writing import Part

_FrameT = TypeVar("_FrameT")

_LOSSY_IMAGE_COMPRESSION: Final = 0x00282110
_LOSSY_RATIO: Final = 0x00282112
_LOSSY_METHOD: Final = 0x00282114
_PIXEL_GROUP: Final = PIXEL_DATA >> 16
_DESCRIBED: Final = (
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    _LOSSY_IMAGE_COMPRESSION,
    _LOSSY_RATIO,
    _LOSSY_METHOD,
)
_BASELINE_SOURCES: Final = JPEG_LOSSY | {JPEG_XL_RECOMPRESSION}


def transcoded_pieces(
    header: Header,
    frames: Iterable[_FrameT],
    asked: str,
    read: Callable[[int, int], bytes],
    *,
    reencode: Callable[
        [Iterable[_FrameT], PixelDescription, str, str], Iterator[bytes]
    ] = reencode_frames,  # type: ignore[assignment]  # where frames are bytes
) -> Iterator[bytes]:
    """Give a Part 10 file in another transfer syntax, in pieces of at most 1 MB.

    Parameters
    ----------
    header
        Of the stored instance.
    frames
        Its frames as stored, in order, or whatever ``reencode`` knows them by.
    asked
        The transfer syntax UID that is wanted.
    read
        Gives bytes that were cut out of the header, other than pixel data; offsets rise from call
        to call. The first frame is drawn before: of a deflated file, which is read forward only,
        ``frames`` needs a reader of its own.
    reencode
        What turns frames into others, in order; a server gives one that does it in its pool.

    Raises
    ------
    PixelError
        At once if the pair is not offered or there is no first frame; while the pieces are drawn if
        another frame cannot be decoded, or there are fewer or more than the header says.
    """
    check_header_size(header)
    description = parse_pixel_description(header)
    stored = header.transfer_syntax_uid
    require_transcodable(stored, asked, description)
    assert not {stored, asked} <= NATIVE_TRANSFER_SYNTAXES, "see fileroom.dicom.rewriting"
    encoded = _counted(reencode(frames, description, stored, asked), description)
    # The ratio stands before the frames: it is that of the first.
    first = next(encoded)
    changed = _changed(header, description, asked, len(first))
    return in_pieces(_pieces(header, changed, chain([first], encoded), asked, read))


def _counted(frames: Iterator[bytes], description: PixelDescription) -> Iterator[bytes]:
    count = 0
    for count, frame in enumerate(frames, 1):
        if count > description.number_of_frames:
            break
        yield frame
    if count != description.number_of_frames:
        raise malformed("the pixel data have another number of frames than Number of Frames says")


def _pieces(
    header: Header,
    changed: list[Element],
    frames: Iterator[bytes],
    asked: str,
    read: Callable[[int, int], bytes],
) -> Iterator[bytes]:
    yield write_file_meta(file_meta(header), asked)
    data_set = _data_set(header, changed, frames, asked, read)
    yield from deflated(data_set) if asked == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN else data_set


def _data_set(
    header: Header,
    changed: list[Element],
    frames: Iterator[bytes],
    asked: str,
    read: Callable[[int, int], bytes],
) -> Iterator[bytes]:
    """Give the data set: what stands before the pixel data, they themselves, and what follows."""
    encoding = IMPLICIT_LITTLE if asked == IMPLICIT_VR_LITTLE_ENDIAN else EXPLICIT_LITTLE
    description = parse_pixel_description(header)

    def written(some: Iterable[Element]) -> Iterator[bytes]:
        parts = data_set_parts(some, encoding, reversed_words=big_endian(header))
        return Rewriting(parts=merged(parts)).pieces(read)

    kept = _with_changes(elements(header), changed)
    before: list[Element] = []
    for element in kept:
        if element.tag >> 16 == _PIXEL_GROUP:
            break
        before.append(element)
    yield from written(before)
    if asked in NATIVE_TRANSFER_SYNTAXES:
        yield from _native_pixels(description, frames, encoding)
    else:
        fragments = ((frame,) for frame in frames)
        yield from map(_bytes, encapsulated_parts(PIXEL_DATA, "OB", fragments))
    # Offset tables, and any other of the group, told of the stored frames.
    yield from written(element for element in kept if element.tag >> 16 != _PIXEL_GROUP)


def _native_pixels(
    description: PixelDescription, frames: Iterator[bytes], encoding: Encoding
) -> Iterator[bytes]:
    length = description.decoded_frame_bytes * description.number_of_frames
    if length + length % 2 >= UNDEFINED_LENGTH:
        raise malformed(
            "the pixel data are over 4 GB when decoded, which no native transfer syntax can hold"
        )
    vr = "OW" if description.bits_allocated > 8 else "OB"
    yield element_head(PIXEL_DATA, vr, length + length % 2, encoding)
    yield from frames
    yield bytes(length % 2)


def _bytes(part: Part) -> bytes:
    assert isinstance(part, bytes), "frames are given as bytes"
    return part


def _with_changes(found: Iterable[Element], changed: list[Element]) -> Iterator[Element]:
    """Give the elements with the changed ones in their places."""
    waiting = sorted(changed, key=lambda element: element.tag)
    tags = {element.tag for element in waiting}
    for element in found:
        while waiting and waiting[0].tag <= element.tag:
            yield waiting.pop(0)
        if element.tag not in tags:
            yield element
    yield from waiting


def _changed(
    header: Header, description: PixelDescription, asked: str, first_bytes: int
) -> list[Element]:
    """Give the attributes whose values differ in the new file."""
    order = "big" if big_endian(header) else "little"
    stored = header.transfer_syntax_uid
    colour = reencoded_photometric_interpretation(description, stored, asked)
    changed = [_text_element(PHOTOMETRIC_INTERPRETATION, "CS", colour)]
    if description.samples_per_pixel > 1:
        planar = 0 if _reencoded(stored, asked) else description.planar_configuration
        value = planar.to_bytes(2, order)  # type: ignore[arg-type]
        changed.append(Element(PLANAR_CONFIGURATION, "US", value, 2))
    found = find_elements(header, _DESCRIBED)
    if asked in LOSSY_METHODS and _reencoded(stored, asked):
        ratio = description.decoded_frame_bytes / max(1, first_bytes)
        changed += [
            _text_element(_LOSSY_IMAGE_COMPRESSION, "CS", "01"),
            _text_element(_LOSSY_RATIO, "DS", _appended(found, _LOSSY_RATIO, f"{ratio:.6g}")),
            _text_element(
                _LOSSY_METHOD, "CS", _appended(found, _LOSSY_METHOD, LOSSY_METHODS[asked])
            ),
        ]
    elif stored in _BASELINE_SOURCES and not _text(found, _LOSSY_IMAGE_COMPRESSION):
        # What JPEG has lost stays lost, also where the stored file forgot to say so.
        changed.append(_text_element(_LOSSY_IMAGE_COMPRESSION, "CS", "01"))
        if not _text(found, _LOSSY_METHOD):
            changed.append(_text_element(_LOSSY_METHOD, "CS", LOSSY_METHODS[JPEG_BASELINE]))
    return changed


def _reencoded(stored: str, asked: str) -> bool:
    """Tell whether samples are decoded: JPEG and its recompression hold the same stream."""
    return {stored, asked} != {JPEG_BASELINE, JPEG_XL_RECOMPRESSION}


def _text(found: dict[int, Element], tag: int) -> str:
    element = found.get(tag)
    return "" if element is None else element.value.decode("ascii", "replace").strip(" \0")


def _appended(found: dict[int, Element], tag: int, value: str) -> str:
    """Give the values of an element and one more: the last step stands last (C.7.6.1.1.5)."""
    before = _text(found, tag)
    return f"{before}\\{value}" if before else value


def _text_element(tag: int, vr: str, text: str) -> Element:
    value = text.encode("ascii", "replace")
    return Element(tag, vr, value, len(value))
