"""Which bucket is served by what, in whose name, and which DICOM store may read or write it.

The buckets are the server's, not the caller's: whoever may import into a DICOM store reaches just
the buckets that the settings open to that store. No request names an endpoint or credentials.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from fileroom.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
)
from fileroom.objectstore.cloud import CloudAddress, CloudBucket
from fileroom.objectstore.local import LocalBucket
from fileroom.objectstore.local.durable import sync_directory, translating
from fileroom.objectstore.uri import FILE_PREFIX, ObjectUri, parse_bucket_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fileroom.objectstore.contract import Bucket, Right

RIGHTS: frozenset[str] = frozenset({"read", "write", "delete"})
SERVICE_AGENT = "service-agent@fileroom.local"
"""Stands in messages where the original API names its service agent."""

_ROLES: dict[Right, str] = {
    "read": "roles/storage.objectViewer",
    "write": "roles/storage.objectAdmin",
    "delete": "roles/storage.objectAdmin",
}
_PERMISSIONS: dict[Right, str] = {
    "read": "storage.objects.get",
    "write": "storage.objects.create",
    "delete": "storage.objects.delete",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSettings:
    """One bucket of the settings: ``[buckets."gs://name"]``."""

    name: str
    """With its scheme: ``gs://name``; of a root ``file:///path``."""
    path: Path | None = None
    """The local directory of its ``url``; None for a bucket in the cloud of its scheme."""
    endpoint: str = ""
    """Where that cloud is asked, if not at its own address."""
    region: str = ""
    account: str = ""
    """Azure's storage account."""
    credentials: str = "default"
    """``default``, ``anonymous``, ``profile:NAME`` or the path of a file."""
    ordered: bool = True
    """Whether the cloud lists keys in order; else it is listed a directory at a time."""
    allow: frozenset[str] = RIGHTS
    stores: tuple[str, ...] = ("*",)
    """Patterns of the full names of the DICOM stores that may use it; ``*`` spans slashes too."""
    project: str | None = None

    def __post_init__(self) -> None:
        if str(parse_bucket_name(self.name).bucket_name) != self.name:
            raise InvalidArgument(f"bucket {self.name!r} must be written as gs://name", "buckets")
        if not self.allow <= RIGHTS:
            raise InvalidArgument(
                f"buckets.{self.name!r}.allow holds {sorted(self.allow - RIGHTS)}; "
                f"it may hold {sorted(RIGHTS)}",
                "buckets",
            )

    def open(self) -> Bucket:
        """Give the bucket, one for each process, so that it need not learn its place again."""
        if self.path is not None:
            return _open_local(self.path)
        return _open_cloud(cloud_address(self))


class Buckets:
    """The buckets of the settings, and each directory in ``directory`` as ``gs://NAME``.

    The directory is looked at anew for each request, so a bucket can be made with ``mkdir``.
    """

    def __init__(
        self, settings: Sequence[BucketSettings], directory: Path | None, *, own: str = ""
    ) -> None:
        """Take the buckets of the settings; ``own`` is the one of the archive's own bytes."""
        self._own = own
        self._settings = {bucket.name: bucket for bucket in settings}
        self._directory = directory
        self.roots = tuple(
            name.removeprefix(FILE_PREFIX)
            for name in self._settings
            if name.startswith(FILE_PREFIX)
        )
        """The directories below which ``file://`` URIs name files: see ``uri``."""

    def resolve(self, bucket_name: str, *, right: Right, dicom_store: str) -> BucketSettings:
        """Give the bucket that a DICOM store may use in this way.

        Raises
        ------
        PermissionDenied
            If there is no such bucket, or the store or the right is not among those allowed; the
            message is the same, so that nobody learns which buckets exist.
        InvalidArgument
            If it is no name of a bucket.
        """
        uri = parse_bucket_name(bucket_name)
        if uri.bucket_name == self._own:
            raise PermissionDenied(
                f"bucket {self._own!r} holds the archive's own bytes (blobs in the settings):"
                " nothing is imported from it or exported to it; name another bucket",
                "buckets",
            )
        bucket = self._find(uri)
        if (
            bucket is None
            or right not in bucket.allow
            or not any(fnmatchcase(dicom_store, pattern) for pattern in bucket.stores)
        ):
            raise PermissionDenied(_denied(bucket_name, right, dicom_store), "buckets")
        return bucket

    def names(self) -> list[str]:
        """Give the names of all buckets, sorted."""
        names = set(self._settings)
        if self._directory is not None and self._directory.is_dir():
            for entry in os.scandir(self._directory):
                name = f"gs://{entry.name}"
                if entry.is_dir() and _is_bucket_name(name):
                    names.add(name)
        return sorted(names)

    def find(self, bucket_name: str) -> BucketSettings | None:
        """Give the bucket of this name, whoever may use it, or None."""
        return self._find(parse_bucket_name(bucket_name))

    def create(self, name: str) -> BucketSettings:
        """Make the local bucket ``gs://name`` in the data directory, durable on return.

        Raises
        ------
        AlreadyExists
            If there is one of this name.
        FailedPrecondition
            If this server keeps no buckets of its own.
        InvalidArgument
            If the name is not one a bucket may have.
        """
        uri = parse_bucket_name(f"gs://{name}")
        if self._directory is None:
            raise FailedPrecondition(
                "this server makes no buckets; create it where it shall lie and name it in the "
                f'settings under [buckets."{uri.bucket_name}"]',
                "buckets",
            )
        path = self._directory / uri.bucket
        if self._find(uri) is not None:
            raise AlreadyExists(f"bucket {uri.bucket_name!r} exists already")
        with translating(uri.bucket):
            path.mkdir(mode=0o700)
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_directory(directory, "the directory of buckets")
        finally:
            os.close(directory)
        return BucketSettings(name=uri.bucket_name, path=path)

    def _find(self, uri: ObjectUri) -> BucketSettings | None:
        configured = self._settings.get(uri.bucket_name)
        if configured is not None or self._directory is None or uri.scheme != "gs":
            return configured
        path = self._directory / uri.bucket
        return BucketSettings(name=uri.bucket_name, path=path) if path.is_dir() else None


def is_same_object(
    one: BucketSettings, one_key: str, other: BucketSettings, other_key: str
) -> bool:
    """Whether two keys mean one and the same object, though the buckets may have two names."""
    if one.path is not None and other.path is not None:
        # A link above the roots leads to the same directory.
        return (one.path / one_key).resolve() == (other.path / other_key).resolve()
    if one.path is not None or other.path is not None or one_key != other_key:
        return False
    return (one.name, one.endpoint, one.account) == (other.name, other.endpoint, other.account)


def open_bucket(settings: BucketSettings) -> Bucket:
    """Give the bucket of the settings: what kind it is, they know."""
    return settings.open()


def cloud_address(settings: BucketSettings) -> CloudAddress:
    """Give where a bucket of the settings is that is no directory."""
    uri = parse_bucket_name(settings.name)
    return CloudAddress(
        scheme=uri.scheme,
        bucket=uri.bucket,
        endpoint=settings.endpoint,
        region=settings.region,
        account=settings.account,
        credentials=settings.credentials,
        ordered=settings.ordered,
    )


@lru_cache(maxsize=1000)
def _open_local(path: Path) -> LocalBucket:
    return LocalBucket(path)


@lru_cache(maxsize=1000)
def _open_cloud(address: CloudAddress) -> CloudBucket:
    return CloudBucket(address)


def _is_bucket_name(name: str) -> bool:
    try:
        return parse_bucket_name(name).bucket_name == name
    except InvalidArgument:
        return False


def _denied(bucket_name: str, right: Right, dicom_store: str) -> str:
    if bucket_name.startswith(FILE_PREFIX):
        return _denied_path(right, dicom_store)
    scheme, _, name = bucket_name.partition("://")
    mkdir = f", or by making the directory buckets/{name} in the data directory"
    return (
        f"{SERVICE_AGENT} does not have {_PERMISSIONS[right]} access to bucket {bucket_name!r} for "
        f"{dicom_store!r}, or the bucket does not exist; it needs {_ROLES[right]}: an operator "
        f'grants it with allow = ["{right}"] and this DICOM store among stores under '
        f'[buckets."{bucket_name}"] in the settings{mkdir if scheme == "gs" else ""}'
    )


def _denied_path(right: Right, dicom_store: str) -> str:
    """Give the message about any path: it does not tell which directories are roots."""
    return (
        f"{SERVICE_AGENT} does not have {_PERMISSIONS[right]} access to the directory of this "
        f"file:// URI for {dicom_store!r}; it needs {_ROLES[right]}: an operator grants it by "
        "naming a directory above it under file_roots in the settings, and, where there is a table "
        f'[buckets."file:///DIRECTORY"], with "{right}" among its allow and this DICOM store among '
        "its stores"
    )
