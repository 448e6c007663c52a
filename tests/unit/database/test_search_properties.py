"""A search in SQL finds what the rules of matching say, whatever is stored and asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fileroom.database.instances import StoreWrite, store_records
from fileroom.database.search import count_results, find_matches
from fileroom.dicom.levels import Level
from fileroom.dicom.matching import parse_query
from fileroom.errors import InvalidArgument
from fileroom.names import DicomStoreName
from tests.unit.database.rows import DATASET, new_store, record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fileroom.database.engine import Connection

Study = dict[str, str]

SPECIAL = "aAbB1 ^_%[]-é\\"
TEXTS = st.text(SPECIAL, max_size=5).map(lambda text: text.strip(" \0"))
PATTERNS = st.text(SPECIAL + "**??", min_size=1, max_size=6)
NAMES = st.text("aAbBé^ '-", max_size=7)
NAME_PATTERNS = st.text("aAbBé^ **?", min_size=1, max_size=7)
UIDS = st.sampled_from([f"1.2.{number}" for number in range(6)])
MODALITIES = st.sampled_from(["CT", "MR", "PT", "SR"])


def times(least: int = 2) -> st.SearchStrategy[str]:
    """Give times in every precision, zeros often."""
    part = st.sampled_from(["00", "01", "10", "59"])
    hour = st.sampled_from(["00", "01", "10", "23"])
    whole = st.tuples(hour, part, part).map("".join)
    fraction = st.text("05", min_size=1, max_size=6)
    cut = st.tuples(whole, st.sampled_from([2, 4, 6])).map(lambda pair: pair[0][: pair[1]])
    return st.one_of(cut, st.tuples(whole, fraction).map(".".join))


DATES = st.sampled_from(["19991231", "20000101", "20000229", "20010101"])
STUDY = st.fixed_dictionaries(
    {
        "patient_id": TEXTS,
        "study_description": TEXTS,
        "patient_name": NAMES,
        "study_date": DATES,
        "study_time": times(),
        "modality": MODALITIES,
    }
)
STUDIES = st.lists(STUDY, min_size=1, max_size=5)

common = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def search(transaction: Connection) -> Callable[..., list[int]]:
    """Give a function that stores studies and gives which of them a search finds."""
    numbers = iter(range(1_000_000))

    def run(stored: Sequence[Study], *parameters: tuple[str, str]) -> list[int]:
        query = parse_query(Level.STUDY, parameters, extended=True)
        with transaction.begin_nested() as savepoint:
            store_id = new_store(transaction, DicomStoreName(DATASET, f"s{next(numbers)}"))
            records = [
                record(at, (f"1.2.{at}", f"1.2.{at}.1", f"1.2.{at}.1.1"), str(at), **study)  # type: ignore[arg-type]
                for at, study in enumerate(stored)
            ]
            store_records(transaction, StoreWrite(store_id=store_id), records)
            rows = find_matches(transaction, store_id, query, ["StudyInstanceUID"]).rows
            total = count_results(transaction, store_id, query, shown=len(rows))
            savepoint.rollback()
        assert total == len(rows)
        return sorted(int(str(row[1]).removeprefix("1.2.")) for row in rows)

    return run


def like(pattern: str, text: str) -> bool:
    """Tell whether a text matches, by the definition: one character at a time."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(like(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in {"?", text[0]} and like(pattern[1:], text[1:])


def moments(time: str) -> tuple[int, int]:
    """Give the first and the last microsecond of what a time says."""
    digits, _, fraction = time.partition(".")
    hours, minutes, seconds = (int(digits[at : at + 2] or 0) for at in (0, 2, 4))
    first = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + int(f"{fraction:<06}"[:6])
    lasting = {2: 3600_000_000, 4: 60_000_000, 6: 1_000_000}[len(digits)]
    if fraction:
        lasting = 10 ** (6 - len(fraction))
    return first, first + lasting - 1


@pytest.mark.clause("PS3.4 C.2.2.2.4", "* is any characters or none, ? is any one; case counts")
@common
@given(STUDIES, st.sampled_from(["PatientID", "StudyDescription"]), PATTERNS)
def test_wildcards(
    search: Callable[..., list[int]], stored: list[Study], keyword: str, pattern: str
) -> None:
    wanted = pattern.strip(" ")
    assume("*" in wanted or "?" in wanted)
    column = {"PatientID": "patient_id", "StudyDescription": "study_description"}[keyword]
    expected = [at for at, study in enumerate(stored) if like(wanted, study[column])]
    if set(wanted) == {"*"}:
        expected = list(range(len(stored)))
    assert search(stored, (keyword, pattern)) == expected


@pytest.mark.clause(
    "PS3.4 C.2.2.2.4",
    "wildcards in names: without case, accents and apostrophes, any separator as good as another",
    holds="chosen",
)
@common
@given(STUDIES, NAME_PATTERNS)
def test_wildcards_in_names(
    search: Callable[..., list[int]], stored: list[Study], pattern: str
) -> None:
    assume("*" in pattern or "?" in pattern)

    def plain(text: str) -> str:
        return text.lower().replace("é", "e").replace("'", "").replace("^", " ").replace("-", " ")

    wanted = plain(pattern.strip(" ").rstrip("^ "))
    start = "" if wanted.startswith("*") else " "
    end = "" if wanted.endswith("*") else " "
    words = start + " ".join(wanted.split()) + end
    expected = [
        at
        for at, study in enumerate(stored)
        if like(words, "".join(f" {word}" for word in plain(study["patient_name"]).split()) + " ")
    ]
    if not pattern.strip(" *"):
        expected = list(range(len(stored)))
    assert search(stored, ("PatientName", pattern)) == expected


@pytest.mark.clause("PS3.4 C.2.2.2.5", "a range of times has all moments of both its ends")
@common
@given(STUDIES, st.one_of(st.none(), times()), st.one_of(st.none(), times()), st.booleans())
def test_times(
    search: Callable[..., list[int]],
    stored: list[Study],
    first: str | None,
    last: str | None,
    single: bool,
) -> None:
    assume(first or last)
    value = first or last or "" if single else f"{first or ''}-{last or ''}"
    lower = moments(value if single else first or "00")[0]
    upper = moments(value if single else last or "235959.999999")[1]
    expected = [
        at for at, study in enumerate(stored) if lower <= moments(study["study_time"])[0] <= upper
    ]
    assert search(stored, ("StudyTime", value)) == expected


@pytest.mark.clause("PS3.4 C.2.2.2.5", "a range of dates has both its ends")
@common
@given(STUDIES, st.one_of(st.none(), DATES), st.one_of(st.none(), DATES))
def test_dates(
    search: Callable[..., list[int]], stored: list[Study], first: str | None, last: str | None
) -> None:
    assume(first or last)
    expected = [
        at
        for at, study in enumerate(stored)
        if (first or "0") <= study["study_date"] <= (last or "9")
    ]
    assert search(stored, ("StudyDate", f"{first or ''}-{last or ''}")) == expected


@pytest.mark.clause("PS3.4 C.2.2.2.2", "each UID of a list may match")
@common
@given(STUDIES, st.lists(UIDS, min_size=1, max_size=4), st.sampled_from([",", "\\"]))
def test_lists_of_uids(
    search: Callable[..., list[int]], stored: list[Study], uids: list[str], separator: str
) -> None:
    expected = [at for at in range(len(stored)) if f"1.2.{at}" in uids]
    assert search(stored, ("StudyInstanceUID", separator.join(uids))) == expected


@pytest.mark.clause("PS3.18 10.6", "ModalitiesInStudy is matched by any series", holds="own rule")
@common
@given(STUDIES, st.lists(MODALITIES, min_size=1, max_size=3))
def test_modalities(
    search: Callable[..., list[int]], stored: list[Study], modalities: list[str]
) -> None:
    expected = [at for at, study in enumerate(stored) if study["modality"] in modalities]
    assert search(stored, ("ModalitiesInStudy", ",".join(modalities))) == expected


@common
@given(STUDIES, PATTERNS, st.one_of(DATES, times(), UIDS), NAME_PATTERNS)
def test_conditions_narrow_one_another(
    search: Callable[..., list[int]], stored: list[Study], pattern: str, value: str, name: str
) -> None:
    parameters = [("PatientID", pattern), ("StudyTime", value), ("PatientName", name)]
    try:
        each = [set(search(stored, parameter)) for parameter in parameters]
    except InvalidArgument:
        assume(False)
    assert set(search(stored, *parameters)) == set.intersection(*each)
