"""Stored instances with some of their attributes replaced.

A file is written anew as a blob of its own, copied in pieces from the one that is stored, and made
durable; then its row names the new one. A patch that meets an instance which others changed
meanwhile is written again from the bytes it has then. Done again, a patch changes nothing.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from fileroom.archive.layout import blob_bucket, check_blob_bucket, request_blob_directory
from fileroom.archive.reading import InstanceReader, lost
from fileroom.archive.retrieve import absent, find_instance
from fileroom.archive.storing import SpooledPart, describe_part, publish
from fileroom.database.instances import Moved, Rewritten, forget_rewritten, replace_rewritten
from fileroom.dicom.patching import patched
from fileroom.dicom.rewriting import PIECE_BYTES
from fileroom.errors import Aborted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fileroom.archive.retrieve import StoreContent
    from fileroom.archive.storing import StoringRequests
    from fileroom.database.engine import Connection, Lane
    from fileroom.database.values.stored import StoredInstance
    from fileroom.dicom.header import ByteSource
    from fileroom.dicom.json_model import JsonObject
    from fileroom.names import InstancePath
    from fileroom.objectstore.local.writing import Draft

ATTEMPTS_MAX: Final = 10
"""Times that a patch is written again because others changed the instance meanwhile."""
T = TypeVar("T")


class PatchedFiles:
    """The patched files of some instances, from their first byte to their rows.

    Closed in any case; what was not committed then is gone.
    """

    def __init__(self, requests: StoringRequests, content: StoreContent, model: JsonObject) -> None:
        check_blob_bucket(content.blobs, content.blob_prefix)
        self._requests = requests
        self._content = content
        self._model = model
        self._drafts = blob_bucket(content.blobs, content.blob_prefix).drafts()
        self._writer = requests.begin()
        self._next_ordinal = 0
        self._drafted: list[tuple[Draft, Rewritten]] = []
        self._published: list[Rewritten] = []
        self.size = 0
        """Bytes of the files that were written so far."""

    def add(self, stored: StoredInstance) -> bool:
        """Write the patched file of an instance; False if it is no other than the stored one.

        Raises
        ------
        InvalidArgument
            If the patch does not go with the instance.
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
            # Before the header: bytes that are gone have the rows read anew, and both must agree.
            _check_whole(reader.source, reader.stored)
            rewriting, stored = patched(reader.header, self._model), reader.stored
            part = self._begin_part()
            with ExitStack() as discarding:
                discarding.callback(self._drafts.discard, part.draft)
                for piece in rewriting.pieces(reader.read):
                    part.write(piece)
                part.end()
                if part.sha256 == stored.place.sha256:
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
        try:
            result = database.write(lambda transaction: settle(transaction, some), lane=lane)
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
        return SpooledPart(ordinal, self._drafts.begin(f"{directory}/unnamed"))


def patch_instance(
    content: StoreContent,
    requests: StoringRequests,
    path: InstancePath,
    model: JsonObject,
    *,
    grace_seconds: float,
) -> None:
    """Replace attributes of one instance; it is durable and committed when this returns.

    Raises
    ------
    InvalidArgument
        If the patch is no DICOM JSON, names what may not change, or does not go with the instance.
    NotFound
        If there is no such instance.
    Aborted
        If others change it so often that the patch does not come to it.
    """
    replace = partial(
        replace_rewritten,
        store_id=content.store_id,
        grace_microseconds=int(grace_seconds * 1_000_000),
    )
    with closing(PatchedFiles(requests, content, model)) as files:
        for _ in range(ATTEMPTS_MAX):
            stored = find_instance(content, path)
            try:
                if not files.add(stored):
                    return
                replaced = files.commit(
                    lambda transaction, rewritten: replace(transaction, rewritten=rewritten)
                )
            except (Aborted, Moved):
                continue
            if not replaced:
                raise absent(path)
            return
    raise Aborted(f"{path} is changed by others at the same time; patch it again")


def _check_whole(source: ByteSource, stored: StoredInstance) -> None:
    """Refuse bytes that are not what was stored: a new checksum must not make damage look whole."""
    if stored.place.sha256 is None:
        return
    digest = hashlib.sha256()
    for offset in range(0, source.size, PIECE_BYTES):
        digest.update(source.read_at(offset, PIECE_BYTES))
    if digest.digest() != stored.place.sha256:
        raise lost(stored, "differs from its checksum")
