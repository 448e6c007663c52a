"""Stored instances with some of their attributes replaced; done again, a patch changes nothing."""

from __future__ import annotations

import hashlib
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from fileroom.archive.reading import lost
from fileroom.archive.retrieve import absent, find_instance
from fileroom.archive.rewriting import ATTEMPTS_MAX, RewrittenFiles
from fileroom.database.instances import Moved, replace_rewritten
from fileroom.dicom.patching import patched
from fileroom.dicom.rewriting import PIECE_BYTES
from fileroom.errors import Aborted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.archive.reading import InstanceReader
    from fileroom.archive.retrieve import StoreContent
    from fileroom.archive.storing import StoringRequests
    from fileroom.database.values.stored import StoredInstance
    from fileroom.dicom.header import ByteSource
    from fileroom.dicom.json_model import JsonObject
    from fileroom.names import InstancePath


def patched_file(reader: InstanceReader, model: JsonObject) -> Iterator[bytes]:
    """Give the pieces of an instance's patched file.

    Raises
    ------
    InvalidArgument
        If the patch does not go with the instance.
    DataLoss
        If its bytes are missing or damaged.
    """
    # Before the header: bytes that are gone have the rows read anew, and both must agree.
    _check_whole(reader.source, reader.stored)
    return iter(patched(reader.header, model).pieces(reader.read))


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
    with closing(RewrittenFiles(requests, content, partial(patched_file, model=model))) as files:
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
