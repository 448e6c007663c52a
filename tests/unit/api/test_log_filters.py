from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.api.log_filters import parse_log_filter
from fileroom.errors import InvalidArgument

ENTRY: dict[str, Any] = {
    "logName": "projects/p/logs/healthcare.googleapis.com%2Fimport_dicom",
    "operation": {"id": "projects/p/locations/l/datasets/d/operations/7"},
    "resource": {
        "type": "healthcare_dataset",
        "labels": {"dataset_id": 'd "1"', "location": "l", "project_id": "p"},
    },
    "severity": "ERROR",
    "timestamp": "2026-01-31T12:00:00.5Z",
}


@pytest.mark.clause(
    "Cloud Logging query language", "conditions on an entry's fields are joined with AND"
)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        'resource.type="healthcare_dataset"',
        "resource.type = healthcare_dataset",
        "severity>=ERROR",
        "severity=error AND severity<CRITICAL",
        "severity > WARNING\nseverity <= ERROR",
        'resource.labels.dataset_id="d \\"1\\""',
        'operation.id="projects/p/locations/l/datasets/d/operations/7"',
        'timestamp>="2026-01-31"',
        'timestamp>"2026-01-31T13:00:00+01:00" AND timestamp<="2026-01-31T12:00:00.500000Z"',
        "timestamp=2026-01-31t12:00:00.5z",
        'logName="projects/p/logs/healthcare.googleapis.com%2Fimport_dicom"',
    ],
)
def test_a_filter_lets_through_what_it_means(text: str) -> None:
    assert parse_log_filter(text).matches(ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        'resource.type="healthcare_dicom_store"',
        "severity>ERROR",
        "severity<ERROR AND severity>=DEFAULT",
        'resource.labels.project_id="p" resource.labels.location="m"',
        'timestamp>"2026-01-31T12:00:01Z"',
    ],
)
def test_a_filter_holds_back_the_rest(text: str) -> None:
    assert not parse_log_filter(text).matches(ENTRY)


@pytest.mark.clause(
    "Cloud Logging query language",
    "a filter that is not understood is 400, and the message names what is",
    holds="chosen",
)
@pytest.mark.parametrize(
    "text",
    [
        "hello",
        'jsonPayload.source="x"',
        "severity>=LOUD",
        "severity!=ERROR",
        'resource.type>="a"',
        "NOT severity=ERROR",
        "severity=ERROR OR severity=INFO",
        "(severity=ERROR)",
        "severity=ERROR AND",
        'operation.id="open',
        "severity=ERROR,",
        'resource.type="a"resource.type="a"',
    ],
)
def test_a_filter_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"not understood at .*Conditions are joined"):
        parse_log_filter(text)


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="'yesterday' is no time"):
        parse_log_filter("timestamp>=yesterday")


@given(st.text('severity>="ANDtimestamp. \n\\', max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse_log_filter(text).matches(ENTRY)
    except InvalidArgument:
        return
