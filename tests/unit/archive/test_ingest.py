"""Bytes become blobs, and records that say what and where they are."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fileroom.archive.ingest import (
    Content,
    Writer,
    spool_headers,
    store_contents,
    store_object,
    unspool_headers,
)
from fileroom.archive.layout import STORE_ID_FILE, StoreIdentity, blob_key, make_blob_bucket
from fileroom.archive.packs import open_place
from fileroom.database.instances import PlaceKind
from fileroom.dicom.header import decode_header, header_dictionary
from fileroom.dicom.part10 import Refused, scan
from fileroom.errors import DataLoss, FileroomError, NotFound, Unavailable
from fileroom.objectstore.blobs.local import LocalBlobs
from tests import corpus
from tests.unit.archive.holding import HeldContent

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.database.instances import InstanceRecord


MPEG2 = "1.2.840.10008.1.2.4.100"


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    make_blob_bucket(LocalBlobs(tmp_path), "prefix", StoreIdentity())
    return Writer(bucket=LocalBlobs(tmp_path).bucket("prefix"), number=7)


def stored(writer: Writer, *files: bytes) -> tuple[list[InstanceRecord], dict[int, Exception]]:
    refused: dict[int, Exception] = {}

    def refuse(content: Content, error: Exception) -> None:
        refused[content.ordinal] = error

    contents = (
        Content(ordinal=n, source=f"gs://b/{n}", version=f"v{n}", data=data)
        for n, data in enumerate(files)
    )
    return store_contents(writer, contents, refuse), refused


def read(writer: Writer, record: InstanceRecord) -> bytes:
    with open_place(writer.bucket, record.place) as content:
        return content.read_at(0, record.place.size)


def test_record_says_what_and_where(writer: Writer) -> None:
    file = corpus.mr_instance()
    (record,), _ = stored(writer, file)

    sha256 = hashlib.sha256(file).digest()
    assert (record.ordinal, record.source, record.version) == (0, "gs://b/0", "v0")
    assert (record.place.size, record.place.sha256) == (len(file), sha256)
    assert record.place.kind is PlaceKind.PACK
    assert record.attributes == scan(file).attributes
    assert read(writer, record) == file


def test_header_that_is_kept_is_that_of_the_file(writer: Writer) -> None:
    file = corpus.sr_instance()
    (record,), _ = stored(writer, file)

    assert record.header is not None
    dictionary = header_dictionary(record.header_dictionary)
    assert decode_header(record.header, dictionary) == scan(file).header


def test_what_is_not_dicom_is_refused_and_its_neighbours_are_stored(writer: Writer) -> None:
    good = corpus.minimal_instance()
    records, refused = stored(writer, good, b"text", b"", good)

    assert [record.ordinal for record in records] == [0, 3]
    assert refused.keys() == {1, 2}
    assert all(isinstance(error, Refused) for error in refused.values())


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (corpus.multi_frame_instance(), "NATIVE"),
        (corpus.minimal_instance(transfer_syntax_uid=corpus.IMPLICIT), "NATIVE"),
        (corpus.minimal_instance(transfer_syntax_uid=corpus.DEFLATED), "NATIVE"),
        (corpus.encapsulated_instance(), "TABLE"),
        (corpus.encapsulated_instance(number_of_frames="2"), "UNKNOWN"),
        (corpus.encapsulated_instance(transfer_syntax_uid=MPEG2), "UNKNOWN"),
    ],
    ids=["native", "implicit", "deflated", "encapsulated", "contradictory", "video"],
)
def test_record_says_how_its_frames_are_found(writer: Writer, file: bytes, expected: str) -> None:
    (record,), _ = stored(writer, file)

    assert record.frames_known == expected


def test_batch_that_is_stored_again_gets_other_places(writer: Writer) -> None:
    """As after a crash between the blob and its rows: a place is never used twice (I2)."""
    file = corpus.minimal_instance()
    (first,), _ = stored(writer, file)
    (again,), _ = stored(writer, file)

    assert again.place != first.place
    assert replace(again, place=first.place) == first
    assert read(writer, first) == read(writer, again) == file


def test_same_bytes_of_another_object_have_another_place(writer: Writer) -> None:
    file = corpus.minimal_instance()
    records, _ = stored(writer, file, file)

    assert len({(record.place.key, record.place.offset) for record in records}) == 2
    assert [read(writer, record) for record in records] == [file, file]


def test_batch_of_nothing_that_is_dicom_writes_no_file(writer: Writer) -> None:
    stored(writer, b"text", b"")

    assert [entry.key for entry in writer.bucket.list()] == [STORE_ID_FILE]


def test_header_too_large_to_keep_is_left_to_the_blob(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.archive.ingest.HEADER_KEPT_BYTES", 10)
    (record,), _ = stored(writer, corpus.minimal_instance())

    assert record.header is None


def test_missing_directories_are_a_volume_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "prefix").mkdir()
    writer = Writer(bucket=LocalBlobs(tmp_path).bucket("prefix"), number=7)

    with pytest.raises(Unavailable, match="volume mounted"):
        stored(writer, corpus.minimal_instance())


def test_object_in_pieces_gives_the_record_of_the_whole(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.archive.ingest.PIECE_BYTES", 1000)
    file = corpus.mr_instance()
    record = store_object(writer, HeldContent(file), ordinal=0, source="gs://b/0", version="v0")
    (packed,), _ = stored(writer, file)

    assert record.place.key == blob_key(hashlib.sha256(file).digest(), 7, 0)
    with writer.bucket.open(record.place.key) as blob:
        assert blob.read_at(0, blob.size) == file
    assert replace(record, place=packed.place) == packed


def test_object_in_pieces_that_is_refused_leaves_no_file(writer: Writer) -> None:
    with pytest.raises(Refused):
        store_object(writer, HeldContent(b"text"), ordinal=0, source="gs://b/0", version="v0")

    assert not [*writer.bucket.scratch.iterdir()]
    assert [entry.key for entry in writer.bucket.list()] == [STORE_ID_FILE]


def test_object_whose_source_ends_half_way_leaves_no_file(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(HeldContent):
        reads = 0

        def read_at(self, offset: int, length: int) -> bytes:
            if length == 1000 and offset >= 3000:
                raise NotFound("the source is gone")
            return super().read_at(offset, length)

    monkeypatch.setattr("fileroom.archive.ingest.PIECE_BYTES", 1000)
    source = Failing(corpus.mr_instance())

    with pytest.raises(NotFound):
        store_object(writer, source, ordinal=0, source="gs://b/0", version="v0")
    assert not [*writer.bucket.scratch.iterdir()]
    assert [entry.key for entry in writer.bucket.list()] == [STORE_ID_FILE]


class Breaking(HeldContent):
    """Bytes that end with an error, and who asked for which."""

    def __init__(self, data: bytes, error: FileroomError | None = None) -> None:
        super().__init__(data)
        self.error = error
        self.asked: list[int] = []

    def read_at(self, offset: int, length: int) -> bytes:
        if length == 1000:
            if self.error is not None and offset >= 5000:
                raise self.error
            self.asked.append(offset)
        return super().read_at(offset, length)


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fileroom.archive.ingest.PIECE_BYTES", 1000)
    monkeypatch.setattr("fileroom.objectstore.local.parts.NOTED_BYTES", 2000)


def store_from(writer: Writer, source: Breaking) -> InstanceRecord:
    return store_object(writer, source, ordinal=0, source="gs://b/0", version="v0")


@pytest.mark.usefixtures("in_pieces")
def test_object_in_pieces_goes_on_where_it_was_broken_off(writer: Writer) -> None:
    file = corpus.mr_instance()
    with pytest.raises(Unavailable):
        store_from(writer, Breaking(file, Unavailable("the network is gone")))
    again = Breaking(file)

    record = store_from(writer, again)

    assert again.recalled == file[:4000]
    assert (again.watched, again.told_alive) == (1, 1)
    assert again.asked[0] == 4000
    assert record.place.sha256 == hashlib.sha256(file).digest()
    with writer.bucket.open(record.place.key) as blob:
        assert blob.read_at(0, blob.size) == file
    assert not [*writer.bucket.scratch.iterdir()]


@pytest.mark.usefixtures("in_pieces")
def test_object_in_pieces_that_differs_from_its_checksum_begins_again(writer: Writer) -> None:
    file = corpus.mr_instance()
    with pytest.raises(DataLoss):
        store_from(writer, Breaking(file, DataLoss("it differs from its checksum")))
    assert not [*writer.bucket.scratch.iterdir()]
    again = Breaking(file)
    store_from(writer, again)
    assert (again.recalled, again.asked[0]) == (b"", 0)


@pytest.mark.usefixtures("in_pieces")
def test_object_that_turns_out_bad_behind_its_header_leaves_no_file(writer: Writer) -> None:
    file = corpus.encapsulated_instance(frames=3)
    with pytest.raises(Refused):
        store_from(writer, Breaking(file[: len(file) - 30] + bytes(30)))
    assert not [*writer.bucket.scratch.iterdir()]
    assert [entry.key for entry in writer.bucket.list()] == [STORE_ID_FILE]


def test_only_frames_beyond_the_first_cost_a_table(writer: Writer) -> None:
    records, _ = stored(writer, *(corpus.encapsulated_instance(frames=n) for n in (1, 2, 500)))

    assert [record.frames_known for record in records] == ["TABLE"] * 3
    assert [len(record.frame_table) for record in records] == [0, 1, 1]
    assert len(records[2].frame_table[0]) < 100


def test_headers_and_tables_of_frames_come_back_from_beside_the_blobs(writer: Writer) -> None:
    records, _ = stored(writer, *corpus.ct_series(5, rows=8), corpus.encapsulated_instance())
    records[2] = replace(records[2], header=None)
    spooled = spool_headers(writer, records)

    bare = [replace(record, header=None, frame_table=()) for record in records]
    assert unspool_headers(writer, bare, spooled) == records
