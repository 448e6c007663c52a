"""Blobs in a directory of this machine, or of a file system that several machines share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.objectstore.local import LocalBucket
from fileroom.objectstore.local.durable import translating

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalBlobs:
    """The blobs below a directory; see ``Blobs``."""

    root: Path

    @property
    def is_remote(self) -> bool:
        """Whether each read is a request over a network."""
        return False

    def bucket(self, blob_prefix: str) -> LocalBucket:
        """Give the blobs of one store."""
        return LocalBucket(self.root / blob_prefix, managed=True)

    def list_prefixes(self) -> Iterator[str]:
        """Yield the names of the directories of stores, in order."""
        with translating(str(self.root)), os.scandir(self.root) as found:
            names = sorted(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
        yield from names

    def make(self, blob_prefix: str, directories: Iterable[str]) -> None:
        """Make the directories of a store, durably; may be repeated."""
        names = [*directories, self.bucket(blob_prefix).scratch.name]
        LocalBucket(self.root).make_directories(f"{blob_prefix}/{name}" for name in names)

    def delete(self, blob_prefix: str, *, sparing: str = "") -> None:
        """Delete all of a store's blobs, or all but one; what is absent already is no error."""
        bucket = LocalBucket(self.root, managed=True)
        if not sparing:
            bucket.delete_prefix(f"{blob_prefix}/")
            return
        with translating(blob_prefix), os.scandir(self.root / blob_prefix) as found:
            names = [entry.name for entry in found if entry.name != sparing]
        for name in names:
            bucket.delete_prefix(f"{blob_prefix}/{name}/")

    def name_of(self, path: str) -> str:
        """Give the file that has this path."""
        return str(self.root / path)
