"""What every object store must do; subclassed for each."""

from __future__ import annotations

import pickle
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.errors import Aborted, AlreadyExists, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.objectstore.contract import Bucket, Right


def _key_sets(alphabet: str) -> st.SearchStrategy[set[str]]:
    segments = st.text(alphabet, min_size=1, max_size=3).filter(lambda s: s not in {".", ".."})
    keys = st.lists(segments, min_size=1, max_size=3).map("/".join)
    return st.sets(keys, max_size=12).map(_without_conflicts)


def _without_conflicts(keys: set[str]) -> set[str]:
    """Leave out keys that would be a file and a directory at once."""
    return {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}


def _level(bucket: Bucket, prefix: str = "", start_after: str = "") -> list[str]:
    listed = bucket.list_directory(prefix, start_after)
    return [each if isinstance(each, str) else each.key for each in listed]


def keys_of(bucket: Bucket, prefix: str = "", start_after: str = "") -> list[str]:
    return [entry.key for entry in bucket.list(prefix, start_after)]


class ObjectStoreContract:
    """Promises of a bucket, whatever holds it."""

    examples: ClassVar[int] = 30
    """How many sets of keys are written and listed."""
    alphabet: ClassVar[str] = "aB-.~é😀0"
    """What these keys are made of, beside slashes."""

    @pytest.fixture
    def new_bucket(self) -> Callable[[], Bucket]:
        """Give what makes an empty bucket."""
        raise NotImplementedError

    @pytest.fixture
    def bucket(self, new_bucket: Callable[[], Bucket]) -> Bucket:
        return new_bucket()

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

    @pytest.mark.parametrize("key", ["b", "a/b", "d", "d/", "d/a/", ""])
    def test_what_is_not_there_is_not_found(self, bucket: Bucket, key: str) -> None:
        bucket.write("d/a", [b"x"])
        bucket.write("a", [b"x"])
        assert bucket.find(key) is None
        with pytest.raises(NotFound):
            bucket.read(key)
        assert not bucket.delete(key)
        assert keys_of(bucket) == ["a", "d/a"]

    def test_ranges_are_read_and_end_at_the_end(self, bucket: Bucket) -> None:
        bucket.write("a", [bytes(range(100))])
        with bucket.open("a") as source:
            assert source.size == 100
            assert source.read_at(10, 5) == bytes(range(10, 15))
            assert source.read_at(98, 50) == bytes([98, 99])
            assert source.read_at(100, 1) == b""
            assert source.read_at(1000, 1) == b""
            assert source.read_at(0, 0) == b""

    def test_version_and_size_that_are_known_open_an_object(self, bucket: Bucket) -> None:
        entry = bucket.write("a", [b"0123456789"])
        with bucket.open("a", entry.version, size=entry.size) as source:
            assert (source.key, source.size, source.version) == ("a", 10, entry.version)
            assert source.read_at(2, 3) == b"234"
            assert source.read_at(0, 10) == b"0123456789"

    def test_a_reader_gets_bytes_of_its_version_or_none(self, bucket: Bucket) -> None:
        bucket.write("a", [b"old" * 1000])
        with bucket.open("a") as source:
            assert source.read_at(0, 3) == b"old"
            bucket.write("a", [b"new" * 1000])
            with suppress(Aborted):
                assert source.read_at(3, 3) == b"old"
        assert bucket.read("a") == b"new" * 1000

    def test_a_write_that_fails_leaves_what_was_there(self, bucket: Bucket) -> None:
        def pieces() -> Iterator[bytes]:
            yield bytes(9 << 20)
            raise ValueError("no more")

        earlier = bucket.write("a", [b"earlier"])
        for key in ("a", "b"):
            with pytest.raises(ValueError, match="no more"):
                bucket.write(key, pieces())
        assert list(bucket.list()) == [earlier]
        assert bucket.read("a", earlier.version) == b"earlier"

    def test_a_batch_is_written_whole(self, bucket: Bucket) -> None:
        items = [(f"d{number % 3}/{number}", b"x" * number) for number in range(50)]
        entries = bucket.write_many(items)
        assert [entry.key for entry in entries] == [key for key, _ in items]
        assert {entry.key: entry for entry in bucket.list()} == {e.key: e for e in entries}
        assert all(bucket.read(key) == content for key, content in items)
        assert bucket.write_many([]) == []

    @pytest.mark.parametrize("length", [5, 9 << 20], ids=["small", "large"])
    def test_what_is_written_only_where_nothing_is_replaces_nothing(
        self, bucket: Bucket, length: int
    ) -> None:
        first = bucket.write("d/a", [bytes(length)], if_absent=True)
        for pieces in ([bytes(length)], [b"other"], [b"other", bytes(length)]):
            with pytest.raises(AlreadyExists, match="'d/a'"):
                bucket.write("d/a", pieces, if_absent=True)

        assert list(bucket.list()) == [first]
        assert bucket.read("d/a", first.version) == bytes(length)
        assert bucket.write("d/a", [b"second"]).size == 6

    @pytest.mark.parametrize("length", [5, 9 << 20], ids=["small", "large"])
    def test_what_comes_while_another_is_written_is_not_replaced_by_it(
        self, bucket: Bucket, length: int
    ) -> None:
        with bucket.writer("d/a", if_absent=True) as writer:
            writer.write(bytes(length))
            came = bucket.write("d/a", [b"came"])
            with pytest.raises(AlreadyExists):
                writer.commit()
        assert list(bucket.list()) == [came]
        assert bucket.read("d/a", came.version) == b"came"

    def test_a_batch_of_which_something_is_there_is_written_but_for_that(
        self, bucket: Bucket
    ) -> None:
        there = bucket.write("d/2", [b"there"])
        items = [(f"d/{number}", b"batch") for number in range(5)]
        with pytest.raises(AlreadyExists, match="'d/2'"):
            bucket.write_many(items, if_absent=True)
        assert bucket.find("d/2") == there
        assert bucket.read("d/2") == b"there"
        assert all(bucket.read(f"d/{number}") == b"batch" for number in (0, 1, 3, 4))

        others = [(f"e/{number}", b"batch") for number in range(5)]
        assert [entry.key for entry in bucket.write_many(others, if_absent=True)] == [
            key for key, _ in others
        ]

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
        assert keys_of(bucket) == ["d/a"]

    def test_a_large_object_streams(self, bucket: Bucket) -> None:
        piece = bytes(1 << 20)
        entry = bucket.write("large", (piece for _ in range(20)))
        assert entry.size == 20 << 20
        with bucket.open("large") as source:
            assert source.read_at(19 << 20, 2 << 20) == piece

    def test_delete_removes_one_object(self, bucket: Bucket) -> None:
        bucket.write_many([(key, b"") for key in ("a", "d/a", "da")])
        assert bucket.delete("a")
        assert not bucket.delete("a")
        assert bucket.delete("d/a")
        assert keys_of(bucket) == ["da"]

    def test_a_directory_is_known_as_one(self, bucket: Bucket) -> None:
        bucket.write("d/e/a", [b""])
        assert bucket.is_directory("d")
        assert bucket.is_directory("d/e/")
        assert bucket.is_directory("")
        assert not bucket.is_directory("d/e/a")
        assert not bucket.is_directory("x")

    def test_a_right_is_tried_without_a_trace(self, bucket: Bucket) -> None:
        entry = bucket.write("a", [b"x"])
        rights: tuple[Right, ...] = ("read", "write", "delete")
        assert all(bucket.probe(right) for right in rights)
        assert list(bucket.list()) == [entry]

    def test_what_living_writers_write_is_not_swept(self, bucket: Bucket) -> None:
        with bucket.writer("d/a") as writer:
            writer.write(b"x")
            assert bucket.sweep_temporaries() == bucket.sweep_temporaries("d/") == 0
            entry = writer.commit()
        assert list(bucket.list()) == [entry]

    def test_a_named_writer_loses_only_what_it_left_unfinished(self, bucket: Bucket) -> None:
        whole = bucket.as_writer("op", 1).write("d/a", [b"x"])
        with bucket.as_writer("op", 2).writer("d/b") as writer:
            writer.write(b"x")
            assert bucket.sweep_writers("d/", "op", 2) == bucket.sweep_writers("", "p", 9) == 0
            entry = writer.commit()
        assert bucket.sweep_writers("", "op", 9) == 0
        assert list(bucket.list()) == [whole, entry]

    def test_a_bucket_goes_to_another_process(self, bucket: Bucket) -> None:
        bucket.write("a", [b"x"])
        assert pickle.loads(pickle.dumps(bucket)).read("a") == b"x"

    def test_listing_is_the_sorted_keys_after_and_below(
        self, new_bucket: Callable[[], Bucket]
    ) -> None:
        @settings(max_examples=self.examples, deadline=None)
        @given(keys=_key_sets(self.alphabet), data=st.data())
        def holds(keys: set[str], data: st.DataObject) -> None:
            bucket = new_bucket()
            bucket.write_many([(key, b"") for key in keys])
            ordered = sorted(keys, key=str.encode)
            assert keys_of(bucket) == ordered
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
                assert keys_of(bucket, prefix, start) == expected

        holds()

    def test_a_listing_starts_after_what_is_no_key(self, bucket: Bucket) -> None:
        bucket.write_many([(key, b"") for key in ("a/x", "b/c/x", "b/d")])
        assert keys_of(bucket, "", "a") == ["a/x", "b/c/x", "b/d"]
        assert keys_of(bucket, "b/", "b/c") == ["b/c/x", "b/d"]

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

    def test_one_level_is_what_the_keys_of_all_begin_with(
        self, new_bucket: Callable[[], Bucket]
    ) -> None:
        @settings(max_examples=self.examples, deadline=None)
        @given(keys=_key_sets(self.alphabet), prefix=st.sampled_from(["", "a", "a/", "aB/"]))
        def holds(keys: set[str], prefix: str) -> None:
            bucket = new_bucket()
            bucket.write_many([(key, b"") for key in keys])

            rest = ((key, key[len(prefix) :]) for key in keys_of(bucket, prefix))
            expected = {
                f"{prefix}{tail.partition('/')[0]}/" if "/" in tail else key for key, tail in rest
            }
            assert _level(bucket, prefix) == sorted(expected)
            for start_after in expected:
                after = [key for key in sorted(expected) if key > start_after]
                assert _level(bucket, prefix, start_after) == after

        holds()
