"""Frames of an instance: one query, then one ranged read of the untouched blob for each.

A table of frames that is not kept, or cannot be read, is made (``frame_tables``).
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from fileroom.archive.frame_tables import PixelBytes, made_table
from fileroom.archive.reading import InstanceReader, WithoutRows
from fileroom.closing import Closing
from fileroom.database.stored import (
    find_frame_chunk,
    find_stored_frames,
)
from fileroom.database.values.instances import PlaceKind
from fileroom.dicom.encoding import DEFLATED, EXPLICIT_VR_LITTLE_ENDIAN
from fileroom.dicom.frames import (
    FRAMES_IN_CHUNK,
    FragmentedFrame,
    NativeFrame,
    NativeFrames,
    check_has_frames,
    chunk_of,
    decode_chunk,
    find_frames,
    single_frame,
)
from fileroom.errors import (
    Aborted,
    DataLoss,
    InvalidArgument,
    NotFound,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fileroom.archive.reading import Content
    from fileroom.archive.retrieve import StoreContent
    from fileroom.database.engine import Database
    from fileroom.database.stored import StoredFrames
    from fileroom.database.values.stored import StoredInstance
    from fileroom.dicom.frames import TableChunk
    from fileroom.dicom.header import Cut, Header
    from fileroom.names import InstancePath
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.buckets import Buckets

logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 3
"""How often an instance is read that is replaced just then."""
_NUMBER_MAX: Final = (1 << 31) - 1
"""Number of Frames is an IS of 32 bits (PS3.5 6.2)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of an instance, of which nothing is read yet."""

    number: int
    """Counted from 1."""
    place: NativeFrame | FragmentedFrame
    _source: _Source

    @property
    def size_max(self) -> int:
        """Bytes that it has at most."""
        return self.place.size_max

    def pieces(self) -> Iterator[bytes]:
        """Give its bytes in pieces of at most 8 MB; only while the frames are open."""
        return self.place.pieces(self._source.read)

    def read(self) -> bytes:
        """Give its bytes at one go; only while the frames are open."""
        return b"".join(self.pieces())

    def detached(self) -> FrameInBlob | FrameInHand:
        """Give what another process can read it by."""
        return self._source.detached(self)


@dataclass(frozen=True, slots=True)
class FrameInBlob(WithoutRows):
    """Where a frame lies: another process reads it faster than it can be sent there."""

    blobs: Blobs
    blob_prefix: str
    buckets: Buckets
    stored: StoredInstance
    """Without its header."""
    place: NativeFrame | FragmentedFrame

    def find_again(self, stored: StoredInstance) -> StoredInstance:
        """Give the frame up: who reads it so reads no rows."""
        if stored.place.kind is PlaceKind.REFERENCE:
            return stored  # nothing of Fileroom's takes a source away
        raise Aborted(f"{stored.path} was deleted or replaced while it was read; ask again")

    def read(self) -> bytes:
        """Give its bytes; raises as ``InstanceReader`` does."""
        with InstanceReader(self, self.stored) as reader:
            return b"".join(self.place.pieces(reader.source.read_at))


@dataclass(frozen=True, slots=True)
class FrameInHand:
    """The bytes of a frame that only who inflates the data set can read."""

    content: bytes

    def read(self) -> bytes:
        """Give them."""
        return self.content


def read_frames(
    content: StoreContent, path: InstancePath, numbers: Sequence[int] | None = None
) -> Frames:
    """Open the frames of an instance with these numbers, in this order; all of them if None.

    Whatever can be found wrong without reading a frame is raised here, before anything is sent.

    Raises
    ------
    NotFound
        If there is no such instance, or it has fewer frames.
    InvalidArgument
        If a number is below 1; ``NoPixelData`` if the instance has no frames at all.
    NotAcceptable
        If the instance is a video.
    DataLoss
        If the pixel data do not hold the frames that the header tells of.
    Unimplemented
        If the frames must be found first and are of too many fragments.
    """
    assert path.sop_instance_uid is not None
    first_chunk = chunk_of(numbers[0]) if numbers and 0 < numbers[0] <= _NUMBER_MAX else 0
    for _ in range(_ATTEMPTS):
        with content.database.read() as connection:
            found = find_stored_frames(connection, content.store_id, path, first_chunk)
        if found is None:
            raise NotFound(f"{path} does not exist in this DICOM store", "name")
        check_has_frames(found.instance.transfer_syntax_uid)
        with ExitStack() as stack:
            reader = stack.enter_context(InstanceReader(content, found.instance))
            _ = reader.source
            if reader.stored is not found.instance:
                continue  # replaced since: what was found is of other bytes
            frames = Frames(reader, _frames_found(content, reader, found), numbers)
            stack.pop_all()
            return frames
    raise Aborted(f"{path} is being replaced; ask again")


def open_frames(
    content: Content, stored: StoredInstance, numbers: Sequence[int] | None = None
) -> Frames:
    """Open frames by the row of their instance alone, as a worker does; raises as ``read_frames``.

    The table of encapsulated ones is made by a walk over the file, and kept nowhere.
    """
    check_has_frames(stored.transfer_syntax_uid)
    with ExitStack() as stack:
        reader = stack.enter_context(InstanceReader(content, stored))
        _ = reader.source
        frames = Frames(reader, _find_frames(reader, None, is_single=False), numbers)
        stack.pop_all()
        return frames


class Frames(Closing):
    """Frames of one instance, to be drawn one after another and then closed."""

    def __init__(
        self,
        reader: InstanceReader,
        found: NativeFrames | _SingleFrame | _TableFrames,
        numbers: Sequence[int] | None,
    ) -> None:
        self._reader = reader
        self._found = found
        self._source = _Source(reader)
        self.number_of_frames = found.number_of_frames
        """Of the whole instance."""
        self.numbers = range(1, self.number_of_frames + 1) if numbers is None else numbers
        if numbers is not None:
            self._check_numbers(numbers)
        elif isinstance(found, NativeFrames):
            found.frame(self.number_of_frames)

    @property
    def stored(self) -> StoredInstance:
        """The rows of the instance."""
        return self._reader.stored

    @property
    def header(self) -> Header:
        """The header of the instance; raises as ``InstanceReader.header`` does."""
        return self._reader.header

    @property
    def transfer_syntax_uid(self) -> str:
        """What the frames are encoded in: native ones are given in little endian always."""
        if isinstance(self._found, NativeFrames):
            return EXPLICIT_VR_LITTLE_ENDIAN
        return self.stored.transfer_syntax_uid

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames; memory does not grow with them."""
        return (Frame(number, self._found.frame(number), self._source) for number in self.numbers)

    def close(self) -> None:
        """Close the blob; a second call does nothing."""
        self._reader.close()

    def _check_numbers(self, numbers: Sequence[int]) -> None:
        """Refuse numbers that no frame has, before anything is sent."""
        count = self.number_of_frames
        known = "1 frame" if count == 1 else f"{count} frames"
        if not numbers or min(numbers) < 1:
            raise InvalidArgument(f"frames are counted from 1; this instance has {known}", "frames")
        last = max(numbers)
        if last > count:
            raise NotFound(f"{self.stored.path} has {known}, and no frame {last}", "frames")
        if isinstance(self._found, NativeFrames):
            self._found.frame(last)


class _Source(PixelBytes):
    """Bytes of an instance's pixel data, here or in another process."""

    def detached(self, frame: Frame) -> FrameInBlob | FrameInHand:
        """Give what another process can read a frame by."""
        content, stored = self._reader.content, self._reader.stored
        if stored.transfer_syntax_uid in DEFLATED:
            return FrameInHand(frame.read())
        return FrameInBlob(
            content.blobs,
            content.blob_prefix,
            content.buckets,
            replace(stored, header=None),
            frame.place,
        )


class _SingleFrame:
    """All fragments together."""

    number_of_frames = 1

    def __init__(self, pixel_data: Cut) -> None:
        self._frame = single_frame(pixel_data)

    def frame(self, number: int) -> FragmentedFrame:
        """Give where the frame is."""
        assert number == 1
        return self._frame


class _TableFrames:
    """Frames that a table tells of; one chunk of it is held at a time."""

    def __init__(
        self, reader: InstanceReader, database: Database | None, chunks: dict[int, bytes]
    ) -> None:
        self._database = database
        self._reader = reader
        self._chunks = chunks
        self._held = -1
        self._chunk = self._load(max(chunks))
        self.number_of_frames = self._chunk.number_of_frames

    def frame(self, number: int) -> FragmentedFrame:
        """Give where a frame is."""
        wanted = chunk_of(number)
        chunk = self._chunk if wanted == self._held else self._load(wanted)
        index = (number - 1) % FRAMES_IN_CHUNK
        if index >= len(chunk):
            raise DataLoss(f"the table of frames has no frame {number}; it is made again")
        return chunk.frame(index)

    def _load(self, number: int) -> TableChunk:
        z = self._chunks.get(number)
        if z is None and self._database is not None:
            with self._database.read() as connection:
                z = find_frame_chunk(connection, self._reader.stored, number)
        if z is None:
            raise Aborted(f"{self._reader.stored.path} was replaced meanwhile; ask again")
        try:
            self._chunk = decode_chunk(z)
        except DataLoss:
            self._chunks = made_table(self._reader, self._database)
            self._chunk = decode_chunk(self._chunks.get(number, b""))
        self._held = number
        return self._chunk


def _frames_found(
    content: StoreContent, reader: InstanceReader, found: StoredFrames
) -> NativeFrames | _SingleFrame | _TableFrames:
    if found.known == "TABLE" and found.chunks:
        return _TableFrames(reader, content.database, dict(found.chunks))
    return _find_frames(reader, content.database, is_single=found.known == "TABLE")


def _find_frames(
    reader: InstanceReader, database: Database | None, *, is_single: bool
) -> NativeFrames | _SingleFrame | _TableFrames:
    frames = find_frames(reader.header)
    if isinstance(frames, NativeFrames):
        return frames
    chunks = {} if is_single else made_table(reader, database)
    return _TableFrames(reader, database, chunks) if chunks else _SingleFrame(frames)
