"""What a DICOM store's settings may hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fileroom.api.healthcare.datasets import checked_time_zone
from fileroom.api.healthcare.store_rules import indexed_tags, to_config, wants_delivery
from fileroom.api.wire import DicomStore
from fileroom.errors import InvalidArgument

TOPIC = "projects/p/topics/dicom-events"
TABLE = "bq://p.d.t"


def config_of(**fields: Any) -> dict[str, Any]:
    return to_config(msgspec.convert(fields, DicomStore))


def test_settings_are_kept_as_they_came() -> None:
    given = {
        "labels": {"site": "north-1", "größe": "7"},
        "notificationConfig": {"pubsubTopic": TOPIC, "sendForBulkImport": True},
        "notificationConfigs": [{"pubsubTopic": TOPIC}],
        "streamConfigs": [
            {"bigqueryDestination": {"tableUri": TABLE, "schemaJson": {}, "force": True}}
        ],
    }

    assert config_of(name="ignored", **given) == given
    assert wants_delivery(given)


def test_what_gcloud_always_sends_is_kept_as_nothing() -> None:
    config = config_of(notificationConfig={"sendForBulkImport": False})

    assert config == {}
    assert not wants_delivery(config)


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": {"": "a"}},
        {"labels": {"Site": "a"}},
        {"labels": {"1site": "a"}},
        {"labels": {"site": "A"}},
        {"labels": {"site": "a b"}},
        {"labels": {"s" * 64: "a"}},
        {"labels": {"site": "a" * 64}},
        {"labels": {"語" * 43: "a"}},
        {"labels": {f"k{number}": "" for number in range(65)}},
        {"notificationConfig": {"pubsubTopic": "dicom-events"}},
        {"notificationConfigs": [{"pubsubTopic": ""}]},
        {"notificationConfigs": [{"pubsubTopic": TOPIC}, {"pubsubTopic": TOPIC}]},
        {"streamConfigs": [{}]},
        {"streamConfigs": [{"bigqueryDestination": {"tableUri": "p.d.t"}}]},
        {"streamConfigs": [{"bigqueryDestination": {"tableUri": "bq://" + "p" * 2000}}]},
        {"streamConfigs": [{"bigqueryDestination": {"tableUri": TABLE}}] * 2},
        {
            "streamConfigs": [
                {
                    "bigqueryDestination": {
                        "tableUri": TABLE,
                        "schemaJson": {},
                        "schemaFlattened": {},
                    }
                }
            ]
        },
    ],
)
def test_what_the_api_does_not_allow_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        config_of(**fields)


@pytest.mark.parametrize("name", ["", "Europe/Berlin", "UTC", "America/Argentina/Ushuaia"])
def test_time_zone_is_an_iana_name(name: str) -> None:
    assert checked_time_zone(name) == name


@pytest.mark.parametrize("name", ["Berlin", "europe/berlin", "../etc/passwd", "Europe", "GMT+25"])
def test_other_time_zones_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="IANA"):
        checked_time_zone(name)


def test_indexed_attributes_are_kept_by_keyword() -> None:
    config = config_of(fileroomOptions={"indexedAttributes": ["BodyPartExamined", "PatientAge"]})

    assert config == {"fileroomOptions": {"indexedAttributes": ["BodyPartExamined", "PatientAge"]}}
    assert indexed_tags(config) == ["00180015", "00101010"]
    assert config_of(fileroomOptions={"indexedAttributes": []}) == {}
    assert indexed_tags({}) == []


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        (["Nonsense"], "no keyword"),
        (["00180015"], "no keyword"),
        (["PixelData"], "not searched"),
        (["RequestAttributesSequence"], "not searched"),
        (["PatientID"], "always indexed"),
        (["NumberOfStudyRelatedSeries"], "always indexed"),
        (["PatientAge", "PatientAge"], "once"),
        (["PatientAge"] * 33, "at most 32"),
    ],
)
def test_what_cannot_be_indexed_is_refused(keywords: list[str], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text) as caught:
        config_of(fileroomOptions={"indexedAttributes": keywords})
    assert caught.value.detail == "fileroom_options.indexed_attributes"
