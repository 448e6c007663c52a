"""What imports and exports need: a store with blobs, buckets, and threads for workers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import update

from fileroom.archive.layout import MARKS, StoreIdentity, make_blob_bucket
from fileroom.archive.metadata.telling import Teller
from fileroom.archive.retrieve import StoreContent
from fileroom.archive.storing import StoringRequests
from fileroom.archive.workers import RequestWorkers
from fileroom.database import operations, schema, stores
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.buckets import Buckets
from fileroom.operations.runner import Run
from fileroom.transfer.executors import begin_item
from fileroom.transfer.facilities import Facilities
from fileroom.transfer.ledger import LedgerLine, decode_chunk
from fileroom.transfer.pipeline import Turns
from tests import corpus
from tests.databases import opened_database
from tests.places import root_of, standing
from tests.unit.database.rows import OWNER, STORE, claimed, new_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.engine import Connection, Database
    from fileroom.names import OperationName
    from tests.places import PLACES
    from tests.postgresql import PostgresqlServer

WORKERS = 2
UIDS = tuple[str, str, str]


@dataclass(slots=True)
class Suspects:
    """Stores whose blobs are to be compared with rows, and after which operation."""

    noted: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, store_id: int, writer: int) -> None:
        self.noted.append((store_id, writer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One DICOM store, the bucket ``gs://bucket``, and what moves objects between them."""

    facilities: Facilities
    bucket: Path
    store_id: int
    blob_prefix: str
    suspects: Suspects

    @property
    def database(self) -> Database:
        return self.facilities.database

    @property
    def blobs(self) -> Path:
        """The directory of the store's blobs."""
        return root_of(self.facilities.blobs) / self.blob_prefix

    @property
    def content(self) -> StoreContent:
        """Where the rows and the blobs of the store are."""
        return StoreContent(
            database=self.facilities.database,
            blobs=self.facilities.blobs,
            buckets=self.facilities.buckets,
            store_id=self.store_id,
            blob_prefix=self.blob_prefix,
        )

    def put(self, key: str, content: bytes) -> None:
        """Put an object into the bucket."""
        path = self.bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def claim(self, name: OperationName) -> Run:
        """Claim an operation, from whoever has it."""

        def claim(transaction: Connection) -> operations.Operation:
            table = schema.operations
            transaction.execute(
                update(table).where(table.c.operation_id == name.operation_id).values(lease_until=0)
            )
            return claimed(transaction, OWNER)

        run = Run(self.database, self.database.write(claim))
        assert run.operation.name == name
        return run

    def end(self, run: Run) -> Run:
        """End an operation whose job is done."""
        listed = run.read().counters.listed
        self.database.write(
            lambda transaction: operations.finish_operation(
                transaction, run.operation, listed=listed, retention_microseconds=10**12
            )
        )
        return run

    def ledger(self, run: Run) -> list[LedgerLine]:
        """Give what became of the objects of an operation."""
        with self.database.read() as connection:
            chunks = operations.ledger_chunks(
                connection, run.operation.id, after=(-1, 0), at_most=10_000
            )
        return [line for *_, chunk in chunks for line in decode_chunk(chunk)]

    def blob_files(self) -> set[str]:
        """Give the keys of the blobs that lie in the store's directories."""
        return {
            str(path.relative_to(self.blobs))
            for path in self.blobs.rglob("*")
            if path.is_file() and not path.name.startswith(".") and path.parent.name != MARKS
        }

    def standing(self) -> PLACES:
        """Give the places in the store's blobs whose bytes are there."""
        return standing(self.blobs)


@contextmanager
def opened_site(directory: Path, shared: PostgresqlServer | None = None) -> Iterator[Site]:
    """Give a site whose store and bucket are empty."""
    directory.mkdir(parents=True, exist_ok=True)
    with opened_database(directory, shared) as database, make_site(directory, database) as site:
        yield site


@contextmanager
def make_site(directory: Path, database: Database) -> Iterator[Site]:
    """Make the store and the bucket of a site, in a database without any."""
    (directory / "buckets" / "bucket").mkdir(parents=True)
    (directory / "blobs").mkdir()
    database.write(new_store)
    with database.read() as connection:
        blob_prefix = stores.get_dicom_store(connection, STORE).blob_prefix
    make_blob_bucket(LocalBlobs(directory / "blobs"), blob_prefix, StoreIdentity())
    with site_of(directory, database) as site:
        yield site


@contextmanager
def site_of(directory: Path, database: Database) -> Iterator[Site]:
    """Give the site that a directory and a database hold already."""
    buckets, blobs = directory / "buckets", directory / "blobs"
    with ThreadPoolExecutor(WORKERS) as executor:
        with database.read() as connection:
            store = stores.get_dicom_store(connection, STORE)
        suspects = Suspects()
        facilities = Facilities(
            database=database,
            buckets=Buckets([], buckets),
            blobs=LocalBlobs(blobs),
            requests=StoringRequests(),
            turns=Turns(executor, lambda: WORKERS),
            pixel_turns=Turns(executor, lambda: WORKERS),
            teller=Teller(RequestWorkers(executor=executor, count=WORKERS, begin_item=begin_item)),
            wake=lambda: None,
            grace_seconds=60.0,
            unfinished_max=1000,
            booted_at=time.time(),
            suspect=suspects,
        )
        yield Site(
            facilities=facilities,
            bucket=buckets / "bucket",
            store_id=store.id,
            blob_prefix=store.blob_prefix,
            suspects=suspects,
        )


def uids(number: int, *, series: int = 1, study: int = 1) -> UIDS:
    """Give Study, Series and SOP Instance UID of an instance of the tests."""
    root = f"{corpus.UID_ROOT}.5.{study}"
    return root, f"{root}.{series}", f"{root}.{series}.{number}"


def instance(key: UIDS, *, patient_id: str = "P1", patient_name: str = "Sample^Sam") -> bytes:
    """Give the file of an instance."""
    return corpus.minimal_instance(
        study_instance_uid=key[0],
        series_instance_uid=key[1],
        sop_instance_uid=key[2],
        patient_id=patient_id,
        patient_name=patient_name,
    )
