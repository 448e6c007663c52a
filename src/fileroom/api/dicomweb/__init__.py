"""DICOMweb: search (QIDO-RS), retrieval (WADO-RS) and storing (STOW-RS)."""

from __future__ import annotations

from fileroom.api.dicomweb.retrieve import retrieve_instance, retrieve_metadata
from fileroom.api.dicomweb.search import (
    search_for_instances,
    search_for_series,
    search_for_studies,
)
from fileroom.api.dicomweb.store import store_instances
from fileroom.api.dicomweb.upload import begin_store, begin_update

__all__ = [
    "begin_store",
    "begin_update",
    "retrieve_instance",
    "retrieve_metadata",
    "search_for_instances",
    "search_for_series",
    "search_for_studies",
    "store_instances",
]
