"""What every place of the archive's own bytes promises, as tests that each kind of it inherits."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING

import pytest

from fileroom.archive.packs import PackWriter, delete_members, members, open_place
from fileroom.errors import Aborted, DataLoss, NotFound
from fileroom.objectstore.blobs.reading import FIRST_BYTES
from fileroom.objectstore.local import BLOCK_BYTES, Extent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.database.instances import Place
    from fileroom.objectstore.blobs.contract import BlobBucket, Blobs

LARGE = b"large" * (9 << 20) + b"end"
"""More than a cloud takes in one request of ours."""


def write_pack(bucket: BlobBucket, contents: Sequence[bytes], ordinal: int = 0) -> list[Place]:
    """Write a pack of files, and give their places."""
    with PackWriter(bucket, 7, ordinal) as pack:
        places = [pack.add(content) for content in contents]
        pack.commit()
    return places


def content_of(bucket: BlobBucket, place: Place) -> bytes:
    """Read what lies at a place."""
    with open_place(bucket, place) as content:
        return content.read_at(0, content.size)


def extent_of(place: Place) -> Extent:
    """Give the extent of a pack that a place is."""
    return Extent(place.offset, place.size)


def whole(bucket: BlobBucket, key: str) -> bytes:
    """Read a whole blob."""
    with bucket.open(key) as blob:
        return blob.read_at(0, blob.size)


class BlobBucketContract:
    """Promises of ``BlobBucket``; a subclass has the fixture ``blobs``."""

    @pytest.fixture
    def blobs(self) -> Blobs:
        """Give a place in which there is no store yet."""
        raise NotImplementedError

    @pytest.fixture
    def bucket(self, blobs: Blobs) -> BlobBucket:
        blobs.make("store", ("00", "01"))
        return blobs.bucket("store")

    def test_stores_are_listed(self, blobs: Blobs) -> None:
        for name in ("b", "a"):
            blobs.make(name, ("00",))
            blobs.bucket(name).write("00/x", [b"one"])

        assert list(blobs.list_prefixes()) == ["a", "b"]

    def test_what_was_written_is_listed_and_read(self, bucket: BlobBucket) -> None:
        bucket.write("01/b", [b"one", b" two"])
        bucket.write("00/a", [b""])

        assert [(entry.key, entry.size) for entry in bucket.list()] == [("00/a", 0), ("01/b", 7)]
        assert bucket.find("01/b") is not None
        assert bucket.find("01/c") is None
        with bucket.open("01/b") as blob:
            assert (blob.size, blob.read_at(4, 10)) == (7, b"two")

    def test_it_pickles(self, blobs: Blobs, bucket: BlobBucket) -> None:
        bucket.write("00/a", [b"content"])
        for copied in (pickle.loads(pickle.dumps(bucket)), pickle.loads(pickle.dumps(blobs))):
            again = copied.bucket("store") if hasattr(copied, "bucket") else copied
            assert whole(again, "00/a") == b"content"

    def test_what_is_not_there_is_not_found(self, bucket: BlobBucket) -> None:
        with pytest.raises(NotFound):
            bucket.open("00/absent")
        with pytest.raises(NotFound):
            bucket.open_extent("00/absent", Extent(0, 1))
        with pytest.raises(NotFound):
            bucket.erase_extents("00/absent", [Extent(0, 1)])
        with pytest.raises(NotFound):
            bucket.is_blank("00/absent", [Extent(0, 1)])
        assert not bucket.delete("00/absent")
        assert not bucket.has("00/absent")

    def test_drafts_are_published_together_or_never(self, bucket: BlobBucket) -> None:
        with bucket.drafts() as drafts:
            kept, thrown, left = (drafts.begin(name) for name in ("00", "00", "01"))
            for draft in (kept, thrown, left):
                draft.write(b"some ")
                draft.write(b"bytes")
                draft.rest()
            with kept.open() as content:
                assert content.read_at(5, 5) == b"bytes"
            drafts.discard(thrown)
            assert list(bucket.list()) == []
            drafts.publish([(kept, "00/named")])
        assert [entry.key for entry in bucket.list()] == ["00/named"]
        assert whole(bucket, "00/named") == b"some bytes"
        assert list(bucket.scratch.iterdir()) == []

    def test_large_blobs_come_as_they_went(self, bucket: BlobBucket) -> None:
        with bucket.drafts() as drafts:
            draft = drafts.begin("00")
            for offset in range(0, len(LARGE), 1 << 20):
                draft.write(LARGE[offset : offset + (1 << 20)])
            drafts.publish([(draft, "00/large")])
        with bucket.writer("00/too") as writer:
            writer.write(LARGE)
            writer.commit()
        assert whole(bucket, "00/large") == LARGE
        assert whole(bucket, "00/too") == LARGE

    def test_what_is_not_committed_does_not_show(self, bucket: BlobBucket) -> None:
        with bucket.writer("00/a") as writer:
            writer.write(LARGE)
        assert list(bucket.list()) == []

    def test_members_of_a_pack_are_read_and_deleted_one_by_one(self, bucket: BlobBucket) -> None:
        contents = [b"first" * 1000, b"second", b"third" * (FIRST_BYTES // 2)]
        first, second, third = places = write_pack(bucket, contents)
        with bucket.open(first.key) as pack:
            assert [member.extent for member in members(pack)] == list(map(extent_of, places))
        assert [content_of(bucket, place) for place in places] == contents

        delete_members(bucket, first.key, [extent_of(second)])

        with pytest.raises(NotFound, match="erased"):
            open_place(bucket, second)
        assert contents[1] not in whole(bucket, first.key)
        assert [content_of(bucket, place) for place in (first, third)] == [contents[0], contents[2]]
        delete_members(bucket, first.key, [extent_of(second)])
        delete_members(bucket, first.key, [extent_of(first), extent_of(third)])
        assert bucket.find(first.key) is None
        delete_members(bucket, first.key, [extent_of(first)])

    def test_a_reader_goes_on_while_its_neighbour_is_erased(self, bucket: BlobBucket) -> None:
        contents = [bytes([number + 1]) * (3 * FIRST_BYTES) for number in range(2)]
        first, second = write_pack(bucket, contents)
        with open_place(bucket, first) as reader, open_place(bucket, second) as erased:
            assert reader.read_at(0, 10) == contents[0][:10]
            bucket.erase_extents(first.key, [extent_of(second)])
            assert reader.read_at(0, reader.size) == contents[0]
            with pytest.raises(Aborted, match="went while it was read"):
                erased.read_at(FIRST_BYTES - 5, 10)

    def test_a_reader_whose_pack_is_deleted_never_gets_other_bytes(
        self, bucket: BlobBucket
    ) -> None:
        content = b"x" * (3 * FIRST_BYTES)
        (place,) = write_pack(bucket, [content])
        with open_place(bucket, place) as reader:
            bucket.delete(place.key)
            try:
                read = reader.read_at(FIRST_BYTES, FIRST_BYTES)
            except (Aborted, NotFound):
                return
            assert read == content[:FIRST_BYTES]

    def test_who_erases_at_the_same_time_loses_nothing(self, bucket: BlobBucket) -> None:
        places = write_pack(bucket, [bytes([number]) * 5000 for number in range(1, 9)])
        key = places[0].key
        barrier = threading.Barrier(4)
        failed: list[BaseException] = []

        def erase(some: Sequence[Place]) -> None:
            try:
                barrier.wait()
                bucket.erase_extents(key, map(extent_of, some))
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=erase, args=(places[n : n + 1],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert bucket.is_blank(key, map(extent_of, places[:4]))
        assert not bucket.is_blank(key, map(extent_of, places[3:5]))
        assert [content_of(bucket, place)[:1] for place in places[4:]] == [
            b"\5",
            b"\6",
            b"\7",
            b"\10",
        ]

    def test_a_pack_that_is_cut_short_is_a_loss(self, bucket: BlobBucket) -> None:
        bucket.write("00/pack-1-0-a", [b"x" * BLOCK_BYTES])
        with pytest.raises(DataLoss):
            bucket.open_extent("00/pack-1-0-a", Extent(0, BLOCK_BYTES + 1))

    def test_a_mark_that_was_written_is_seen(self, bucket: BlobBucket) -> None:
        bucket.write(".store-id", [b"{}"])
        assert bucket.has(".store-id")
        assert [entry.key for entry in bucket.list()] == [".store-id"]

    def test_a_store_is_deleted_with_all_it_has(self, blobs: Blobs, bucket: BlobBucket) -> None:
        blobs.make("other", ("00",))
        blobs.bucket("other").write("00/stays", [b"x"])
        for number in range(30):
            bucket.write(f"00/{number}", [b"x"])
        blobs.delete("store")
        blobs.delete("store")
        assert [entry.key for entry in blobs.bucket("other").list()] == ["00/stays"]
        blobs.make("store", ("00",))
        assert list(blobs.bucket("store").list()) == []

    def test_all_of_a_store_but_its_mark_is_deleted(self, blobs: Blobs, bucket: BlobBucket) -> None:
        for key in (".store-id", "00/a", "01/b"):
            bucket.write(key, [b"x"])
        for _ in range(2):
            blobs.delete("store", sparing=".store-id")
            assert [entry.key for entry in bucket.list()] == [".store-id"]

    def test_what_dead_writers_left_is_swept(self, bucket: BlobBucket) -> None:
        left = bucket.scratch / ".fileroom-of-another-process"
        left.write_bytes(b"part")
        assert bucket.sweep_temporaries() == 0
        assert bucket.sweep_temporaries(older_than_seconds=-1) == 1
        assert not left.exists()
