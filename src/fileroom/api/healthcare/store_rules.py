"""What a DICOM store's settings may hold."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fileroom.dicom.dictionary import attribute, find_attribute
from fileroom.dicom.matching import always_searched
from fileroom.dicom.search_keys import SEARCHED_VRS
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from fileroom.api.wire import BigQueryDestination, DicomStore

JsonObject = dict[str, Any]

INDEXED_ATTRIBUTES_MAX: Final = 32
LABELS_MAX: Final = 64
_LABEL_CHARACTERS_MAX: Final = 63
_LABEL_BYTES_MAX: Final = 128
_LETTERS: Final = frozenset({"Ll", "Lo"})
_TOPIC: Final = re.compile(r"projects/[^/\s]+/topics/[A-Za-z][A-Za-z0-9._~%+\-]{2,254}")
_TABLE: Final = re.compile(r"bq://[^.\s/]+(?:\.[^.\s/]+){0,2}")
_TABLE_URI_LENGTH_MAX: Final = 2000


def to_config(store: DicomStore) -> JsonObject:
    """Give the settings as they are kept: checked, without the name, without what is empty.

    Raises
    ------
    InvalidArgument
        If a label, a topic, a table or an indexed attribute is not one.
    """
    _check_labels(store.labels)
    topics = [config.pubsub_topic for config in store.notification_configs]
    if store.notification_config is not None and store.notification_config.pubsub_topic:
        _check_topic(store.notification_config.pubsub_topic, "notification_config.pubsub_topic")
    for number, topic in enumerate(topics):
        _check_topic(topic, f"notification_configs[{number}].pubsub_topic")
    _refuse_repeats(topics, "notification_configs", "topic")
    tables = [
        _checked_table(config.bigquery_destination, f"stream_configs[{number}]")
        for number, config in enumerate(store.stream_configs)
    ]
    _refuse_repeats(tables, "stream_configs", "BigQuery table")
    content = msgspec.to_builtins(store)
    content.pop("name", None)
    if store.fileroom_options is not None:
        _check_indexed_attributes(store.fileroom_options.indexed_attributes)
    return {key: value for key, value in content.items() if value}


def wants_delivery(config: JsonObject) -> bool:
    """Tell whether the settings ask for messages or rows to be sent somewhere."""
    single = config.get("notificationConfig", {}).get("pubsubTopic")
    return bool(single or config.get("notificationConfigs") or config.get("streamConfigs"))


def indexed_tags(config: JsonObject) -> list[str]:
    """Give the tags of the attributes that the settings want indexed."""
    keywords = config.get("fileroomOptions", {}).get("indexedAttributes", [])
    return [attribute(keyword).key for keyword in keywords]


def _check_indexed_attributes(keywords: list[str]) -> None:
    field = "fileroom_options.indexed_attributes"
    if len(keywords) > INDEXED_ATTRIBUTES_MAX:
        raise InvalidArgument(f"{field}: at most {INDEXED_ATTRIBUTES_MAX} are allowed", field)
    _refuse_repeats(keywords, field, "attribute")
    for keyword in keywords:
        found = find_attribute(keyword)
        if found is None or found.keyword != keyword:
            raise InvalidArgument(f"{field}: {keyword[:80]!r} is no keyword of the standard", field)
        if found.vr not in SEARCHED_VRS:
            raise InvalidArgument(
                f"{field}: {keyword} has the VR {found.vr}, whose values are not searched", field
            )
        if keyword in always_searched():
            raise InvalidArgument(f"{field}: {keyword} is always indexed; leave it out", field)


def _check_labels(labels: dict[str, str]) -> None:
    if len(labels) > LABELS_MAX:
        raise InvalidArgument(f"labels: at most {LABELS_MAX} are allowed", "labels")
    for key, value in labels.items():
        if not key or unicodedata.category(key[0]) not in _LETTERS or not _is_label_text(key):
            raise InvalidArgument(
                f"labels: invalid key {key[:64]!r}: 1 to {_LABEL_CHARACTERS_MAX} lower-case"
                f" letters, digits, '_' and '-', a letter first, at most {_LABEL_BYTES_MAX} bytes",
                "labels",
            )
        if not _is_label_text(value):
            raise InvalidArgument(
                f"labels: invalid value of {key!r}: at most {_LABEL_CHARACTERS_MAX} lower-case"
                f" letters, digits, '_' and '-', at most {_LABEL_BYTES_MAX} bytes",
                "labels",
            )


def _is_label_text(text: str) -> bool:
    if len(text) > _LABEL_CHARACTERS_MAX or len(text.encode("utf-8", "replace")) > _LABEL_BYTES_MAX:
        return False
    return all(
        character in "_-"
        or unicodedata.category(character) in _LETTERS
        or unicodedata.category(character).startswith("N")
        for character in text
    )


def _check_topic(topic: str, field: str) -> None:
    if not _TOPIC.fullmatch(topic):
        raise InvalidArgument(
            f"invalid {field} {topic[:100]!r}: it must be projects/PROJECT/topics/TOPIC", field
        )


def _checked_table(destination: BigQueryDestination | None, field: str) -> str:
    field = f"{field}.bigquery_destination"
    table = "" if destination is None else destination.table_uri
    if len(table) > _TABLE_URI_LENGTH_MAX or not _TABLE.fullmatch(table):
        raise InvalidArgument(
            f"invalid {field}.table_uri {table[:100]!r}: it must be bq://PROJECT.DATASET.TABLE",
            f"{field}.table_uri",
        )
    assert destination is not None
    if destination.schema_flattened is not None and destination.schema_json is not None:
        raise InvalidArgument(f"{field}: give schema_flattened or schema_json, not both", field)
    return table


def _refuse_repeats(values: list[str], field: str, what: str) -> None:
    if len(set(values)) != len(values):
        raise InvalidArgument(f"{field}: each {what} may stand there once", field)
