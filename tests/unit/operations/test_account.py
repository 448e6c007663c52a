"""Every object of an operation is in exactly one term of its account, at every moment."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.database.operations import Counters, Kind, Operation, Pace, State
from fileroom.errors import Cancelled, Code, ObjectFailure, Reason
from fileroom.names import OperationName
from fileroom.operations.operation import (
    SAMPLE_ERRORS_MAX,
    account,
    ended_by,
    ended_well,
    ended_with_failures,
    seconds_left,
)
from tests.unit.database.rows import DATASET

NAME = OperationName(DATASET, "1")
TERMS = {
    Kind.IMPORT: {"imported", "identical", "kept", "replaced", "failed"},
    Kind.EXPORT: {"exported", "unchanged", "failed"},
    Kind.UNDO_IMPORT: {"deleted", "updated", "unchanged", "failed"},
}
numbers = st.integers(0, 10**9)


def operation(
    counters: Counters,
    *,
    kind: Kind = Kind.IMPORT,
    state: State = State.RUNNING,
    total: int | None = None,
    api_version: str = "v1",
) -> Operation:
    return Operation(
        id=1,
        name=NAME,
        kind=kind,
        api_version=api_version,
        principal="",
        store_id=1,
        request={},
        state=state,
        paused_why=None,
        cancel_requested=False,
        pause_requested=False,
        start_seq=None,
        fence=1,
        cursor=None,
        next_ordinal=0,
        total=total,
        pace=None,
        counters=counters,
        error=None,
        response=None,
        created_at=0,
        ended_at=None,
    )


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    """Give an operation as commits leave it: ``listed`` counts what is settled or deferred."""
    kind = draw(st.sampled_from(sorted(TERMS)))
    settled = {name: draw(numbers) for name in sorted(TERMS[kind])}
    deferred = draw(numbers)
    unstarted = draw(numbers)
    state = draw(st.sampled_from(State))
    listed = sum(settled.values()) + deferred + (unstarted if state is State.DONE else 0)
    return operation(
        Counters(**settled, listed=listed, deferred=deferred),
        kind=kind,
        state=state,
        total=draw(st.none() | numbers),
    )


@given(operations())
def test_terms_sum_to_listed(operation: Operation) -> None:
    terms = account(operation)

    assert terms["listed"] == sum(terms.values()) - terms["listed"]
    assert min(terms.values()) >= 0
    assert terms.keys() == TERMS[operation.kind] | {"listed", "pending", "notStarted"}


@given(operations())
def test_nothing_is_pending_once_it_is_done_and_nothing_given_up_before(
    operation: Operation,
) -> None:
    terms = account(operation)

    if operation.state is State.DONE:
        assert terms["pending"] == 0
        assert terms["listed"] == operation.counters.listed
    else:
        assert terms["notStarted"] == 0


def test_deferred_objects_and_those_not_listed_yet_are_pending() -> None:
    counters = Counters(listed=8, imported=5, failed=1, deferred=2)

    assert account(operation(counters, total=20)) == {
        "listed": 20,
        "imported": 5,
        "identical": 0,
        "kept": 0,
        "replaced": 0,
        "failed": 1,
        "pending": 14,
        "notStarted": 0,
    }


def test_what_a_cancelled_operation_left_undone_is_not_started() -> None:
    terms = account(
        operation(Counters(listed=20, imported=5, deferred=2), state=State.DONE, total=25)
    )

    assert (terms["listed"], terms["pending"], terms["notStarted"]) == (20, 0, 15)


def test_operation_without_objects_counts_none() -> None:
    assert account(operation(Counters(), kind=Kind.CREATE_DATASET, state=State.DONE)) == {
        "listed": 0,
        "pending": 0,
        "notStarted": 0,
    }


@pytest.mark.parametrize(
    ("kind", "api_version", "expected"),
    [
        (Kind.IMPORT, "v1", "google.cloud.healthcare.v1.dicom.ImportDicomDataResponse"),
        (Kind.EXPORT, "v1beta1", "google.cloud.healthcare.v1beta1.dicom.ExportDicomDataResponse"),
    ],
)
def test_response_bears_the_type_of_its_method(kind: Kind, api_version: str, expected: str) -> None:
    ended = operation(Counters(), kind=kind, api_version=api_version)

    assert ended_well(ended) == {"@type": f"type.googleapis.com/{expected}"}


def failures(number: int) -> list[ObjectFailure]:
    return [
        ObjectFailure(
            source=f"gs://b/{n}",
            code=Code.INVALID_ARGUMENT,
            reason=Reason.NOT_DICOM,
            message="not DICOM.",
        )
        for n in range(number)
    ]


def test_partly_failed_operation_tells_counts_causes_and_where_to_read_on() -> None:
    counters = Counters(listed=7, imported=3, identical=1, failed=3)
    reasons = {Reason.EMPTY: 1, Reason.NOT_DICOM: 2}

    error = ended_with_failures(
        operation(counters), counters, reasons, failures(3), "http://fileroom.example/failures"
    )

    assert error["code"] == Code.UNKNOWN
    assert error["message"] == (
        "3 of 7 objects could not be imported (1 EMPTY, 2 NOT_DICOM). First: gs://b/0: not DICOM. "
        "All failures: http://fileroom.example/failures"
    )
    assert error["details"] == [
        {
            "@type": "type.googleapis.com/google.cloud.healthcare.v1beta1.dicom."
            "ImportDicomDataErrorDetails",
            "sampleErrors": [
                {"resource": f"gs://b/{n}", "error": {"code": 3, "message": "not DICOM."}}
                for n in range(3)
            ],
        }
    ]


def test_sample_of_failures_is_small() -> None:
    error = ended_by(operation(Counters(failed=99)), Cancelled("cancelled"), failures(99))

    details = error["details"]
    assert isinstance(details, list)
    (detail,) = details
    samples = detail["sampleErrors"]
    assert isinstance(samples, list)
    assert len(samples) == SAMPLE_ERRORS_MAX


def test_cancelled_operation_ends_with_the_code_of_a_cancellation() -> None:
    error = ended_by(operation(Counters()), Cancelled("the operation was cancelled"))

    assert error == {"code": 1, "message": "the operation was cancelled"}


def test_the_rest_takes_as_long_as_the_present_pace_tells() -> None:
    half = operation(Counters(listed=50, imported=50), total=100)
    pace = Pace(objects_per_second=10.0, bytes_per_second=1000.0)

    assert seconds_left(replace(half, pace=pace)) == 5.0
    assert seconds_left(half) is None
    assert seconds_left(replace(half, pace=pace, total=None)) is None
    assert seconds_left(replace(half, pace=replace(pace, objects_per_second=0.0))) is None
