"""The rows of an empty database are made again from blobs alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.api.healthcare.store_rules import indexed_tags
from fileroom.archive.layout import (
    StoreIdentity,
    find_identity,
    make_blob_bucket,
)
from fileroom.archive.rebuild import Rebuilt, rebuild_store
from fileroom.database import rebuild, stores
from fileroom.database.collection import StoreArea
from fileroom.database.extra_attributes import set_indexed_attributes
from fileroom.database.header_dictionaries import keep_header_dictionary
from fileroom.errors import DataLoss
from fileroom.names import DatasetName, DicomStoreName, LocationName, parse_name
from fileroom.upkeep.owning import check_alone, owned

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.database.engine import Connection, Database
    from fileroom.objectstore.blobs.contract import Blobs
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
    with owned(settings) as (database, blobs):
        resumed = database.write(rebuild.begin_rebuild)
        check_alone(database)  # one that has started since is told by what is noted now
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
