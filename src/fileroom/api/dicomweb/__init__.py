"""DICOMweb: search (QIDO-RS) and the retrieval of instances and metadata (WADO-RS)."""

from __future__ import annotations

from fileroom.api.dicomweb.retrieve import retrieve_instance, retrieve_metadata
from fileroom.api.dicomweb.search import (
    search_for_instances,
    search_for_series,
    search_for_studies,
)

__all__ = [
    "retrieve_instance",
    "retrieve_metadata",
    "search_for_instances",
    "search_for_series",
    "search_for_studies",
]
