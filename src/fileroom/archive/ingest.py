"""Bytes become durable blobs, and the records that give them rows.

Runs in worker processes for imports. Per object one read and one write, no SQL: the records go
back to whoever commits them. A record exists only for a blob that is durable (I1).
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from fileroom.archive.layout import blob_directory, blob_key
from fileroom.archive.packs import PackWriter
from fileroom.database.values.instances import FramesKnown, InstanceRecord, Place
from fileroom.dicom.header import CURRENT_DICTIONARY_ID, encode_header
from fileroom.dicom.part10 import scan
from fileroom.objectstore.local.durable import translating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fileroom.dicom.header import ByteSource
    from fileroom.dicom.part10 import Scan
    from fileroom.objectstore.local import LocalBucket

PIECE_BYTES: Final = 8 << 20
HEADER_KEPT_BYTES: Final = 256 << 10
"""A compressed header over this is not kept in the database but cut from the blob again."""
NATIVE_TRANSFER_SYNTAXES: Final = frozenset(
    {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
)
"""Those whose frames lie at places that arithmetic gives (PS3.5 A.1 to A.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes blobs: an operation, by its number, into the blobs of one store."""

    bucket: LocalBucket
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The whole bytes of one object, of one version."""

    ordinal: int
    source: str
    version: str | None
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledHeaders:
    """Headers of some records, in a file."""

    path: Path
    lengths: tuple[int, ...]
    """One for each record, 0 where none is kept."""


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
                _describe(content.ordinal, content.source, content.version, place, scanned)
            )
        if pack is not None:
            pack.commit()
    return records


def store_object(
    writer: Writer, content: ByteSource, *, ordinal: int, source: str, version: str | None
) -> InstanceRecord:
    """Store one object of any size in pieces, once its header was read and accepted.

    Raises
    ------
    Refused
        If it is not DICOM; nothing was written then.
    """
    scanned = scan(content)
    digest = hashlib.sha256()
    with writer.bucket.writer(f"{blob_directory(ordinal)}/unnamed") as blob:
        for offset in range(0, content.size, PIECE_BYTES):
            piece = content.read_at(offset, PIECE_BYTES)
            digest.update(piece)
            blob.write(piece)
        key = blob_key(digest.digest(), writer.number, ordinal)
        blob.commit(key.rpartition("/")[2])
    place = Place(key=key, size=content.size, sha256=digest.digest())
    return _describe(ordinal, source, version, place, scanned)


def _describe(
    ordinal: int, source: str, version: str | None, place: Place, scanned: Scan
) -> InstanceRecord:
    header = encode_header(scanned.header, CURRENT_DICTIONARY_ID)
    native = scanned.attributes.transfer_syntax_uid in NATIVE_TRANSFER_SYNTAXES
    frames_known: FramesKnown = "NATIVE" if native else "UNKNOWN"
    return InstanceRecord(
        ordinal=ordinal,
        source=source,
        version=version,
        attributes=scanned.attributes,
        place=place,
        frames_known=frames_known,
        header=header if len(header) <= HEADER_KEPT_BYTES else None,
        header_dictionary=CURRENT_DICTIONARY_ID,
    )


def spool_headers(records: Sequence[InstanceRecord], spool: Path) -> SpooledHeaders:
    """Write the records' headers to a file, where they would weigh too much in a message.

    The file needs no durability: what is not committed is made again.
    """
    with translating(spool.name), spool.open("wb") as file:
        lengths = tuple(file.write(record.header or b"") for record in records)
    return SpooledHeaders(path=spool, lengths=lengths)


def unspool_headers(
    records: Sequence[InstanceRecord], spooled: SpooledHeaders
) -> list[InstanceRecord]:
    """Give the records with their headers again; the file is then spent."""
    with translating(spooled.path.name), spooled.path.open("rb") as file:
        return [
            replace(record, header=file.read(length) or None)
            for record, length in zip(records, spooled.lengths, strict=True)
        ]
