"""DICOMweb: search, retrieval, storing and deletion; metrics and storage beside them."""

from __future__ import annotations

from fileroom.api.dicomweb.bulk_data import retrieve_bulk_data
from fileroom.api.dicomweb.delete import delete_instance, delete_study_or_series
from fileroom.api.dicomweb.frames import retrieve_frames
from fileroom.api.dicomweb.metadata import retrieve_metadata
from fileroom.api.dicomweb.rendered import retrieve_rendered, retrieve_thumbnail
from fileroom.api.dicomweb.retrieve import retrieve_instance, retrieve_instances
from fileroom.api.dicomweb.search import (
    search_for_instances,
    search_for_series,
    search_for_studies,
)
from fileroom.api.dicomweb.storage import (
    get_series_metrics,
    get_storage_info,
    get_study_metrics,
    set_blob_storage_settings,
)
from fileroom.api.dicomweb.store import store_instances
from fileroom.api.dicomweb.update import update_metadata
from fileroom.api.dicomweb.upload import begin_store, begin_update

__all__ = [
    "begin_store",
    "begin_update",
    "delete_instance",
    "delete_study_or_series",
    "get_series_metrics",
    "get_storage_info",
    "get_study_metrics",
    "retrieve_bulk_data",
    "retrieve_frames",
    "retrieve_instance",
    "retrieve_instances",
    "retrieve_metadata",
    "retrieve_rendered",
    "retrieve_thumbnail",
    "search_for_instances",
    "search_for_series",
    "search_for_studies",
    "set_blob_storage_settings",
    "store_instances",
    "update_metadata",
]
