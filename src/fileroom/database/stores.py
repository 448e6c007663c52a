"""Datasets and DICOM stores: the rows that everything else hangs on.

A deletion marks one row and is visible at once; names are unique among the living only, so that a
name is free again from that commit. What the marked rows own is purged elsewhere, in slices.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from fileroom.database.dialects import lock
from fileroom.database.engine import Connection, now_microseconds
from fileroom.database.label_filters import parse_label_filter
from fileroom.database.pages import (
    Page,
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.database.prepared import Prepared
from fileroom.database.schema import datasets, dicom_stores
from fileroom.errors import AlreadyExists, NotFound, PermissionDenied
from fileroom.names import DatasetName, DicomStoreName, LocationName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Row

Config = dict[str, object]
"""A DICOM store's settings as on the wire: ``labels``, ``notificationConfigs``…"""

_LIVING_DATASET: Final = Prepared(
    select(datasets).where(
        datasets.c.project == bindparam("in_project"),
        datasets.c.location == bindparam("in_location"),
        datasets.c.dataset_id == bindparam("named"),
        datasets.c.deleted_at.is_(None),
    )
)
_LIVING_STORE: Final = Prepared(
    select(dicom_stores).where(
        dicom_stores.c.dataset_id == bindparam("in_dataset"),
        dicom_stores.c.dicom_store_id == bindparam("named"),
        dicom_stores.c.deleted_at.is_(None),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One living dataset."""

    id: int
    name: DatasetName
    time_zone: str
    """An IANA name, or empty, which means UTC."""
    etag: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomStore:
    """One living DICOM store."""

    id: int
    name: DicomStoreName
    config: Config
    etag: str
    blob_prefix: str
    """The directory of its blobs; drawn anew for each store, never used twice."""
    created_at: int

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels, perhaps none."""
        labels = self.config.get("labels")
        return labels if isinstance(labels, dict) else {}


def denied(permission: str, resource: object) -> PermissionDenied:
    """Give the error for what is absent or forbidden; it does not say which of the two."""
    return PermissionDenied(
        f"Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
        " See that its dataset is spelled right and has been created.",
        permission,
    )


def already_there(name: DatasetName | DicomStoreName) -> AlreadyExists:
    """Give the error for a name that a living resource bears."""
    if isinstance(name, DatasetName):
        return AlreadyExists(f"dataset '{name}' already exists", "datasetId")
    return AlreadyExists(f"DICOM store '{name}' already exists", "dicomStoreId")


def find_dataset(connection: Connection, name: DatasetName) -> Dataset | None:
    """Give the living dataset of that name."""
    place = {"in_project": name.parent.project, "in_location": name.parent.location}
    rows = _LIVING_DATASET.rows(connection, place | {"named": name.dataset_id})
    return _dataset(rows[0]) if rows else None


def get_dataset(
    connection: Connection, name: DatasetName, *, permission: str = "healthcare.datasets.get"
) -> Dataset:
    """Give the living dataset of that name.

    Raises
    ------
    PermissionDenied
        If there is none: an outsider must not learn which datasets exist.
    """
    if (dataset := find_dataset(connection, name)) is None:
        raise denied(permission, name)
    return dataset


def list_datasets(
    connection: Connection,
    parent: LocationName,
    *,
    page_size: int | None = None,
    page_token: str = "",
) -> Page[Dataset]:
    """Give the datasets of a project and location by name."""
    size = page_size_within_limits(page_size)
    listing = f"datasets of {parent}"
    query = select(datasets).where(
        datasets.c.project == parent.project,
        datasets.c.location == parent.location,
        datasets.c.deleted_at.is_(None),
    )
    if page_token:
        last = _last_id(listing, page_token)
        query = query.where(datasets.c.dataset_id > last)
    rows = connection.execute(query.order_by(datasets.c.dataset_id).limit(size + 1)).all()
    items = tuple(_dataset(row) for row in rows[:size])
    if len(rows) <= size:
        return Page(items=items)
    return Page(
        items=items, next_page_token=encode_page_token(listing, (items[-1].name.dataset_id,))
    )


def list_location_ids(connection: Connection, project: str) -> tuple[str, ...]:
    """Give the locations in which a project has datasets."""
    locations = (
        select(datasets.c.location)
        .where(datasets.c.project == project, datasets.c.deleted_at.is_(None))
        .distinct()
        .order_by(datasets.c.location)
    )
    return tuple(connection.execute(locations).scalars())


def list_project_ids(connection: Connection) -> tuple[str, ...]:
    """Give the projects that have datasets."""
    projects = (
        select(datasets.c.project)
        .where(datasets.c.deleted_at.is_(None))
        .distinct()
        .order_by(datasets.c.project)
    )
    return tuple(connection.execute(projects).scalars())


def insert_dataset(transaction: Connection, name: DatasetName, *, time_zone: str = "") -> Dataset:
    """Add a dataset.

    Raises
    ------
    AlreadyExists
        If a living dataset bears the name.
    """
    try:
        with transaction.begin_nested():
            transaction.execute(
                insert(datasets).values(
                    project=name.parent.project,
                    location=name.parent.location,
                    dataset_id=name.dataset_id,
                    time_zone=time_zone,
                    etag=new_etag(),
                    created_at=now_microseconds(),
                )
            )
    except IntegrityError as error:
        raise already_there(name) from error
    return get_dataset(transaction, name)


def update_dataset(transaction: Connection, name: DatasetName, *, time_zone: str) -> Dataset:
    """Set what can change in a dataset; PermissionDenied where there is none."""
    lock(transaction)
    dataset = get_dataset(transaction, name, permission="healthcare.datasets.update")
    transaction.execute(
        update(datasets)
        .where(datasets.c.id == dataset.id)
        .values(time_zone=time_zone, etag=new_etag())
    )
    return get_dataset(transaction, name)


def delete_dataset(transaction: Connection, name: DatasetName) -> list[str]:
    """Mark a dataset and its DICOM stores as deleted; give the blob prefixes of these.

    PermissionDenied where there is none.
    """
    lock(transaction)
    dataset = get_dataset(transaction, name, permission="healthcare.datasets.delete")
    now = now_microseconds()
    deleted = transaction.execute(
        update(dicom_stores)
        .where(dicom_stores.c.dataset_id == dataset.id, dicom_stores.c.deleted_at.is_(None))
        .values(deleted_at=now)
        .returning(dicom_stores.c.blob_prefix)
    ).scalars()
    blob_prefixes = [str(blob_prefix) for blob_prefix in deleted]
    transaction.execute(update(datasets).where(datasets.c.id == dataset.id).values(deleted_at=now))
    return blob_prefixes


def find_dicom_store(connection: Connection, name: DicomStoreName) -> DicomStore | None:
    """Give the living DICOM store of that name."""
    dataset = find_dataset(connection, name.parent)
    return None if dataset is None else _find_dicom_store(connection, dataset, name)


def get_dicom_store(
    connection: Connection, name: DicomStoreName, *, permission: str = "healthcare.dicomStores.get"
) -> DicomStore:
    """Give the living DICOM store of that name.

    Raises
    ------
    PermissionDenied
        If its dataset does not exist; the text names ``permission``.
    NotFound
        If the dataset has no such DICOM store.
    """
    dataset = find_dataset(connection, name.parent)
    if dataset is None:
        raise denied(permission, name)
    store = _find_dicom_store(connection, dataset, name)
    if store is None:
        raise NotFound(f"no DICOM store named '{name}'; create it first", "name")
    return store


def list_dicom_stores(
    connection: Connection,
    parent: DatasetName,
    *,
    page_size: int | None = None,
    page_token: str = "",
    filter_text: str = "",
) -> Page[DicomStore]:
    """Give the DICOM stores of a dataset by name, those whose labels match.

    Raises
    ------
    PermissionDenied
        If there is no such dataset.
    InvalidArgument
        If filter or token are wrong.
    """
    dataset = get_dataset(connection, parent, permission="healthcare.dicomStores.list")
    matches, size = parse_label_filter(filter_text), page_size_within_limits(page_size)
    listing = f"dicomStores of {dataset.id} {filter_text}"
    query = select(dicom_stores).where(
        dicom_stores.c.dataset_id == dataset.id, dicom_stores.c.deleted_at.is_(None)
    )
    if page_token:
        last = _last_id(listing, page_token)
        query = query.where(dicom_stores.c.dicom_store_id > last)
    items: list[DicomStore] = []
    # Labels are matched here, row by row: a dataset holds few stores and no index is worth it.
    for row in connection.execute(query.order_by(dicom_stores.c.dicom_store_id)):
        store = _dicom_store(row, dataset.name)
        if not matches(store.labels):
            continue
        if len(items) == size:
            token = encode_page_token(listing, (items[-1].name.dicom_store_id,))
            return Page(items=tuple(items), next_page_token=token)
        items.append(store)
    return Page(items=tuple(items))


def new_blob_prefix() -> str:
    """Draw the name of the directory of a new store's blobs."""
    return uuid.uuid4().hex


def insert_dicom_store(
    transaction: Connection, name: DicomStoreName, config: Config, *, blob_prefix: str = ""
) -> DicomStore:
    """Add a DICOM store, with a blob prefix of its own unless one was drawn for it.

    Raises
    ------
    PermissionDenied
        If its dataset does not exist.
    AlreadyExists
        If a living DICOM store bears the name.
    """
    lock(transaction)
    dataset = get_dataset(transaction, name.parent, permission="healthcare.dicomStores.create")
    try:
        with transaction.begin_nested():
            transaction.execute(
                insert(dicom_stores).values(
                    dataset_id=dataset.id,
                    dicom_store_id=name.dicom_store_id,
                    config=config,
                    etag=new_etag(),
                    blob_prefix=blob_prefix or new_blob_prefix(),
                    created_at=now_microseconds(),
                )
            )
    except IntegrityError as error:
        raise already_there(name) from error
    return get_dicom_store(transaction, name)


def update_dicom_store(
    transaction: Connection, name: DicomStoreName, change: Callable[[Config], Config]
) -> DicomStore:
    """Replace a DICOM store's settings by what ``change`` makes of them."""
    lock(transaction)
    store = get_dicom_store(transaction, name, permission="healthcare.dicomStores.update")
    transaction.execute(
        update(dicom_stores)
        .where(dicom_stores.c.id == store.id)
        .values(config=change(store.config), etag=new_etag())
    )
    return get_dicom_store(transaction, name)


def delete_dicom_store(transaction: Connection, name: DicomStoreName) -> DicomStore:
    """Mark a DICOM store as deleted and give what it was."""
    lock(transaction)
    store = get_dicom_store(transaction, name, permission="healthcare.dicomStores.delete")
    transaction.execute(
        update(dicom_stores)
        .where(dicom_stores.c.id == store.id)
        .values(deleted_at=now_microseconds())
    )
    return store


def _last_id(listing: str, page_token: str) -> str:
    (last,) = decode_page_token(listing, page_token, tuple[str])
    return last


def _find_dicom_store(
    connection: Connection, dataset: Dataset, name: DicomStoreName
) -> DicomStore | None:
    named = {"in_dataset": dataset.id, "named": name.dicom_store_id}
    rows = _LIVING_STORE.rows(connection, named)
    return _dicom_store(rows[0], dataset.name) if rows else None


def _dataset(row: Row[*tuple[object, ...]]) -> Dataset:
    return Dataset(
        id=row.id,
        name=DatasetName(LocationName(row.project, row.location), row.dataset_id),
        time_zone=row.time_zone or "",
        etag=row.etag,
        created_at=row.created_at,
    )


def _dicom_store(row: Row[*tuple[object, ...]], parent: DatasetName) -> DicomStore:
    return DicomStore(
        id=row.id,
        name=DicomStoreName(parent, row.dicom_store_id),
        config=row.config,
        etag=row.etag,
        blob_prefix=row.blob_prefix,
        created_at=row.created_at,
    )


def new_etag() -> str:
    """Give an etag that nothing has had."""
    # A multiple of three bytes: base64 that needs no padding, which gcloud would choke on.
    return base64.b64encode(secrets.token_bytes(9)).decode()
