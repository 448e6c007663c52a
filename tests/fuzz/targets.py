"""What reads bytes from outside, one function for each grammar.

A target takes any bytes. It may raise ``FileroomError``, which a caller is answered with, and
nothing else; what it gives must hold what the grammar promises. Time and memory are watched by who
runs it.
"""

from __future__ import annotations

import base64
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import msgspec

from fileroom.api.content_encoding import INFLATED_BYTES, find_unpacker
from fileroom.api.healthcare.policies import SetIamPolicyRequest
from fileroom.api.log_filters import parse_log_filter
from fileroom.api.multipart import MultipartReader
from fileroom.api.ranges import find_range
from fileroom.api.storage.globs import Glob
from fileroom.api.wire import DicomStore, ExportDicomDataRequest, ImportDicomDataRequest
from fileroom.api.wire import decode_message as decode
from fileroom.auth.jwt import peek
from fileroom.auth.policies import checked_bindings
from fileroom.auth.roles import ROLES
from fileroom.database.label_filters import parse_label_filter
from fileroom.database.pages import decode_page_token, encode_page_token
from fileroom.dicom.dictionary import find_attribute
from fileroom.dicom.frames import decode_chunk, encode_table, frame_lengths
from fileroom.dicom.header import (
    CURRENT_DICTIONARY_ID,
    decode_header,
    elements,
    encode_header,
    header_dictionary,
)
from fileroom.dicom.json_instances import json_instance, parse_json_instances
from fileroom.dicom.json_model import metadata
from fileroom.dicom.levels import LEVELS
from fileroom.dicom.matching import parse_query
from fileroom.dicom.media_types import (
    NATIVE_TRANSFER_SYNTAXES,
    dicom_file,
    find_media_type,
    negotiate,
    parse_accept,
    parse_mime_type,
)
from fileroom.dicom.native_xml import encode_native_xml
from fileroom.dicom.part10 import Limits, scan
from fileroom.dicom.patching import parse_patch, patched
from fileroom.dicom.pixels.decode import decode_frame
from fileroom.dicom.pixels.description import parse_pixel_description
from fileroom.errors import FileroomError
from fileroom.names import parse_account_email, parse_instance_path, parse_name, parse_uid
from fileroom.objectstore.archives.central_directory import zip_members
from fileroom.objectstore.archives.naming import ArchiveFormat
from fileroom.objectstore.archives.tar import tar_members
from fileroom.objectstore.archives.zip_reading import open_zip_member
from fileroom.objectstore.uri import (
    parse_bucket_name,
    parse_object_uri,
    parse_pattern,
    parse_uri_prefix,
)
from tests.archive_bytes import HeldObject
from tests.corpus import minimal_instance
from tests.multipart_bodies import BOUNDARY
from tests.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fileroom.objectstore.contract import StoredObject

_LIMITS: Final = Limits(first_window_bytes=66_000, window_bytes=66_000)
_READ_BYTES_MAX: Final = 1 << 22
"""Of a member of an archive, as far as it is read here."""


def scanner(data: bytes) -> None:
    """A file: its header, as it is kept and found again."""
    whole, pieces = scan(data), scan(data, limits=_LIMITS)
    assert whole.header == pieces.header
    kept = encode_header(whole.header, CURRENT_DICTIONARY_ID)
    assert decode_header(kept, header_dictionary(CURRENT_DICTIONARY_ID)) == whole.header
    for _ in elements(whole.header):
        pass


def metadata_forms(data: bytes) -> None:
    """A file: its metadata in JSON and in XML, which readers of either take."""
    stored = Stored("", data, scan(data).header)
    model = metadata(stored.header, bulk_data_uri="http://h/b", read=stored.reader())
    assert msgspec.json.decode(msgspec.json.encode(model)) is not None
    ET.fromstring(encode_native_xml(model))


def frame_tables(data: bytes) -> None:
    """A file: where its frames lie, and the table of them."""
    scanned = scan(data)
    if scanned.fragments is None:
        decode_chunk(data)
        return
    stored = Stored("", data, scanned.header)
    start, lengths = frame_lengths(
        scanned.fragments,
        scanned.attributes.number_of_frames,
        scanned.header.transfer_syntax_uid,
        stored.reader(),
    )
    assert start + sum(lengths) <= len(data)
    for chunk in encode_table(start, lengths):
        assert len(decode_chunk(chunk))


def pixel_descriptions(data: bytes) -> None:
    """A file: what it says of its pixels, and a native frame of that size."""
    header = scan(data).header
    description = parse_pixel_description(header)
    if header.transfer_syntax_uid in NATIVE_TRANSFER_SYNTAXES:
        decode_frame(data, description, header.transfer_syntax_uid)


def json_instances(data: bytes) -> None:
    """A body of ``application/dicom+json``: files that a scan takes."""
    for model in parse_json_instances(data):
        with suppress(FileroomError):
            made = b"".join(json_instance(model, {}).pieces())
            assert scan(made).header.transfer_syntax_uid


def patches(data: bytes) -> None:
    """A body that changes attributes: a file that a scan takes."""
    header = scan(_FILE).header
    new = patched(header, parse_patch(data))
    made = b"".join(new.pieces(lambda offset, length: _FILE[offset : offset + length]))
    assert scan(made).header.transfer_syntax_uid == header.transfer_syntax_uid


def messages(data: bytes) -> None:
    """A body of JSON: a message of the API."""
    for kind in (DicomStore, ImportDicomDataRequest, ExportDicomDataRequest):
        with suppress(FileroomError):
            msgspec.json.encode(decode(data, kind))


def policies(data: bytes) -> None:
    """A body of ``setIamPolicy``."""
    wanted = decode(data, SetIamPolicyRequest).policy
    if wanted is not None:
        found = checked_bindings(
            [(each.role, each.members) for each in wanted.bindings], ROLES, "a project"
        )
        assert {each.role for each in found} <= ROLES.keys()


class PartCounter:
    """Counts the parts of a body."""

    def __init__(self) -> None:
        self.size = 0
        self.begun = self.ended = 0

    def begin_part(self, headers: Mapping[str, str], /) -> None:
        assert self.begun == self.ended
        assert all(name == name.lower() for name in headers)
        self.begun += 1

    def write_part(self, piece: bytes, /) -> None:
        assert self.begun == self.ended + 1
        self.size += len(piece)

    def end_part(self) -> None:
        self.ended += 1


def multipart(data: bytes) -> None:
    """A multipart body; its first byte says how long the pieces are in which it comes."""
    step = data[0] + 1 if data else 1
    media_type = find_media_type(f"multipart/related; boundary={BOUNDARY}")
    assert media_type is not None
    counting = PartCounter()
    reader = MultipartReader(media_type, counting)
    for start in range(1, len(data), step):
        reader.write(data[start : start + step])
    reader.finish()
    assert counting.begun == counting.ended
    assert counting.size <= len(data)


def media_types(data: bytes) -> None:
    """An Accept, a Content-Type, the MIME type of an export."""
    text = data.decode("latin-1")
    find_media_type(text)
    with suppress(FileroomError):
        parse_mime_type(text)
    offered = (dicom_file("1.2.840.10008.1.2.1", multipart=True), dicom_file("1.2.840.10008.1.2"))
    assert negotiate(parse_accept([text]), offered) in offered


def uris(data: bytes) -> None:
    """Sources, destinations and buckets; no key leaves what it is beneath."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_object_uri, parse_uri_prefix):
        with suppress(FileroomError):
            found = parse(text, ("/srv/in", "/srv"))
            assert not {".", ".."} & set(found.key.split("/"))
            assert "\0" not in f"{found.bucket}{found.key}"
    with suppress(FileroomError):
        parse_bucket_name(text)
    pattern = parse_pattern(text, ("/srv/in", "/srv"))
    pattern.matches("a/b/c.dcm" * 20)


def queries(data: bytes) -> None:
    """The query of a search, in either dialect and at each level."""
    parameters = parse_qsl(data.decode("latin-1"), keep_blank_values=True)
    for level in LEVELS:
        for extended in (False, True):
            with suppress(FileroomError):
                found = parse_query(level, parameters, extended=extended)
                assert 0 < found.limit <= 50_000
                assert 0 <= found.offset <= 1_000_000


def page_tokens(data: bytes) -> None:
    """A page token, or what it holds: of this listing, or refused."""
    for token in (data.decode("latin-1"), base64.urlsafe_b64encode(data).decode()):
        for kind in (tuple[int], tuple[str, int]):
            with suppress(FileroomError):
                key = decode_page_token("listing", token, kind)
                again = encode_page_token("listing", key)
                assert decode_page_token("listing", again, kind) == key


def tokens(data: bytes) -> None:
    """A JSON Web Token before its signature is verified, or the lines of which one is made."""
    if b"\n" in data:
        parts = (base64.urlsafe_b64encode(line).rstrip(b"=") for line in data.split(b"\n"))
        data = b".".join([*parts, b"c2lnbmF0dXJl"])
    peek(data.decode("latin-1"))


def ranges(data: bytes) -> None:
    """A Range, and what it is on condition of."""
    text, _, condition = data.decode("latin-1").partition("\n")
    headers = {"range": text} | ({"if-range": condition} if condition else {})
    found = find_range(headers, 1000, '"e"')
    assert found is None or (found[0] >= 0 and found[1] <= 1000)


def names(data: bytes) -> None:
    """Names of resources, UIDs, keywords and tags."""
    text = data.decode("utf-8", "replace")
    find_attribute(text)
    for parse in (parse_name, parse_instance_path, parse_account_email):
        with suppress(FileroomError):
            assert "/../" not in f"/{parse(text)}/"
    uid = parse_uid(text)
    assert set(uid) <= set("0123456789.")
    assert len(uid) <= 64


def filters(data: bytes) -> None:
    """Filters of stores and of logs, globs of objects."""
    text = data.decode("utf-8", "replace")
    with suppress(FileroomError):
        parse_label_filter(text)({"a": "b"})
    with suppress(FileroomError):
        parse_log_filter(text)
    Glob(text).matches("a/b/c.dcm" * 5)


def zips(data: bytes) -> None:
    """A zip: its members, each whole or refused."""
    source = HeldObject(data)
    for member in zip_members(source):
        with suppress(FileroomError), open_zip_member(source, member) as reader:
            _read_forward(reader)


def tars(data: bytes) -> None:
    """A tar."""
    for _, reader in tar_members(HeldObject(data, "a.tar"), ArchiveFormat.TAR):
        _read_forward(reader)


def gzipped_tars(data: bytes) -> None:
    """A tar.gz."""
    for _, reader in tar_members(HeldObject(data, "a.tgz"), ArchiveFormat.TAR_GZIP):
        with suppress(FileroomError):
            _read_forward(reader)


def _read_forward(reader: StoredObject) -> None:
    offset = 0
    while offset < min(reader.size, _READ_BYTES_MAX):
        piece = reader.read_at(offset, 1 << 16)
        assert len(piece) <= 1 << 16
        if not piece:
            return
        offset += len(piece)


def gzip_bodies(data: bytes) -> None:
    """A body in gzip."""
    unpacker = find_unpacker("gzip")
    assert unpacker is not None
    given = 0
    for piece in (*unpacker.unpack(data[:100]), *unpacker.unpack(data[100:]), *unpacker.finish()):
        assert len(piece) <= INFLATED_BYTES
        given += len(piece)
    with suppress(zlib.error):
        assert given >= len(zlib.decompressobj(31).decompress(data))


_FILE: Final = minimal_instance()

TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        scanner,
        metadata_forms,
        frame_tables,
        pixel_descriptions,
        json_instances,
        patches,
        messages,
        policies,
        multipart,
        media_types,
        uris,
        queries,
        page_tokens,
        tokens,
        ranges,
        names,
        filters,
        zips,
        tars,
        gzipped_tars,
        gzip_bodies,
    )
}
