"""A pack appears whole or never, and its footer tells what is in it."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from fileroom.archive.layout import StoreIdentity, make_blob_bucket, writer_of
from fileroom.archive.packs import Member, PackWriter, delete_members, members, open_place
from fileroom.errors import DataLoss, Internal, NotFound
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.local import BLOCK_BYTES, Extent
from tests import corpus

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.database.instances import Place
    from fileroom.objectstore.local import LocalBucket

FILES = [corpus.minimal_instance(), corpus.mr_instance(), corpus.sr_instance()]


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    make_blob_bucket(LocalBlobs(tmp_path), "prefix", StoreIdentity())
    return LocalBlobs(tmp_path).bucket("prefix")


def packed(bucket: LocalBucket, *files: bytes) -> list[Place]:
    with PackWriter(bucket, 7, 300) as pack:
        places = [pack.add(file) for file in files]
        pack.commit()
    return places


def extent_of(place: Place) -> Extent:
    return Extent(place.offset, place.size)


def test_each_file_is_read_from_its_place(bucket: LocalBucket) -> None:
    for file, place in zip(FILES, packed(bucket, *FILES), strict=True):
        with open_place(bucket, place) as content:
            assert content.read_at(0, place.size + 1) == file
        assert place.sha256 == hashlib.sha256(file).digest()
        assert place.offset % BLOCK_BYTES == 0


def test_footer_tells_the_members(bucket: LocalBucket) -> None:
    places = packed(bucket, *FILES)

    with bucket.open(places[0].key) as pack:
        assert members(pack) == [
            Member(extent=extent_of(place), sha256=place.sha256 or b"") for place in places
        ]


def test_key_tells_the_writer_and_is_never_used_twice(bucket: LocalBucket) -> None:
    (first,), (second,) = packed(bucket, FILES[0]), packed(bucket, FILES[0])

    assert first.key.startswith("01/pack-7-300-")
    assert writer_of(first.key) == writer_of(second.key) == 7
    assert first.key != second.key


def test_pack_that_is_not_committed_leaves_no_file(bucket: LocalBucket) -> None:
    with PackWriter(bucket, 7, 0) as pack:
        pack.add(FILES[0])

    assert not [*(bucket.root / "tmp").iterdir()]
    assert not [*(bucket.root / "00").iterdir()]


def test_pack_goes_with_the_last_of_its_members(bucket: LocalBucket) -> None:
    places = packed(bucket, *FILES)
    extents = [extent_of(place) for place in places]
    delete_members(bucket, places[0].key, extents[:2])
    with open_place(bucket, places[2]) as content:
        assert content.read_at(0, places[2].size) == FILES[2]
    with pytest.raises(NotFound):
        open_place(bucket, places[0])
    delete_members(bucket, places[0].key, extents[2:])

    assert bucket.find(places[0].key) is None
    delete_members(bucket, places[0].key, extents)


def test_member_whose_head_is_damaged_keeps_the_pack(bucket: LocalBucket) -> None:
    first, second = packed(bucket, *FILES[:2])
    path = bucket.root / first.key
    with path.open("r+b") as file:
        file.seek(second.offset)
        file.write(bytes(132))
    delete_members(bucket, first.key, [extent_of(first)])

    with path.open("rb") as file:
        file.seek(second.offset + 132)
        assert file.read(second.size - 132) == FILES[1][132:]
    delete_members(bucket, first.key, [extent_of(second)])
    assert not path.exists()


def test_what_is_no_member_is_never_erased(bucket: LocalBucket) -> None:
    places = packed(bucket, *FILES)
    wrong = Extent(places[0].offset, places[0].size + BLOCK_BYTES)
    with pytest.raises(Internal):
        delete_members(bucket, places[0].key, [wrong])

    for file, place in zip(FILES, places, strict=True):
        with open_place(bucket, place) as content:
            assert content.read_at(0, place.size) == file


@pytest.mark.parametrize("offset", [-4096, 1, 4095])
def test_extent_begins_at_a_block(offset: int) -> None:
    with pytest.raises(ValueError, match="no extent"):
        Extent(offset, 10)


@pytest.mark.parametrize("cut", [1, 20, 21, 60, 10**9])
def test_damaged_footer_is_data_loss_and_the_pack_stays(bucket: LocalBucket, cut: int) -> None:
    (place,) = packed(bucket, FILES[0])
    path = bucket.root / place.key
    os.truncate(path, max(0, path.stat().st_size - cut))

    with bucket.open(place.key) as pack, pytest.raises(DataLoss, match="footer"):
        members(pack)
    with pytest.raises(DataLoss, match="footer"):
        delete_members(bucket, place.key, [extent_of(place)])
    assert path.exists()


@pytest.mark.parametrize("at", range(1, 20 + 3 * 48 + 1))
def test_flipped_bit_in_the_footer_never_gives_other_members(bucket: LocalBucket, at: int) -> None:
    places = packed(bucket, *FILES)
    path = bucket.root / places[0].key
    damaged = bytearray(path.read_bytes())
    damaged[-at] ^= 0x40
    path.write_bytes(damaged)

    with bucket.open(places[0].key) as pack, pytest.raises(DataLoss, match="footer"):
        members(pack)
