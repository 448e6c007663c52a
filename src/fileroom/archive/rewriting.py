"""Files that are made from stored instances and take their place.

A file is written as a blob of its own, in pieces from the bytes that are stored, and made durable;
then its row names the new one. Whoever meets an instance that others changed meanwhile writes it
again from the bytes it has then.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from fileroom.archive.layout import check_blob_bucket, request_blob_directory
from fileroom.archive.reading import InstanceReader
from fileroom.archive.storing import SpooledPart, describe_part, publish
from fileroom.database.instances import Moved, PlaceKind, Rewritten, forget_rewritten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fileroom.archive.retrieve import StoreContent
    from fileroom.archive.storing import StoringRequests
    from fileroom.database.engine import Connection, Lane
    from fileroom.database.values.stored import StoredInstance
    from fileroom.objectstore.local.draft import Draft

    Rewrite = Callable[[InstanceReader], Iterator[bytes] | None]
    """Gives the pieces of an instance's new file, or None where it stays as it is."""

ATTEMPTS_MAX: Final = 10
"""Times that a file is written again because others changed the instance meanwhile."""
T = TypeVar("T")


class RewrittenFiles:
    """The new files of some instances, from their first byte to their rows.

    Closed in any case; what was not committed then is gone.
    """

    def __init__(self, requests: StoringRequests, content: StoreContent, rewrite: Rewrite) -> None:
        check_blob_bucket(content.blobs, content.blob_prefix)
        self._requests = requests
        self._content = content
        self._rewrite = rewrite
        self._drafts = content.blobs.bucket(content.blob_prefix).drafts()
        self._writer = requests.begin()
        self._next_ordinal = 0
        self._drafted: list[tuple[Draft, Rewritten]] = []
        self._published: list[Rewritten] = []
        self.size = 0
        """Bytes of the files that were written so far."""

    def add(self, stored: StoredInstance) -> bool:
        """Write the new file of an instance; False if it stays as it is.

        Raises
        ------
        InvalidArgument
            If what is to be done does not go with the instance.
        Aborted
            If it was replaced while it was read.
        NotFound
            If it was deleted meanwhile.
        DataLoss
            If its bytes are missing or damaged.
        ResourceExhausted
            If the disk is full.
        """
        with InstanceReader(self._content, stored) as reader:
            pieces = self._rewrite(reader)
            if pieces is None:
                return False
            stored = reader.stored
            part = self._begin_part()
            with ExitStack() as discarding:
                discarding.callback(self._drafts.discard, part.draft)
                for piece in pieces:
                    part.write(piece)
                part.end()
                by_reference = stored.place.kind is PlaceKind.REFERENCE
                if part.sha256 == stored.place.sha256 and not by_reference:
                    return False
                record = describe_part(part, self._writer, str(stored.path))
                discarding.pop_all()
        rewritten = Rewritten(instance_id=stored.id, made_from=stored.place, record=record)
        self._drafted.append((part.draft, rewritten))
        self.size += part.draft.size
        return True

    def commit(
        self, settle: Callable[[Connection, Sequence[Rewritten]], T], *, lane: Lane = "small"
    ) -> T:
        """Make the files durable, then run what gives them rows, ``replace_rewritten``, in lane.

        Raises
        ------
        Moved
            If others changed some instances meanwhile: add these again, and commit again.
        """
        drafted, self._drafted = self._drafted, []
        self._published += [rewritten for _, rewritten in drafted]
        if drafted:
            publish(self._drafts, [(draft, rewritten.record) for draft, rewritten in drafted])
        database, some = self._content.database, list(self._published)

        def change(transaction: Connection) -> T:
            self._requests.hold(transaction, self._writer)
            return settle(transaction, some)

        try:
            result = database.write(change, lane=lane)
        except Moved as error:
            database.write(
                partial(forget_rewritten, store_id=self._content.store_id, rewritten=error.moved)
            )
            self._published = [one for one in some if one not in error.moved]
            raise
        self._published = []
        return result

    def close(self) -> None:
        """End; a second call does nothing."""
        try:
            self._drafts.close()
        finally:
            store_id = self._content.store_id if self._published else None
            self._requests.end(self._writer, store_id)
            self._published = []

    def _begin_part(self) -> SpooledPart:
        ordinal = self._next_ordinal
        self._next_ordinal += 1
        directory = request_blob_directory(self._writer, ordinal)
        return SpooledPart(ordinal, self._drafts.begin(directory))
