"""A DICOM store with content, made as an import makes it: real database, real blobs."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.archive.ingest import Content, Writer, store_contents
from fileroom.archive.layout import StoreIdentity, make_blob_bucket
from fileroom.archive.retrieve import StoreContent
from fileroom.database.engine import open_database
from fileroom.database.instances import DuplicatePolicy, StoreWrite, store_records
from fileroom.database.stores import insert_dataset, insert_dicom_store
from fileroom.names import DatasetName, DicomStoreName, LocationName
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.buckets import Buckets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from fileroom.database.engine import Database
    from fileroom.database.instances import RecordResult

STORE = DicomStoreName(DatasetName(LocationName("p", "us-central1"), "d"), "s")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledStore:
    """A store that instances can be added to."""

    content: StoreContent
    name: DicomStoreName

    @property
    def database(self) -> Database:
        return self.content.database

    def add(
        self,
        files: Iterable[bytes],
        *,
        writer: int = 1,
        policy: DuplicatePolicy = DuplicatePolicy.FAIL_IF_DIFFERENT,
    ) -> list[RecordResult]:
        """Store files; each call needs a writer of its own."""
        content = self.content
        bucket = content.blobs.bucket(content.blob_prefix)
        contents = (
            Content(ordinal=ordinal, source=f"gs://b/{ordinal}", version=None, data=data)
            for ordinal, data in enumerate(files)
        )
        records = store_contents(Writer(bucket=bucket, number=writer), contents, _refuse)
        write = StoreWrite(store_id=content.store_id, operation_id=writer, policy=policy)
        return self.database.write(lambda transaction: store_records(transaction, write, records))


def _refuse(_: Content, error: Exception) -> None:
    raise error


@contextmanager
def filled_store(directory: Path, files: Iterable[bytes] = ()) -> Iterator[FilledStore]:
    """Open a database with one DICOM store that holds the files."""
    database = open_database(directory / "fileroom.db")
    try:
        yield add_store(database, directory / "blobs", STORE, files)
    finally:
        database.close()


def add_store(
    database: Database, blobs: Path, name: DicomStoreName, files: Iterable[bytes] = ()
) -> FilledStore:
    """Make a DICOM store, and its dataset with the first one."""
    if name == STORE:
        database.write(lambda transaction: insert_dataset(transaction, name.parent))
    store = database.write(lambda transaction: insert_dicom_store(transaction, name, {}))
    blobs.mkdir(exist_ok=True)
    make_blob_bucket(LocalBlobs(blobs), store.blob_prefix, StoreIdentity(name=str(name)))
    content = StoreContent(
        database=database,
        blobs=LocalBlobs(blobs),
        buckets=Buckets([], blobs.parent / "buckets"),
        store_id=store.id,
        blob_prefix=store.blob_prefix,
    )
    filled = FilledStore(content=content, name=name)
    if files:
        filled.add(files)
    return filled
