from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import (
    Aborted,
    DataLoss,
    FailedPrecondition,
    FileroomError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from fileroom.objectstore.cloud.attempts import (
    AT_ONCE_FIRST,
    ATTEMPTS_MAX,
    ATTEMPTS_SECONDS_MAX,
    DENIED_MAX,
    FIRST_WAIT_SECONDS,
    LONGEST_WAIT_SECONDS,
    Attempts,
    Pace,
)
from fileroom.objectstore.cloud.faults import Fault, Kind
from fileroom.objectstore.contract import BUCKET_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable


def meeting(*faults: Fault) -> Callable[[], str]:
    """Give a request that meets these faults, one each time, and then is answered."""
    left = list(faults)

    def ask() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return ask


def attempts() -> tuple[Attempts, list[float]]:
    """Give attempts that do not wait, and the waits there would have been."""
    waits: list[float] = []
    return Attempts("gs://scans", sleep=waits.append), waits


# Waits


def test_an_answer_at_once_takes_no_wait() -> None:
    run, waits = attempts()
    assert run.run(meeting(), "object 'a'") == "answer"
    assert waits == []


@pytest.mark.parametrize("kind", [Kind.BUSY, Kind.PASSING])
def test_waits_are_drawn_below_a_bound_that_doubles(kind: Kind) -> None:
    drawn: list[list[float]] = []
    for _ in range(200):
        run, waits = attempts()
        faults = [Fault(kind, "")] * (ATTEMPTS_MAX - 1)
        assert run.run(meeting(*faults), "") == "answer"
        drawn.append(waits)

    for number, waits_of_attempt in enumerate(zip(*drawn, strict=True)):
        bound = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**number)
        assert 0 <= min(waits_of_attempt) < bound / 4
        assert bound * 3 / 4 < max(waits_of_attempt) <= bound


@pytest.mark.parametrize("kind", [Kind.BUSY, Kind.PASSING])
def test_what_does_not_pass_is_given_up(kind: Kind) -> None:
    run, waits = attempts()
    with pytest.raises(Unavailable, match=r"gs://scans .*why"):
        run.run(meeting(*[Fault(kind, "why")] * ATTEMPTS_MAX), "object 'a'")
    assert len(waits) == ATTEMPTS_MAX - 1


def test_a_wait_that_is_asked_for_is_the_least() -> None:
    run, waits = attempts()
    assert run.run(meeting(Fault(Kind.BUSY, "", 7.0), Fault(Kind.BUSY, "", 0.0)), "") == "answer"
    assert 7.0 <= waits[0] <= 7.0 + FIRST_WAIT_SECONDS
    assert 0.0 <= waits[1] <= 2 * FIRST_WAIT_SECONDS


def test_a_wait_that_is_too_long_is_none() -> None:
    run, waits = attempts()
    fault = Fault(Kind.BUSY, "", ATTEMPTS_SECONDS_MAX + 1)
    with pytest.raises(Unavailable):
        run.run(meeting(fault), "")
    assert waits == []


# What is raised


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.ABSENT, NotFound),
        (Kind.CHANGED, Aborted),
        (Kind.DENIED, PermissionDenied),
        (Kind.CREDENTIALS, Unavailable),
        (Kind.FULL, ResourceExhausted),
        (Kind.DAMAGED, DataLoss),
        (Kind.REFUSED, FailedPrecondition),
    ],
)
def test_what_asking_again_cannot_mend_is_raised_at_once(
    kind: Kind, error: type[FileroomError]
) -> None:
    run, waits = attempts()
    with pytest.raises(error, match="gs://scans") as caught:
        run.run(meeting(Fault(kind, "why")), "object 'a'")
    assert waits == []
    assert isinstance(caught.value.__cause__, Fault)


def test_refusals_in_a_row_are_a_fault_of_the_environment() -> None:
    run, _ = attempts()
    denied = Fault(Kind.DENIED, "why")
    for _ in range(DENIED_MAX - 1):
        with pytest.raises(PermissionDenied):
            run.run(meeting(denied), "object 'a'")
    for _ in range(3):
        with pytest.raises(Unavailable, match="fileroom buckets check gs://scans"):
            run.run(meeting(denied), "object 'a'")

    assert run.run(meeting(), "") == "answer"
    with pytest.raises(PermissionDenied):
        run.run(meeting(denied), "object 'a'")


@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.REFUSED, Kind.CREDENTIALS, Kind.NO_BUCKET])
@pytest.mark.parametrize("what", ["object 'a'", ""])
def test_what_the_archives_own_bucket_refuses_is_no_objects_fault(kind: Kind, what: str) -> None:
    run = Attempts("gs://own", is_own=True)
    with pytest.raises(Unavailable, match="gs://own") as caught:
        run.run(meeting(Fault(kind, "why")), what)
    assert caught.value.detail == BUCKET_SETTINGS


def test_who_checks_a_bucket_asks_once_and_is_not_told_to_check_it() -> None:
    waits: list[float] = []
    check = Attempts("gs://scans", is_check=True, sleep=waits.append)
    for kind in (Kind.BUSY, Kind.PASSING, Kind.DENIED, Kind.CREDENTIALS, Kind.NO_BUCKET):
        with pytest.raises(FileroomError, match="gs://scans") as caught:
            check.run(meeting(Fault(kind, "why")), "")
        assert "fileroom buckets check" not in caught.value.message
    assert waits == []


# Pace


def test_a_bound_is_halved_once_for_requests_sent_before() -> None:
    pace = Pace(first=16)
    pace.slow_down(asked_at=1.0)
    assert pace.limit == 8
    pace.slow_down(asked_at=2.0)
    assert pace.limit == 8
    pace.slow_down(asked_at=float("inf"))
    assert pace.limit == 4


def test_a_bound_is_never_less_than_one_nor_more_than_the_most() -> None:
    pace = Pace(first=2, most=5)
    for _ in range(5):
        pace.slow_down(asked_at=float("inf"))
    assert pace.limit == 1
    for _ in range(100):
        pace.went_well()
    assert pace.limit == 5


def test_a_bound_rises_by_one_in_each_round() -> None:
    pace = Pace(first=4)
    for limit in (4, 5, 6):
        assert pace.limit == limit
        for _ in range(limit + 1):
            pace.went_well()


def test_only_a_busy_bucket_is_asked_less_often() -> None:
    run, _ = attempts()
    run.run(meeting(Fault(Kind.PASSING, "")), "")
    assert run.pace.limit == AT_ONCE_FIRST
    run.run(meeting(Fault(Kind.BUSY, "")), "")
    assert run.pace.limit == AT_ONCE_FIRST // 2


def test_no_more_than_the_bound_are_under_way() -> None:
    pace = Pace(first=2)
    lock = threading.Lock()
    under_way, most = 0, 0

    def ask() -> None:
        nonlocal under_way, most
        for _ in range(50):
            with pace.turn():
                with lock:
                    under_way += 1
                    most = max(most, under_way)
                with lock:
                    under_way -= 1

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 2


def test_a_turn_that_failed_gives_its_room_back() -> None:
    pace = Pace(first=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"), pace.turn():
            raise ValueError("no")
    with pace.turn():
        pass


def test_room_that_is_gained_wakes_who_waits() -> None:
    pace = Pace(first=1)
    through = threading.Event()

    def ask() -> None:
        with pace.turn():
            through.set()

    with pace.turn():
        thread = threading.Thread(target=ask)
        thread.start()
        pace.went_well()
        assert through.wait(5)
    thread.join()
