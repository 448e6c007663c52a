"""One path for every form of an instance: files, frames and pictures, in a pool or in-process."""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from imagecodecs import jpeg8_decode, png_decode

from fileroom.archive.codecs import OwnCodecs, PoolCodecs, Rendering
from fileroom.archive.frames import open_frames, read_frames
from fileroom.archive.opening_ahead import opened_files
from fileroom.archive.reading import InstanceReader
from fileroom.archive.representations import (
    find_obstacle,
    frame_data,
    open_file,
    pictures,
)
from fileroom.archive.retrieve import find_instance
from fileroom.archive.workers import RequestWorkers
from fileroom.dicom.part10 import scan
from fileroom.dicom.pixels.description import parse_pixel_description
from fileroom.dicom.pixels.failure import PixelError
from fileroom.dicom.pixels.presentation import LookupTable, Presentation
from fileroom.dicom.pixels.rendering_options import RenderingOptions, parse_rendering_options
from fileroom.errors import Aborted, DataLoss, NotFound, Reason, ResourceExhausted, Unavailable
from fileroom.names import InstancePath, Uid
from fileroom.transfer.executors import WorkerPool, begin_item
from fileroom.transfer.executors.limits import WorkerLimits
from tests.corpus import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_BASELINE,
    RLE,
    minimal_instance,
    mr_instance,
    multi_frame_instance,
    sr_instance,
)
from tests.frames import encapsulated
from tests.places import root_of
from tests.store_content import FilledStore, filled_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.archive.codecs import Codecs
    from fileroom.archive.retrieve import InstanceFile
    from fileroom.database.values.stored import StoredInstance

HTJ2K = "1.2.840.10008.1.2.4.201"
JPEG_2000 = "1.2.840.10008.1.2.4.90"


class Case:
    """One instance of the store that the tests share."""

    def __init__(self, store: FilledStore, number: int) -> None:
        self.store = store
        self._number = number
        self.content = store.content
        self.path = InstancePath(
            Uid(f"1.2.{number}"), Uid(f"1.2.{number}.3"), Uid(f"1.2.{number}.4")
        )
        self.uids: dict[str, Any] = {
            "study_instance_uid": self.path.study_instance_uid,
            "series_instance_uid": self.path.series_instance_uid,
            "sop_instance_uid": self.path.sop_instance_uid,
        }

    def add(self, data: bytes) -> StoredInstance:
        self.store.add([data], writer=self._number)
        return find_instance(self.content, self.path)

    def open(self, asked: str, codecs: Codecs) -> InstanceFile:
        """Open its file as the server does."""
        stored = find_instance(self.content, self.path)
        return open_file(self.content, stored, asked, codecs, partial(_frames, self))

    def file(self, asked: str, codecs: Codecs) -> bytes:
        file = self.open(asked, codecs)
        data = b"".join(file.pieces)
        assert file.size in {None, len(data)}
        return data


def _frames(case: Case, stored: StoredInstance) -> Any:
    return read_frames(case.content, stored.path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledStore]:
    with filled_store(tmp_path_factory.mktemp("representations")) as filled:
        yield filled


_numbers = count(1)


@pytest.fixture
def case(store: FilledStore) -> Case:
    return Case(store, next(_numbers))


@contextmanager
def pool_codecs(limits: WorkerLimits | None = None) -> Iterator[PoolCodecs]:
    modules = (
        "fileroom.dicom.pixels.encode",
        "fileroom.dicom.pixels.decode",
        "fileroom.dicom.pixels.picture",
    )
    pool = WorkerPool(1, name="test-render", limits=limits, preload=modules)
    try:
        yield PoolCodecs(RequestWorkers(executor=pool, count=1, begin_item=begin_item))
    finally:
        pool.kill_workers()


@pytest.fixture(scope="module")
def pooled() -> Iterator[PoolCodecs]:
    with pool_codecs() as codecs:
        yield codecs


own = OwnCodecs(lambda: None)


def samples(data: bytes) -> np.ndarray[Any, Any]:
    return pydicom.dcmread(BytesIO(data)).pixel_array


def open_files() -> int:
    """Count the blobs that are open; what earlier tests forgot is closed first."""
    gc.collect()
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            count += "/blobs/" in os.readlink(f"/proc/self/fd/{name}")
    return count


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("asked", ["*", EXPLICIT])
def test_a_file_in_its_own_transfer_syntax_is_the_stored_one(case: Case, asked: str) -> None:
    data = mr_instance(**case.uids)
    case.add(data)
    file = case.open(asked, own)
    assert b"".join(file.pieces) == data
    assert file.size == len(data)
    assert file.transfer_syntax_uid == EXPLICIT


@pytest.mark.parametrize("stored", [IMPLICIT, BIG_ENDIAN, DEFLATED, EXPLICIT])
@pytest.mark.parametrize("asked", [IMPLICIT, DEFLATED, EXPLICIT])
def test_native_files_are_rewritten_into_each_other(case: Case, stored: str, asked: str) -> None:
    data = minimal_instance(
        transfer_syntax_uid=stored,
        rows=100,
        columns=100,
        pixel_data=list(range(10_000)),
        **case.uids,
    )
    case.add(data)
    file = case.open(asked, own)
    written = b"".join(file.pieces)
    assert pydicom.dcmread(BytesIO(written)).file_meta.TransferSyntaxUID == asked
    assert file.transfer_syntax_uid == asked
    if stored == asked:
        assert written == data
    else:
        assert file.etag is not None
        assert file.etag.startswith("W/") is (asked == DEFLATED)
        assert file.size == (None if asked == DEFLATED else len(written))
    pixels = pydicom.dcmread(BytesIO(written)).PixelData
    assert pixels == b"".join(value.to_bytes(2, "little") for value in range(10_000))


@pytest.mark.parametrize("in_pool", [True, False])
def test_a_file_is_transcoded_frame_by_frame_and_back(
    case: Case, pooled: PoolCodecs, in_pool: bool
) -> None:
    codecs: Codecs = pooled if in_pool else own
    data = multi_frame_instance(frames=7, **case.uids)
    case.add(data)
    files = open_files()
    file = case.open(RLE, codecs)
    compressed = b"".join(file.pieces)
    assert file.size is None
    assert file.etag is not None
    assert file.etag.startswith('W/"')
    assert open_files() == files
    assert pydicom.dcmread(BytesIO(compressed)).file_meta.TransferSyntaxUID == RLE
    np.testing.assert_array_equal(samples(compressed), samples(data))


def test_a_deflated_file_is_transcoded(case: Case) -> None:
    """Its frames and its other values are read forward, each by a reader of its own."""
    data = mr_instance(transfer_syntax_uid=DEFLATED, **case.uids)
    case.add(data)
    written = case.file(RLE, own)
    np.testing.assert_array_equal(samples(written), samples(data))
    private = pydicom.dcmread(BytesIO(written))[0x00291010].value
    assert private == pydicom.dcmread(BytesIO(data))[0x00291010].value


def test_what_cannot_be_had_is_refused_before_anything_is_read(case: Case) -> None:
    stored = case.add(sr_instance(**case.uids))
    files = open_files()
    with pytest.raises(PixelError) as refused:
        case.open(RLE, own)
    assert refused.value.reason is Reason.NO_PIXEL_DATA
    assert open_files() == files
    with InstanceReader(case.content, stored) as reader:
        assert find_obstacle(reader.header, 1000, "*") is None
        assert find_obstacle(reader.header, 1000, IMPLICIT) is None


def test_a_file_over_the_limit_is_given_as_stored_only(case: Case) -> None:
    stored = case.add(mr_instance(**case.uids))
    with InstanceReader(case.content, stored) as reader:
        header = reader.header
    assert find_obstacle(header, 1 << 30, RLE) is None
    obstacle = find_obstacle(header, (1 << 30) + 1, RLE)
    assert obstacle is not None
    assert obstacle.reason is Reason.MEMORY_LIMIT
    assert find_obstacle(header, 1 << 40, IMPLICIT) is None
    assert find_obstacle(header, 1 << 40, "*") is None


def test_pixels_that_no_native_file_can_hold_are_refused_at_once() -> None:
    data = encapsulated(
        [[b"\0" * 64]],
        RLE,
        number_of_frames="40000",
        rows=512,
        columns=512,
        bits_allocated=8,
    )
    header = scan(data).header
    obstacle = find_obstacle(header, len(data), EXPLICIT)
    assert obstacle is not None
    assert obstacle.reason is Reason.MEMORY_LIMIT
    assert find_obstacle(header, len(data), HTJ2K) is None


def test_a_file_that_is_given_up_holds_nothing(case: Case, pooled: PoolCodecs) -> None:
    case.add(multi_frame_instance(frames=50, **case.uids))
    files = open_files()
    file = case.open(RLE, pooled)
    next(file.pieces)
    file.pieces.close()
    assert open_files() == files
    assert list(file.pieces) == []


# ------------------------------------------------------------------ frames


@pytest.mark.parametrize("asked", ["*", EXPLICIT, RLE, HTJ2K])
def test_frames_come_in_the_order_asked_for_repeated_ones_too(
    case: Case, pooled: PoolCodecs, asked: str
) -> None:
    data = multi_frame_instance(frames=5, **case.uids)
    case.add(data)
    with read_frames(case.content, case.path, [3, 1, 3]) as frames:
        given = [
            (frame.number, frame.transfer_syntax_uid, b"".join(frame.pieces), frame.size)
            for frame in frame_data(frames, asked, pooled)
        ]
    assert [each[0] for each in given] == [3, 1, 3]
    assert {each[1] for each in given} == {EXPLICIT if asked == "*" else asked}
    assert given[0][2:] == given[2][2:]
    assert all(len(each[2]) == each[3] for each in given)
    if asked in {"*", EXPLICIT}:
        assert given[1][2] == samples(data)[0].tobytes()


def test_a_worker_without_a_database_opens_the_same_frames(case: Case) -> None:
    bodies = [bytes([number]) * 100 for number in range(6)]
    data = encapsulated(
        [[each] for each in bodies], RLE, rows=8, columns=8, bits_allocated=8, **case.uids
    )
    stored = case.add(data)
    with open_frames(case.content, stored) as walked, read_frames(case.content, case.path) as read:
        assert [frame.read() for frame in walked] == [frame.read() for frame in read] == bodies


def test_a_frame_that_lies_about_its_length_is_not_read(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.archive.representations.FRAME_BYTES_MAX", 1000)
    data = encapsulated([[b"x" * 2000]], RLE, rows=8, columns=8, bits_allocated=8, **case.uids)
    case.add(data)
    with (
        read_frames(case.content, case.path) as frames,
        pytest.raises(PixelError, match="over the limit"),
    ):
        list(frame_data(frames, EXPLICIT, own))


def test_frames_that_cannot_be_had_are_refused_at_once(case: Case) -> None:
    case.add(mr_instance(**case.uids))
    with (
        read_frames(case.content, case.path) as frames,
        pytest.raises(PixelError) as refused,
    ):
        frame_data(frames, JPEG_BASELINE, own)
    assert refused.value.reason is Reason.UNSUPPORTED_TRANSCODING


# ------------------------------------------------------------------ pictures


def test_pictures_are_rendered_in_order(case: Case, pooled: PoolCodecs) -> None:
    data = multi_frame_instance(frames=3, rows=32, **case.uids)
    case.add(data)
    options = parse_rendering_options(viewport="16,16")
    with read_frames(case.content, case.path, [2, 1]) as frames:
        in_pool = list(pictures(case.content, frames, "image/png", pooled, options))
        here = list(pictures(case.content, frames, "image/png", own, options))
        jpeg = list(pictures(case.content, frames, "image/jpeg", pooled))
    assert in_pool == here
    assert [png_decode(each).shape for each in here] == [(16, 16), (16, 16)]
    assert jpeg8_decode(jpeg[0]).shape[0] == 32


@pytest.mark.parametrize(
    ("make", "values", "viewport", "light"),
    [
        (mr_instance, {"rows": 32}, None, True),
        (mr_instance, {"rows": 32}, "128,128", True),
        (mr_instance, {"rows": 32}, "4000,4000", False),
        (mr_instance, {"rows": 1024}, None, False),
        (
            partial(encapsulated, [[b"x" * 64]], RLE),
            {"rows": 8, "columns": 8, "bits_allocated": 8},
            None,
            False,
        ),
    ],
    ids=["native", "thumbnail", "large-picture", "large-frame", "codec"],
)
def test_only_light_pictures_are_made_in_the_process_that_is_asked(
    case: Case,
    make: Callable[..., bytes],
    values: dict[str, int],
    viewport: str | None,
    light: bool,
) -> None:
    case.add(make(**values, **case.uids))
    pool = WorkerPool(1, name="ended", lazy=True)
    pool.shutdown()
    without_workers = PoolCodecs(RequestWorkers(executor=pool, count=1, begin_item=begin_item))
    options = parse_rendering_options(viewport=viewport)
    with read_frames(case.content, case.path) as frames:
        bodies = pictures(case.content, frames, "image/png", without_workers, options)
        if light:
            assert png_decode(next(bodies)).shape == ((128, 128) if viewport else (32, 32))
        else:
            with pytest.raises(Unavailable):
                next(bodies)


def test_a_palette_is_never_light(case: Case) -> None:
    """Its segments are expanded one after another: 0.4 s for the largest."""
    case.add(mr_instance(rows=32, **case.uids))
    with read_frames(case.content, case.path) as frames:
        (frame,) = frames
        description = parse_pixel_description(frames.header)
        grey = Presentation(description=description, transfer_syntax_uid=EXPLICIT)
        table = LookupTable(entries=1, first=0, bits=8, data=b"\0\0", segmented=True)
        light = [
            Rendering(
                number=1,
                frame=frame,
                presentation=presentation,
                media_type="image/png",
                options=RenderingOptions(),
            ).is_light
            for presentation in (grey, replace(grey, palette=(table, table, table)))
        ]
    assert light == [True, False]


def test_a_frame_too_large_for_a_viewport_is_refused_before_it_is_read(case: Case) -> None:
    case.add(
        encapsulated([[b"x" * 64]], RLE, rows=8000, columns=8000, bits_allocated=8, **case.uids)
    )
    options = parse_rendering_options(viewport="16,16")
    with (
        read_frames(case.content, case.path) as frames,
        pytest.raises(PixelError) as refused,
    ):
        pictures(case.content, frames, "image/png", own, options)
    assert refused.value.reason is Reason.MEMORY_LIMIT


# ------------------------------------------------------------------ workers


def test_a_frame_that_ends_its_worker_fails_alone(case: Case) -> None:
    """A worker that may take no time is ended at a frame that takes some, twice."""
    side = 6144
    noise = np.random.default_rng(1).integers(0, 1 << 16, side * side, np.uint16).tobytes()
    case.add(
        minimal_instance(
            rows=side,
            columns=side,
            bits_allocated=16,
            extra=[(0x7FE00010, "OW", noise)],
            **case.uids,
        )
    )
    innocent = Case(case.store, next(_numbers))
    innocent.add(mr_instance(**innocent.uids))
    with pool_codecs(WorkerLimits(wall_seconds=2.0)) as codecs:
        with pytest.raises(ResourceExhausted, match=r"frame 1 of studies.* time"):
            case.file(JPEG_2000, codecs)
        assert innocent.file(RLE, codecs)


def test_a_frame_whose_blob_is_gone_is_asked_for_again(case: Case, pooled: PoolCodecs) -> None:
    stored = case.add(mr_instance(**case.uids))
    blob = root_of(case.content.blobs) / case.content.blob_prefix / stored.place.key
    with read_frames(case.content, case.path) as frames:
        kept = blob.rename(blob.with_suffix(".away"))
        with pytest.raises(Aborted, match="ask again"):
            list(frame_data(frames, RLE, pooled))
        kept.rename(blob)
        assert len(list(frame_data(frames, RLE, pooled))) == 1


# ------------------------------------------------------------------ studies


def added(case: Case, count: int) -> list[StoredInstance]:
    instances = []
    for number in range(count):
        path = replace(case.path, sop_instance_uid=Uid(f"{case.path.series_instance_uid}.{number}"))
        data = mr_instance(rows=8, **{**case.uids, "sop_instance_uid": path.sop_instance_uid})
        case.store.add([data], writer=next(_numbers) + 10_000)
        instances.append(find_instance(case.content, path))
    return instances


@pytest.mark.parametrize("ahead", [0, 1, 3, 20])
def test_files_are_opened_ahead_and_come_in_order(case: Case, ahead: int) -> None:
    instances = added(case, 6)
    files = open_files()
    under_way: set[str] = set()
    most = 0

    def open_(stored: StoredInstance) -> InstanceFile:
        nonlocal most
        under_way.add(stored.path.sop_instance_uid or "")
        most = max(most, len(under_way))
        if stored is instances[2]:
            raise NotFound("gone")
        return open_file(case.content, stored, IMPLICIT, own, partial(_frames, case))

    found = []
    for file in opened_files(instances, open_, ahead=ahead):
        uid = pydicom.dcmread(BytesIO(b"".join(file.pieces))).SOPInstanceUID
        under_way.discard(uid)
        found.append(uid)
    assert found == [each.path.sop_instance_uid for each in instances if each is not instances[2]]
    assert most <= ahead + 2  # the one that is gone stays counted
    assert open_files() == files


@pytest.mark.parametrize("ahead", [0, 3])
def test_files_opened_ahead_are_closed_when_given_up(case: Case, ahead: int) -> None:
    instances = added(case, 5)
    files = open_files()
    opened = opened_files(
        instances,
        lambda stored: open_file(case.content, stored, "*", own, partial(_frames, case)),
        ahead=ahead,
    )
    next(opened)
    opened.close()  # type: ignore[attr-defined]  # it is a generator
    assert open_files() == files


def test_an_error_of_a_file_comes_in_its_turn(case: Case) -> None:
    instances = added(case, 4)

    def open_(stored: StoredInstance) -> InstanceFile:
        if stored is instances[1]:
            raise DataLoss("lost")
        return open_file(case.content, stored, "*", own, partial(_frames, case))

    opened = opened_files(instances, open_, ahead=4)
    assert next(opened).size
    with pytest.raises(DataLoss):
        next(opened)


def test_few_frames_are_drawn_ahead_of_the_one_that_is_given(
    case: Case, pooled: PoolCodecs
) -> None:
    case.add(multi_frame_instance(frames=30, **case.uids))
    drawn = 0

    def counted(tasks: Any) -> Iterator[Any]:
        nonlocal drawn
        for task in tasks:
            drawn += 1
            yield task

    class Counting:
        def run(self, tasks: Any, what: str) -> Iterator[bytes]:
            return pooled.run(counted(tasks), what)

    with read_frames(case.content, case.path) as frames:
        bodies = frame_data(frames, RLE, Counting())
        next(bodies)
        assert drawn <= 3
        assert len(list(bodies)) == 29


def test_the_time_of_a_frame_begins_with_it(case: Case) -> None:
    case.add(multi_frame_instance(frames=4, **case.uids))
    begun: list[int] = []
    assert case.file(RLE, OwnCodecs(lambda: begun.append(1)))
    assert len(begun) == 4
