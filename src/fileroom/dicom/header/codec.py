"""Headers as the database keeps them: one zstd frame, compressed with a numbered dictionary.

Version, flags, transfer syntax UID, cuts, skeleton: A frame carries
a checksum, so that a damaged header is found out and cut again from the blob.
"""

from __future__ import annotations

import struct
import threading
from functools import cache
from importlib.resources import files
from struct import Struct
from typing import NamedTuple

import zstandard

from fileroom.dicom.header.values import Cut, Header
from fileroom.errors import DataLoss

CURRENT_DICTIONARY_ID = 1
_LEVEL = 3
_HEADER_BYTES_MAX = 256 << 20
"""What a frame may hold: the bound of a scan, and what its cuts take."""
_FORMAT_VERSION = 1
_PREFIX = Struct("<BBB")
"""Version, flags, length of the transfer syntax UID."""
_COUNT = Struct("<I")
_CUT = Struct("<IQQ")
_IN_ORDER = 1


def encode_header(header: Header, dictionary_id: int) -> bytes:
    """Give the header as one zstd frame, compressed with a numbered dictionary."""
    compressor = _codecs(header_dictionary(dictionary_id)).compressor
    return compressor.compress(serialize_header(header))


def serialize_header(header: Header) -> bytes:
    """Give the header as bytes before compression."""
    uid = header.transfer_syntax_uid.encode("ascii")
    parts = [
        _PREFIX.pack(_FORMAT_VERSION, _IN_ORDER if header.in_order else 0, len(uid)),
        uid,
        _COUNT.pack(len(header.cuts)),
        *(_CUT.pack(cut.position, cut.offset, cut.length) for cut in header.cuts),
        header.skeleton,
    ]
    return b"".join(parts)


def decode_header(z: bytes, dictionary: bytes) -> Header:
    """Give the header that ``encode_header`` took.

    Raises
    ------
    DataLoss
        If the bytes are damaged or of another format; the header is cut again from the blob.
    """
    try:
        data = _codecs(dictionary).decompressor.decompress(z, max_output_size=_HEADER_BYTES_MAX)
        version, flags, uid_length = _PREFIX.unpack_from(data)
        at = _PREFIX.size + uid_length
        uid = data[_PREFIX.size : at].decode("ascii")
        (count,) = _COUNT.unpack_from(data, at)
        at += _COUNT.size
        skeleton_at = at + count * _CUT.size
        cuts = tuple(Cut(*fields) for fields in _CUT.iter_unpack(data[at:skeleton_at]))
    except (zstandard.ZstdError, struct.error, UnicodeDecodeError) as error:
        raise DataLoss("a stored header cannot be read; cut it again from the blob") from error
    if version != _FORMAT_VERSION:
        raise DataLoss(f"a stored header has format {version}, which this version cannot read")
    return Header(uid, data[skeleton_at:], cuts, bool(flags & _IN_ORDER))


def header_size(z: bytes) -> int:
    """Give how many bytes a compressed header says it has, without taking it apart."""
    try:
        return zstandard.frame_content_size(z)
    except zstandard.ZstdError:
        return 0


@cache
def header_dictionary(dictionary_id: int) -> bytes:
    """Give the shipped dictionary of that number. It never changes and is never removed."""
    return files("fileroom.dicom").joinpath(f"header-{dictionary_id}.dict").read_bytes()


class _Codecs(NamedTuple):
    compressor: zstandard.ZstdCompressor
    decompressor: zstandard.ZstdDecompressor


_local = threading.local()
"""Compressors are not safe to share between threads."""


def _codecs(dictionary: bytes) -> _Codecs:
    known: dict[bytes, _Codecs] = _local.__dict__.setdefault("codecs", {})
    codecs = known.get(dictionary)
    if codecs is None:
        trained = zstandard.ZstdCompressionDict(dictionary)
        codecs = known[dictionary] = _Codecs(
            zstandard.ZstdCompressor(level=_LEVEL, dict_data=trained, write_checksum=True),
            zstandard.ZstdDecompressor(dict_data=trained),
        )
    return codecs
