from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.objectstore.local import LocalBucket
from tests.contracts.object_store import ObjectStoreContract

if TYPE_CHECKING:
    from pathlib import Path


class TestLocalBucket(ObjectStoreContract):
    def new_bucket(self, directory: Path) -> LocalBucket:
        (directory / "bucket").mkdir()
        return LocalBucket(directory / "bucket")


class TestLocalBucketReachedThroughALink(ObjectStoreContract):
    def new_bucket(self, directory: Path) -> LocalBucket:
        (directory / "elsewhere").mkdir()
        (directory / "bucket").symlink_to("elsewhere")
        return LocalBucket(directory / "bucket")
