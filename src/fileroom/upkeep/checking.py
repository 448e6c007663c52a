"""Rows, blobs and references of a data directory are compared, whether a server runs or not."""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.archive.check import check_store, name_instances
from fileroom.archive.course import Course
from fileroom.archive.drift import Drift, check_references, list_references
from fileroom.archive.findings import Fault
from fileroom.archive.layout import (
    StoreIdentity,
    check_blob_bucket,
    find_identity,
)
from fileroom.archive.looking import place_of
from fileroom.archive.reach import Reach, Subset
from fileroom.database import collection, comparing, rebuild
from fileroom.database.engine import open_database, open_readers
from fileroom.database.instances import note_damage
from fileroom.database.servers import has_living_server, known_servers
from fileroom.deployment import is_held, open_blobs, open_buckets
from fileroom.errors import FileroomError, NotFound, Unavailable
from fileroom.objectstore.local import LocalBucket
from fileroom.upkeep.owning import check_there, owned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fileroom.archive.check import Finding
    from fileroom.archive.drift import Reference
    from fileroom.archive.layout import RequestWriter
    from fileroom.database.collection import StoreArea
    from fileroom.database.engine import Readers
    from fileroom.database.instances import Place
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.buckets import Buckets
    from fileroom.settings import Settings

logger = logging.getLogger(__name__)

LOST: Final = {Fault.MISSING, Fault.DIFFERING_SIZE, Fault.DIFFERING_CHECKSUM}
"""What is found of an instance whose bytes are not those that were stored."""
NOTED_MAX: Final = 500
"""Instances that are noted in one transaction."""


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
            yield from self._noted(
                area, self._of_store(buckets, area, reach, references=references)
            )
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

    def _noted(
        self, area: StoreArea, findings: Iterator[Finding | Drift]
    ) -> Iterator[Finding | Drift]:
        """Give the findings, and note which bytes are lost: the same file stored again heals it."""
        lost: list[Place] = []
        for finding in findings:
            yield finding
            if isinstance(finding, Drift) or finding.place is None:
                continue
            if finding.fault in LOST:
                lost.append(place_of(finding.place))
            if len(lost) >= NOTED_MAX:
                self._note(area, lost)
                lost = []
        self._note(area, lost)

    def _note(self, area: StoreArea, lost: Sequence[Place]) -> None:
        if not lost:
            return
        try:
            with closing(open_database(self.settings.database_place)) as database:
                database.write(lambda transaction: note_damage(transaction, area.id, lost))
        except FileroomError as error:  # it is told all the same
            logger.warning("damage is not noted", extra={"cause": str(error)})

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

    Nothing is changed in it, but for notes: of which instances the bytes are lost, and where a
    check stopped whose time was over.

    Raises
    ------
    FailedPrecondition
        If a server of another version runs on it, or its rows were not all made again.
    NotFound
        If there is no database in it.
    """
    kind = "quick" if not deep else "deep" if subset is None else f"deep {subset}"
    check_there(settings)
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
        with owned(settings):
            database = open_readers(settings.database_place)
    assert database is not None
    return database
