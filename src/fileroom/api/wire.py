"""The API's messages as on the wire, and JSON in and out.

Out: camelCase, int64 as strings, zero, false and empty left out. In: strict but for what Google's
parser takes as well: snake_case names, ``null`` for absent, and the single quotes of the
documentation's curl lines.
"""

from __future__ import annotations

import re
import types
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import pyjson5

from fileroom.api.calls import Answer
from fileroom.errors import InvalidArgument
from fileroom.transfer.options import ExportOptions, ImportOptions  # noqa: TC001 - read by msgspec

LENIENT_BYTES_MAX: Final = 64 * 1024
"""Above it a body must be JSON to the letter: the lenient parser is slow."""
_DEPTH_MAX: Final = 64


class Message(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """One message of the API; unknown fields are refused by ``decode_message``."""


class EncryptionSpec(Message):
    """The customer's key."""

    kms_key_name: str = ""


class Dataset(Message):
    """``Dataset``."""

    name: str = ""
    time_zone: str = ""
    encryption_spec: EncryptionSpec | None = None
    satisfies_pzi: bool = False
    satisfies_pzs: bool = False


class ListDatasetsResponse(Message):
    """``ListDatasetsResponse``."""

    datasets: list[Dataset] = []
    next_page_token: str = ""


class NotificationConfig(Message):
    """``NotificationConfig``, the older form."""

    pubsub_topic: str = ""
    send_for_bulk_import: bool = False


class DicomNotificationConfig(Message):
    """``DicomNotificationConfig``."""

    pubsub_topic: str = ""


class SchemaFlattened(Message):
    """``SchemaFlattened``, whose presence says something."""


class SchemaJSON(Message):
    """``SchemaJSON``, the same."""


class BigQueryDestination(Message):
    """``GoogleCloudHealthcareV1DicomBigQueryDestination``."""

    table_uri: str = ""
    write_disposition: Literal[
        "", "WRITE_DISPOSITION_UNSPECIFIED", "WRITE_EMPTY", "WRITE_TRUNCATE", "WRITE_APPEND"
    ] = ""
    force: bool = False
    include_source_store: bool = False
    schema_flattened: SchemaFlattened | None = None
    schema_json: SchemaJSON | None = None


class StreamConfig(Message):
    """``GoogleCloudHealthcareV1DicomStreamConfig``."""

    bigquery_destination: BigQueryDestination | None = None


class FileroomOptions(Message):
    """What Fileroom offers beyond ``DicomStore``; typed Google clients never notice."""

    indexed_attributes: list[str] = []


class DicomStore(Message):
    """``DicomStore``."""

    name: str = ""
    labels: dict[str, str] = {}
    notification_config: NotificationConfig | None = None
    notification_configs: list[DicomNotificationConfig] = []
    stream_configs: list[StreamConfig] = []
    fileroom_options: FileroomOptions | None = None


class ListDicomStoresResponse(Message):
    """``ListDicomStoresResponse``."""

    dicom_stores: list[DicomStore] = []
    next_page_token: str = ""


class DicomStoreMetrics(Message):
    """``DicomStoreMetrics``."""

    name: str
    study_count: str = ""
    series_count: str = ""
    instance_count: str = ""
    structured_storage_size_bytes: str = ""
    blob_storage_size_bytes: str = ""


class GcsSource(Message):
    """``GoogleCloudHealthcareV1DicomGcsSource``."""

    uri: str = ""


class BlobStorageSettings(Message):
    """``BlobStorageSettings``."""

    blob_storage_class: Literal[
        "", "BLOB_STORAGE_CLASS_UNSPECIFIED", "STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"
    ] = ""


class ImportDicomDataRequest(Message):
    """``ImportDicomDataRequest``."""

    gcs_source: GcsSource | None = None
    blob_storage_settings: BlobStorageSettings | None = None
    fileroom_options: ImportOptions | None = None


class GcsDestination(Message):
    """``GoogleCloudHealthcareV1DicomGcsDestination``."""

    uri_prefix: str = ""
    mime_type: str = ""


class DicomFilterConfig(Message):
    """``DicomFilterConfig``."""

    resource_paths_gcs_uri: str = ""


class SetBlobStorageSettingsRequest(Message):
    """``SetBlobStorageSettingsRequest``."""

    blob_storage_settings: BlobStorageSettings | None = None
    filter_config: DicomFilterConfig | None = None


class StudyMetrics(Message):
    """``StudyMetrics``."""

    study: str
    series_count: str = ""
    instance_count: str = ""
    structured_storage_size_bytes: str = ""
    blob_storage_size_bytes: str = ""


class SeriesMetrics(Message):
    """``SeriesMetrics``."""

    series: str
    instance_count: str = ""
    structured_storage_size_bytes: str = ""
    blob_storage_size_bytes: str = ""


class BlobStorageInfo(Message):
    """``BlobStorageInfo``."""

    size_bytes: str = ""
    storage_class: str = ""
    storage_class_update_time: str = ""


class StructuredStorageInfo(Message):
    """``StructuredStorageInfo``."""

    size_bytes: str = ""


class StorageInfo(Message):
    """``StorageInfo``."""

    referenced_resource: str
    blob_storage_info: BlobStorageInfo | None = None
    structured_storage_info: StructuredStorageInfo | None = None


class ExportDicomDataRequest(Message):
    """``ExportDicomDataRequest``."""

    gcs_destination: GcsDestination | None = None
    bigquery_destination: BigQueryDestination | None = None
    filter_config: DicomFilterConfig | None = None
    fileroom_options: ExportOptions | None = None


class CancelOperationRequest(Message):
    """``CancelOperationRequest``."""


class Empty(Message):
    """``Empty``."""


class HttpBody(Message):
    """``HttpBody``: what DICOMweb takes and gives, whose media type is its own."""

    content_type: str = ""
    data: str = ""
    extensions: list[dict[str, Any]] = []


class Status(Message):
    """``Status``: why something failed."""

    code: int = 0
    message: str = ""
    details: list[dict[str, Any]] = []


class Operation(Message):
    """``Operation``."""

    name: str = ""
    metadata: dict[str, Any] = {}
    done: bool = False
    error: Status | None = None
    response: dict[str, Any] = {}


class ListOperationsResponse(Message):
    """``ListOperationsResponse``."""

    operations: list[Operation] = []
    next_page_token: str = ""


class Location(Message):
    """``Location``."""

    name: str
    location_id: str


class ListLocationsResponse(Message):
    """``ListLocationsResponse``."""

    locations: list[Location] = []
    next_page_token: str = ""


_Body = TypeVar("_Body", bound=msgspec.Struct)

JsonObject = dict[str, Any]


def int64(value: int) -> str:
    """Give an int64 as on the wire; zero is empty, which is left out."""
    return str(value) if value else ""


def timestamp(microseconds: int) -> str:
    """Give a time as RFC 3339 in UTC."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return moment.isoformat().replace("+00:00", "Z")


def json_answer(content: msgspec.Struct | JsonObject, *, status: int = 200) -> Answer:
    """Give a message as the answer, indented unless the client minds."""
    return Answer(status=status, body=msgspec.json.encode(content), pretty=True)


EMPTY: Final = Answer(body=b"{}", pretty=True)
"""``google.protobuf.Empty``."""


def decode_message(body: bytes, kind: type[_Body]) -> _Body:
    """Give the message that a request's body holds; an empty body is an empty message.

    Raises
    ------
    InvalidArgument
        In Google's words: not JSON, an unknown field, a value of the wrong type.
    """
    content = _decode_json(body) if body.strip() else {}
    if not isinstance(content, dict):
        raise InvalidArgument(
            'Invalid JSON payload received. Unknown name "": Root element must be a message.', ""
        )
    fitted = _fit(content, kind, "")
    try:
        return msgspec.convert(fitted, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        path = _snake(where.rstrip("`").lstrip("."))
        what = what.replace("`", "").replace(" | null", "")
        raise InvalidArgument(f"Invalid value at '{path}': {what}", path) from error


def _decode_json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise InvalidArgument("Invalid JSON payload received. Nested too deep.", "") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        lenient = _decode_leniently(body) if len(body) <= LENIENT_BYTES_MAX else None
        if lenient is None:
            raise InvalidArgument(f"Invalid JSON payload received. {error}.", "") from error
        return lenient


def _decode_leniently(body: bytes) -> object:
    """Give what JSON5 makes of the body, ``None`` where it is not that either."""
    try:
        return pyjson5.decode(body.decode("utf-8"), _DEPTH_MAX)
    except (pyjson5.Json5Exception, UnicodeDecodeError):
        return None


def _fit(value: object, kind: object, path: str) -> object:
    """Rename fields to camelCase and drop nulls; refuse names that the message does not have."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        return _fit_message(value, kind, path)
    if get_origin(kind) is list and isinstance(value, list):
        (item_kind,) = get_args(kind)
        return [_fit(item, item_kind, f"{path}[{n}]") for n, item in enumerate(value)]
    return value


def _fit_message(value: JsonObject, kind: type[msgspec.Struct], path: str) -> JsonObject:
    known = message_fields(kind)
    at = f" at '{path}'" if path else ""
    unknown = [
        f'Invalid JSON payload received. Unknown name "{name[:100]}"{at}: Cannot find field.'
        for name in value
        if name not in known
    ]
    if unknown:
        raise InvalidArgument("\n".join(unknown[:20]), path)
    fitted: JsonObject = {}
    for name, item in value.items():
        field, field_kind = known[name]
        if item is None:
            continue
        if field.encode_name in fitted:
            raise InvalidArgument(
                f"Invalid JSON payload received. '{field.name}'{at} is given twice.", field.name
            )
        inner = f"{path}.{field.name}" if path else field.name
        fitted[field.encode_name] = _fit(item, field_kind, inner)
    return fitted


@cache
def message_fields(
    kind: type[msgspec.Struct],
) -> dict[str, tuple[msgspec.structs.FieldInfo, object]]:
    """Fields by both spellings, with the type that remains without ``None``."""
    known: dict[str, tuple[msgspec.structs.FieldInfo, object]] = {}
    for field in msgspec.structs.fields(kind):
        field_kind = field.type
        if get_origin(field_kind) in {Union, types.UnionType}:
            (field_kind,) = (part for part in get_args(field_kind) if part is not type(None))
        known[field.name] = known[field.encode_name] = (field, field_kind)
    return known


def _snake(path: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), path)
