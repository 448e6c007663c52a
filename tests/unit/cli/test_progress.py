from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.cli.following import account_line, failure_lines
from fileroom.cli.progress import Lines, Pace, Reading, clock, figures, paused_line, to_reading
from fileroom.client import values
from fileroom.errors import Code, ObjectFailure, Reason, Unavailable

if TYPE_CHECKING:
    from fileroom.client import JsonObject, Operation

NAME = "projects/p/locations/l/datasets/d/operations/7"
IMPORT = "google.cloud.healthcare.v1.dicom.DicomService.ImportDicomData"


def operation(
    *, success: int = 0, failure: int = 0, done: bool = False, **fileroom: int | str
) -> Operation:
    metadata: JsonObject = {
        "apiMethodName": IMPORT,
        "createTime": "2026-11-22T09:00:00Z",
        "counter": {"success": str(success), "failure": str(failure)},
        "fileroom": dict(fileroom),
    }
    if done:
        metadata["endTime"] = "2026-11-22T09:00:04Z"
    return values.to_operation({"name": NAME, "done": done, "metadata": metadata})


def failure(source: str, reason: Reason = Reason.NOT_DICOM) -> ObjectFailure:
    return ObjectFailure(
        source=source, code=Code.INVALID_ARGUMENT, reason=reason, message="is no DICOM file"
    )


def test_pace_forgets_what_was_long_ago() -> None:
    pace = Pace()
    for second in range(100):
        pace.add(second, 10 * min(second, 50) + 100 * max(0, second - 50))
    assert pace.rate() == pytest.approx(100)
    assert pace.remaining_seconds(total=5400 + 1000) == pytest.approx(10)


def test_pace_is_unknown_until_something_moves() -> None:
    pace = Pace()
    assert pace.rate() is None
    pace.add(0, 0)
    pace.add(1, 0)
    assert pace.rate() is None
    assert pace.remaining_seconds(10) is None
    pace.add(2, 4)
    assert pace.rate() == pytest.approx(2)
    assert pace.remaining_seconds(None) is None
    assert pace.remaining_seconds(3) == 0


def test_figures_show_total_rate_rest_and_failures_once_known() -> None:
    pace = Pace()
    pace.add(0, 0)
    reading = Reading(verb="Importing", count=0, failed=0, total=None, waits_for="")
    assert figures(reading, pace, done=False) == "0"
    pace.add(10, 1250)
    reading = Reading(verb="Importing", count=1250, failed=3, total=5000, waits_for="")
    assert figures(reading, pace, done=False) == "1,250 of 5,000 (25 %), 125/s, 0:30 left, 3 failed"


def test_reading_names_the_work_and_why_it_waits() -> None:
    reading = to_reading(operation(success=1, failure=2, total="9", pausedWhy="no space left"))
    expected = Reading(verb="Importing", count=3, failed=2, total=9, waits_for="no space left")
    assert reading == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.2, "0:00"), (59.6, "1:00"), (61, "1:01"), (3723, "1:02:03")]
)
def test_clock(seconds: float, expected: str) -> None:
    assert clock(seconds) == expected


def test_lines_are_few_and_a_trouble_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines() as lines:
        for count in range(100):
            lines.show(operation(success=count))
        lines.unavailable(Unavailable("server away"))
        lines.unavailable(Unavailable("server away"))
        lines.show(operation(success=100, failure=1, done=True))
    trouble, last = capsys.readouterr().err.splitlines()
    assert trouble == "No answer, trying again: server away"
    assert last.startswith("Importing: 101, ")
    assert last.endswith(", 1 failed")


def test_account_tells_what_became_of_every_object() -> None:
    ended = operation(success=7, failure=1, done=True, listed=8, imported=4, identical=3, failed=1)
    assert account_line(ended) == ("8 objects in 0:04 (2/s): 4 imported, 3 there already, 1 failed")


def test_account_of_another_server_is_its_counters() -> None:
    line = account_line(operation(success=1, done=True))
    assert line == "1 object in 0:04 (0/s): 1 succeeded"


def test_a_few_failures_are_told_one_by_one() -> None:
    told = list(failure_lines([failure("gs://b/a\x1b")], operation(failure=1), "-"))
    assert told == ["  NOT_DICOM  gs://b/a\\x1b: is no DICOM file"]


def test_many_failures_are_told_by_reason_and_where_the_rest_is() -> None:
    many = [failure(f"gs://b/{number}") for number in range(20)]
    many.insert(5, failure("gs://b/e", Reason.EMPTY))
    assert list(failure_lines(many, operation(failure=21), "fileroom …")) == [
        "  20 NOT_DICOM, first gs://b/0: is no DICOM file",
        "  1 EMPTY, first gs://b/e: is no DICOM file",
        "All of them: fileroom …",
    ]


def test_summary_reads_a_bounded_number_of_failures() -> None:
    endless = (failure(f"gs://b/{number}") for number in iter(int, 1))
    told = list(failure_lines(endless, operation(failure=1_000_000), "-"))
    assert told[0] == "  Of the first 10,000 failures:"


def test_a_pause_says_who_ends_it() -> None:
    away = to_reading(operation(pausedWhy="the disk is full"))
    assert paused_line(away) == (
        "Paused: the disk is full. It goes on by itself once that is mended"
    )
    asked = to_reading(operation(pausedWhy="somebody asked it to wait", pauseRequested=True))
    assert paused_line(asked).endswith("fileroom operations resume")
