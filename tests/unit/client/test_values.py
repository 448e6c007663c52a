from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from fileroom.client import Counters, Status, values
from fileroom.errors import Code, InvalidArgument, Reason, Unknown
from fileroom.names import parse_name

if TYPE_CHECKING:
    from fileroom.client import JsonObject

NAME = "projects/p/locations/l/datasets/d/operations/7"


def test_first_answer_of_an_operation_is_its_name_alone() -> None:
    operation = values.to_operation({"name": NAME})
    assert operation.name == parse_name(NAME)
    assert not operation.done
    assert operation.counters == Counters()
    assert operation.account == {}
    assert operation.error is None
    assert operation.response is None
    assert operation.create_time is None


def test_running_operation_has_counters_account_and_total() -> None:
    metadata: JsonObject = {
        "apiMethodName": "google.cloud.healthcare.v1.dicom.DicomService.ImportDicomData",
        "createTime": "2026-11-22T09:00:00.123456789Z",
        "counter": {"pending": "3", "success": "40", "failure": "2"},
        "fileroom": {"listed": "45", "imported": 30, "identical": "10", "total": "50"},
    }
    operation = values.to_operation({"name": NAME, "metadata": metadata})
    assert operation.counters == Counters(pending=3, success=40, failure=2)
    assert operation.account == {"listed": 45, "imported": 30, "identical": 10}
    assert operation.total == 50
    assert operation.create_time == datetime(2026, 11, 22, 9, 0, 0, 123456, tzinfo=UTC)


def test_operation_with_some_failed_objects_is_partly_failed() -> None:
    body: JsonObject = {
        "name": NAME,
        "done": True,
        "metadata": {"counter": {"success": "1", "failure": "1"}},
        "error": {"code": 2, "message": "1 of 2 failed", "details": [{"@type": "t"}]},
    }
    operation = values.to_operation(body)
    assert operation.partly_failed
    expected = Status(code=Code.UNKNOWN, message="1 of 2 failed", details=({"@type": "t"},))
    assert operation.error == expected


@pytest.mark.parametrize("code", [1, 5, 7])
def test_operation_that_was_stopped_is_not_partly_failed(code: int) -> None:
    body: JsonObject = {
        "name": NAME,
        "done": True,
        "metadata": {"counter": {"failure": "1"}},
        "error": {"code": code, "message": "stopped"},
    }
    assert not values.to_operation(body).partly_failed


def test_failure_keeps_tag_and_offset_zero() -> None:
    failure = values.to_object_failure(
        {
            "source": "gs://b/x",
            "error": {"code": 3, "message": "cut short"},
            "reason": "TRUNCATED",
            "tag": "7FE00010",
            "byteOffset": "0",
        }
    )
    assert failure.reason is Reason.TRUNCATED
    assert failure.code is Code.INVALID_ARGUMENT
    assert failure.tag == "7FE00010"
    assert failure.byte_offset == 0


def test_reason_of_a_newer_server_is_told_in_the_message() -> None:
    failure = values.to_object_failure(
        {"source": "gs://b/x", "reason": "TOO_SHINY", "error": {"code": 99, "message": "glare"}}
    )
    assert failure.reason is Reason.INTERNAL
    assert failure.message == "TOO_SHINY: glare"
    assert failure.code is Code.UNKNOWN


def test_answer_without_the_expected_name_is_refused() -> None:
    with pytest.raises(Unknown, match="which is no OperationName"):
        values.to_operation({"name": "projects/p/locations/l"})
    with pytest.raises(InvalidArgument):
        values.to_dataset({})


def test_fields_of_a_newer_server_are_kept_in_the_body() -> None:
    body: JsonObject = {"name": "projects/p/locations/l/datasets/d", "shine": 1}
    assert values.to_dataset(body).body == body
