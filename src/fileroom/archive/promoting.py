"""Instances that are kept by reference copied into the archive; the source stays as it is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fileroom.archive.references import lost_reference
from fileroom.database.values.instances import PlaceKind
from fileroom.dicom.rewriting import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.archive.reading import InstanceReader


def promoted_file(reader: InstanceReader, check: Callable[[], None]) -> Iterator[bytes] | None:
    """Give the bytes of an instance that is kept by reference; None where the archive has them.

    ``check`` is called before each piece, and may raise to leave off.

    Raises
    ------
    DataLoss
        If the source is not, or no longer, what was imported.
    """
    if reader.stored.place.kind is not PlaceKind.REFERENCE:
        return None
    source, place = reader.source, reader.stored.place
    if place.kind is not PlaceKind.REFERENCE:
        return None  # copied since its row was read

    def pieces() -> Iterator[bytes]:
        digest = hashlib.sha256()
        for offset in range(0, source.size, PIECE_BYTES):
            check()
            piece = source.read_at(offset, PIECE_BYTES)
            digest.update(piece)
            yield piece
        if place.sha256 not in {None, digest.digest()}:
            raise lost_reference(place, reader.stored.path)

    return pieces()
