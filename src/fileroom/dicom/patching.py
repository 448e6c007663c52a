"""A stored instance with some of its attributes replaced.

What is not named stays as it is, byte for byte, and so does the transfer syntax. Where new text
cannot be written in the instance's character set, and all its text is ASCII, it becomes UTF-8.

References
----------
Cloud Healthcare API v1beta1, Update instance metadata; PS3.18 F.2; PS3.5 6.1, 7.2
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, cast

import msgspec

from fileroom.dicom.encoding import DEFLATED, EXPLICIT_LITTLE, PIXEL_DATA
from fileroom.dicom.header import Element, data_set_start, elements, extents, find_elements
from fileroom.dicom.json_reading import SPECIFIC_CHARACTER_SET, ElementReader
from fileroom.dicom.json_values import wrong
from fileroom.dicom.rewriting import DeflatedRewriting, Rewriting, check_header_size
from fileroom.dicom.writing import PREAMBLE, Copied, data_set_parts, merged
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fileroom.dicom.encoding import Encoding
    from fileroom.dicom.header import Header
    from fileroom.dicom.json_model import JsonObject
    from fileroom.dicom.writing import Part

_UTF_8: Final = "ISO_IR 192"
_FIXED: Final = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
"""UIDs that say which instance it is, and of what kind."""
_TRANSFER_SYNTAX_UID: Final = "00020010"
_PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, PIXEL_DATA})
_NO_PIXELS: Final = "pixel data may not change; store the instance anew"
_TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Those that Specific Character Set speaks of (PS3.5 6.1.2.2)."""


def parse_patch(document: bytes) -> JsonObject:
    """Give the attributes of a body in the DICOM JSON Model, an object or an array of one.

    The caller bounds the document. Only that it is an object is checked.

    Raises
    ------
    InvalidArgument
        If it is neither, or no JSON.
    """
    try:
        model = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument("the DICOM JSON is not JSON (RFC 8259)", "$") from error
    if isinstance(model, list) and len(model) == 1:
        (model,) = model
    if not isinstance(model, dict):
        raise wrong("$", "expected an object with the attributes to be replaced, or an array of it")
    return cast("JsonObject", model)


def check_patch_of_many(model: JsonObject, uids: Mapping[int, str]) -> None:
    """Refuse what could be done to none of several instances.

    ``uids`` are the fixed UIDs that all of them share, which may be named as they are.

    Raises
    ------
    InvalidArgument
        If the object is no DICOM JSON, or names what may not change; the error names its path.
    """
    found = ElementReader(_UTF_8, EXPLICIT_LITTLE).elements(model, "$")
    for element in found:
        here = f"$.{element.tag:08X}"
        if element.tag in _FIXED:
            shared = uids.get(element.tag)
            if shared is None or element.value.rstrip(b"\0 ") != shared.encode("ascii"):
                raise wrong(here, "may not change; leave it out")
        elif element.tag in _PIXELS:
            raise wrong(here, _NO_PIXELS)


def patched(header: Header, model: JsonObject, *, path: str = "$") -> Rewriting | DeflatedRewriting:
    """Give how an instance is written with the attributes of a DICOM JSON object for its own.

    An attribute without a value becomes empty. Specific Character Set is not taken: in JSON it is
    of the JSON.

    Raises
    ------
    InvalidArgument
        If the object is no DICOM JSON, or names what may not change; the error names its path.
    """
    check_header_size(header)
    start, encoding = data_set_start(header)
    new = _new_elements(header, model, encoding, path)
    _check_unchanged(header, model, new, path)
    file_meta = PREAMBLE + header.skeleton[:start]
    parts = _data_set(header, new, encoding)
    if header.transfer_syntax_uid in DEFLATED:
        return DeflatedRewriting(file_meta=file_meta, data_set=Rewriting(parts=merged(parts)))
    return Rewriting(parts=merged([file_meta, *parts]))


def _new_elements(
    header: Header, model: JsonObject, encoding: Encoding, path: str
) -> dict[int, Element]:
    """Give the elements to be written, by tag in rising order."""
    stored = find_elements(header, {SPECIFIC_CHARACTER_SET}).get(SPECIFIC_CHARACTER_SET)
    charset = stored.value.decode("latin_1").strip("\0 ") if stored is not None else None
    try:
        found = ElementReader(charset, encoding).elements(model, path)
    except InvalidArgument:
        if not _is_ascii(elements(header)):
            raise
        found = ElementReader(_UTF_8, encoding).elements(model, path)
        charset = _UTF_8
    else:
        charset = None
    new = {element.tag: element for element in found if element.tag != SPECIFIC_CHARACTER_SET}
    if charset is not None:
        value = charset.encode("ascii")
        new[SPECIFIC_CHARACTER_SET] = Element(SPECIFIC_CHARACTER_SET, "CS", value, len(value))
    return dict(sorted(new.items()))


def _is_ascii(found: Iterable[Element]) -> bool:
    """Tell whether all text is ASCII; long text that is not at hand counts as not."""
    return all(
        all(map(_is_ascii, element.items))
        if element.items is not None
        else element.vr not in _TEXT_VRS or _is_ascii_text(element)
        for element in found
    )


def _is_ascii_text(element: Element) -> bool:
    # Escape sequences make other characters of ASCII ones (PS3.5 6.1.2.5).
    return element.cut is None and element.value.isascii() and b"\x1b" not in element.value


def _check_unchanged(
    header: Header, model: JsonObject, new: Mapping[int, Element], path: str
) -> None:
    stored = find_elements(header, set(_FIXED))
    for tag in _FIXED:
        if tag in new and new[tag].value.rstrip(b"\0 ") != stored[tag].value.rstrip(b"\0 "):
            raise wrong(f"{path}.{tag:08X}", "may not change; store the instance anew")
    for tag in _PIXELS & new.keys():
        raise wrong(f"{path}.{tag:08X}", _NO_PIXELS)
    meta = model.get(_TRANSFER_SYNTAX_UID)
    if isinstance(meta, dict) and meta.get("Value") != [header.transfer_syntax_uid]:
        raise wrong(f"{path}.{_TRANSFER_SYNTAX_UID}", "the transfer syntax may not change")


def _data_set(header: Header, new: Mapping[int, Element], encoding: Encoding) -> Iterator[Part]:
    waiting, cuts = deque(new.values()), deque(header.cuts)
    for tag, start, end in extents(header):
        while waiting and waiting[0].tag <= tag:
            yield from data_set_parts([waiting.popleft()], encoding)
        # Group lengths would no longer be true; they are retired (PS3.5 7.2).
        is_kept = tag not in new and tag & 0xFFFF != 0
        while cuts and cuts[0].position <= end:
            cut = cuts.popleft()
            if is_kept:
                yield header.skeleton[start : cut.position]
                yield Copied(cut=cut)
                start = cut.position
        if is_kept:
            yield header.skeleton[start:end]
    yield from data_set_parts(waiting, encoding)
