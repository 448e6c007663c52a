"""Beside the blobs it is told which of them no row names any more.

Rows that are lost can be made again from the blobs; without these marks what was deleted would come
back with them, and what was replaced. A mark is written once the deletion is committed: before the
answer where a request asks for one, and else by the collector. It goes with the last of the bytes
that it tells of. One that is left by a crash does no harm, since no place is ever used twice.
"""

from __future__ import annotations

import logging
import uuid
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.archive.layout import MARKS, check_blob_bucket
from fileroom.database import marks
from fileroom.database.marks import MarkedDrop  # noqa: TC001
from fileroom.errors import DataLoss, FileroomError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fileroom.database.engine import Database
    from fileroom.database.marks import UnmarkedDrops
    from fileroom.objectstore.blobs.contract import BlobBucket, Blobs

logger = logging.getLogger(__name__)

_FORM: Final = 1


class _Mark(msgspec.Struct, frozen=True):
    """What is in the file."""

    form: int
    drops: list[MarkedDrop]


def mark_deletions(database: Database, blobs: Blobs, store_id: int | None = None) -> int:
    """Tell beside the blobs of what lost its rows, in a store or in all; give how much there was.

    May be repeated, and run at several places at a time.

    Raises
    ------
    Unavailable
        If the blobs are not there.
    """
    count = 0
    while some := _unmarked(database, store_id):
        note = partial(marks.note_mark, ids=some.ids, mark=_write(blobs, some))
        database.write(note)
        count += len(some.ids)
    return count


def mark_if_possible(database: Database, blobs: Blobs, store_id: int | None) -> None:
    """Tell beside the blobs of what was deleted; where that fails, the collector does it later."""
    try:
        mark_deletions(database, blobs, store_id)
    except FileroomError as error:
        logger.warning("what was deleted cannot be marked yet", extra={"cause": str(error)})


def forget_marks(database: Database, blobs: Blobs, spent: Iterable[tuple[str, str]]) -> None:
    """Delete those of some marks, each of a ``blob_prefix``, that tell of nothing any more."""
    by_key = {mark: blob_prefix for blob_prefix, mark in spent if mark}
    if not by_key:
        return
    with database.read() as connection:
        needed = marks.needed_marks(connection, by_key)
    for mark in sorted(set(by_key) - needed):
        blobs.bucket(by_key[mark]).delete(mark)


def read_mark(bucket: BlobBucket, key: str) -> list[MarkedDrop]:
    """Give what a mark tells of.

    Raises
    ------
    DataLoss
        If it is damaged.
    """
    with bucket.open(key) as opened:
        content = opened.read_at(0, opened.size)
    try:
        return msgspec.json.decode(content, type=_Mark).drops
    except msgspec.MsgspecError as error:
        raise DataLoss(f"the mark {key} is damaged: {error}") from error


def _unmarked(database: Database, store_id: int | None) -> UnmarkedDrops | None:
    with database.read() as connection:
        return marks.unmarked_drops(connection, store_id)


def _write(blobs: Blobs, some: UnmarkedDrops) -> str:
    check_blob_bucket(blobs, some.blob_prefix)
    blobs.make(some.blob_prefix, [MARKS])  # a store of an older version has no such directory
    mark = f"{MARKS}/{uuid.uuid4().hex}"
    content = msgspec.json.encode(_Mark(form=_FORM, drops=list(some.drops)))
    blobs.bucket(some.blob_prefix).write(mark, [content])
    return mark
