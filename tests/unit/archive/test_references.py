"""Objects that stay where they lie: how little is read of them, and that it tells the same."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import update

from fileroom.archive.check import Fault
from fileroom.archive.drift import check_references
from fileroom.archive.frames import read_frames
from fileroom.archive.ingest import describe
from fileroom.archive.reading import InstanceReader
from fileroom.archive.references import (
    HEAD_BYTES,
    TAIL_BYTES,
    InPieces,
    SparseObject,
    describe_reference,
    look_at,
    open_bytes,
    scan_reference,
)
from fileroom.archive.retrieve import find_instance
from fileroom.closing import Closing
from fileroom.database import schema
from fileroom.database.collection import StoreArea
from fileroom.database.instances import Place, StoreWrite, record_key, store_records
from fileroom.dicom.part10 import Refused, scan
from fileroom.errors import Aborted, FailedPrecondition, NotFound, Reason, ResourceExhausted
from fileroom.names import InstancePath, Uid
from fileroom.objectstore.local import LocalBucket, LocalObject
from tests.corpus import DEFLATED, encapsulated_instance, mr_instance
from tests.dicom_files import wheel_files
from tests.frames import encapsulated, frames_of
from tests.places import root_of
from tests.real_corpus import corpus_root
from tests.store_content import filled_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.instances import InstanceRecord
    from tests.store_content import FilledStore

JPEG_2000: Final = "1.2.840.10008.1.2.4.90"
MALFORMED: Final = {
    "TC0709_encap_frag_len_maxuint.dcm",
    "TC0717_encap_frag_len_1_data_64.dcm",
    "TC0719_encap_frag_len_64_data_1.dcm",
    "TC0721_encap_frag_len_int_max.dcm",
}
"""Made so that only a walk over the fragments shows what is wrong."""


class Counted(Closing):
    """An object in memory that notes what is read of it."""

    key, version = "k", "v"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.reads: list[int] = []

    def read_at(self, offset: int, length: int) -> bytes:
        found = self._data[offset : offset + length]
        self.reads.append(len(found))
        return found

    def close(self) -> None:
        """Hold nothing."""


def referred(data: bytes) -> tuple[InstanceRecord, list[int]]:
    """Give the record of an object by reference, and how many bytes each read of it took."""
    source = Counted(data)
    sparse = SparseObject(source)
    record = describe_reference(sparse, ordinal=0, uri="gs://b/k")
    assert sparse.bytes_read == sum(source.reads)
    return record, source.reads


def copied(data: bytes) -> InstanceRecord:
    place = Place(key="k", size=len(data), sha256=None)
    return describe(0, "gs://b/k", "v", place, scan(data), Counted(data).read_at)


# How much is read


@pytest.mark.clause(
    "Fileroom import by reference",
    "of an object only its header is read: one read of 96 KiB for a CT slice, 4 KiB more"
    " where pixel data are encapsulated",
)
def test_of_a_slice_one_read_is_enough() -> None:
    _, reads = referred(mr_instance(rows=512))
    assert reads == [HEAD_BYTES]


def test_of_encapsulated_pixel_data_the_end_is_read_as_well() -> None:
    _, reads = referred(encapsulated_instance(frames=3000))
    assert reads == [HEAD_BYTES, TAIL_BYTES]


def test_a_small_object_is_read_whole_and_once() -> None:
    file = encapsulated_instance()
    assert referred(file)[1] == [len(file)]


def test_a_table_of_offsets_is_read_as_far_as_it_goes() -> None:
    frames = [[bytes(200)]] * 60_000  # a table of 240 kB
    record, reads = referred(encapsulated(frames, JPEG_2000))
    assert record.frames_known == "TABLE"
    assert sum(reads) < 800_000


# That it tells the same


def files() -> Iterator[tuple[str, bytes]]:
    root = corpus_root()
    found = list(wheel_files())
    if root is not None:
        found += sorted(path for path in root.rglob("*") if path.is_file())
    return ((path.name, path.read_bytes()) for path in found)


def reason_of(data: bytes) -> Reason | None:
    """Give why a copy is refused; None if it is not."""
    try:
        scan(data)
    except Refused as error:
        return error.reason
    return None


def test_records_are_those_of_a_copy() -> None:
    compared = 0
    for name, data in files():
        if name in MALFORMED:
            continue
        reason = reason_of(data)
        if reason is None and scan(data).header.transfer_syntax_uid == DEFLATED:
            reason = Reason.UNSUPPORTED_REFERENCE
        if reason is not None:
            with pytest.raises(Refused) as refused:
                referred(data)
            assert refused.value.reason is reason, name
            continue
        ours, (theirs, _) = copied(data), referred(data)
        if theirs.frames_known != "UNKNOWN":
            assert theirs.frames_known == ours.frames_known, name
            assert theirs.frame_table == ours.frame_table, name
        assert theirs.header == ours.header, name
        assert theirs.attributes == ours.attributes, name
        compared += 1
    assert compared > 100


@pytest.mark.parametrize("table", ["basic", "extended"])
def test_frames_are_known_from_either_table(table: str) -> None:
    draw = random.Random(7)
    frames = [[draw.randbytes(draw.randrange(1, 99))] for _ in range(20)]
    file = encapsulated(frames, JPEG_2000, table)
    record, _ = referred(file)
    assert record.frames_known == "TABLE"
    assert record.frame_table == copied(file).frame_table


@pytest.mark.parametrize("offsets", [[8, 100], [0, 0], [0, 1 << 20], [0, 4], [0, 50, 100]], ids=str)
def test_a_table_that_cannot_be_true_is_not_believed(offsets: list[int]) -> None:
    file = encapsulated([[bytes(40)], [bytes(40)]], JPEG_2000, offsets=offsets)
    assert referred(file)[0].frames_known == "UNKNOWN"


def test_what_is_cut_off_is_refused() -> None:
    for whole in (mr_instance(rows=512), encapsulated_instance(frames=900, fragment_bytes=500)):
        for size in (len(whole) - 1, len(whole) - 8, len(whole) // 2, HEAD_BYTES):
            with pytest.raises(Refused) as refused:
                referred(whole[:size])
            assert refused.value.reason is Reason.TRUNCATED, size


PADDING: Final = b"\xfc\xff\xfc\xffOB\0\0\x04\0\0\0\0\0\0\0"
SIGNATURES: Final = bytes.fromhex(
    "faff faff 5351 0000 ffffffff  feff 00e0 ffffffff  feff 0de0 00000000  feff dde0 00000000"
)


EMPTY: Final = bytes.fromhex("faff faff 5351 0000 ffffffff  feff dde0 00000000")
MEASURED: Final = bytes.fromhex(
    "faff faff 5351 0000 ffffffff  feff 00e0 0a000000  0004 0501 5553 0200 0100 feff dde0 00000000"
)
NESTED: Final = bytes.fromhex("faff faff 5351 0000 1c000000  feff 00e0 14000000") + EMPTY


@pytest.mark.parametrize(
    "after",
    [PADDING, SIGNATURES, EMPTY, MEASURED, NESTED],
    ids=["padding", "signatures", "empty", "items of known length", "sequence in a sequence"],
)
def test_what_follows_the_pixel_data_is_kept(after: bytes) -> None:
    pixels = encapsulated_instance(frames=900, fragment_bytes=500)
    assert scan_reference(Counted(pixels + after)).header == scan(pixels + after).header


def test_pieces_are_read_forward() -> None:
    data = random.Random(1).randbytes(20 << 20)
    source = Counted(data)
    pieces = InPieces(source)
    for offset in range(0, len(data), 50_000):
        assert pieces.read_at(offset, 100) == data[offset : offset + 100]
    assert len(source.reads) == 3


# Stored


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    (tmp_path / "buckets" / "outside").mkdir(parents=True)
    with filled_store(tmp_path) as filled:
        yield filled


def outside(store: FilledStore) -> LocalBucket:
    return LocalBucket(root_of(store.content.blobs).parent / "buckets" / "outside")


def add(store: FilledStore, key: str, data: bytes) -> InstanceRecord:
    """Put an object into the bucket, and refer to it."""
    bucket = outside(store)
    bucket.write(key, [data])
    with SparseObject(bucket.open(key)) as source:
        record = describe_reference(source, ordinal=0, uri=f"gs://outside/{key}")
    write = StoreWrite(store_id=store.content.store_id)
    store.database.write(lambda transaction: store_records(transaction, write, [record]))
    return record


def path_of(record: InstanceRecord) -> InstancePath:
    study, series, instance = map(Uid, record_key(record))
    return InstancePath(study, series, instance)


def test_frames_that_no_table_tells_are_found_once(
    store: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [[bytes([number]) * 90] for number in range(1, 6)]
    file = encapsulated(frames, JPEG_2000, "none")
    record = add(store, "a", file)
    assert record.frames_known == "UNKNOWN"
    for _ in range(2):
        with read_frames(store.content, path_of(record)) as found:
            assert [each.read() for each in found] == frames_of(file)
        monkeypatch.setattr("fileroom.archive.frame_tables.scan", None)  # not made again


def test_frames_of_a_large_object_are_looked_for_by_one_request_at_a_time(
    store: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.archive.frame_tables.READ_ONCE_BYTES", 1)
    file = encapsulated([[b"1" * 90], [b"2" * 90]], JPEG_2000, "none")
    path = path_of(add(store, "a", file))
    begun, may_end = threading.Event(), threading.Event()
    plainly = LocalObject.read_at

    def slowly(source: LocalObject, offset: int, length: int) -> bytes:
        begun.set()
        assert may_end.wait(30)
        return plainly(source, offset, length)

    def read() -> list[bytes]:
        with read_frames(store.content, path) as frames:
            return [each.read() for each in frames]

    monkeypatch.setattr(LocalObject, "read_at", slowly)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(read)
        assert begun.wait(30)
        with pytest.raises(ResourceExhausted, match="ask again"):
            read()
        may_end.set()
        assert first.result(30) == frames_of(file)
    assert read() == frames_of(file)


def test_a_header_that_is_not_kept_is_cut_from_the_source_again(
    store: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.archive.ingest.HEADER_KEPT_BYTES", 10)
    file = encapsulated_instance(frames=900, fragment_bytes=500)
    record = add(store, "a", file)
    assert record.header is None
    with InstanceReader(store.content, find_instance(store.content, path_of(record))) as reader:
        assert reader.header == scan(file).header


def test_only_the_version_that_was_imported_is_read(store: FilledStore) -> None:
    record = add(store, "a", mr_instance(rows=16))
    content, place = store.content, record.place
    blobs = content.blobs.bucket(content.blob_prefix)
    with open_bytes(blobs, place, content.buckets) as source:
        assert source.read_at(0, place.size) == mr_instance(rows=16)
    outside(store).write("a", [mr_instance(rows=16)])
    with pytest.raises(Aborted):
        open_bytes(blobs, place, content.buckets)
    assert look_at(content.buckets, place, lambda: None).sha256 is None
    outside(store).delete("a")
    with pytest.raises(NotFound):
        open_bytes(blobs, place, content.buckets)
    with pytest.raises(FailedPrecondition, match=r'buckets\."gs://elsewhere"'):
        open_bytes(blobs, replace(place, key="gs://elsewhere/a"), content.buckets)


def drifts(store: FilledStore, *, deep: bool = False) -> list[tuple[str, Fault]]:
    content = store.content
    area = StoreArea(id=content.store_id, blob_prefix=content.blob_prefix)
    found = check_references(store.database, content.buckets, area, deep=deep)
    return [(one.uri, one.fault) for one in found]


def test_drift_is_found_by_version_and_by_a_known_checksum(store: FilledStore) -> None:
    for number in range(4):
        add(store, f"{number}", mr_instance(rows=16, sop_instance_uid=f"1.2.{number}"))
    assert drifts(store) == drifts(store, deep=True) == []
    bucket = outside(store)
    bucket.delete("1")
    bucket.write("2", [b"another"])
    known = update(schema.instances).where(schema.instances.c.place_key == "gs://outside/3")
    store.database.write(lambda transaction: transaction.execute(known.values(sha256=bytes(32))))

    gone = [
        ("gs://outside/1", Fault.SOURCE_GONE),
        ("gs://outside/2", Fault.SOURCE_CHANGED),
    ]
    assert drifts(store) == gone
    assert drifts(store, deep=True) == [*gone, ("gs://outside/3", Fault.DIFFERING_CHECKSUM)]
    bucket.root.rename(bucket.root.with_name("away"))
    assert drifts(store) == [("gs://outside", Fault.SOURCE_UNREACHABLE)]
