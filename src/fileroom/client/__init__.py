"""A typed, synchronous client of a Fileroom server, for programs and for the command line."""

from fileroom.client.client import Client
from fileroom.client.storing import RefusedInstance, StoredInstance, StoreResult
from fileroom.client.values import (
    Counters,
    Dataset,
    DicomStore,
    DicomStoreMetrics,
    Json,
    JsonObject,
    Location,
    Operation,
    Status,
)

__all__ = [
    "Client",
    "Counters",
    "Dataset",
    "DicomStore",
    "DicomStoreMetrics",
    "Json",
    "JsonObject",
    "Location",
    "Operation",
    "RefusedInstance",
    "Status",
    "StoreResult",
    "StoredInstance",
]
