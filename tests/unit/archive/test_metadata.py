from __future__ import annotations

import json
import re
import shutil
import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from sqlalchemy import delete, update

from fileroom.archive.metadata import slices
from fileroom.archive.metadata.cache import MetadataCache
from fileroom.archive.metadata.filling import MetadataFiller
from fileroom.archive.metadata.retrieval import Metadata
from fileroom.archive.metadata.slices import PART_MARK, SLICE_INSTANCES, Slice, tell_slice
from fileroom.archive.metadata.telling import SeriesSlice, Teller, slices_of
from fileroom.archive.reading import InstanceReader
from fileroom.archive.workers import RequestWorkers
from fileroom.database import schema
from fileroom.database.instances import DuplicatePolicy
from fileroom.database.stored import find_series, list_instances_of_series
from fileroom.dicom import json_model
from fileroom.dicom.native_xml import encode_native_xml
from fileroom.errors import DataLoss, NotFound, Reason, ResourceExhausted, Unavailable
from fileroom.names import InstancePath, Uid
from fileroom.transfer.executors import WorkerLimits, WorkerPool, begin_item
from tests.contracts import tasks
from tests.corpus import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, minimal_instance
from tests.places import root_of
from tests.store_content import FilledStore, filled_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Executable

    from fileroom.archive.metadata.retrieval import MetadataFound
    from fileroom.database.values.stored import SeriesVersion, StoredInstance
    from fileroom.errors import FileroomError

URL = "http://h/v1/dicomWeb"
MODULES = (slices.__name__,)
LONG_TEXT = "long " * 20_000
_numbers = count(1)


class Case:
    """A study of its own in the store that the tests share, and what tells its metadata."""

    def __init__(self, store: FilledStore, workers: RequestWorkers, cache: Path) -> None:
        self.number = next(_numbers)
        self._store = store
        self._writers = count(1000 * self.number)
        self.content = store.content
        self.workers = workers
        self.study = Uid(f"1.2.{self.number}")
        self.directory = cache
        self.metadata = self.opened()

    def opened(self, size_bytes: int = 1 << 30) -> Metadata:
        """What a server has that has just started."""
        return Metadata(self.workers, MetadataCache(self.directory, size_bytes))

    def uids(self, number: int, series: int = 1) -> dict[str, Any]:
        return {
            "study_instance_uid": self.study,
            "series_instance_uid": f"{self.study}.{series}",
            "sop_instance_uid": f"{self.study}.{series}.{number:05d}",
        }

    def add(self, *files: bytes, replace: bool = False) -> None:
        policy = DuplicatePolicy.REPLACE if replace else DuplicatePolicy.FAIL_IF_DIFFERENT
        self._store.add(files, writer=next(self._writers), policy=policy)

    def add_series(self, instances: int, series: int = 1, **values: Any) -> None:
        files = [
            minimal_instance(**self.uids(number, series), **values) for number in range(instances)
        ]
        for at in range(0, instances, 500):
            self.add(*files[at : at + 500])

    def write(self, statement: Executable) -> None:
        self._store.database.write(lambda transaction: transaction.execute(statement))

    def forget_headers(self) -> None:
        """Leave no header in the rows, so that a worker must cut each from its blob."""
        self.write(delete(schema.headers).where(schema.headers.c.instance_id.in_(self.ids())))

    def path(self, series: int | None = None, number: int | None = None) -> InstancePath:
        if series is None:
            return InstancePath(self.study)
        if number is None:
            return InstancePath(self.study, Uid(f"{self.study}.{series}"))
        return InstancePath(*map(Uid, self.uids(number, series).values()))

    def find(self, *where: int) -> MetadataFound:
        return self.metadata.find(self.content, self.path(*where))

    def text(self, *where: int) -> bytes:
        found = self.find(*where)
        texts = self.metadata.texts(self.content, found, "json", URL)
        return b"[" + b"".join(texts) + b"]"

    def told(self, *where: int) -> list[dict[str, Any]]:
        return list(json.loads(self.text(*where)))

    def version(self, series: int = 1) -> SeriesVersion:
        (version,) = self.find(series).series
        return version

    def ids(self, series: int = 1) -> list[int]:
        with self.content.database.read() as connection:
            return list(list_instances_of_series(connection, self.version(series).series_id))

    def rows(self) -> tuple[StoredInstance, ...]:
        return tuple(row for some in slices_of(self.content, self.ids()) for row in some)

    def files(self) -> list[Path]:
        """Give what is kept, in the order in which the series were made."""
        files = (path for path in self.directory.rglob("*") if path.is_file())
        return sorted(files, key=lambda path: (len(path.name.partition("-")[0]), path))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledStore]:
    with filled_store(tmp_path_factory.mktemp("metadata")) as filled:
        yield filled


@contextmanager
def request_workers(
    limits: WorkerLimits | None = None,
    begin: Callable[[int | None], None] = begin_item,
    modules: tuple[str, ...] = MODULES,
) -> Iterator[RequestWorkers]:
    with WorkerPool(2, name="render", limits=limits, preload=modules, lazy=True) as pool:
        yield RequestWorkers(executor=pool, count=2, begin_item=begin)


@pytest.fixture(scope="module")
def workers() -> Iterator[RequestWorkers]:
    with request_workers() as workers:
        yield workers


@pytest.fixture
def case(store: FilledStore, workers: RequestWorkers, tmp_path: Path) -> Case:
    return Case(store, workers, tmp_path)


def instance_uids(told: list[dict[str, Any]]) -> list[str]:
    return [each["00080018"]["Value"][0] for each in told]


# ------------------------------------------------------------------ what is told


def test_metadata_come_by_series_and_instance(case: Case) -> None:
    for series in (1, 2):
        case.add_series(3, series)

    def uids(*numbers: tuple[int, int]) -> list[str]:
        return [f"{case.study}.{series}.{number:05d}" for series, number in numbers]

    every = uids(*((series, number) for series in (1, 2) for number in range(3)))
    assert instance_uids(case.told()) == every
    assert instance_uids(case.told(2)) == every[3:]
    assert instance_uids(case.told(2, 1)) == uids((2, 1))


@pytest.mark.clause(
    "PS3.18 10.4.1.1.2", "metadata of a study are those of all its instances, however many"
)
def test_workers_tell_what_the_server_itself_would(case: Case) -> None:
    case.add_series(2 * SLICE_INSTANCES + 20, 1, rows=1, columns=2, pixel_data=[1, 2])
    case.add_series(70, 2)
    told = case.told()
    assert instance_uids(told) == sorted(instance_uids(told))
    assert len(told) == 2 * SLICE_INSTANCES + 90
    for at in (0, SLICE_INSTANCES - 1, SLICE_INSTANCES, len(told) - 80):
        (alone,) = case.told(1, at)
        assert told[at] == alone
    uri = f"{URL}/{case.path(1, 7)}/bulkdata/7FE00010"
    assert told[7]["7FE00010"] == {"vr": "OW", "BulkDataURI": uri}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize("kept", [True, False])
def test_everything_is_told_whether_or_not_the_header_is_kept(
    case: Case, syntax: str, kept: bool
) -> None:
    data = minimal_instance(
        transfer_syntax_uid=syntax,
        extra=[(0x0040A160, "UT", LONG_TEXT)],
        rows=1,
        columns=100,
        pixel_data=[5] * 100,
        **case.uids(1),
    )
    case.add(data)
    if not kept:
        case.forget_headers()
    (told,) = case.told(1, 1)
    assert told["0040A160"] == {"vr": "UT", "Value": [LONG_TEXT.rstrip()]}
    uri = f"{URL}/{case.path(1, 1)}/bulkdata/7FE00010"
    assert told["7FE00010"] == {"vr": "OW", "BulkDataURI": uri}
    assert told["00020010"] == {"vr": "UI", "Value": [syntax]}


@pytest.mark.clause("PS3.19 A.1", "metadata as XML documents in the Native DICOM Model")
@pytest.mark.parametrize("instances", [2, 60])
def test_xml_says_the_same_as_json(case: Case, instances: int) -> None:
    case.add_series(instances, rows=1, columns=2, pixel_data=[1, 2])
    url = "http://h/a&b"
    found = case.find(1)
    text = b"".join(case.metadata.texts(case.content, found, "xml", url))
    _, *documents = text.split(PART_MARK)
    assert len(documents) == instances
    for document, stored in zip(documents, case.rows(), strict=True):
        ElementTree.fromstring(document)
        with InstanceReader(case.content, stored) as reader:
            model = json_model.metadata(
                reader.header, bulk_data_uri=f"{url}/{stored.path}/bulkdata", read=reader.read
            )
        assert document == encode_native_xml(model)
    assert case.files() == []


def test_a_value_that_holds_a_mark_is_told_as_it_is(case: Case) -> None:
    case.add(minimal_instance(**case.uids(1), patient_id="a\x01b\x00c"))
    (told,) = case.told(1)
    assert told["00100020"]["Value"] == ["a\x01b\x00c"]


def test_a_slice_ends_before_it_fills_the_memory_and_goes_on(case: Case) -> None:
    text = "x" * 1_000_000
    case.add(
        *(minimal_instance(**case.uids(at), extra=[(0x0040A160, "UT", text)]) for at in range(20))
    )
    told = tell_slice(
        Slice(
            blobs=case.content.blobs,
            blob_prefix=case.content.blob_prefix,
            buckets=case.content.buckets,
            instances=case.rows(),
            form="json",
            begin_item=begin_item,
        )
    )
    assert told.count == slices.TEXT_BYTES // 1_000_000 + 1
    assert len(case.told(1)) == 20


def test_what_is_deleted_meanwhile_is_left_out(case: Case) -> None:
    case.add_series(3)
    told = case.metadata.texts(case.content, case.find(1), "json", URL)
    uid = case.uids(1)["sop_instance_uid"]
    case.write(delete(schema.instances).where(schema.instances.c.sop_instance_uid == uid))
    assert len(json.loads(b"[" + b"".join(told) + b"]")) == 2


def test_what_moved_meanwhile_is_told_at_its_new_place_and_what_is_gone_is_not(case: Case) -> None:
    case.add_series(3)
    case.forget_headers()
    before = case.rows()
    case.add(minimal_instance(**case.uids(1), patient_id="new"), replace=True)
    case.write(delete(schema.instances).where(schema.instances.c.id == before[2].id))
    area = root_of(case.content.blobs) / case.content.blob_prefix
    for place in {stored.place.key for stored in before[1:]}:
        (area / place).rename(area / f"{place}-gone")
    found = case.rows()
    case.forget_headers()
    slice_ = SeriesSlice(version=case.version(), instances=(before[1], before[2]))
    (block,) = Teller(case.workers).blocks(case.content, slice_, "json")
    told = json.loads(b"".join(slices.decompress(block)))
    assert told["00100020"]["Value"] == ["new"]
    lost = SeriesSlice(version=case.version(), instances=(found[0],))
    with pytest.raises(DataLoss, match="is missing"):
        list(Teller(case.workers).blocks(case.content, lost, "json"))


def test_a_damaged_blob_without_a_header_is_data_loss(case: Case) -> None:
    case.add_series(1)
    case.forget_headers()
    (stored,) = case.rows()
    place = root_of(case.content.blobs) / case.content.blob_prefix / stored.place.key
    place.write_bytes(b"x" * place.stat().st_size)
    with pytest.raises(DataLoss, match="damaged"):
        case.told(1)


def test_what_is_absent_is_not_found(case: Case) -> None:
    case.add_series(1)
    for path in (
        InstancePath(case.study, Uid("1.9")),
        InstancePath(Uid("9.2")),
        InstancePath(case.study, Uid(f"{case.study}.1"), Uid("1.5")),
    ):
        with pytest.raises(NotFound, match="does not exist"):
            case.metadata.find(case.content, path)


# ------------------------------------------------------------------ lost workers


def test_an_instance_that_takes_too_much_memory_fails_by_name_and_others_are_told(
    store: FilledStore, tmp_path: Path
) -> None:
    values = [(0x00110010, "LO", "A")] + [
        (0x00111000 + at, "UT", "x" * 1_000_000) for at in range(80)
    ]
    with request_workers(WorkerLimits(memory_bytes=48 << 20)) as workers:
        case = Case(store, workers, tmp_path)
        case.add_series(60, 1)
        case.add(minimal_instance(**case.uids(30, 2), extra=values))
        case.add_series(20, 2)
        with pytest.raises(
            ResourceExhausted, match=r"instances/[\d.]+\.2\.00030 takes more"
        ) as caught:
            case.told()
        assert caught.value.detail == Reason.MEMORY_LIMIT
        assert len(case.told(1)) == 60
    assert len(case.files()) == 1


def test_an_instance_over_which_a_worker_is_lost_is_tried_again_alone(
    store: FilledStore, tmp_path: Path
) -> None:
    modules = (*MODULES, tasks.__name__)
    with request_workers(begin=tasks.end_at_the_third, modules=modules) as workers:
        case = Case(store, workers, tmp_path)
        case.add_series(5)
        slice_ = SeriesSlice(version=case.version(), instances=case.rows())
        blocks = list(Teller(workers).blocks(case.content, slice_, "json"))
    texts = [b"".join(slices.decompress(block)) for block in blocks]
    told = json.loads(b"[" + b",".join(texts) + b"]")
    assert instance_uids(told) == [case.uids(at)["sop_instance_uid"] for at in range(5)]
    assert len(blocks) == 3


@pytest.mark.parametrize(
    ("begin", "kind", "reason"),
    [
        (tasks.end_at_once, DataLoss, Reason.WORKER_CRASHED),
        (tasks.hang_at, ResourceExhausted, Reason.TIME_LIMIT),
    ],
)
def test_an_instance_over_which_every_worker_is_lost_fails_by_name(
    store: FilledStore,
    tmp_path: Path,
    begin: Callable[[int | None], None],
    kind: type[FileroomError],
    reason: Reason,
) -> None:
    limits = WorkerLimits(wall_seconds=0.5)
    with request_workers(limits, begin, (*MODULES, tasks.__name__)) as workers:
        case = Case(store, workers, tmp_path)
        case.add_series(60)
        with pytest.raises(kind, match=r"instances/[\d.]+00000 ") as caught:
            case.told()
        assert caught.value.detail == reason


def test_metadata_of_a_server_that_ends_are_unavailable(store: FilledStore, tmp_path: Path) -> None:
    with request_workers() as workers:
        case = Case(store, workers, tmp_path)
        case.add_series(60)
    with pytest.raises(Unavailable, match="ending"):
        case.told()


# ------------------------------------------------------------------ what is kept


def test_a_series_is_told_from_its_file_from_the_second_time_on(case: Case) -> None:
    case.add_series(300)
    first = case.text()
    (file,) = case.files()
    version = case.version()
    name = f"{version.series_id}-{version.changed_seq}-{slices.METADATA_FORMAT}"
    assert file.relative_to(case.directory).parts == (str(version.store_id), name)
    kept = case.metadata.cache.open(version)
    assert kept is not None
    with kept:
        stored = b"".join(piece for block in kept.blocks() for piece in slices.decompress(block))
    assert URL.encode() not in stored
    for metadata in (case.metadata, case.opened()):  # also by a server that starts
        case.metadata = metadata
        assert case.text() == case.text(1) == first
    case.forget_headers()
    assert case.text() == first


@pytest.mark.parametrize("damage", ["cut", "flipped", "zeros", "foreign", "empty", "gone", "all"])
def test_a_torn_or_foreign_file_is_never_believed(case: Case, damage: str) -> None:
    case.add_series(60, 1)
    case.add_series(60, 2)
    first = case.text(1)
    case.text(2)
    one, other = case.files()
    whole = one.read_bytes()
    content = bytearray(whole)
    match damage:
        case "cut":
            one.write_bytes(content[:-100])
        case "flipped":
            content[len(content) // 2] ^= 1
            one.write_bytes(content)
        case "zeros":
            one.write_bytes(bytes(len(content)))
        case "foreign":
            one.write_bytes(other.read_bytes())
        case "empty":
            one.write_bytes(b"")
        case "gone":
            one.unlink()
        case "all":
            shutil.rmtree(case.directory)
    assert case.text(1) == first
    assert one.read_bytes() == whole
    assert case.text(1) == first


def test_the_least_used_go_when_there_is_no_room(case: Case) -> None:
    for series in range(1, 7):
        case.add_series(60, series)
    size = 6 * 4096
    case.metadata = case.opened(size)
    for series in (1, 2, 3, 4, 5, 6):
        case.text(series)
    assert len(case.files()) == 6
    case.text(1)
    case.add_series(60, 7)
    case.metadata = case.opened(size)  # the order outlives a server
    case.text(7)
    kept = {series_id for _, series_id, _ in case.metadata.cache.kept()}
    assert case.version(1).series_id in kept
    assert case.version(2).series_id not in kept
    assert len(kept) == len(case.files()) == 6
    assert sum(-(-file.stat().st_size // 4096) * 4096 for file in case.files()) <= size
    (case.directory / "tmp-0").write_bytes(b"left by a crash")
    case.metadata = case.opened(0)
    case.text(1)
    assert case.files() == []


def test_a_directory_that_takes_no_files_does_not_matter(case: Case) -> None:
    case.directory = case.directory / "file"
    case.directory.write_bytes(b"")
    case.metadata = case.opened()
    case.add_series(60)
    for _ in range(2):
        assert len(case.told()) == 60


def test_no_series_takes_the_room_of_all_others(case: Case) -> None:
    case.add_series(600)
    case.metadata = case.opened(2 * 4096)
    assert len(case.told()) == 600
    assert case.files() == []


def test_an_older_version_of_a_series_is_deleted_with_the_newer_one_written(case: Case) -> None:
    case.add_series(60)
    case.text()
    case.add(minimal_instance(**case.uids(99)))
    assert len(case.told()) == 61
    (file,) = case.files()
    assert file.name.split("-")[1] == str(case.version().changed_seq)


@pytest.mark.parametrize("of", ["series", "store"])
def test_what_is_deleted_is_not_kept_even_if_it_is_being_read(case: Case, of: str) -> None:
    case.add_series(60)
    version = case.version()
    cache = case.metadata.cache
    case.text()

    def forget() -> None:
        case.write(
            update(schema.studies)
            .values(state="DELETING")
            .where(schema.studies.c.study_instance_uid == case.study)
        )
        if of == "series":
            cache.forget_series(version.store_id, version.series_id)
        else:
            cache.forget_store(version.store_id)

    found = case.find(1)
    cache.forget_series(version.store_id, version.series_id)
    assert case.files() == []
    reading = case.metadata.texts(case.content, found, "json", URL)
    next(reading)
    assert len(case.files()) == 1
    forget()
    list(reading)
    assert case.files() == []
    with pytest.raises(NotFound):
        case.find(1)


def test_a_file_that_is_there_tells_nothing_of_a_deleted_series(case: Case) -> None:
    case.add_series(60)
    case.text()
    case.write(
        update(schema.studies)
        .values(state="DELETING")
        .where(schema.studies.c.study_instance_uid == case.study)
    )
    assert len(case.files()) == 1
    for where in ((), (1,), (1, 1)):
        with pytest.raises(NotFound):
            case.text(*where)


def test_a_reader_that_goes_away_leaves_nothing_behind(case: Case) -> None:
    case.add_series(600)
    texts = case.metadata.texts(case.content, case.find(1), "json", URL)
    next(texts)
    texts.close()
    assert case.files() == []
    assert len(case.told()) == 600


@pytest.mark.clause(
    "Fileroom", "metadata are right at once after an import, whatever is kept", holds="own rule"
)
def test_metadata_tell_what_is_committed_while_a_series_grows(case: Case) -> None:
    case.add_series(60)
    committed = 60
    ended = threading.Event()

    def grow() -> None:
        nonlocal committed
        try:
            for at in range(60, 180, 4):
                case.add(*(minimal_instance(**case.uids(number)) for number in range(at, at + 4)))
                committed = at + 4
        finally:
            ended.set()

    thread = threading.Thread(target=grow)
    thread.start()
    rounds = 0
    while not ended.is_set() or rounds < 3:
        known, etag = committed, case.find(1).etag("json", URL)
        told, again = instance_uids(case.told(1)), instance_uids(case.told(1))
        assert len(set(told)) == len(told) >= known
        # Both readings lie between the two ETags: what they say differs only if those do.
        assert told == again or case.find(1).etag("json", URL) != etag
        rounds += 1
    thread.join()
    assert len(case.told(1)) == 180
    assert len(case.told(1)) == 180


# ------------------------------------------------------------------ ETag


def test_the_etag_moves_with_the_series_its_form_and_its_url(case: Case) -> None:
    case.add_series(2, 1)
    case.add_series(2, 2)

    def etags(url: str = URL) -> list[str]:
        paths: tuple[tuple[int, ...], ...] = ((), (1,), (1, 1), (2,))
        return [case.find(*where).etag("json", url) for where in paths]

    before = etags()
    assert etags() == before
    assert all(re.fullmatch(r'"[0-9a-f-]+"', etag) for etag in before)
    assert set(before).isdisjoint(etags("https://other/dicomWeb"))
    assert case.find(1).etag("xml", URL) == f"W/{before[1]}"
    case.add(minimal_instance(**case.uids(9)))
    after = etags()
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        False,
        False,
        False,
        True,
    ]


# ------------------------------------------------------------------ filling


@pytest.fixture
def alone(workers: RequestWorkers, tmp_path: Path) -> Iterator[Case]:
    (tmp_path / "alone").mkdir()
    with filled_store(tmp_path / "alone") as store:
        yield Case(store, workers, tmp_path / "cache")


def filler(case: Case, quiet_seconds: float = 0.0) -> MetadataFiller:
    return MetadataFiller(
        case.content.database,
        case.content.blobs,
        case.content.buckets,
        case.metadata,
        quiet_seconds=quiet_seconds,
        look_seconds=0.01,
    )


def test_a_series_is_kept_once_it_is_quiet(alone: Case) -> None:
    waiting = filler(alone, quiet_seconds=3600)
    alone.add_series(60, 1)
    alone.add_series(1, 2)
    waiting.look()
    assert alone.files() == []
    filler(alone).look()
    assert len(alone.files()) == 2
    kept = [file.read_bytes() for file in alone.files()]
    alone.text()
    assert [file.read_bytes() for file in alone.files()] == kept


def test_the_thread_keeps_what_comes_after_its_start_and_stops(alone: Case) -> None:
    alone.add_series(1, 1)
    running = filler(alone)
    running.start()
    alone.add_series(60, 2)
    deadline = threading.Event()
    for _ in range(500):
        if alone.files() and not alone.files()[0].name.startswith("tmp"):
            break
        deadline.wait(0.02)
    running.stop()
    (file,) = alone.files()
    assert file.name.startswith(f"{alone.version(2).series_id}-")


def test_files_of_what_is_gone_or_changed_are_swept(alone: Case) -> None:
    for series in (1, 2, 3):
        alone.add_series(60, series)
    alone.text()
    gone = alone.version(1).series_id
    kept = alone.version(3).series_id
    alone.write(update(schema.series).values(state="DELETING").where(schema.series.c.id == gone))
    alone.add(minimal_instance(**alone.uids(99, 2)))
    filler(alone).sweep()
    (file,) = alone.files()
    assert file.name.startswith(f"{kept}-")


def test_a_series_of_a_deleted_store_is_not_found(case: Case) -> None:
    case.add_series(1)
    version = case.version()
    with case.content.database.read() as connection:
        assert find_series(connection, version.store_id, version.series_id) == version
        assert find_series(connection, version.store_id + 1, version.series_id) is None
