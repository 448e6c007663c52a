"""The storage class that a request names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from fileroom.api.wire import BlobStorageSettings


def find_storage_class(settings: BlobStorageSettings | None) -> str:
    """Give the storage class of a request; empty where it names none."""
    named = "" if settings is None else settings.blob_storage_class
    return "" if named == "BLOB_STORAGE_CLASS_UNSPECIFIED" else named


def parse_storage_class(settings: BlobStorageSettings | None) -> str:
    """Give the storage class of a request that is about nothing else.

    Raises
    ------
    InvalidArgument
        If it names none.
    """
    named = find_storage_class(settings)
    if not named:
        raise InvalidArgument(
            "blob_storage_settings.blob_storage_class is required, as in"
            " {'blobStorageSettings': {'blobStorageClass': 'NEARLINE'}}",
            "blob_storage_settings.blob_storage_class",
        )
    return named
