"""What every object store must do; subclassed for each."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fileroom.errors import Aborted, NotFound
from fileroom.objectstore.local import LocalBucket

Bucket = LocalBucket

_SEGMENTS = st.text("aB-.~é😀0", min_size=1, max_size=3).filter(lambda s: s not in {".", ".."})
_KEYS = st.sets(st.lists(_SEGMENTS, min_size=1, max_size=3).map("/".join), max_size=12)


def _without_conflicts(keys: set[str]) -> set[str]:
    """Leave out keys that would be a file and a directory at once."""
    return {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}


def _level(bucket: Bucket, prefix: str = "", start_after: str = "") -> list[str]:
    listed = bucket.list_directory(prefix, start_after)
    return [each if isinstance(each, str) else each.key for each in listed]


def _keys(bucket: Bucket, prefix: str = "", start_after: str = "") -> list[str]:
    return [entry.key for entry in bucket.list(prefix, start_after)]


class ObjectStoreContract:
    """Promises of a bucket, whatever holds it."""

    def new_bucket(self, directory: Path) -> Bucket:
        """Give an empty bucket; ``directory`` is its own, to use or not."""
        raise NotImplementedError

    @pytest.fixture
    def bucket(self, tmp_path: Path) -> Bucket:
        return self.new_bucket(tmp_path)

    def test_what_is_written_is_read_again(self, bucket: Bucket) -> None:
        entry = bucket.write("d/e/a.dcm", [b"one", b"", b" two"])
        assert bucket.read("d/e/a.dcm") == b"one two"
        assert bucket.read("d/e/a.dcm", entry.version) == b"one two"
        assert (entry.key, entry.size) == ("d/e/a.dcm", 7)
        assert bucket.find("d/e/a.dcm") == entry
        assert list(bucket.list()) == [entry]

    def test_an_empty_object_is_an_object(self, bucket: Bucket) -> None:
        assert bucket.write("empty", []).size == 0
        assert bucket.read("empty") == b""

    def test_a_later_write_takes_the_place_of_an_earlier_one(self, bucket: Bucket) -> None:
        first = bucket.write("a", [b"first"])
        second = bucket.write("a", [b"other"])
        assert first.version != second.version
        assert bucket.read("a") == b"other"
        with pytest.raises(Aborted):
            bucket.read("a", first.version)
        with pytest.raises(Aborted):
            bucket.open("a", first.version)

    @pytest.mark.parametrize("key", ["b", "a/b", "d", "d/", "d/a/", "", "/d/a", "d//a", "d/../d/a"])
    def test_what_is_not_there_is_not_found(self, bucket: Bucket, key: str) -> None:
        bucket.write("d/a", [b"x"])
        bucket.write("a", [b"x"])
        assert bucket.find(key) is None
        with pytest.raises(NotFound):
            bucket.read(key)
        assert not bucket.delete(key)
        assert _keys(bucket) == ["a", "d/a"]

    def test_ranges_are_read_and_end_at_the_end(self, bucket: Bucket) -> None:
        bucket.write("a", [bytes(range(100))])
        with bucket.open("a") as source:
            assert source.size == 100
            assert source.read_at(10, 5) == bytes(range(10, 15))
            assert source.read_at(98, 50) == bytes([98, 99])
            assert source.read_at(100, 1) == b""
            assert source.read_at(1000, 1) == b""
            assert source.read_at(0, 0) == b""

    def test_a_batch_is_written_whole(self, bucket: Bucket) -> None:
        items = [(f"d{number % 3}/{number}", b"x" * number) for number in range(50)]
        entries = bucket.write_many(items)
        assert [entry.key for entry in entries] == [key for key, _ in items]
        assert {entry.key: entry for entry in bucket.list()} == {e.key: e for e in entries}
        assert all(bucket.read(key) == content for key, content in items)
        assert bucket.write_many([]) == []

    def test_a_writer_shows_nothing_before_commit_and_nothing_after_abort(
        self, bucket: Bucket
    ) -> None:
        with bucket.writer("d/a") as writer:
            writer.write(b"one")
            assert bucket.find("d/a") is None
            writer.write(b" two")
            entry = writer.commit()
        assert bucket.read("d/a", entry.version) == b"one two"
        with bucket.writer("d/b") as writer:
            writer.write(b"lost")
            writer.abort()
        with bucket.writer("d/c") as writer:
            writer.write(b"lost")
        assert _keys(bucket) == ["d/a"]

    def test_a_writer_may_learn_the_name_at_the_end(self, bucket: Bucket) -> None:
        with bucket.writer("d/unnamed") as writer:
            writer.write(b"x")
            assert writer.commit("name").key == "d/name"
        with bucket.writer("top") as writer, pytest.raises(ValueError, match="another directory"):
            writer.commit("e/name")
        assert _keys(bucket) == ["d/name"]

    def test_a_large_object_streams(self, bucket: Bucket) -> None:
        piece = bytes(1 << 20)
        entry = bucket.write("large", (piece for _ in range(20)))
        assert entry.size == 20 << 20
        with bucket.open("large") as source:
            assert source.read_at(19 << 20, 2 << 20) == piece

    def test_delete_removes_one_object_and_a_prefix_all_below(self, bucket: Bucket) -> None:
        bucket.write_many([(key, b"") for key in ("a", "d/a", "d/e/a", "da")])
        assert bucket.delete("a")
        assert not bucket.delete("a")
        bucket.delete_prefix("d/")
        bucket.delete_prefix("d/")
        assert _keys(bucket) == ["da"]

    def test_a_directory_is_known_as_one(self, bucket: Bucket) -> None:
        bucket.write("d/e/a", [b""])
        assert bucket.is_directory("d")
        assert bucket.is_directory("d/e/")
        assert bucket.is_directory("")
        assert not bucket.is_directory("d/e/a")
        assert not bucket.is_directory("x")

    def test_a_bucket_goes_to_another_process(self, bucket: Bucket) -> None:
        bucket.write("a", [b"x"])
        assert pickle.loads(pickle.dumps(bucket)).read("a") == b"x"

    @settings(
        max_examples=30, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )
    @given(keys=_KEYS.map(_without_conflicts), data=st.data())
    def test_listing_is_the_sorted_keys_after_and_below(
        self, keys: set[str], data: st.DataObject
    ) -> None:
        with tempfile.TemporaryDirectory() as directory:
            bucket = self.new_bucket(Path(directory))
            bucket.write_many([(key, b"") for key in keys])
            ordered = sorted(keys, key=str.encode)
            assert _keys(bucket) == ordered
            places = st.sampled_from([*ordered, "a", "~", "é"]).flatmap(
                lambda key: st.integers(0, len(key)).map(lambda end: key[:end])
            )
            for _ in range(10):
                prefix, start = data.draw(places), data.draw(places)
                expected = [
                    key
                    for key in ordered
                    if key.startswith(prefix) and key.encode() > start.encode()
                ]
                assert _keys(bucket, prefix, start) == expected

    def test_one_level_is_listed_with_the_directories_beside(self, bucket: Bucket) -> None:
        for key in ("a/x", "a-b/y/z", "a.dcm", "d/e/f/g", "d/h", "z"):
            bucket.write(key, [b"1"])

        assert _level(bucket) == ["a-b/", "a.dcm", "a/", "d/", "z"]
        assert _level(bucket, "a") == ["a-b/", "a.dcm", "a/"]
        assert _level(bucket, "a/") == ["a/x"]
        assert _level(bucket, "d/") == ["d/e/", "d/h"]
        assert _level(bucket, "d/e") == ["d/e/"]
        assert _level(bucket, "", "a/") == ["d/", "z"]
        assert _level(bucket, "", "a") == ["a-b/", "a.dcm", "a/", "d/", "z"]
        assert _level(bucket, "nowhere/") == _level(bucket, "a.dcm/") == []
        assert list(bucket.list_directory("z")) == [bucket.find("z")]

    @settings(
        max_examples=30, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )
    @given(keys=_KEYS.map(_without_conflicts), prefix=st.sampled_from(["", "a", "a/", "aB/"]))
    def test_one_level_is_what_the_keys_of_all_begin_with(
        self, keys: set[str], prefix: str
    ) -> None:
        with tempfile.TemporaryDirectory() as directory:
            bucket = self.new_bucket(Path(directory))
            bucket.write_many([(key, b"") for key in keys])

            rest = ((key, key[len(prefix) :]) for key in _keys(bucket, prefix))
            expected = {
                f"{prefix}{tail.partition('/')[0]}/" if "/" in tail else key for key, tail in rest
            }
            assert _level(bucket, prefix) == sorted(expected)
            for start_after in expected:
                after = [key for key in sorted(expected) if key > start_after]
                assert _level(bucket, prefix, start_after) == after
