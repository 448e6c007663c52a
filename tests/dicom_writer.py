"""Write DICOM without pydicom, valid or not.

A data set is a list of rows ``(tag, vr, value)``. A value is text, bytes as they are, a number or
a list of numbers for binary VRs, ``Fragments`` for encapsulated pixel data, and for SQ a list of
data sets.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
RLE = "1.2.840.10008.1.2.5"

UID_ROOT = "1.2.826.0.1.3680043.8.498"

_LONG = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
_NUMBERS = {
    "AT": "HH", "FD": "d", "FL": "f", "OD": "d", "OF": "f", "OL": "I", "OV": "Q", "OW": "H",
    "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q",
}  # fmt: skip


@dataclass(frozen=True)
class Fragments:
    """Encapsulated pixel data: the basic offset table, then fragments."""

    fragments: tuple[bytes, ...]
    offset_table: bytes = b""


Value = str | bytes | float | Fragments | Sequence[float] | Sequence["DataSet"] | None
Row = tuple[int, str, Value]
DataSet = Sequence[Row]


def encode(
    rows: DataSet,
    *,
    implicit: bool = False,
    big_endian: bool = False,
    undefined_lengths: bool = False,
    charset: str = "utf-8",
) -> bytes:
    """Give the bytes of a data set, in the order of its rows."""
    order = ">" if big_endian else "<"
    header = struct.Struct(order + "HH")
    long_length = struct.Struct(order + "I")
    short_length = struct.Struct(order + "H")
    options = {
        "implicit": implicit,
        "big_endian": big_endian,
        "undefined_lengths": undefined_lengths,
        "charset": charset,
    }
    out = []
    for tag, vr, value in rows:
        undefined = False
        if vr == "SQ":
            data = b""
            for item in value or []:  # type: ignore[union-attr]
                inner = encode(item, **options)  # type: ignore[arg-type]
                length = 0xFFFFFFFF if undefined_lengths else len(inner)
                data += header.pack(0xFFFE, 0xE000) + long_length.pack(length) + inner
                if undefined_lengths:
                    data += header.pack(0xFFFE, 0xE00D) + long_length.pack(0)
            undefined = undefined_lengths
        elif isinstance(value, Fragments):
            pieces = (value.offset_table, *value.fragments)
            data = b"".join(
                struct.pack("<HHI", 0xFFFE, 0xE000, len(piece) + len(piece) % 2)
                + piece + b"\0" * (len(piece) % 2)
                for piece in pieces
            )  # fmt: skip
            undefined = True
        else:
            data = _value_bytes(vr, value, order, charset)
        out.append(header.pack(tag >> 16, tag & 0xFFFF))
        length = 0xFFFFFFFF if undefined else len(data)
        if implicit:
            out.append(long_length.pack(length))
        elif vr in _LONG:
            out.append(vr.encode() + b"\0\0" + long_length.pack(length))
        else:
            out.append(vr.encode() + short_length.pack(length))
        out.append(data)
        if undefined:
            out.append(header.pack(0xFFFE, 0xE0DD) + long_length.pack(0))
    return b"".join(out)


def _value_bytes(vr: str, value: Value, order: str, charset: str) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        data = value.encode(charset)
    elif vr == "AT":
        tags = value if isinstance(value, list) else [value]
        data = b"".join(struct.pack(order + "HH", int(t) >> 16, int(t) & 0xFFFF) for t in tags)  # type: ignore[arg-type]
    else:
        numbers = value if isinstance(value, list) else [value]
        data = struct.pack(f"{order}{len(numbers)}{_NUMBERS[vr]}", *numbers)
    if len(data) % 2:
        data += b"\0" if vr in {"UI", "OB", "UN"} else b" "
    return data


def part10(
    rows: DataSet,
    *,
    transfer_syntax_uid: str = EXPLICIT,
    media_storage_sop_class_uid: str | None = None,
    preamble: bytes = bytes(128),
    group_length: bool = True,
    undefined_lengths: bool = False,
    charset: str = "utf-8",
    meta: DataSet | None = None,
) -> bytes:
    """Give a whole file; ``meta`` replaces the file meta information after its group length."""
    if meta is None:
        values = {tag: value for tag, _, value in rows}
        meta = [
            (0x00020001, "OB", b"\0\1"),
            (0x00020002, "UI", media_storage_sop_class_uid or values.get(0x00080016)),
            (0x00020003, "UI", values.get(0x00080018)),
            (0x00020010, "UI", transfer_syntax_uid),
            (0x00020012, "UI", f"{UID_ROOT}.1"),
            (0x00020013, "SH", "FILEROOM_TEST"),
        ]
    meta_bytes = encode(meta)
    if group_length:
        meta_bytes = encode([(0x00020000, "UL", len(meta_bytes))]) + meta_bytes
    data = encode(
        rows,
        implicit=transfer_syntax_uid == IMPLICIT,
        big_endian=transfer_syntax_uid == BIG_ENDIAN,
        undefined_lengths=undefined_lengths,
        charset=charset,
    )
    if transfer_syntax_uid == DEFLATED:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflater.compress(data) + deflater.flush()
        data += b"\0" * (len(data) % 2)
    return preamble + b"DICM" + meta_bytes + data
