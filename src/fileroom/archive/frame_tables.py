"""The table that tells where the frames of an instance are, made by a walk over its fragments.

It is kept for the next time; who has no database walks each time.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fileroom.archive.reading import damaged
from fileroom.archive.references import InPieces
from fileroom.database.stored import keep_frame_table
from fileroom.database.values.instances import PlaceKind
from fileroom.dicom.encoding import DEFLATED
from fileroom.dicom.frames import NoPixelData, encode_table, frame_lengths
from fileroom.dicom.part10 import Refused, scan
from fileroom.errors import FileroomError, ResourceExhausted, Unimplemented

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.archive.reading import InstanceReader
    from fileroom.database.engine import Database
    from fileroom.database.values.stored import StoredInstance

logger = logging.getLogger(__name__)

TABLE_KEPT_BYTES: Final = 4 << 20
"""A larger table is made again each time: two million frames of random sizes."""
FRAGMENTS_MAX: Final = 8 << 20
"""Of more fragments no table is made: it would take over 150 MB while it is."""
READ_ONCE_BYTES: Final = 64 << 20
"""A larger object is read whole for its table by one request at a time."""
_in_the_making: Final[set[int]] = set()
_in_the_making_lock: Final = threading.Lock()


class PixelBytes:
    """Bytes of an instance's pixel data, in any order.

    A deflated data set is read forward only: what lies before is inflated again from the start.
    """

    def __init__(self, reader: InstanceReader) -> None:
        self._reader = reader
        self._last = 0
        """The last byte that was read, which may be read once more: frames can share one."""

    def read(self, offset: int, length: int) -> bytes:
        """Give bytes by the offsets of the header's cuts."""
        if self._reader.stored.transfer_syntax_uid not in DEFLATED:
            return self._reader.source.read_at(offset, length)
        if offset < self._last:
            self._reader.rewind()
        self._last = offset + length - 1
        return self._reader.read(offset, length)


def made_table(reader: InstanceReader, database: Database | None) -> dict[int, bytes]:
    """Make the table of an instance's frames and keep it; without chunks for a single frame.

    Raises
    ------
    NoPixelData
        If there are none.
    DataLoss
        If the file is damaged.
    Unimplemented
        If it has too many fragments.
    ResourceExhausted
        If it is large, and another request makes the table just now.
    """
    with _making(reader.stored):
        return _made(reader, database)


def _made(reader: InstanceReader, database: Database | None) -> dict[int, bytes]:
    stored = reader.stored
    is_far = stored.place.kind is PlaceKind.REFERENCE or reader.content.blobs.is_remote
    in_pieces = InPieces(reader.source) if is_far else None
    try:
        scanned = scan(in_pieces or reader.source)
    except Refused as error:
        raise damaged(stored, error) from error
    if scanned.fragments is None:
        raise NoPixelData("missing pixel data: this instance has no frames")
    if len(scanned.fragments.lengths) > FRAGMENTS_MAX:
        raise Unimplemented(
            f"{stored.path} has more than {FRAGMENTS_MAX} fragments; retrieve the whole instance"
        )
    reader.rewind()
    start, lengths = frame_lengths(
        scanned.fragments,
        scanned.attributes.number_of_frames,
        stored.transfer_syntax_uid,
        in_pieces.read_at if in_pieces is not None else PixelBytes(reader).read,
    )
    reader.rewind()
    chunks = [] if len(lengths) == 1 else list(encode_table(start, lengths))
    if database is not None and sum(map(len, chunks)) <= TABLE_KEPT_BYTES:
        try:
            database.write(lambda transaction: keep_frame_table(transaction, stored, chunks))
        except FileroomError as error:
            # The frames can be read all the same.
            logger.warning("a table of frames was not kept", extra={"cause": error.code.name})
    return dict(enumerate(chunks))


@contextmanager
def _making(stored: StoredInstance) -> Iterator[None]:
    """Have one request at a time read a large object whole, to find its frames.

    Raises
    ------
    ResourceExhausted
        To the others, which find the table once it is kept.
    """
    if stored.place.size < READ_ONCE_BYTES:
        yield
        return
    with _in_the_making_lock:
        if stored.id in _in_the_making:
            raise ResourceExhausted(
                f"the frames of {stored.path} are being looked for, since no offset table tells"
                " where they are; ask again in a while",
                "frames",
            )
        _in_the_making.add(stored.id)
    try:
        yield
    finally:
        with _in_the_making_lock:
            _in_the_making.discard(stored.id)
