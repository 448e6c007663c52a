"""Local buckets keep what every bucket promises, and what a directory alone can promise."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import NotFound
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.local import LocalBucket
from tests.contracts.object_store import ObjectStoreContract, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class TestLocalBucket(ObjectStoreContract):
    @pytest.fixture
    def new_bucket(self, tmp_path: Path) -> Callable[[], LocalBucket]:
        numbers = count()

        def new() -> LocalBucket:
            directory = tmp_path / str(next(numbers))
            directory.mkdir()
            return LocalBucket(directory)

        return new


class TestLocalBucketReachedThroughALink(ObjectStoreContract):
    @pytest.fixture
    def new_bucket(self, tmp_path: Path) -> Callable[[], LocalBucket]:
        numbers = count()

        def new() -> LocalBucket:
            number = next(numbers)
            (tmp_path / f"elsewhere-{number}").mkdir()
            link = tmp_path / str(number)
            link.symlink_to(f"elsewhere-{number}")
            return LocalBucket(link)

        return new


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path)


@pytest.mark.parametrize("key", ["/d/a", "d//a", "d/../d/a", "./a"])
def test_a_path_that_is_written_in_another_way_is_no_key(bucket: LocalBucket, key: str) -> None:
    bucket.write("d/a", [b"x"])
    bucket.write("a", [b"x"])
    assert bucket.find(key) is None
    with pytest.raises(NotFound):
        bucket.read(key)
    assert not bucket.delete(key)
    assert keys_of(bucket) == ["a", "d/a"]


def test_a_draft_learns_its_name_at_the_end(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.make("store", ("d", "e"))
    bucket = blobs.bucket("store")
    with bucket.drafts() as drafts:
        draft, other = drafts.begin("d"), drafts.begin("d")
        draft.write(b"x")
        drafts.publish([(draft, "d/name")])
        with pytest.raises(ValueError, match="another directory"):
            drafts.publish([(other, "e/name")])
    assert keys_of(bucket) == ["d/name"]


def test_deleting_a_prefix_removes_all_below(bucket: LocalBucket) -> None:
    bucket.write_many([(key, b"") for key in ("d/a", "d/e/a", "da")])
    bucket.delete_prefix("d/")
    bucket.delete_prefix("d/")
    assert keys_of(bucket) == ["da"]
    assert not bucket.is_directory("d")
