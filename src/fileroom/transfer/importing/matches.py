"""The objects that an import's URI means."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.database import stores
from fileroom.errors import InvalidArgument, NotFound
from fileroom.objectstore.archives.member import BadArchive
from fileroom.objectstore.archives.naming import (
    EXTENSIONS,
    MARKER,
    ArchiveFormat,
    find_archive_format,
)
from fileroom.objectstore.contract import DeadlinePassed
from fileroom.objectstore.uri import parse_pattern
from fileroom.transfer.importing.reading import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.names import DicomStoreName
    from fileroom.objectstore.contract import ObjectEntry, Source
    from fileroom.objectstore.uri import ObjectPattern
    from fileroom.transfer.facilities import Facilities

PREVIEW_SECONDS: Final = 1.5
SAMPLES_MAX: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an import would list."""

    count: int
    size_bytes: int
    samples: tuple[str, ...]
    """URIs of the first matches, in key order."""
    more: bool
    """Whether the time was over before all were listed: there may be more."""
    explanation: str
    """Why nothing matches, and what would; empty where something does."""


def preview_import(facilities: Facilities, name: DicomStoreName, uri: str) -> Preview:
    """Count what an import would list, without reading an object, within some 2 s.

    A URI of a form that the grammar does not know matches nothing, with its explanation: who asks
    is still writing it.

    Raises
    ------
    PermissionDenied
        If its bucket is not one that this store may read, or there is no such store.
    """
    try:
        pattern = parse_pattern(uri, facilities.buckets.roots)
    except InvalidArgument as error:
        return _nothing(error.message)
    settings = facilities.buckets.resolve(pattern.bucket_name, right="read", dicom_store=str(name))
    with facilities.database.read() as connection:
        store = stores.get_dicom_store(connection, name, permission="healthcare.dicomStores.import")
    if find_archive_format(pattern.archive) is ArchiveFormat.TAR_GZIP:
        # All of it would be inflated to tell.
        return Preview(count=0, size_bytes=0, samples=(), more=True, explanation="")
    deadline = time.monotonic() + PREVIEW_SECONDS
    samples: list[str] = []
    count, size_bytes, more = 0, 0, False
    try:
        scratch = facilities.blobs.bucket(store.blob_prefix).scratch
        source = open_source(settings, pattern.archive, scratch)
        for entry in list_candidates(source, pattern, deadline=deadline):
            if pattern.matches(entry.key):
                count += 1
                size_bytes += entry.size
                if len(samples) < SAMPLES_MAX:
                    samples.append(f"{pattern.bucket_name}/{entry.key}")
            if time.monotonic() > deadline:
                more = True
                break
    except DeadlinePassed:
        more = True
    except (NotFound, BadArchive) as error:
        return _nothing(error.message)
    return Preview(
        count=count,
        size_bytes=size_bytes,
        samples=tuple(samples),
        more=more,
        explanation="" if count or more else explain_no_match(source, pattern),
    )


def _nothing(explanation: str) -> Preview:
    return Preview(count=0, size_bytes=0, samples=(), more=False, explanation=explanation)


def list_candidates(
    source: Source,
    pattern: ObjectPattern,
    start_after: str = "",
    *,
    deadline: float | None = None,
) -> Iterator[ObjectEntry]:
    """List what may match: what begins as the pattern does, or its one object.

    Raises
    ------
    DeadlinePassed
        If directories are still read at ``deadline``, a time of ``time.monotonic``.
    """
    if pattern.has_wildcard:
        yield from source.list(pattern.prefix, start_after, deadline=deadline)
        return
    only = source.find(pattern.prefix)
    if only is not None and not start_after:
        yield only


def explain_no_match(source: Source, pattern: ObjectPattern) -> str:
    """Tell the user of a pattern that means nothing what would mean something."""
    key = pattern.prefix.rstrip("/")
    name = f"{pattern.bucket_name}/{key}"
    if not pattern.has_wildcard and source.is_directory(key):
        return f"{name} is a directory: use {name}/** for all in it"
    if MARKER in pattern.text and not pattern.archive:
        kinds = ", ".join(EXTENSIONS)
        return f"no object matches {pattern}; what {MARKER} opens is an archive: {kinds}"
    return f"no object matches {pattern}"
