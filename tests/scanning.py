"""What the tests of the scanner share."""

from __future__ import annotations

import zlib
from functools import cache
from typing import TYPE_CHECKING

from fileroom.dicom.encoding import DEFLATED as DEFLATED_SYNTAXES
from fileroom.dicom.rewriting import file_meta_bytes
from tests.corpus import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT,
    encapsulated_instance,
    minimal_instance,
    multi_frame_instance,
    sr_instance,
)

if TYPE_CHECKING:
    from fileroom.dicom.header import Header


@cache
def small_instances() -> dict[str, bytes]:
    """Give one small file of each kind, by name."""
    return {
        "minimal": minimal_instance(),
        "implicit": sr_instance(findings=1, transfer_syntax_uid=IMPLICIT),
        "implicit, defined lengths": sr_instance(
            findings=1, transfer_syntax_uid=IMPLICIT, undefined_lengths=False
        ),
        "explicit": sr_instance(findings=1),
        "explicit, defined lengths": sr_instance(findings=1, undefined_lengths=False),
        "big endian": sr_instance(findings=1, transfer_syntax_uid=BIG_ENDIAN),
        "deflated": sr_instance(findings=1, transfer_syntax_uid=DEFLATED),
        "encapsulated": encapsulated_instance(frames=2, fragment_bytes=20),
        "multi-frame": multi_frame_instance(frames=2, rows=6),
    }


def stream(header: Header, data: bytes) -> bytes:
    """Give the bytes that the offsets of a header's cuts count in."""
    if header.transfer_syntax_uid in DEFLATED_SYNTAXES:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[132 + file_meta_bytes(header) :])
    return data


def original(header: Header, data: bytes) -> bytes:
    """Give the file from its file meta information on, its data set inflated."""
    if header.transfer_syntax_uid in DEFLATED_SYNTAXES:
        return data[132 : 132 + file_meta_bytes(header)] + stream(header, data)
    return data[132:]


def restored(header: Header, data: bytes) -> bytes:
    """Give the skeleton with the cut values put back."""
    values = stream(header, data)
    pieces = []
    position = 0
    for cut in header.cuts:
        pieces.append(header.skeleton[position : cut.position])
        pieces.append(values[cut.offset : cut.offset + cut.length])
        position = cut.position
    return b"".join([*pieces, header.skeleton[position:]])
