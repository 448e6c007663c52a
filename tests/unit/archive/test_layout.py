"""Where blobs lie, and what their names tell."""

from __future__ import annotations

import hashlib
import json
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.archive.layout import (
    FAN_OUT,
    MARKS,
    STORE_ID_FILE,
    StoreIdentity,
    blob_directory,
    blob_key,
    check_blob_bucket,
    make_blob_bucket,
    outcome_key,
    writer_of,
)
from fileroom.errors import Unavailable
from fileroom.objectstore.blobs.local import LocalBlobs

if TYPE_CHECKING:
    from pathlib import Path

numbers = st.integers(0, 2**62)
hashes = st.binary(min_size=32, max_size=32)


@given(hashes, numbers, numbers)
def test_key_tells_its_writer(sha256: bytes, writer: int, ordinal: int) -> None:
    assert writer_of(blob_key(sha256, writer, ordinal)) == writer


@given(numbers, numbers)
def test_key_of_headers_on_their_way_tells_their_writer(writer: int, ordinal: int) -> None:
    assert writer_of(outcome_key(writer, ordinal, "0f")) == writer


few_hashes = st.sampled_from([bytes(32), bytes(31) + b"1"])
few_numbers = st.sampled_from([0, 1, 11, 256, 1 << 16])


@given(few_hashes, few_numbers, few_numbers, few_hashes, few_numbers, few_numbers)
def test_key_is_of_one_object_of_one_writer(
    sha256: bytes, writer: int, ordinal: int, other: bytes, other_writer: int, other_ordinal: int
) -> None:
    same = (sha256, writer, ordinal) == (other, other_writer, other_ordinal)

    assert (
        blob_key(sha256, writer, ordinal) == blob_key(other, other_writer, other_ordinal)
    ) is same


@pytest.mark.parametrize(
    "key",
    [
        ".store-id",
        "tmp/.fileroom-0-1",
        "00/unnamed",
        f"00/{'a' * 64}-1",
        f"00/{'a' * 64}-x-1",
        f"00/{'a' * 63}-1-1",
        "",
    ],
)
def test_other_files_have_no_writer(key: str) -> None:
    assert writer_of(key) is None


def test_objects_of_a_batch_lie_in_two_directories_at_most() -> None:
    sha256 = hashlib.sha256(b"").digest()
    for first in (0, 8, 40, 168, 418, 10**6):
        directories = {blob_key(sha256, 1, n).split("/")[0] for n in range(first, first + 250)}
        assert len(directories) <= 2


def test_store_has_every_directory_that_a_key_may_name(tmp_path: Path) -> None:
    make_blob_bucket(LocalBlobs(tmp_path), "prefix", StoreIdentity(name="x"))
    named = {blob_directory(ordinal) for ordinal in range(0, 1 << 17, 1 << 8)}

    found = {path.name for path in (tmp_path / "prefix").iterdir() if path.is_dir()}
    assert found == named | {"tmp", MARKS}
    assert len(named) == FAN_OUT


def test_store_says_whose_content_it_holds(tmp_path: Path) -> None:
    make_blob_bucket(LocalBlobs(tmp_path), "prefix", StoreIdentity(name="projects/p/…/s"))
    check_blob_bucket(LocalBlobs(tmp_path), "prefix")

    identity = json.loads((tmp_path / "prefix" / STORE_ID_FILE).read_text())
    assert identity == {"name": "projects/p/…/s"}


def test_directories_can_be_made_again(tmp_path: Path) -> None:
    make_blob_bucket(LocalBlobs(tmp_path), "prefix", StoreIdentity(name="old"))
    LocalBlobs(tmp_path).bucket("prefix").write("00/kept", [b"content"])
    make_blob_bucket(LocalBlobs(tmp_path), "prefix", StoreIdentity(name="new"))

    assert LocalBlobs(tmp_path).bucket("prefix").read("00/kept") == b"content"
    assert json.loads((tmp_path / "prefix" / STORE_ID_FILE).read_text()) == {"name": "new"}


def test_store_without_its_sign_is_on_another_disk(tmp_path: Path) -> None:
    (tmp_path / "prefix").mkdir()

    with pytest.raises(Unavailable, match="not mounted"):
        check_blob_bucket(LocalBlobs(tmp_path), "prefix")


def test_blobs_are_for_their_owner_alone(tmp_path: Path) -> None:
    make_blob_bucket(LocalBlobs(tmp_path), "prefix", StoreIdentity())
    LocalBlobs(tmp_path).bucket("prefix").write("00/blob", [b""])

    assert stat.S_IMODE((tmp_path / "prefix" / "00" / "blob").stat().st_mode) == 0o600
