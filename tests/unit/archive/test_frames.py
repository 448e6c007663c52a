"""Frames of stored instances: which bytes, at what cost, and what becomes of their tables."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, event, update
from sqlalchemy.engine import Engine

from fileroom.archive import frames
from fileroom.archive.frames import read_frames
from fileroom.archive.ingest import Writer, store_object
from fileroom.database import schema
from fileroom.database.instances import DuplicatePolicy, StoreWrite, store_records
from fileroom.database.stored import (
    find_stored_frames,
    find_stored_instance,
    keep_frame_table,
)
from fileroom.dicom.frames import FRAMES_IN_CHUNK, NoPixelData
from fileroom.dicom.header import CURRENT_DICTIONARY_ID, encode_header
from fileroom.dicom.media_types import NotAcceptable
from fileroom.dicom.part10 import scan
from fileroom.dicom.rewriting import file_meta_bytes
from fileroom.errors import Aborted, DataLoss, InvalidArgument, NotFound, Unimplemented
from fileroom.names import InstancePath, Uid
from fileroom.objectstore.local import HEAD_BYTES
from tests.corpus import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    JPEG_BASELINE,
    RLE,
    encapsulated_instance,
    minimal_instance,
    multi_frame_instance,
)
from tests.frames import encapsulated, frames_of
from tests.places import root_of
from tests.store_content import FilledStore, filled_store
from tests.unit.archive.holding import HeldContent
from tests.unit.database.rows import all_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.archive.frames import Frames
    from fileroom.database.values.stored import StoredInstance

MEGABYTE = 1 << 20
EOI = b"\xff\xd9"
JPIP_DEFLATED = "1.2.840.10008.1.2.4.95"
_numbers = count(1)


class Case:
    """One instance in the store that the tests share."""

    def __init__(self, store: FilledStore) -> None:
        number = next(_numbers)
        self.store = store
        self._writer = 100 * number
        self.uids: dict[str, Any] = {
            "study_instance_uid": Uid(f"1.2.{number}"),
            "series_instance_uid": Uid(f"1.2.{number}.3"),
            "sop_instance_uid": Uid(f"1.2.{number}.4"),
        }
        self.path = InstancePath(*self.uids.values())

    def add(self, data: bytes) -> None:
        """Store the instance, in the place of an older one."""
        self._writer += 1
        self.store.add([data], writer=self._writer, policy=DuplicatePolicy.REPLACE)

    def open(self, *numbers: int) -> Frames:
        return read_frames(self.store.content, self.path, numbers or None)

    def read(self, *numbers: int) -> list[bytes]:
        with self.open(*numbers) as found:
            return [frame.read() for frame in found]

    @property
    def stored(self) -> StoredInstance:
        with self.store.database.read() as connection:
            found = find_stored_instance(connection, self.store.content.store_id, self.path)
        assert found is not None
        return found

    @property
    def blob(self) -> Path:
        content = self.store.content
        return root_of(content.blobs) / content.blob_prefix / self.stored.place.key

    def chunks(self) -> list[bytes]:
        with self.store.database.read() as connection:
            rows = all_rows(connection, schema.frame_tables)
        return [row.z for row in rows if row.instance_id == self.stored.id]

    def known(self) -> str:
        with self.store.database.read() as connection:
            rows = all_rows(connection, schema.instances)
        return next(str(row.frames_known) for row in rows if row.id == self.stored.id)

    def forget_table(self) -> None:
        """Leave the instance as it is before anyone asks for a frame."""
        number = self.stored.id

        def forget(transaction: Any) -> None:
            rows = schema.instances.c.id == number
            transaction.execute(update(schema.instances).where(rows).values(frames_known="UNKNOWN"))
            of_it = schema.frame_tables.c.instance_id == number
            transaction.execute(delete(schema.frame_tables).where(of_it))

        self.store.database.write(forget)

    def damage_table(self) -> None:
        of_it = schema.frame_tables.c.instance_id == self.stored.id
        statement = update(schema.frame_tables).where(of_it).values(z=b"damaged")
        self.store.database.write(lambda transaction: transaction.execute(statement))


@dataclass(slots=True)
class Cost:
    """What was asked of the database and of the blob."""

    queries: list[str] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledStore]:
    with filled_store(tmp_path_factory.mktemp("frames")) as filled:
        yield filled


@pytest.fixture
def case(store: FilledStore) -> Case:
    return Case(store)


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cost]:
    cost = Cost()
    pread = os.pread

    def counted(file: int, length: int, offset: int) -> bytes:
        if length != HEAD_BYTES:  # the look whether a member of a pack still stands
            cost.reads.append(length)
        return pread(file, length, offset)

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        cost.queries.append(statement)

    monkeypatch.setattr("fileroom.objectstore.local.reading.os.pread", counted)
    event.listen(Engine, "before_cursor_execute", note)
    yield cost
    event.remove(Engine, "before_cursor_execute", note)


# Which bytes


def kinds(uids: dict[str, Any]) -> dict[str, bytes]:
    pixels = {"rows": 5, "columns": 3, "number_of_frames": "7", **uids}
    several = [[b"a1", b"a2"], [b"b"], [b"c1", b"c2", b"c3"]]
    return {
        "native": multi_frame_instance(frames=5, rows=16, **uids),
        "bits": minimal_instance(bits_allocated=1, pixel_data=bytes(range(60, 76)), **pixels),
        "big endian": minimal_instance(
            transfer_syntax_uid=BIG_ENDIAN,
            bits_allocated=8,
            pixel_data=bytes(range(106)),
            **pixels,
        ),
        "deflated bits": minimal_instance(
            transfer_syntax_uid=DEFLATED, bits_allocated=1, pixel_data=bytes(100), **pixels
        ),
        "encapsulated": encapsulated_instance(frames=6, **uids),
        "several fragments": encapsulated(several, RLE, "extended", **uids),
        "single frame": encapsulated([[b"aa", b"bb", b"cc"]], JPEG_BASELINE, **uids),
    }


@pytest.mark.parametrize("kind", kinds({}))
@pytest.mark.clause("PS3.18 10.4.1", "frames come in the order they were asked for, counted from 1")
def test_frames_come_in_the_order_asked(case: Case, kind: str) -> None:
    data = kinds(case.uids)[kind]
    expected = frames_of(data)
    case.add(data)
    last = len(expected)

    assert case.read() == expected
    assert case.read(last) == [expected[-1]]
    order = [last, 1, *range(1, last + 1), 1]
    assert case.read(*order) == [expected[number - 1] for number in order]
    with case.open() as found:
        assert found.number_of_frames == last
        assert found.header == scan(data).header
        scanned = scan(data)
        uid = EXPLICIT if scanned.fragments is None else scanned.header.transfer_syntax_uid
        assert found.transfer_syntax_uid == uid


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_below_1_is_refused_with_how_many_there_are(case: Case, number: int) -> None:
    case.add(multi_frame_instance(frames=5, **case.uids))

    with pytest.raises(InvalidArgument, match="counted from 1; this instance has 5 frames"):
        case.open(1, number)


@pytest.mark.parametrize("number", [4, FRAMES_IN_CHUNK + 1, 1 << 80])
@pytest.mark.parametrize("make", [multi_frame_instance, encapsulated_instance])
def test_a_frame_past_the_end_is_not_found(case: Case, make: Any, number: int) -> None:
    case.add(make(frames=3, **case.uids))

    for numbers in ([number], [1, number]):
        with pytest.raises(NotFound, match=f"has 3 frames, and no frame {number}"):
            case.open(*numbers)


def test_a_frame_past_the_pixels_is_lost_at_once_and_the_others_are_not(case: Case) -> None:
    case.add(multi_frame_instance(frames=3, number_of_frames="4", **case.uids))

    with pytest.raises(DataLoss, match="hold 3 of the 4"):
        case.open(1, 4)
    assert len(case.read(3, 2)) == 2


@pytest.mark.parametrize("claimed", ["4", "9223372036854775807"])
def test_all_frames_are_not_begun_where_some_are_lost(case: Case, claimed: str) -> None:
    case.add(multi_frame_instance(frames=3, number_of_frames=claimed, **case.uids))

    with pytest.raises(DataLoss, match=f"hold 3 of the {claimed}"):
        case.open()


def test_what_has_no_frames_is_told_apart(case: Case) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        case.open(1)
    case.add(minimal_instance(**case.uids))
    with pytest.raises(NoPixelData):
        case.open(1)
    case.add(encapsulated_instance(transfer_syntax_uid="1.2.840.10008.1.2.4.103", **case.uids))
    with pytest.raises(NotAcceptable):
        case.open(1)
    case.add(encapsulated_instance(frames=3, number_of_frames="2", **case.uids))
    with pytest.raises(DataLoss, match=r"3 fragments.* 2 frames"):
        case.open(1)


# Cost


@pytest.mark.parametrize("frames", [1, 100])
@pytest.mark.parametrize("make", [multi_frame_instance, encapsulated_instance])
def test_a_frame_costs_one_query_and_one_ranged_read(
    case: Case, cost: Cost, make: Any, frames: int
) -> None:
    case.add(make(frames=frames, **case.uids))
    before = Cost(list(cost.queries), list(cost.reads))

    case.read(frames)

    queries = [q for q in cost.queries[len(before.queries) :] if q.startswith("SELECT")]
    (length,) = cost.reads[len(before.reads) :]
    assert len(queries) == 1
    assert length <= 256


def test_frames_beyond_the_first_chunk_cost_no_more(case: Case, cost: Cost) -> None:
    last = FRAMES_IN_CHUNK + 10
    case.add(encapsulated_instance(frames=last, fragment_bytes=2, **case.uids))
    assert len(case.chunks()) == 2
    before = len(cost.queries)

    expected = case.read(FRAMES_IN_CHUNK, last)
    assert case.read(last) == expected[1:]
    assert case.read(last, FRAMES_IN_CHUNK) == expected[::-1]
    assert len([q for q in cost.queries[before:] if q.startswith("SELECT")]) == 2 + 1 + 1


class Large:
    """A file of several hundred MB, of which hardly a byte is on the disk."""

    frames = 300
    frame_bytes = MEGABYTE

    def __init__(self, case: Case, syntax: str) -> None:
        self._case = case
        uids = {**case.uids, "number_of_frames": str(self.frames), "rows": 1024, "columns": 1024}
        if syntax == EXPLICIT:
            small = minimal_instance(bits_allocated=8, pixel_data=bytes(100), **uids)
            case.add(small)
            at = len(small) - 100
            self._spread(small[: at - 4] + struct.pack("<I", self.frames * self.frame_bytes), {})
            return
        small = encapsulated([[b"x"]], syntax, "none", **uids)
        case.add(small)
        head = small[: len(small) - 18]
        item = struct.pack("<HHI", 0xFFFE, 0xE000, self.frame_bytes)
        step = len(item) + self.frame_bytes
        pieces = {number * step: item for number in range(self.frames)}
        pieces[self.frames * step] = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        self._spread(head, pieces)

    def _spread(self, head: bytes, pieces: dict[int, bytes]) -> None:
        with self._case.blob.open("wb") as file:
            file.write(head)
            for offset, piece in pieces.items():
                file.seek(len(head) + offset)
                file.write(piece)
            if not pieces:
                file.truncate(len(head) + self.frames * self.frame_bytes)
            for number in (1, self.frames):
                file.seek(self.offset(head, pieces, number))
                file.write(b"frame %d" % number)
        place = self._case.stored.place
        bucket = self._case.store.content.blobs.bucket(self._case.store.content.blob_prefix)
        with bucket.open(place.key) as blob:
            header = encode_header(scan(blob).header, CURRENT_DICTIONARY_ID)
            size = blob.size

        def write(transaction: Any) -> None:
            of_it = schema.instances.c.id == self._case.stored.id
            transaction.execute(update(schema.instances).where(of_it).values(size=size))
            of_it = schema.headers.c.instance_id == self._case.stored.id
            transaction.execute(update(schema.headers).where(of_it).values(z=header))

        self._case.store.database.write(write)

    def offset(self, head: bytes, pieces: dict[int, bytes], number: int) -> int:
        """Give where a frame's bytes begin."""
        item = 8 if pieces else 0
        return len(head) + (number - 1) * (item + self.frame_bytes) + item


@pytest.mark.parametrize("syntax", [EXPLICIT, JPEG_BASELINE], ids=["native", "encapsulated"])
def test_a_frame_of_a_large_file_costs_its_own_bytes(case: Case, cost: Cost, syntax: str) -> None:
    Large(case, syntax)
    case.forget_table()
    before = len(cost.reads)
    if syntax == JPEG_BASELINE:
        case.read(1)
        # To make the table, 4 KB are read at each fragment, the start of the file and the frame.
        assert sum(cost.reads[before:]) < Large.frames * 4096 + 3 * MEGABYTE
        assert case.known() == "TABLE"
    before = len(cost.reads)

    (frame,) = case.read(Large.frames)

    assert frame.startswith(b"frame %d" % Large.frames)
    assert len(frame) == MEGABYTE
    assert len(cost.reads) == before + 1
    assert cost.reads[-1] <= MEGABYTE + 8


@pytest.mark.parametrize("syntax", [EXPLICIT, JPEG_BASELINE], ids=["native", "encapsulated"])
def test_memory_does_not_grow_with_the_frames(case: Case, syntax: str) -> None:
    Large(case, syntax)
    case.forget_table()
    case.read(1)
    drawn = 0
    tracemalloc.start()
    with case.open() as found:
        for frame in found:
            drawn += sum(map(len, frame.pieces()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert drawn == Large.frames * MEGABYTE
    assert peak < 4 * MEGABYTE


# Tables


@contextmanager
def blobs_closed_after() -> Iterator[None]:
    yield
    links = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    assert [link for link in links if "/blobs/" in link] == []


def test_a_table_that_is_not_known_is_made_once_and_kept(case: Case, cost: Cost) -> None:
    data = encapsulated_instance(frames=9, **case.uids)
    case.add(data)
    kept = case.chunks()
    case.forget_table()

    with blobs_closed_after():
        assert case.read(9, 1) == [frames_of(data)[8], frames_of(data)[0]]
    assert case.known() == "TABLE"
    assert case.chunks() == kept
    before = len(cost.reads)
    case.read(5)
    assert len(cost.reads) == before + 1


def test_a_table_is_not_made_of_fragments_without_bound(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.add(encapsulated_instance(frames=9, **case.uids))
    monkeypatch.setattr("fileroom.archive.frame_tables.FRAGMENTS_MAX", 9)
    assert len(case.read()) == 9
    case.forget_table()

    with blobs_closed_after(), pytest.raises(Unimplemented, match="more than 9 fragments"):
        case.open(1)


def test_a_single_frame_is_known_without_a_table(case: Case) -> None:
    data = encapsulated([[b"aa", b"bb"]], RLE, "none", **case.uids)
    case.add(data)
    assert (case.known(), case.chunks()) == ("TABLE", [])
    case.forget_table()

    assert case.read() == [b"aabb"]
    assert (case.known(), case.chunks()) == ("TABLE", [])


def test_a_damaged_table_is_made_again(case: Case) -> None:
    data = encapsulated_instance(frames=9, **case.uids)
    case.add(data)
    kept = case.chunks()
    case.damage_table()

    assert case.read() == frames_of(data)
    assert case.chunks() == kept


def test_a_table_that_was_damaged_beyond_its_first_chunk_is_made_again(case: Case) -> None:
    last = FRAMES_IN_CHUNK + 1
    case.add(encapsulated_instance(frames=last, fragment_bytes=2, **case.uids))
    expected, kept = case.read(1, last), case.chunks()
    with case.open(1, last) as found:
        case.damage_table()
        assert [frame.read() for frame in found] == expected
    assert case.chunks() == kept


def test_replacing_an_instance_replaces_its_table(case: Case) -> None:
    case.add(encapsulated_instance(frames=9, **case.uids))
    new = encapsulated_instance(frames=4, fragment_bytes=50, **case.uids)
    case.add(new)

    assert case.read() == frames_of(new)
    case.add(multi_frame_instance(frames=2, **case.uids))
    assert (case.known(), case.chunks()) == ("NATIVE", [])


def test_deleting_an_instance_deletes_its_table(case: Case) -> None:
    case.add(encapsulated_instance(frames=9, **case.uids))
    number = case.stored.id
    of_it = schema.instances.c.id == number
    case.store.database.write(lambda tx: tx.execute(delete(schema.instances).where(of_it)))

    with case.store.database.read() as connection:
        rows = all_rows(connection, schema.frame_tables)
    assert number not in {row.instance_id for row in rows}


def test_a_table_of_bytes_that_were_replaced_meanwhile_is_not_kept(case: Case) -> None:
    case.add(encapsulated_instance(frames=9, **case.uids))
    old = case.stored
    case.add(encapsulated_instance(frames=4, **case.uids))
    kept = case.chunks()

    case.store.database.write(lambda transaction: keep_frame_table(transaction, old, [b"old"]))
    assert case.chunks() == kept


def test_frames_drawn_while_the_instance_is_replaced_are_those_of_the_old(case: Case) -> None:
    last = FRAMES_IN_CHUNK + 1
    case.add(encapsulated_instance(frames=last, fragment_bytes=2, **case.uids))
    expected = case.read(1, 2)
    with case.open(1, 2, last) as found:
        case.add(encapsulated_instance(frames=3, **case.uids))
        drawn = iter(found)
        assert [next(drawn).read(), next(drawn).read()] == expected
        with pytest.raises(Aborted, match="replaced"):
            next(drawn)


def test_an_instance_replaced_between_its_row_and_its_blob_is_found_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.add(encapsulated_instance(frames=9, **case.uids))
    new = encapsulated_instance(frames=4, fragment_bytes=50, **case.uids)
    find = find_stored_frames
    replaced: list[Path] = []

    def find_then_replace(*args: Any) -> Any:
        found = find(*args)
        if not replaced:
            replaced.append(case.blob)
            case.add(new)
            replaced[0].unlink()
        return found

    monkeypatch.setattr(frames, "find_stored_frames", find_then_replace)
    with blobs_closed_after():
        assert case.read() == frames_of(new)


def test_a_missing_or_shortened_blob_is_data_loss(case: Case) -> None:
    case.add(encapsulated_instance(frames=9, **case.uids))
    os.truncate(case.blob, 100)
    with blobs_closed_after(), pytest.raises(DataLoss, match="100 bytes"):
        case.open(1)
    case.blob.unlink()
    with pytest.raises(DataLoss, match="is missing"):
        case.open(1)


def test_an_object_stored_in_pieces_gets_its_table_too(case: Case) -> None:
    data = encapsulated([[b"a" * 40, b"b"], [b"cc"]], RLE, "basic", **case.uids)
    content = case.store.content
    writer = Writer(bucket=content.blobs.bucket(content.blob_prefix), number=999_999)
    source = HeldContent(data)
    record = store_object(writer, source, ordinal=0, source="gs://b/0", version="v0")
    assert source.recalled == b""
    write = StoreWrite(store_id=content.store_id, operation_id=999_999)
    case.store.database.write(lambda transaction: store_records(transaction, write, [record]))

    assert record.frames_known == "TABLE"
    assert record.kept_bytes > len(replace(record, frame_table=()).header or b"")
    assert case.read() == frames_of(data)


def test_deflated_fragments_are_found_in_the_inflated_data_set(case: Case) -> None:
    """No syntax has both that is in use, but nothing keeps a file from saying so."""
    whole = encapsulated([[b"a1", b"a" + EOI], [b"b" + EOI, b""]], JPIP_DEFLATED, **case.uids)
    plain = whole.replace(JPIP_DEFLATED.encode(), b"1.2.840.10008.1.2.4.90")
    start = 132 + file_meta_bytes(scan(plain).header)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    case.add(whole[:start] + deflater.compress(whole[start:]) + deflater.flush())
    assert case.known() == "UNKNOWN"

    assert case.read(2, 1, 2) == [b"b" + EOI + b"\0", b"a1a" + EOI + b"\0", b"b" + EOI + b"\0"]
    assert case.known() == "TABLE"
    assert case.read(2, 1) == [b"b" + EOI + b"\0", b"a1a" + EOI + b"\0"]
