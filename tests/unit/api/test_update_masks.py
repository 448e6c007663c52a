"""What a patch changes."""

from __future__ import annotations

import pytest

from fileroom.api.healthcare.dicom_stores import MUTABLE
from fileroom.api.healthcare.update_masks import apply_update_mask, parse_update_mask
from fileroom.api.wire import DicomStore
from fileroom.errors import InvalidArgument


def parse(text: str | None) -> tuple[tuple[str, ...], ...]:
    return parse_update_mask(text, DicomStore, mutable=MUTABLE)


@pytest.mark.parametrize(
    ("text", "masks"),
    [
        ("labels", (("labels",),)),
        ("notificationConfig.pubsubTopic", (("notificationConfig", "pubsubTopic"),)),
        ("notification_config.pubsub_topic", (("notificationConfig", "pubsubTopic"),)),
        ("labels, streamConfigs", (("labels",), ("streamConfigs",))),
        ("labels.site", (("labels", "site"),)),
        ("*", tuple((name,) for name in MUTABLE)),
    ],
)
def test_mask_is_read_in_both_spellings(text: str, masks: tuple[tuple[str, ...], ...]) -> None:
    assert parse(text) == masks


@pytest.mark.parametrize(
    "text",
    [None, "", " , ", "name", "label", "labels.a.b", "notificationConfig.topic", "streamConfigs.0"],
)
def test_mask_that_names_nothing_to_change_is_refused(text: str | None) -> None:
    with pytest.raises(InvalidArgument, match="update_mask"):
        parse(text)


OLD: dict[str, dict[str, object]] = {
    "labels": {"a": "1", "b": "2"},
    "notificationConfig": {"pubsubTopic": "old", "sendForBulkImport": True},
}


@pytest.mark.clause(
    "Cloud Healthcare v1 updateMask", "fields of a patch's body outside updateMask are ignored"
)
def test_what_the_mask_does_not_name_stays() -> None:
    new = {"notificationConfig": {"pubsubTopic": "new"}, "labels": {"c": "3"}}

    merged = apply_update_mask(OLD, new, parse("notificationConfig.pubsubTopic"))

    assert merged == {
        "labels": {"a": "1", "b": "2"},
        "notificationConfig": {"pubsubTopic": "new", "sendForBulkImport": True},
    }
    assert OLD["notificationConfig"]["pubsubTopic"] == "old"


def test_what_the_mask_names_and_the_body_lacks_is_cleared() -> None:
    assert apply_update_mask(OLD, {}, parse("labels,notificationConfig")) == {}
    assert apply_update_mask(OLD, {}, parse("labels.a"))["labels"] == {"b": "2"}


def test_what_was_not_there_is_added() -> None:
    new = {"labels": {"a": "1"}}

    assert apply_update_mask({}, new, parse("labels.a")) == new
