"""Instances whose pixels are not compressed, from any encoding into another.

Nothing is decoded: values are copied, their bytes reversed where the source is big endian. The
rest of the writing is ``writing``.

References
----------
PS3.5 A.1 to A.3 and A.5 (the encodings), 8.1.1 (pixel data)
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.dicom.byte_order import swapped
from fileroom.dicom.encoding import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_LITTLE,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_LITTLE,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from fileroom.dicom.header import big_endian, elements, file_meta
from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.pixels.failure import unsupported
from fileroom.dicom.writing import (
    data_set_parts,
    element_head,
    merged,
    part_bytes,
    write_file_meta,
)
from fileroom.errors import Unimplemented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fileroom.dicom.encoding import Encoding
    from fileroom.dicom.header import Header
from fileroom.dicom.writing import Part

PIECE_BYTES: Final = 1 << 20
NATIVE_TARGETS: Final = frozenset(
    {
        EXPLICIT_VR_LITTLE_ENDIAN,
        IMPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    }
)
"""Big endian is read, never written anew (PS3.5 A.3: retired)."""
HEADER_BYTES_MAX: Final = 4 << 20
"""A longer header is not taken apart where requests are answered: half a million empty elements, a
hundred megabytes once they are objects, come in a file of some kilobytes. Metadata of such an
instance are told by workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """A file to be written: bytes, and values to be copied."""

    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return sum(map(part_bytes, self.parts))

    def pieces(
        self, read: Callable[[int, int], bytes], start: int = 0, stop: int | None = None
    ) -> Iterator[bytes]:
        """Give the file, or its bytes from ``start`` to before ``stop``, in pieces of at most 1 MB.

        ``read`` gives bytes of the stored file, of a deflated one its inflated data set; offsets
        rise from call to call.
        """
        at = 0
        for part in self.parts:
            size = part_bytes(part)
            first = max(0, start - at)
            last = size if stop is None else min(size, stop - at)
            if first < last:
                yield from _piece_by_piece(part, read, first, last)
            at += size


@dataclass(frozen=True, slots=True, kw_only=True)
class DeflatedRewriting:
    """A file to be written whose data set is deflated (PS3.5 A.5)."""

    file_meta: bytes
    data_set: Rewriting

    @property
    def size(self) -> None:
        """Known only once it is written."""
        return

    def pieces(self, read: Callable[[int, int], bytes]) -> Iterator[bytes]:
        """Give the file in pieces of at most 1 MB; ``read`` as of ``Rewriting``."""
        yield from in_pieces([self.file_meta])
        yield from in_pieces(deflated(self.data_set.pieces(read)))


def check_header_size(header: Header) -> None:
    """Refuse to take apart a header that is too long for that.

    Raises
    ------
    PixelError
        ``UNSUPPORTED_TRANSCODING``: the file can be had as it is stored.
    """
    size = len(header.skeleton)
    if size > HEADER_BYTES_MAX:
        raise unsupported(
            f"the header of this instance has {size} bytes beside large values, more than the"
            f" {HEADER_BYTES_MAX} that are rewritten; use transfer-syntax=*"
        )


def native_rewriting(header: Header, transfer_syntax_uid: str) -> Rewriting | DeflatedRewriting:
    """Give how an instance is written in one of ``NATIVE_TARGETS``.

    Raises
    ------
    Unimplemented
        If its pixel data are compressed.
    """
    if transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        parts = _data_set(header, EXPLICIT_LITTLE)
        return DeflatedRewriting(
            file_meta=write_file_meta(file_meta(header), transfer_syntax_uid),
            data_set=Rewriting(parts=merged(parts)),
        )
    assert transfer_syntax_uid in NATIVE_TARGETS
    if transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return explicit_little_endian(header)
    return _whole(header, transfer_syntax_uid, IMPLICIT_LITTLE)


def explicit_little_endian(header: Header) -> Rewriting:
    """Give how an instance is written in Explicit VR Little Endian.

    Raises
    ------
    Unimplemented
        If its pixel data are compressed.
    """
    return _whole(header, EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_LITTLE)


def file_meta_bytes(header: Header) -> int:
    """Give the length of group 2 in the stored file, which follows byte 132."""
    return sum(
        len(element_head(element.tag, element.vr, element.length)) + element.length
        for element in file_meta(header)
    )


def _whole(header: Header, transfer_syntax_uid: str, encoding: Encoding) -> Rewriting:
    meta = write_file_meta(file_meta(header), transfer_syntax_uid)
    return Rewriting(parts=merged([meta, *_data_set(header, encoding)]))


def _data_set(header: Header, encoding: Encoding) -> Iterator[Part]:
    if header.transfer_syntax_uid not in NATIVE_TRANSFER_SYNTAXES:
        raise Unimplemented(
            f"transfer syntax {header.transfer_syntax_uid} cannot be decompressed yet; ask for"
            " transfer-syntax=*"
        )
    check_header_size(header)
    return data_set_parts(elements(header), encoding, reversed_words=big_endian(header))


def deflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the deflated stream of a data set, padded to an even length (PS3.5 A.5)."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    size = 0
    for piece in pieces:
        some = deflater.compress(piece)
        size += len(some)
        yield some
    some = deflater.flush()
    yield some + bytes((size + len(some)) % 2)


def _piece_by_piece(
    part: Part, read: Callable[[int, int], bytes], first: int, last: int
) -> Iterator[bytes]:
    if isinstance(part, bytes):
        yield from in_pieces([part[first:last]])
        return
    word = part.word_bytes
    # Words are reversed whole: a span that begins inside one is cut after that.
    for start in range(first - first % word, last, PIECE_BYTES):
        length = min(PIECE_BYTES, last - start + -last % word, part.cut.length - start)
        piece = read(part.cut.offset + start, length)
        piece = swapped(piece, word) if word > 1 else piece
        yield piece[max(0, first - start) : last - start]


def in_pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the same bytes in pieces of at most 1 MB."""
    for block in blocks:
        for start in range(0, len(block), PIECE_BYTES):
            yield block[start : start + PIECE_BYTES]
