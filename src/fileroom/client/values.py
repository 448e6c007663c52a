"""What a server answers, as frozen values.

Each value that is a resource keeps the answer it was read from as ``body``, so that fields of a
newer server are not lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias, TypeVar

from fileroom.errors import Code, ObjectFailure, Reason, Unknown
from fileroom.names import DatasetName, DicomStoreName, LocationName, OperationName, parse_name

Json: TypeAlias = str | int | float | bool | list["Json"] | dict[str, "Json"] | None
JsonObject: TypeAlias = dict[str, Json]

_ACCOUNT = (
    "listed",
    "imported",
    "identical",
    "kept",
    "replaced",
    "exported",
    "unchanged",
    "deleted",
    "updated",
    "failed",
    "pending",
    "notStarted",
)

Name = TypeVar("Name", LocationName, DatasetName, DicomStoreName, OperationName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place datasets are kept in."""

    name: LocationName
    body: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The owner of DICOM stores and of their operations."""

    name: DatasetName
    time_zone: str
    """IANA name; empty is UTC."""
    body: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomStore:
    """A DICOM store's settings; its content is reached through search and retrieve."""

    name: DicomStoreName
    body: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomStoreMetrics:
    """How much a DICOM store holds."""

    name: DicomStoreName
    study_count: int
    series_count: int
    instance_count: int
    structured_storage_size_bytes: int
    blob_storage_size_bytes: int
    body: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentMetrics:
    """How much a study or series holds."""

    series_count: int
    """0 of a series."""
    instance_count: int
    structured_storage_size_bytes: int
    blob_storage_size_bytes: int
    body: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageInfo:
    """How the bytes of an instance are kept."""

    size_bytes: int
    storage_class: str
    storage_class_update_time: datetime | None
    body: JsonObject = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Objects of an operation, by what became of them so far."""

    pending: int = 0
    success: int = 0
    failure: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Why an operation ended without a response."""

    code: Code
    message: str
    details: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A long-running operation, as the server saw it when it answered."""

    name: OperationName
    done: bool
    api_method_name: str
    """Empty in the answer that starts an operation, which is the name alone."""
    create_time: datetime | None
    end_time: datetime | None
    cancel_requested: bool
    counters: Counters
    account: dict[str, int]
    """Fileroom's finer counters (``metadata.fileroom``); empty on another server."""
    total: int | None
    """Objects there are in all; ``None`` until the server has counted them."""
    paused_why: str
    """What the operation waits for; empty while it runs."""
    pause_requested: bool
    """Whether somebody asked it to wait, so that it goes on only if somebody asks it to."""
    error: Status | None
    response: JsonObject | None
    body: JsonObject = field(repr=False, compare=False)

    @property
    def partly_failed(self) -> bool:
        """Whether it ran to its end and some objects failed while the rest went well."""
        return (
            self.done
            and self.error is not None
            and self.error.code is Code.UNKNOWN
            and self.counters.failure > 0
        )


def to_location(body: JsonObject) -> Location:
    """Read a ``Location``."""
    return Location(name=to_name(text(body, "name"), LocationName), body=body)


def to_dataset(body: JsonObject) -> Dataset:
    """Read a ``Dataset``."""
    return Dataset(
        name=to_name(text(body, "name"), DatasetName),
        time_zone=text(body, "timeZone"),
        body=body,
    )


def to_dicom_store(body: JsonObject) -> DicomStore:
    """Read a ``DicomStore``."""
    return DicomStore(name=to_name(text(body, "name"), DicomStoreName), body=body)


def to_dicom_store_metrics(body: JsonObject) -> DicomStoreMetrics:
    """Read a ``DicomStoreMetrics``."""
    return DicomStoreMetrics(
        name=to_name(text(body, "name"), DicomStoreName),
        study_count=integer(body, "studyCount"),
        series_count=integer(body, "seriesCount"),
        instance_count=integer(body, "instanceCount"),
        structured_storage_size_bytes=integer(body, "structuredStorageSizeBytes"),
        blob_storage_size_bytes=integer(body, "blobStorageSizeBytes"),
        body=body,
    )


def to_content_metrics(body: JsonObject) -> ContentMetrics:
    """Read a ``StudyMetrics`` or ``SeriesMetrics``."""
    return ContentMetrics(
        series_count=integer(body, "seriesCount"),
        instance_count=integer(body, "instanceCount"),
        structured_storage_size_bytes=integer(body, "structuredStorageSizeBytes"),
        blob_storage_size_bytes=integer(body, "blobStorageSizeBytes"),
        body=body,
    )


def to_storage_info(body: JsonObject) -> StorageInfo:
    """Read a ``StorageInfo``."""
    blob = child(body, "blobStorageInfo")
    return StorageInfo(
        size_bytes=integer(blob, "sizeBytes"),
        storage_class=text(blob, "storageClass"),
        storage_class_update_time=_time(text(blob, "storageClassUpdateTime")),
        body=body,
    )


def to_operation(body: JsonObject) -> Operation:
    """Read an ``Operation``."""
    metadata = child(body, "metadata")
    counter = child(metadata, "counter")
    fileroom = child(metadata, "fileroom")
    return Operation(
        name=to_name(text(body, "name"), OperationName),
        done=body.get("done") is True,
        api_method_name=text(metadata, "apiMethodName"),
        create_time=_time(text(metadata, "createTime")),
        end_time=_time(text(metadata, "endTime")),
        cancel_requested=metadata.get("cancelRequested") is True,
        counters=Counters(
            pending=integer(counter, "pending"),
            success=integer(counter, "success"),
            failure=integer(counter, "failure"),
        ),
        account={key: integer(fileroom, key) for key in _ACCOUNT if key in fileroom},
        total=_to_integer(fileroom.get("total")),
        paused_why=text(fileroom, "pausedWhy"),
        pause_requested=fileroom.get("pauseRequested") is True,
        error=_to_status(child(body, "error")) if "error" in body else None,
        response=child(body, "response") if "response" in body else None,
        body=body,
    )


def to_object_failure(body: JsonObject) -> ObjectFailure:
    """Read one entry of ``:failures``.

    A reason this version does not know becomes ``INTERNAL`` and leads the message instead.
    """
    error = child(body, "error")
    reason, message = text(body, "reason"), text(error, "message")
    known = reason in Reason.__members__
    return ObjectFailure(
        source=text(body, "source"),
        code=_to_code(integer(error, "code")),
        reason=Reason(reason) if known else Reason.INTERNAL,
        message=message if known else f"{reason}: {message}",
        tag=text(body, "tag") or None,
        byte_offset=integer(body, "byteOffset") if "byteOffset" in body else None,
    )


def to_name(name: str, kind: type[Name]) -> Name:
    """Give a full resource name of the kind that is wanted.

    Raises
    ------
    Unknown
        If the server gave another kind of name.
    """
    parsed = parse_name(name)
    if not isinstance(parsed, kind):
        raise Unknown(f"the server gave {name!r}, which is no {kind.__name__}")
    return parsed


def text(body: JsonObject, key: str) -> str:
    """Give a text field; "" where it is left out."""
    value = body.get(key)
    return value if isinstance(value, str) else ""


def child(body: JsonObject, key: str) -> JsonObject:
    """Give an object field; an empty object where it is left out."""
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def integer(body: JsonObject, key: str) -> int:
    """Give a number field, which is text on the wire if it has 64 bits; 0 where it is left out."""
    return _to_integer(body.get(key)) or 0


def objects(body: JsonObject, key: str) -> list[JsonObject]:
    """Give a list of objects; an empty list where it is left out."""
    value = body.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _to_integer(value: Json) -> int | None:
    if isinstance(value, str) and value.removeprefix("-").isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _to_status(body: JsonObject) -> Status:
    return Status(
        code=_to_code(integer(body, "code")),
        message=text(body, "message"),
        details=tuple(objects(body, "details")),
    )


def _to_code(number: int) -> Code:
    return Code(number) if number in set(Code) else Code.UNKNOWN


def _time(timestamp: str) -> datetime | None:
    return datetime.fromisoformat(timestamp) if timestamp else None
