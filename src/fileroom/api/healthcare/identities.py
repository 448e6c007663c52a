"""What lies beside the blobs of a DICOM store, should its rows ever have to be made again."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from fileroom.archive.layout import StoreIdentity, mark_deleted_store, write_identity
from fileroom.database import stores
from fileroom.errors import FileroomError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fileroom.deployment import Deployment
    from fileroom.names import DatasetName, DicomStoreName

logger = logging.getLogger(__name__)

_writing = threading.Lock()


def identity(name: DicomStoreName, config: stores.Config, dataset: stores.Dataset) -> StoreIdentity:
    """Give what is told of a store beside its blobs."""
    return StoreIdentity(name=str(name), config=config, time_zone=dataset.time_zone)


def keep_identity(deployment: Deployment, name: DicomStoreName) -> None:
    """Bring what lies beside a store's blobs up to date; the last of several changes has the say.

    Raises
    ------
    NotFound, PermissionDenied
        If it was deleted meanwhile.
    """
    with _writing:
        with deployment.database.read() as connection:
            dataset = stores.get_dataset(connection, name.parent)
            store = stores.get_dicom_store(connection, name)
        told = identity(store.name, store.config, dataset)
        write_identity(deployment.blobs, store.blob_prefix, told)


def keep_identities(deployment: Deployment, name: DatasetName) -> None:
    """Bring what lies beside the blobs of all of a dataset's stores up to date."""
    token = ""
    while True:
        with deployment.database.read() as connection:
            page = stores.list_dicom_stores(connection, name, page_token=token)
        for store in page.items:
            keep_identity(deployment, store.name)
        if not (token := page.next_page_token):
            return


def tell_deleted(deployment: Deployment, blob_prefixes: Iterable[str]) -> None:
    """Tell beside their blobs that stores were deleted; the collector does what fails here."""
    with _writing:
        for blob_prefix in blob_prefixes:
            try:
                mark_deleted_store(deployment.blobs, blob_prefix)
            except FileroomError as error:
                logger.warning("a deletion cannot be marked yet", extra={"cause": str(error)})
