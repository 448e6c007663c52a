"""Instances as files, from rows and blobs."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, Self

from fileroom.archive.reading import InstanceReader, damaged_bytes
from fileroom.closing import Closing
from fileroom.database.instances import note_damage
from fileroom.database.stored import (
    find_stored_instance,
    find_stored_instances,
    list_instances,
)
from fileroom.dicom.rewriting import PIECE_BYTES
from fileroom.errors import FileroomError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fileroom.archive.reading import Content
    from fileroom.database.engine import Database
    from fileroom.database.values.stored import ListedInstance, StoredInstance
    from fileroom.dicom.header import ByteSource
    from fileroom.names import InstancePath
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.buckets import Buckets

logger = logging.getLogger(__name__)

HEADERS_AT_A_TIME: Final = 100
HASHERS: Final = 8
"""Threads that compute checksums of large files, each of one piece at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreContent:
    """Where the rows and the blobs of one DICOM store are."""

    database: Database
    blobs: Blobs
    buckets: Buckets
    """Where the objects are that are kept by reference."""
    store_id: int
    blob_prefix: str

    def find_again(self, stored: StoredInstance) -> StoredInstance:
        """Give the rows of an instance whose bytes are not where they said."""
        return find_instance(self, stored.path)

    def note_damage(self, stored: StoredInstance) -> None:
        """Note that an instance's bytes are lost, so that the same file stored again heals it."""
        try:
            self.database.write(lambda tx: note_damage(tx, self.store_id, [stored.place]))
        except FileroomError as error:  # who reads is told of the damage in any case
            logger.warning("damage is not noted", extra={"cause": str(error)})


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFile:
    """The file of an instance, or one of its values; ``pieces`` must be drawn or closed."""

    transfer_syntax_uid: str
    size: int | None
    """Unknown where it is deflated or encoded while it is sent."""
    etag: str | None
    """With its quotes, weak where the bytes may differ; ``None`` where no checksum is known."""
    pieces: FilePieces
    span: Callable[[int, int], Iterator[bytes]] | None = None
    """Gives the bytes from one place to before another in place of ``pieces``.

    Only where the size is known; ``pieces`` close what it reads from all the same.
    """


def find_instance(content: StoreContent, path: InstancePath) -> StoredInstance:
    """Give the rows of the instance at a path.

    Raises
    ------
    NotFound
        If there is none, or its study or series is being deleted.
    """
    with content.database.read() as connection:
        stored = find_stored_instance(connection, content.store_id, path)
    if stored is None:
        raise absent(path)
    return stored


def find_instances(content: StoreContent, path: InstancePath) -> Sequence[ListedInstance]:
    """Give what a study's or series' instances are, in order.

    Raises
    ------
    NotFound
        If there is none.
    """
    with content.database.read() as connection:
        found = list_instances(connection, content.store_id, path)
    if not found:
        raise absent(path)
    return found


def each_stored(content: StoreContent, ids: Iterable[int]) -> Iterator[StoredInstance]:
    """Give the rows of instances in the order of their ids; those that are gone are left out."""
    remaining = iter(ids)
    while some := list(islice(remaining, HEADERS_AT_A_TIME)):
        with content.database.read() as connection:
            found = find_stored_instances(connection, some)
        yield from (stored for stored in found if stored is not None)


def open_as_stored(content: Content, stored: StoredInstance) -> InstanceFile:
    """Open the file with the very bytes that were stored.

    Raises
    ------
    NotFound
        If the instance was deleted meanwhile.
    DataLoss
        If its blob is missing or has another size, or its source is not what was imported; or if
        its bytes are not those that were stored, which a large file tells only at its end, in place
        of its last piece.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(InstanceReader(content, stored))
        source = reader.source
        sha256 = reader.stored.place.sha256
        pieces = _span(source, 0, source.size)
        if sha256 is not None:
            pieces = _verified(content, pieces, reader.stored)
            if source.size <= PIECE_BYTES:  # nothing wrong is sent, and an error is told as one
                pieces = iter(list(pieces))
        stack.pop_all()
    return InstanceFile(
        transfer_syntax_uid=reader.stored.transfer_syntax_uid,
        size=source.size,
        etag=None if sha256 is None else f'"{sha256.hex()}"',
        pieces=FilePieces(pieces, reader),
        span=partial(_span, source),
    )


def bulk_data_uri(dicom_web_url: str, reader: InstanceReader) -> str:
    """Give what an instance's BulkDataURI begin with."""
    return f"{dicom_web_url}/{reader.stored.path}/bulkdata"


def each_reader(content: StoreContent, ids: Iterable[int]) -> Iterator[InstanceReader]:
    """Give readers of instances in the order of their ids; each is closed when the next is drawn.

    Instances that are gone are left out.
    """
    for stored in each_stored(content, ids):
        with InstanceReader(content, stored) as reader:
            try:
                _ = reader.header
            except NotFound:
                continue
            yield reader


class _Held(Protocol):
    def close(self) -> None: ...


class FilePieces(Closing):
    """The pieces of a file, which close what they are read from at their end or when closed."""

    def __init__(self, pieces: Iterator[bytes], *held: _Held) -> None:
        self._pieces = pieces
        self._held = held

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with ExitStack() as stack:
            stack.callback(self.close)
            piece = next(self._pieces)
            stack.pop_all()
        return piece

    def instead(self, pieces: Iterator[bytes]) -> FilePieces:
        """Give others that close the same."""
        return FilePieces(pieces, *self._held)

    def close(self) -> None:
        """Close the blob; a second call does nothing."""
        self._pieces = iter(())  # frames under way are given up before the blob is closed
        for each in self._held:
            each.close()


def absent(path: InstancePath) -> NotFound:
    """Give the error that says there is no such study, series or instance."""
    return NotFound(f"{path} does not exist in this DICOM store", "name")


def _verified(content: Content, pieces: Iterator[bytes], stored: StoredInstance) -> Iterator[bytes]:
    """Give the pieces of a file, the last of them only if all are what was stored.

    Raises
    ------
    DataLoss
        If they are not.
    """
    digest = hashlib.sha256()
    last = next(pieces)
    digest.update(last)  # a file of one piece needs no other thread
    for piece in pieces:
        hashed = _hashers().submit(digest.update, piece)  # while the one before it is sent
        yield last
        hashed.result()
        last = piece
    if digest.digest() != stored.place.sha256:
        content.note_damage(stored)
        raise damaged_bytes(stored)
    yield last


@cache
def _hashers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(HASHERS, thread_name_prefix="hashing")


def _span(source: ByteSource, start: int, stop: int) -> Iterator[bytes]:
    return (
        source.read_at(offset, min(PIECE_BYTES, stop - offset))
        for offset in range(start, stop, PIECE_BYTES)
    )
