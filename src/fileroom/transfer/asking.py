"""An operation on a DICOM store is asked for: its row is all that makes it begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.database import content_metrics, operations, stores
from fileroom.errors import FailedPrecondition
from fileroom.names import OperationName
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.uri import parse_object_uri

if TYPE_CHECKING:
    from fileroom.database.engine import Connection
    from fileroom.database.operations import Json, Kind, Operation
    from fileroom.names import DicomStoreName, InstancePath
    from fileroom.objectstore.buckets import BucketSettings
    from fileroom.objectstore.uri import ObjectUri
    from fileroom.transfer.facilities import Facilities


def ask_for(
    facilities: Facilities,
    name: DicomStoreName,
    kind: Kind,
    details: Json,
    *,
    path: InstancePath | None = None,
    priority: int = 0,
    builds_on: Operation | None = None,
    api_version: str,
    principal: str = "",
    permission: str,
) -> OperationName:
    """Ask for an operation; it begins as soon as the runner has room for it.

    ``details`` are what is kept of the request beside the names of the store and of ``path``, which
    is what the operation is about where that is not the whole store. Of two that wait, the one of
    the higher priority begins first. An earlier one that it ``builds_on`` is kept as long again.

    Raises
    ------
    NotFound
        If there is nothing at the path, or what it builds on is no longer kept.
    PermissionDenied
        If there is no such store.
    """
    request: Json = {"name": str(name), **({} if path is None else {"path": str(path)}), **details}

    def insert(transaction: Connection) -> str:
        store = stores.get_dicom_store(transaction, name, permission=permission)
        if path is not None:
            content_metrics.check_exists(transaction, store.id, path)
        if builds_on is not None:
            operations.keep_longer(transaction, builds_on)
        return operations.insert_operation(
            transaction,
            stores.get_dataset(transaction, name.parent).id,
            kind=kind,
            api_version=api_version,
            principal=principal,
            store_id=store.id,
            request=request,
            priority=priority,
            unfinished_max=facilities.unfinished_max,
        )

    operation_id = facilities.database.write(insert)
    facilities.wake()
    return OperationName(name.parent, operation_id)


def filter_config(facilities: Facilities, name: DicomStoreName, filter_uri: str) -> Json:
    """Give what is kept of a filter; nothing without one.

    Raises
    ------
    InvalidArgument
        If its URI has another form.
    PermissionDenied
        If its bucket is not one that this store may read.
    """
    if not filter_uri:
        return {}
    source = parse_object_uri(filter_uri, facilities.buckets.roots)
    facilities.buckets.resolve(source.bucket_name, right="read", dicom_store=str(name))
    return {"filterConfig": {"resourcePathsGcsUri": filter_uri}}


def check_is_place(settings: BucketSettings, prefix: ObjectUri, uri: str, field: str) -> None:
    """Refuse a place to write into that is an object.

    Raises
    ------
    FailedPrecondition
        If it is one.
    """
    directory = prefix.key.rstrip("/")
    if directory and open_bucket(settings).find(directory) is not None:
        raise FailedPrecondition(f"{uri} names an object; name a directory", field)
