"""A typed, synchronous client of a Fileroom server, for programs and for the command line."""

from fileroom.client.bodies import ExportOptions, ImportOptions
from fileroom.client.client import Client
from fileroom.client.matches import Matches
from fileroom.client.retrieval import Retrieval
from fileroom.client.storing import RefusedInstance, StoredInstance, StoreResult
from fileroom.client.values import (
    ContentMetrics,
    Counters,
    Dataset,
    DicomStore,
    DicomStoreMetrics,
    Json,
    JsonObject,
    Location,
    Operation,
    Status,
    StorageInfo,
)

__all__ = [
    "Client",
    "ContentMetrics",
    "Counters",
    "Dataset",
    "DicomStore",
    "DicomStoreMetrics",
    "ExportOptions",
    "ImportOptions",
    "Json",
    "JsonObject",
    "Location",
    "Matches",
    "Operation",
    "RefusedInstance",
    "Retrieval",
    "Status",
    "StorageInfo",
    "StoreResult",
    "StoredInstance",
]
