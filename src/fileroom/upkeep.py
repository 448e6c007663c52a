"""What is done to a data directory beside its server: compared, or, without one, made anew."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.api.healthcare.store_rules import indexed_tags
from fileroom.archive.check import check_store, name_instances
from fileroom.archive.collect import Collector
from fileroom.archive.course import Course
from fileroom.archive.drift import check_references, list_references
from fileroom.archive.layout import (
    StoreIdentity,
    check_blob_bucket,
    find_identity,
    make_blob_bucket,
)
from fileroom.archive.reach import Reach, Subset
from fileroom.archive.rebuild import Rebuilt, rebuild_store
from fileroom.database import collection, comparing, rebuild, stores
from fileroom.database.collection import StoreArea
from fileroom.database.engine import open_database, open_readers
from fileroom.database.extra_attributes import set_indexed_attributes
from fileroom.database.header_dictionaries import keep_header_dictionary
from fileroom.database.servers import LEASE_SECONDS, has_living_server, known_servers
from fileroom.deployment import is_held, lock_data, open_blobs, open_buckets, write_holder
from fileroom.errors import DataLoss, FailedPrecondition, NotFound, Unavailable
from fileroom.names import DatasetName, DicomStoreName, LocationName, parse_name
from fileroom.objectstore.local import LocalBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fileroom.archive.check import Finding
    from fileroom.archive.drift import Drift, Reference
    from fileroom.archive.layout import RequestWriter
    from fileroom.database.collection import Waiting
    from fileroom.database.engine import Connection, Database, Readers
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.buckets import Buckets
    from fileroom.settings import Settings

RECOVERED: Final = DatasetName(LocationName("local", "us-central1"), "recovered")
"""The dataset of stores whose names are lost, or borne by another one."""
NOT_RESTORED: Final = (
    "operations, their failures and ledgers, and what of an import could have been undone",
    "IAM policies of datasets and DICOM stores",
    "datasets without a DICOM store",
    "instances kept by reference: import them again from their URIs",
    "storage classes (all are STANDARD) and times of storing (all are of now)",
    "the access token: the next start of a server makes another",
    "which instance describes a study or series whose instances disagree, where that was replaced",
    "page tokens and cursors that clients hold",
)
"""What is told nowhere beside the blobs."""


@dataclass(slots=True, kw_only=True)
class Check:
    """One check of a data directory, on which a server may run."""

    settings: Settings
    database: Readers
    blobs: Blobs
    reach: Reach
    course: Course

    def findings(self) -> Iterator[Finding | Drift]:
        """Compare rows, blobs and references, until all is compared or the time is over."""
        with self.database.read() as connection:
            areas = collection.living_stores(connection)
        buckets = open_buckets(self.settings)
        for (area, references), after in self.course.stretches(areas):
            pace = self.course.pace(area, references=references)
            reach = replace(self.reach, after=after, is_over=pace)
            yield from self._of_store(buckets, area, reach, references=references)
        self.course.settle()

    def backup_references(self, file: Path) -> int:
        """Write which instances are kept by reference, and of what, a line to each; give how many.

        The file is there whole or as it was before, and durable on return.

        Raises
        ------
        NotFound, PermissionDenied, ResourceExhausted, Unavailable
            If it cannot be written.
        """
        written = 0

        def lines() -> Iterator[bytes]:
            nonlocal written
            with self.database.read() as connection:
                areas = collection.living_stores(connection)
            for area in areas:
                identity = find_identity(self.blobs, area.blob_prefix) or StoreIdentity()
                for reference in list_references(self.database, area):
                    written += 1
                    yield _reference_line(identity.name, reference)

        directory = file.absolute().parent
        if not directory.is_dir():
            raise NotFound(f"there is no directory {directory}; make it first")
        LocalBucket(directory).write(file.name, lines())
        return written

    def stopped_at(self) -> str | None:
        """Give the path or URI behind which the next one goes on; None of a complete one."""
        position = self.course.stopped
        if position is None:
            return None
        if position.references and position.after:
            return position.after
        return self.blobs.name_of(f"{position.blob_prefix}/{position.after}")

    def _of_store(
        self, buckets: Buckets, area: StoreArea, reach: Reach, *, references: bool
    ) -> Iterator[Finding | Drift]:
        try:
            if references:
                yield from check_references(self.database, buckets, area, reach=reach)
                return
            check_blob_bucket(self.blobs, area.blob_prefix)
            found = check_store(self.database, self.blobs, area, reach=reach, others=self._others)
            yield from name_instances(self.database, found)
        except (NotFound, Unavailable):
            with self.database.read() as connection:
                if comparing.is_living(connection, area.id):
                    raise
            # It was deleted meanwhile, and what it held goes.

    def _others(self) -> OtherRequests:
        """Give whose requests may commit blobs from here on."""
        if not self.database.is_shared:
            return OtherRequests(boots=None if is_held(self.settings.data) else frozenset())
        with self.database.read() as connection:
            if not has_living_server(connection):
                return OtherRequests(boots=frozenset())
            return OtherRequests(boots=frozenset(known_servers(connection)))


def _reference_line(dicom_store: str, reference: Reference) -> bytes:
    path, place = reference.path, reference.place
    line = {
        "dicomStore": dicom_store,
        "studyInstanceUid": path.study_instance_uid,
        "seriesInstanceUid": path.series_instance_uid,
        "sopInstanceUid": path.sop_instance_uid,
        "uri": place.key,
        "version": place.version,
        "size": place.size,
        "sha256": None if place.sha256 is None else place.sha256.hex(),
    }
    return msgspec.json.encode(line) + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRequests:
    """The requests of servers of which nothing more is known than that they live."""

    boots: frozenset[str] | None
    """What those servers are called; None where one lives whose name is not told."""

    def may_commit(self, writer: RequestWriter) -> bool:
        """Tell whether one of them might commit what this request wrote."""
        return self.boots is None or writer.boot in self.boots


@contextmanager
def check_data(
    settings: Settings,
    *,
    deep: bool,
    subset: Subset | None = None,
    max_seconds: float | None = None,
) -> Iterator[Check]:
    """Compare the rows, blobs and references of a data directory; a server may run on it.

    Nothing is changed in it, but for what notes where a check stopped whose time was over.

    Raises
    ------
    FailedPrecondition
        If a server of another version runs on it, or its rows were not all made again.
    NotFound
        If there is no database in it.
    """
    kind = "quick" if not deep else "deep" if subset is None else f"deep {subset}"
    _check_there(settings)
    if max_seconds is not None:  # for what notes where it stopped
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    course = Course(settings.data, kind, seconds=max_seconds)
    with closing(_open_readers(settings)) as database:
        rebuild.check_rebuilt(database)
        yield Check(
            settings=settings,
            database=database,
            blobs=open_blobs(settings),
            reach=Reach(deep=deep, subset=subset),
            course=course,
        )


def _open_readers(settings: Settings) -> Readers:
    """Open the database for reading, brought up to date first where no server runs on it."""
    database = open_readers(settings.database_place)
    if database is None:
        with _owned(settings):
            database = open_readers(settings.database_place)
    assert database is not None
    return database


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltStore:
    """A DICOM store that was found below the blobs."""

    name: str
    blob_prefix: str
    former_name: str = ""
    """What was told beside its blobs; another one where that is lost, or borne by two."""
    deleted: bool = False
    content: Rebuilt = field(default_factory=Rebuilt)


def rebuild_index(settings: Settings, progress: Callable[[str, int], None]) -> list[RebuiltStore]:
    """Make the rows of an empty database from blobs alone; what was cut off goes on.

    Raises
    ------
    FailedPrecondition
        If a server runs on it, or the database holds anything else.
    """
    with _owned(settings) as (database, blobs):
        resumed = database.write(rebuild.begin_rebuild)
        _check_alone(database)  # one that has started since is told by what is noted now
        database.write(keep_header_dictionary)
        # Of an older database, whose numbers come again.
        shutil.rmtree(settings.cache_directory, ignore_errors=True)
        told = []
        for prefix in blobs.list_prefixes():
            store = _make_store(database, blobs, prefix)
            if not store.deleted:
                content = rebuild_store(
                    database,
                    blobs,
                    _area(database, prefix),
                    grace_seconds=settings.collection_grace_seconds,
                    resumed=resumed,
                    progress=partial(progress, store.name),
                )
                store = replace(store, content=content)
            told.append(store)
        newest = max((store.content.newest_writer for store in told), default=0)
        database.write(lambda transaction: rebuild.end_rebuild(transaction, newest))
    return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What one run of the collector did, and what it left."""

    places: int
    bytes: int
    waiting: Waiting
    deleted_stores: int
    """Whose content is not all gone, since an operation on them has not ended."""


def collect_garbage(settings: Settings) -> Collected:
    """Collect at once what is due in a data directory that no server runs on, orphans included.

    Raises
    ------
    FailedPrecondition
        If a server runs on it, or its rows were not all made again from blobs.
    NotFound
        If there is no database in it.
    """
    _check_there(settings)
    with _owned(settings) as (database, blobs):
        rebuild.check_rebuilt(database)
        collector = Collector(database, blobs, interval_seconds=1.0, after_crash=True)
        collector.collect()
        collector.collect()  # what the first has found to be orphans
        with database.read() as connection:
            return Collected(
                places=collector.reclaimed.places,
                bytes=collector.reclaimed.bytes,
                waiting=collection.waiting_drops(connection),
                deleted_stores=collection.count_deleted_stores(connection),
            )


def _check_there(settings: Settings) -> None:
    if settings.database is None and not settings.database_path.exists():
        raise NotFound(f"there is no database in {settings.data}; name its directory with --data")


@contextmanager
def _owned(settings: Settings) -> Iterator[tuple[Database, Blobs]]:
    """Give the database and the blobs of a data directory, on which no server runs meanwhile."""
    with ExitStack() as stack:
        lock, holder = lock_data(settings.data, stack)
        stack.callback(write_holder, lock, holder)
        database = open_database(settings.database_place)
        stack.callback(database.close)
        _check_alone(database)
        yield database, open_blobs(settings)


def _check_alone(database: Database) -> None:
    with database.read() as connection:
        if has_living_server(connection):
            raise FailedPrecondition(
                "servers run on the database: end them first; one that was killed counts as"
                f" running for {LEASE_SECONDS:.0f} s",
                "database",
            )


def _area(database: Database, blob_prefix: str) -> StoreArea:
    with database.read() as connection:
        store_id = rebuild.find_store_of(connection, blob_prefix)
    assert store_id is not None
    return StoreArea(id=store_id, blob_prefix=blob_prefix)


def _make_store(database: Database, blobs: Blobs, blob_prefix: str) -> RebuiltStore:
    """Give the store of some blobs its row, under the name that is told beside them."""
    try:
        identity = find_identity(blobs, blob_prefix) or StoreIdentity()
    except DataLoss:
        identity = StoreIdentity()
    if identity.deleted:
        database.write(lambda transaction: _insert_deleted(transaction, blob_prefix))
        return RebuiltStore(name=identity.name, blob_prefix=blob_prefix, deleted=True)
    name = database.write(lambda transaction: _insert_living(transaction, identity, blob_prefix))
    if str(name) != identity.name:
        named = msgspec.structs.replace(identity, name=str(name))
        make_blob_bucket(blobs, blob_prefix, named)
    return RebuiltStore(name=str(name), blob_prefix=blob_prefix, former_name=identity.name)


def _insert_living(
    transaction: Connection, identity: StoreIdentity, blob_prefix: str
) -> DicomStoreName:
    """Add the row of a store unless it is there; give what it is called."""
    told = parse_name(identity.name) if identity.name else None
    lost = DicomStoreName(RECOVERED, blob_prefix)
    name = told if isinstance(told, DicomStoreName) else lost
    if rebuild.find_store_of(transaction, blob_prefix) is not None:
        return name
    if stores.find_dicom_store(transaction, name) is not None:
        name = lost
    if stores.find_dataset(transaction, name.parent) is None:
        stores.insert_dataset(transaction, name.parent, time_zone=identity.time_zone)
    store = stores.insert_dicom_store(transaction, name, identity.config, blob_prefix=blob_prefix)
    set_indexed_attributes(transaction, store.id, indexed_tags(identity.config))
    return name


def _insert_deleted(transaction: Connection, blob_prefix: str) -> None:
    """Add the row of a store that was deleted, so that its blobs are purged.

    It comes in a dataset of its own, deleted as well: names of the living are not touched.
    """
    if rebuild.find_store_of(transaction, blob_prefix) is None:
        dataset = DatasetName(RECOVERED.parent, f"deleted-{blob_prefix}")
        name = DicomStoreName(dataset, blob_prefix)
        stores.insert_dataset(transaction, dataset)
        stores.insert_dicom_store(transaction, name, {}, blob_prefix=blob_prefix)
        stores.delete_dataset(transaction, dataset)
