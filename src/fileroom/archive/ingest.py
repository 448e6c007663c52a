"""Bytes become durable blobs, and the records that give them rows.

Runs in worker processes for imports. Per object one read and one write, no SQL: the records go
back to whoever commits them. A record exists only for a blob that is durable (I1).
"""

from __future__ import annotations

import io
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from fileroom.archive.layout import blob_directory, blob_key, outcome_key
from fileroom.archive.packs import PackWriter
from fileroom.database.values.instances import FramesKnown, InstanceRecord, Place
from fileroom.dicom.encoding import DEFLATED
from fileroom.dicom.frames import (
    NoPixelData,
    check_has_frames,
    encode_table,
    frame_lengths,
    told_lengths,
)
from fileroom.dicom.header import CURRENT_DICTIONARY_ID, ByteSource, encode_header
from fileroom.dicom.media_types import NotAcceptable
from fileroom.dicom.part10 import Refused, scan
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fileroom.dicom.frames import Read
    from fileroom.dicom.part10 import Scan
    from fileroom.objectstore.blobs.contract import BlobBucket
    from fileroom.objectstore.contract import StoredObject

PIECE_BYTES: Final = 8 << 20
HEADER_KEPT_BYTES: Final = 256 << 10
"""A compressed header over this is not kept in the database but cut from the blob again."""
FRAME_TABLE_KEPT_BYTES: Final = 1 << 20
"""A table of frames over this is left to who first asks for a frame: 500,000 random sizes."""
FRAGMENTS_MAX: Final = 1 << 20
"""More fragments than these are left as well: an import waits for one object 0.3 s at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes blobs: an operation, by its number, into the blobs of one store."""

    bucket: BlobBucket
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The whole bytes of one object, of one version."""

    ordinal: int
    source: str
    version: str | None
    data: bytes

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes from ``offset`` on, fewer only at the end."""
        return self.data[offset : offset + length]


class LargeContent(ByteSource, Protocol):
    """One version of an object that is read in pieces."""

    def recall(self, offset: int, piece: bytes) -> None:
        """Hear bytes that were read before; see ``Resumable``."""

    def watch(self, copied: StoredObject) -> ByteSource:
        """Give the copy of it, as something whose reads show that the work goes on too."""

    def alive(self) -> None:
        """Show that the work goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledHeaders:
    """Headers and tables of frames of some records, left beside the blobs."""

    key: str
    lengths: tuple[tuple[int, ...], ...]
    """For each record, of its header, 0 where none is kept, then of the chunks of its table."""


def store_contents(
    writer: Writer, contents: Iterator[Content], refuse: Callable[[Content, Exception], None]
) -> list[InstanceRecord]:
    """Store objects as blobs, all durable on return; ``refuse`` hears of what is not DICOM.

    They come to lie in one pack.

    Raises
    ------
    ResourceExhausted
        If the disk is full.
    Internal
        If the disk did not keep what was written.
    """
    records: list[InstanceRecord] = []
    with ExitStack() as stack:
        pack: PackWriter | None = None
        for content in contents:
            try:
                scanned = scan(content.data)
            except Exception as error:  # one object's affair, whatever it is
                refuse(content, error)
                continue
            if pack is None:
                pack = stack.enter_context(
                    PackWriter(writer.bucket, writer.number, content.ordinal)
                )
            place = pack.add(content.data)
            records.append(
                describe(
                    content.ordinal,
                    content.source,
                    content.version,
                    place,
                    scanned,
                    content.read_at,
                )
            )
        if pack is not None:
            pack.commit()
    return records


def store_object(
    writer: Writer, content: LargeContent, *, ordinal: int, source: str, version: str
) -> InstanceRecord:
    """Store one object of any size in pieces, once its header was read and accepted.

    What an earlier attempt at the same version fetched on this machine is not fetched again.

    Raises
    ------
    Refused
        If it is not DICOM.
    """
    scan(content, sparse=True)
    with writer.bucket.drafts() as drafts:
        part = drafts.take_up(
            blob_directory(ordinal),
            part_name(writer.number, ordinal),
            f"{version} {source!r}",
            content.recall,
        )
        try:
            for offset in range(part.size, content.size, PIECE_BYTES):
                part.write(content.read_at(offset, PIECE_BYTES))
            sha256 = part.sha256.digest()
            key = blob_key(sha256, writer.number, ordinal)
            place = Place(key=key, size=content.size, sha256=sha256)
            with part.open() as opened:
                copied = content.watch(opened)
                record = describe(ordinal, source, version, place, scan(copied), copied.read_at)
        except (Refused, DataLoss):
            drafts.forget(part)
            raise
        drafts.publish([(part, place.key)], alive=content.alive)
    return record


def part_name(writer: int, ordinal: int | str = "") -> str:
    """Give what a large object is called while it comes, or what all of a writer begin with."""
    return f"{writer}-{ordinal}"


def describe(
    ordinal: int,
    source: str,
    version: str | None,
    place: Place,
    scanned: Scan,
    read: Read,
) -> InstanceRecord:
    """Give the record of an object whose bytes lie at a place, and are read by ``read``."""
    header = encode_header(scanned.header, CURRENT_DICTIONARY_ID)
    frames_known, frame_table = _known_frames(scanned, read)
    return InstanceRecord(
        ordinal=ordinal,
        source=source,
        version=version,
        attributes=scanned.attributes,
        place=place,
        frames_known=frames_known,
        header=header if len(header) <= HEADER_KEPT_BYTES else None,
        header_dictionary=CURRENT_DICTIONARY_ID,
        frame_table=frame_table,
    )


def _known_frames(scanned: Scan, read: Read) -> tuple[FramesKnown, tuple[bytes, ...]]:
    """Find the frames; those that cannot be told are no reason to refuse the instance."""
    fragments, uid = scanned.fragments, scanned.attributes.transfer_syntax_uid
    if fragments is None:
        return "NATIVE", ()
    if len(fragments.lengths) > FRAGMENTS_MAX or uid in DEFLATED:
        return "UNKNOWN", ()
    try:
        check_has_frames(uid)
        number_of_frames = scanned.attributes.number_of_frames
        if fragments.end is None:
            found = frame_lengths(fragments, number_of_frames, uid, read)
        else:
            told = told_lengths(fragments, number_of_frames, uid, read, most=FRAGMENTS_MAX)
            if told is None:
                return "UNKNOWN", ()
            found = told
    except (DataLoss, NoPixelData, NotAcceptable):
        return "UNKNOWN", ()
    start, lengths = found
    if len(lengths) == 1:
        return "TABLE", ()
    chunks = tuple(encode_table(start, lengths))
    if sum(map(len, chunks)) > FRAME_TABLE_KEPT_BYTES:
        return "UNKNOWN", ()
    return "TABLE", chunks


def spool_headers(writer: Writer, records: Sequence[InstanceRecord]) -> SpooledHeaders:
    """Leave what is kept of the records beside the blobs: it would weigh too much in a message.

    Whoever commits them may be on another machine.
    """
    kept = [(record.header or b"", *record.frame_table) for record in records]
    key = outcome_key(writer.number, records[0].ordinal, secrets.token_hex(8))
    writer.bucket.write(key, (piece for pieces in kept for piece in pieces if piece))
    return SpooledHeaders(key=key, lengths=tuple(tuple(map(len, pieces)) for pieces in kept))


def unspool_headers(
    writer: Writer, records: Sequence[InstanceRecord], spooled: SpooledHeaders
) -> list[InstanceRecord]:
    """Give the records with what was kept of them again."""
    with writer.bucket.open(spooled.key) as opened:
        content = io.BytesIO(opened.read_at(0, opened.size))
    return [
        replace(
            record,
            header=content.read(header_bytes) or None,
            frame_table=tuple(map(content.read, chunk_bytes)),
        )
        for record, (header_bytes, *chunk_bytes) in zip(records, spooled.lengths, strict=True)
    ]
