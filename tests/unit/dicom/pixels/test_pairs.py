"""Every pair of transfer syntaxes is given, or refused for the reason that the page names."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES, TRANSFER_SYNTAXES
from fileroom.dicom.part10 import scan
from fileroom.dicom.pixels.description import PixelDescription, parse_pixel_description
from fileroom.dicom.pixels.failure import PixelError
from fileroom.dicom.pixels.pairs import find_transcoding_obstacle
from fileroom.dicom.pixels.syntaxes import JPEG_BASELINE, JPEG_XL_RECOMPRESSION
from fileroom.dicom.pixels.transcode import transcoded_pieces
from fileroom.dicom.rewriting import native_rewriting
from tests.pair_table import KINDS, find_reason, holders
from tests.pixels import drawn, instance, reader, stored_frames, transcoded

WHOLE_BYTES = [
    kind
    for kind, each in KINDS.items()
    if each is not None and each.bits_allocated >= 8 and not each.is_float
]


def held(description: PixelDescription, stored: str) -> bytes:
    """Give a file that is stored so."""
    if stored in NATIVE_TRANSFER_SYNTAXES:
        return instance(description, drawn(description), transfer_syntax_uid=stored)
    native = instance(description, drawn(description))
    if stored == JPEG_XL_RECOMPRESSION:
        native = transcoded(native, JPEG_BASELINE)
    return transcoded(native, stored)


def given(data: bytes, asked: str) -> bytes:
    header = scan(data).header
    read = reader(header, data)
    if {header.transfer_syntax_uid, asked} <= NATIVE_TRANSFER_SYNTAXES:
        return b"".join(native_rewriting(header, asked).pieces(read))
    frames = stored_frames(data, parse_pixel_description(header))
    return b"".join(transcoded_pieces(header, frames, asked, read))


@pytest.mark.parametrize("kind", WHOLE_BYTES)
@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "every pair of stored and asked transfer syntax is given, or refused for the reason in "
    "docs/reference/transfer-syntaxes.md",
)
def test_every_pair_of_the_page_is_given_or_refused(kind: str) -> None:
    description = KINDS[kind]
    assert description is not None
    for stored in holders(description):
        data = held(replace(description, number_of_frames=1), stored)
        for asked in TRANSFER_SYNTAXES:
            why = find_reason(stored, asked, description)
            obstacle = find_transcoding_obstacle(scan(data).header, asked)
            assert (why is None) == (obstacle is None), (stored, asked)
            if why is not None:
                with pytest.raises(PixelError):
                    given(data, asked)
            elif asked != stored:
                made = scan(given(data, asked)).header
                assert made.transfer_syntax_uid == asked, (stored, asked)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(WHOLE_BYTES)))
def test_what_is_no_whole_byte_or_no_pixel_is_native_only(kind: str) -> None:
    stored_in = holders(KINDS[kind])
    assert set(stored_in) == NATIVE_TRANSFER_SYNTAXES
    for stored, asked in product(stored_in, TRANSFER_SYNTAXES):
        given_so = find_reason(stored, asked, KINDS[kind]) is None
        assert given_so == (asked in NATIVE_TRANSFER_SYNTAXES)
