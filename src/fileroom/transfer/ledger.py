"""What became of every object of an operation, kept in compressed chunks, one for each batch.

A row for every object would double the size of the database; a file beside it would need a
durability order of its own. A chunk is about 20 KB and lies in its batch's transaction.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
import zstandard
from msgspec import structs

from fileroom.database import operations
from fileroom.database.values.operations import Counters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fileroom.database.engine import Database
    from fileroom.database.values.operations import DeferredObject
    from fileroom.errors import ObjectFailure

DEFERRED: Final = "deferred"
FAILED: Final = "failed"
PENDING: Final = "pending"
CHUNKS_AT_A_TIME: Final = 20
"""Of a ledger that is read: some 5,000 lines."""
COLUMNS: Final[dict[str, type]] = {
    "ordinal": int,
    "source": str,
    "result": str,
    "reason": str,
    "version": str,
    "size": int,
    "sha256": str,
    "studyInstanceUid": str,
    "seriesInstanceUid": str,
    "sopInstanceUid": str,
    "destination": str,
}
"""Of a ledger that is given or written: their names and types."""


class LedgerLine(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What became of one object."""

    ordinal: int
    source: str
    result: str
    """A term of the account (``imported``, ``exported``, ``failed``…), or ``deferred``."""
    version: str | None = None
    size: int = 0
    sha256: bytes | None = None
    instance: tuple[str, str, str] | None = None
    """Study, Series and SOP Instance UID."""
    reason: str | None = None
    destination: str | None = None


def as_row(line: LedgerLine) -> dict[str, Any]:
    """Give a line by its ``COLUMNS``, those left out that have no value."""
    study, series, instance = line.instance or (None, None, None)
    values = {
        "ordinal": line.ordinal,
        "source": line.source,
        "result": line.result,
        "reason": line.reason,
        "version": line.version,
        "size": line.size,
        "sha256": None if line.sha256 is None else line.sha256.hex(),
        "studyInstanceUid": study,
        "seriesInstanceUid": series,
        "sopInstanceUid": instance,
        "destination": line.destination,
    }
    return {name: value for name, value in values.items() if value is not None}


def encode_chunk(lines: Sequence[LedgerLine]) -> bytes:
    """Give the lines of a batch as one chunk."""
    return zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(lines))


def decode_chunk(chunk: bytes) -> list[LedgerLine]:
    """Give the lines that a chunk holds."""
    content = zstandard.ZstdDecompressor().decompress(chunk)
    return msgspec.msgpack.decode(content, type=list[LedgerLine])


def failure_line(ordinal: int, failure: ObjectFailure) -> LedgerLine:
    """Give the line of an object that failed."""
    return LedgerLine(ordinal=ordinal, source=failure.source, result=FAILED, reason=failure.reason)


def deferred_line(deferred: DeferredObject) -> LedgerLine:
    """Give the line of an object that left the line; the lane's own line follows later."""
    return LedgerLine(
        ordinal=deferred.ordinal,
        source=deferred.source,
        result=DEFERRED,
        version=deferred.version,
        size=deferred.size,
        reason=deferred.why,
    )


def count_lines(lines: Iterable[LedgerLine]) -> Counters:
    """Give how many objects came to which end, those that are only put off left out."""
    results = Counter[str]()
    size_bytes = 0
    for line in lines:
        if line.result != DEFERRED:
            results[line.result] += 1
            size_bytes += line.size
    return Counters(**results, bytes=size_bytes)


def read_ledger(database: Database, operation_id: int) -> Iterator[list[LedgerLine]]:
    """Give what became of every object so far, some at a time, each once.

    One that is put off is ``pending``. Each step is a short read of its own, so that an operation
    which still runs may have gone on between two, and what it has settled then comes once more.
    """
    after = (-1, -1)
    while True:
        with database.read() as connection:
            chunks = operations.ledger_chunks(
                connection, operation_id, after=after, at_most=CHUNKS_AT_A_TIME
            )
            lines = [line for _, _, chunk in chunks for line in decode_chunk(chunk)]
            put_off = [line.ordinal for line in lines if line.result == DEFERRED]
            waiting = operations.deferred_among(connection, operation_id, put_off)
        if not chunks:
            return
        yield [
            structs.replace(line, result=PENDING) if line.result == DEFERRED else line
            for line in lines
            if line.result != DEFERRED or line.ordinal in waiting
        ]
        after = chunks[-1][:2]
