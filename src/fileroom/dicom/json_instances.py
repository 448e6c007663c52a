"""Instances that are sent as DICOM JSON with their bulk data in parts of their own.

The Cloud Healthcare API's rules hold (Store transaction, JSON mode): what must be there, and which
transfer syntaxes may. Nothing is derived: what the JSON does not say, the file does not have.

An instance is written as its Transfer Syntax UID says. Bulk data are given little endian.
Compressed pixel data have one part for each frame, all with the same Content-Location, in the order
of the frames; each becomes one fragment. Of the file meta information only Transfer Syntax UID is
taken: the rest is the file's own.

References
----------
PS3.18 10.5, F.2; PS3.5 A.4; PS3.10 7.1
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import msgspec

from fileroom.dicom.encoding import (
    DEFLATED,
    EXPLICIT_LITTLE,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_LITTLE,
    IMPLICIT_VR_LITTLE_ENDIAN,
    PIXEL_DATA,
    UNDEFINED_LENGTH,
)
from fileroom.dicom.header import Cut, Element
from fileroom.dicom.json_reading import ElementReader
from fileroom.dicom.json_values import wrong
from fileroom.dicom.rewriting import Rewriting
from fileroom.dicom.writing import (
    Copied,
    data_set_parts,
    encapsulated_parts,
    merged,
    padded,
    write_file_meta,
)
from fileroom.errors import InvalidArgument
from fileroom.names import parse_uid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fileroom.dicom.encoding import Encoding
    from fileroom.dicom.header import ByteSource
    from fileroom.dicom.json_model import JsonObject
    from fileroom.dicom.writing import Part

OCTET_STREAM: Final = "application/octet-stream"
INSTANCES_MAX: Final = 10_000
"""Instances of one request."""
IMPLEMENTATION_CLASS_UID: Final = "2.25.164578787582944050953825961427898552976"
"""Of the files that Fileroom writes from what is no file (PS3.7 D.3.3.2)."""
IMPLEMENTATION_VERSION_NAME: Final = "FILEROOM"

_NATIVE: Final = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN})
_JPEG_FAMILY: Final = "1.2.840.10008.1.2.4."
_OTHER_COMPRESSED: Final = frozenset({"1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"})
_REFUSED: Final = DEFLATED | {EXPLICIT_VR_BIG_ENDIAN}
_FRAME_TYPES: Final = {
    "image/jpeg": {f"{_JPEG_FAMILY}{item}" for item in (50, 51, 57, 70)},
    "image/jls": {f"{_JPEG_FAMILY}{item}" for item in (80, 81)},
    "image/jp2": {f"{_JPEG_FAMILY}{item}" for item in (90, 91)},
    "image/jpx": {f"{_JPEG_FAMILY}{item}" for item in (92, 93)},
    "image/dicom-rle": {"1.2.840.10008.1.2.5"},
}
"""What a frame may be sent as, and the transfer syntaxes it then has; octet-stream in any."""
_UTF_8: Final = "ISO_IR 192"
_VALUE_BYTES_MAX: Final = UNDEFINED_LENGTH - 1
_TRANSFER_SYNTAX_UID: Final = "00020010"
_SPECIFIC_CHARACTER_SET: Final = "00080005"
_SOP_CLASS_UID: Final = "00080016"
_SOP_INSTANCE_UID: Final = "00080018"
_UIDS: Final = (_SOP_CLASS_UID, _SOP_INSTANCE_UID, "0020000D", "0020000E")


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPart:
    """A part of the request that holds a value, or a frame of one."""

    media_type: str
    """``type/subtype`` in lower case."""
    source: ByteSource


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonInstance:
    """A file to be written from JSON and bulk data."""

    rewriting: Rewriting
    starts: tuple[int, ...]
    """Where each of the bulk sources starts, were they one after the other."""
    sources: tuple[ByteSource, ...]
    bulk_data_uris: frozenset[str]
    """Those the instance names; a caller that takes each only once bounds what a small document
    can make of large parts."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.rewriting.size

    def pieces(self) -> Iterator[bytes]:
        """Give the file in pieces of at most 1 MB."""
        return self.rewriting.pieces(self._read)

    def _read(self, offset: int, length: int) -> bytes:
        out = bytearray()
        while len(out) < length:
            at = bisect_right(self.starts, offset + len(out)) - 1
            source, start = self.sources[at], offset + len(out) - self.starts[at]
            piece = source.read_at(start, min(length - len(out), source.size - start))
            if not piece:
                raise InvalidArgument("a part of the request is shorter than it was")
            out += piece
        return bytes(out)


def parse_json_instances(document: bytes) -> list[JsonObject]:
    """Give the instances of a body of type ``application/dicom+json``, none of them checked yet.

    The caller bounds the document; as values it takes some ten times its bytes.

    Raises
    ------
    InvalidArgument
        If it is no array of objects in JSON.
    """
    try:
        instances = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument("the DICOM JSON is not JSON (RFC 8259)") from error
    if not isinstance(instances, list) or not all(isinstance(each, dict) for each in instances):
        raise wrong("$", "expected an array with an object for each instance")
    if not 0 < len(instances) <= INSTANCES_MAX:
        raise wrong("$", f"expected 1 to {INSTANCES_MAX} instances")
    return cast("list[JsonObject]", instances)


def json_instance(
    model: JsonObject, bulk: Mapping[str, Sequence[BulkPart]], *, path: str = "$"
) -> JsonInstance:
    """Give how one instance is written.

    Parameters
    ----------
    model
        As ``parse_json_instances`` gives it.
    bulk
        The parts of the request by their Content-Location; several with the same one in order.
    path
        Where the instance stands in the document, for what an error says.

    Raises
    ------
    InvalidArgument
        If it breaks a rule; the error names the JSON path.
    """
    transfer_syntax_uid = _required(model, _TRANSFER_SYNTAX_UID, path)
    _check_transfer_syntax(transfer_syntax_uid, f"{path}.{_TRANSFER_SYNTAX_UID}.Value[0]")
    if _required(model, _SPECIFIC_CHARACTER_SET, path) != _UTF_8:
        raise wrong(
            f"{path}.{_SPECIFIC_CHARACTER_SET}.Value[0]", f"expected {_UTF_8}: JSON is UTF-8"
        )
    uids = {key: _uid(model, key, path) for key in _UIDS}
    pixels = model.get(f"{PIXEL_DATA:08X}")
    if isinstance(pixels, dict) and pixels.keys() & {"InlineBinary", "Value"}:
        raise wrong(f"{path}.{PIXEL_DATA:08X}", "pixel data are sent as bulk data in a part")
    placing = _Placing(transfer_syntax_uid, bulk)
    implicit = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    encoding = IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE
    elements = ElementReader(_UTF_8, encoding, find_bulk=placing.find).elements(model, path)
    meta = _file_meta(transfer_syntax_uid, uids)
    parts = [write_file_meta(meta, transfer_syntax_uid), *placing.parts(elements, encoding)]
    return JsonInstance(
        rewriting=Rewriting(parts=merged(parts)),
        starts=tuple(placing.starts),
        sources=tuple(placing.sources),
        bulk_data_uris=frozenset(placing.used),
    )


class _Placing:
    """Lays the bulk data of an instance one after the other, as if they were one file."""

    def __init__(self, transfer_syntax_uid: str, bulk: Mapping[str, Sequence[BulkPart]]) -> None:
        self._transfer_syntax_uid = transfer_syntax_uid
        self._bulk = bulk
        self._size = 0
        self._frames: list[Cut] = []
        self.used: set[str] = set()
        self.starts: list[int] = []
        self.sources: list[ByteSource] = []

    def find(self, tag: int, depth: int, path: str, uri: str) -> Cut:
        """Give where the value is that a BulkDataURI names."""
        parts = self._bulk.get(uri, ())
        if not parts:
            raise wrong(path, "no part of the request has this Content-Location")
        if uri in self.used:
            raise wrong(path, "each BulkDataURI may be named once in an instance")
        self.used.add(uri)
        is_pixels = tag == PIXEL_DATA and depth == 0
        is_compressed = is_pixels and self._transfer_syntax_uid not in _NATIVE
        for part in parts:
            fitting = _FRAME_TYPES.get(part.media_type, ()) if is_compressed else ()
            if part.media_type != OCTET_STREAM and self._transfer_syntax_uid not in fitting:
                raise wrong(path, "the part's media type does not fit the transfer syntax")
        if len(parts) > 1 and not is_pixels:
            raise wrong(path, "only pixel data have several parts, one for each frame")
        cuts = [self._place(part.source) for part in parts]
        whole = Cut(0, cuts[0].offset, sum(cut.length for cut in cuts))
        if is_compressed:
            self._frames = cuts
        largest = max(cut.length for cut in cuts) if is_compressed else whole.length
        if largest > _VALUE_BYTES_MAX:
            raise wrong(path, "a value has at most 4 GB (PS3.5 7.1)")
        return whole

    def _place(self, source: ByteSource) -> Cut:
        cut = Cut(0, self._size, source.size)
        self.starts.append(self._size)
        self.sources.append(source)
        self._size += source.size
        return cut

    def parts(self, elements: Sequence[Element], encoding: Encoding) -> Iterator[Part]:
        """Give how the data set is written."""
        if not self._frames:
            yield from data_set_parts(elements, encoding)
            return
        yield from data_set_parts([each for each in elements if each.tag < PIXEL_DATA], encoding)
        # Compressed pixel data are OB (PS3.5 A.4).
        yield from encapsulated_parts(
            PIXEL_DATA, "OB", [(Copied(cut=cut),) for cut in self._frames]
        )
        yield from data_set_parts([each for each in elements if each.tag > PIXEL_DATA], encoding)


def _required(model: JsonObject, key: str, path: str) -> str:
    """Give the one text of an attribute that must be there."""
    element = model.get(key)
    values = element.get("Value") if isinstance(element, dict) else None
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise wrong(f"{path}.{key}", "must be there with one value")
    return values[0]


def _uid(model: JsonObject, key: str, path: str) -> str:
    try:
        return parse_uid(_required(model, key, path))
    except InvalidArgument as error:
        raise wrong(f"{path}.{key}", "must be there with one UID (PS3.5 9.1)") from error


def _check_transfer_syntax(uid: str, path: str) -> None:
    is_compressed = uid.startswith(_JPEG_FAMILY) or uid in _OTHER_COMPRESSED
    if uid in _REFUSED or not (uid in _NATIVE or is_compressed):
        raise wrong(path, "no transfer syntax that instances in JSON may have")
    parse_uid(uid, "TransferSyntaxUID")


def _file_meta(transfer_syntax_uid: str, uids: Mapping[str, str]) -> Iterator[Element]:
    """Give group 2 (PS3.10 7.1)."""
    for tag, vr, value in (
        (0x00020001, "OB", "\0\1"),
        (0x00020002, "UI", uids[_SOP_CLASS_UID]),
        (0x00020003, "UI", uids[_SOP_INSTANCE_UID]),
        (0x00020010, "UI", transfer_syntax_uid),
        (0x00020012, "UI", IMPLEMENTATION_CLASS_UID),
        (0x00020013, "SH", IMPLEMENTATION_VERSION_NAME),
    ):
        encoded = padded(value.encode("ascii"), vr)
        yield Element(tag, vr, encoded, len(encoded))
