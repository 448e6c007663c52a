from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update

from fileroom.database import schema, search
from fileroom.database.stored import (
    find_stored_instance,
    find_stored_instances,
    list_instances,
)
from fileroom.dicom.conditions import name_key
from fileroom.dicom.levels import Level
from fileroom.dicom.matching import parse_query
from fileroom.names import DicomStoreName, InstancePath, Uid
from tests.corpus import minimal_instance
from tests.places import root_of
from tests.store_content import STORE, FilledStore, add_store, filled_store

if TYPE_CHECKING:
    from collections.abc import Iterator

STUDIES = ("1.2.1", "1.2.2", "1.2.3", "1.2.10")
NAMES = ("Doe^John", "Dœrr^Jö", "O'Brien^Seán^^Dr", "Yamada^Tarou=山田^太郎")
DATES = ("20200101", "20200630", "20201231", None)
PARAMETERS = ("PatientName", "PatientID", "AccessionNumber", "StudyDate", "ReferringPhysicianName")


def file_of(study: int, series: int, instance: int, **overrides: str) -> bytes:
    uid = STUDIES[study]
    values: dict[str, object] = {
        "study_instance_uid": uid,
        "series_instance_uid": f"{uid}.{series}",
        "sop_instance_uid": f"{uid}.{series}.{instance}",
        "patient_name": NAMES[study],
        "patient_id": f"P{study % 2}",
        "accession_number": f"A{study}",
        "study_date": DATES[study],
        "referring_physician_name": "Ref^Erring",
        "modality": ("CT", "MR")[series % 2],
        "series_number": str(series),
        "instance_number": str(instance),
        "specific_character_set": "ISO_IR 192",
        **overrides,
    }
    return minimal_instance(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledStore]:
    """Four studies of two series of three instances, and another store with the same UIDs."""
    files = [file_of(*at) for at in product(range(4), range(2), range(3))]
    with filled_store(tmp_path_factory.mktemp("search"), files) as filled:
        other = DicomStoreName(STORE.parent, "other")
        add_store(filled.database, root_of(filled.content.blobs), other, files[:6])
        yield filled


def found(
    store: FilledStore,
    level: Level,
    *parameters: tuple[str, str],
    study: str | None = None,
    series: str | None = None,
) -> list[str]:
    """Give the UIDs of the results."""
    query = parse_query(
        level,
        parameters,
        extended=True,
        study_instance_uid=None if study is None else Uid(study),
        series_instance_uid=None if series is None else Uid(series),
    )
    keyword = {"study": "Study", "series": "Series", "instance": "SOP"}[level] + "InstanceUID"
    with store.database.read() as connection:
        rows = search.find_matches(connection, store.content.store_id, query, [keyword]).rows
    return [str(row[1]) for row in rows]


def studies(store: FilledStore, *parameters: tuple[str, str]) -> list[str]:
    return found(store, Level.STUDY, *parameters)


def test_everything_is_found_once_in_the_order_it_was_stored(store: FilledStore) -> None:
    assert studies(store) == sorted(STUDIES)
    assert len(found(store, Level.SERIES)) == 8
    instances = found(store, Level.INSTANCE)
    assert len(instances) == len(set(instances)) == 24
    by_series = [instances[at : at + 3] for at in range(0, 24, 3)]
    assert all(group == sorted(group) for group in by_series)


def test_another_store_of_the_same_uids_is_never_seen(store: FilledStore) -> None:
    assert len(found(store, Level.INSTANCE, ("StudyInstanceUID", "1.2.1"))) == 6


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([("PatientID", "P0")], {0, 2}),
        ([("PatientID", "p0")], set()),
        ([("PatientID", "P_")], set()),
        ([("PatientID", "P*")], {0, 1, 2, 3}),
        ([("PatientID", "p*")], set()),
        ([("PatientID", "?1")], {1, 3}),
        ([("PatientID", "[P]0")], set()),
        ([("AccessionNumber", "*")], {0, 1, 2, 3}),
        ([("PatientName", "doe^*")], {0}),
        ([("PatientName", "do^*")], set()),
        ([("PatientName", "d?e^JOHN")], {0}),
        ([("PatientName", "*jö*")], {0, 1}),
        ([("PatientName", "*^seán*")], {2}),
        ([("ReferringPhysicianName", "ref*"), ("PatientID", "P0")], {0, 2}),
        ([("StudyInstanceUID", "1.2.1,1.2.3")], {0, 2}),
        ([("StudyInstanceUID", "1.2.1\\1.2.3\\9.9")], {0, 2}),
        ([("ModalitiesInStudy", "MR")], {0, 1, 2, 3}),
        ([("ModalitiesInStudy", "CT,PT")], {0, 1, 2, 3}),
        ([("ModalitiesInStudy", "PT")], set()),
        ([("StudyTime", "03-04")], {0, 1, 2, 3}),
        ([("StudyTime", "0304")], {0, 1, 2, 3}),
        ([("StudyTime", "030406-")], set()),
        ([("StudyDescription", "*")], {0, 1, 2, 3}),
        ([("StudyDescription", "x*")], set()),
        ([("AccessionNumber", "A1")], {1}),
        ([("PatientName", "Doe^John")], {0}),
        ([("PatientName", "doe^john")], set()),
        ([("ReferringPhysicianName", "Ref^Erring"), ("PatientID", "P1")], {1, 3}),
        ([("StudyDate", "20200630")], {1}),
        ([("StudyDate", "20200102-20201231")], {1, 2}),
        ([("StudyDate", "-20200630")], {0, 1}),
        ([("StudyDate", "20200630-")], {1, 2}),
        ([("StudyInstanceUID", "1.2.3")], {2}),
        ([("StudyID", "S1")], {0, 1, 2, 3}),
        ([("fuzzymatching", "true"), ("PatientName", "do")], {0}),
        ([("fuzzymatching", "true"), ("PatientName", "JO")], {0, 1}),
        ([("fuzzymatching", "true"), ("PatientName", "ohn")], set()),
        ([("fuzzymatching", "true"), ("PatientName", "obrien sean")], {2}),
        ([("fuzzymatching", "true"), ("PatientName", "山田")], {3}),
        ([("fuzzymatching", "true"), ("PatientName", "%")], {0, 1, 2, 3}),
        ([("fuzzymatching", "true"), ("PatientName", "j_hn")], {0, 1}),
    ],
)
def test_studies_match(
    store: FilledStore, parameters: list[tuple[str, str]], expected: set[int]
) -> None:
    assert set(studies(store, *parameters)) == {STUDIES[at] for at in expected}


def test_lower_levels_match_by_what_is_above_them(store: FilledStore) -> None:
    assert found(store, Level.SERIES, ("PatientID", "P1"), ("Modality", "MR")) == [
        f"{uid}.1" for uid in sorted((STUDIES[1], STUDIES[3]))
    ]
    assert found(store, Level.INSTANCE, ("SeriesInstanceUID", "1.2.2.1")) == [
        "1.2.2.1.0",
        "1.2.2.1.1",
        "1.2.2.1.2",
    ]
    assert found(store, Level.INSTANCE, ("SOPInstanceUID", "1.2.3.0.1")) == ["1.2.3.0.1"]
    assert len(found(store, Level.INSTANCE, ("InstanceNumber", "2"), ("Modality", "CT"))) == 4
    assert found(store, Level.SERIES, ("SeriesNumber", "1"), study="1.2.2") == ["1.2.2.1"]


def test_a_path_narrows_the_search(store: FilledStore) -> None:
    assert found(store, Level.SERIES, study="1.2.2") == ["1.2.2.0", "1.2.2.1"]
    assert len(found(store, Level.INSTANCE, study="1.2.2")) == 6
    assert len(found(store, Level.INSTANCE, study="1.2.2", series="1.2.2.1")) == 3
    assert found(store, Level.INSTANCE, study="1.2.2", series="1.2.3.1") == []
    assert found(store, Level.SERIES, ("StudyInstanceUID", "1.2.1"), study="1.2.2") == []


def test_pages_put_together_are_the_whole(store: FilledStore) -> None:
    for level in Level:
        whole = found(store, level)
        pages = [
            uid
            for offset in range(0, len(whole) + 5, 5)
            for uid in found(store, level, ("limit", "5"), ("offset", str(offset)))
        ]
        assert pages == whole


@pytest.mark.clause(
    "PS3.18 10.6", "X-Total-Count is exact or absent, whatever the page", holds="own rule"
)
def test_the_total_is_the_number_of_all_results(
    store: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [[], [("PatientID", "P1")], [("Modality", "CT")], [("InstanceNumber", "1")]]
    for level, study, parameters in product(Level, [None, "1.2.2"], asked):
        if level is Level.STUDY and (study or parameters[:1] not in asked[:2]):
            continue
        if level is Level.SERIES and parameters == asked[3]:
            continue
        all_of_them = found(store, level, *parameters, study=study)
        by_instance = parameters == asked[3] and study is None
        for limit, offset in [(1, 0), (2, 1), (3, 3), (50, 0), (50, 1), (5, 100)]:
            page = [*parameters, ("limit", str(limit)), ("offset", str(offset))]
            told = total(store, level, *page, study=study)
            shown = len(found(store, level, *page, study=study))
            if told is None:
                # Every instance of the store would have to be looked at.
                assert by_instance
                assert shown in {0, limit}
            else:
                assert told == len(all_of_them)
    monkeypatch.setattr(search, "COUNT_MAX", 3)
    assert total(store, Level.STUDY, ("limit", "1")) is None
    assert total(store, Level.STUDY, ("limit", "1"), ("PatientID", "P1")) == 2


def total(
    store: FilledStore, level: Level, *parameters: tuple[str, str], study: str | None = None
) -> int | None:
    query = parse_query(
        level, parameters, extended=True, study_instance_uid=None if study is None else Uid(study)
    )
    with store.database.read() as connection:
        store_id = store.content.store_id
        shown = len(search.find_matches(connection, store_id, query, []).rows)
        return search.count_results(connection, store_id, query, shown=shown)


def test_pages_do_not_shift_while_instances_are_added(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with filled_store(tmp_path_factory.mktemp("adding"), [file_of(1, 0, 1)]) as store:
        before = [found(store, level)[0] for level in Level]
        for writer, study in enumerate((0, 3, 2), start=2):
            store.add([file_of(study, 0, 0)], writer=writer)
            assert [found(store, level)[0] for level in Level] == before
        assert studies(store) == [STUDIES[at] for at in (1, 0, 3, 2)]


def test_what_is_being_deleted_is_not_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    files = [file_of(study, series, 0) for study in range(2) for series in range(2)]
    with filled_store(tmp_path_factory.mktemp("deleting"), files) as store:

        def mark(table: str, uid: str) -> None:
            target = schema.metadata.tables[table]
            column = target.c["study_instance_uid" if table == "studies" else "series_instance_uid"]
            store.database.write(
                lambda transaction: transaction.execute(
                    update(target).where(column == uid).values(state="DELETING")
                )
            )

        mark("studies", "1.2.1")
        mark("series", "1.2.2.0")
        assert studies(store) == ["1.2.2"]
        assert found(store, Level.SERIES) == ["1.2.2.1"]
        assert found(store, Level.INSTANCE) == ["1.2.2.1.0"]
        with store.database.read() as connection:
            for path in ("1.2.1", "1.2.1.0"), ("1.2.2", "1.2.2.0"):
                study, series = map(Uid, path)
                whole = InstancePath(study, series, Uid(f"{series}.0"))
                assert find_stored_instance(connection, store.content.store_id, whole) is None
                assert not list_instances(
                    connection, store.content.store_id, InstancePath(study, series)
                )


def test_stored_instances_are_told_in_the_order_asked(store: FilledStore) -> None:
    with store.database.read() as connection:
        path = InstancePath(Uid("1.2.2"))
        ids = [each.id for each in list_instances(connection, store.content.store_id, path)]
        gone = max(ids) + 1000
        told = find_stored_instances(connection, [ids[3], gone, ids[0]])
    assert told[1] is None
    first, last = told[0], told[2]
    assert first is not None
    assert last is not None
    assert (first.id, last.id) == (ids[3], ids[0])
    assert str(last.path) == "studies/1.2.2/series/1.2.2.0/instances/1.2.2.0.0"
    assert last.header is not None
    assert last.place.sha256 is not None


CONDITIONS = {
    Level.STUDY: [
        *([(name, "20200101" if name == "StudyDate" else "x")] for name in PARAMETERS),
        [],
        [("StudyInstanceUID", "1.2.1")],
        [("StudyDate", "20200101-")],
        [("fuzzymatching", "true"), ("PatientName", "jo")],
        [("StudyID", "S1")],
        [("StudyInstanceUID", "1.2.1,1.2.2")],
        [("PatientID", "P*")],
        [("PatientID", "*1")],
        [("PatientName", "do?^*")],
        [("StudyTime", "10-11")],
        [("ModalitiesInStudy", "CT,MR")],
        [("StudyDescription", "x*"), ("ModalitiesInStudy", "CT")],
        [("BodyPartExamined", "CHEST")],
        [("BodyPartExamined", "CH*"), ("OperatorsName", "*doe*"), ("PatientID", "P1")],
    ]
}
CONDITIONS[Level.SERIES] = [
    *CONDITIONS[Level.STUDY],
    [("SeriesInstanceUID", "1.2.1.1")],
    [("Modality", "CT")],
    [("SeriesNumber", "1")],
    [("PatientID", "x"), ("Modality", "CT")],
]
CONDITIONS[Level.INSTANCE] = [
    *CONDITIONS[Level.SERIES],
    [("SOPInstanceUID", "1.2.1.1.1")],
    [("InstanceNumber", "1")],
    [("SOPClassUID", "1.2,1.3")],
    [("SOPInstanceUID", "1.2.1.1.1"), ("PatientID", "x")],
]


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("within", [None, "1.2.2"])
def test_every_search_goes_through_indexes(
    store: FilledStore, level: Level, within: str | None
) -> None:
    if within is not None and level is Level.STUDY:
        return
    for parameters in CONDITIONS[level]:
        query = parse_query(
            level,
            parameters,
            extended=True,
            study_instance_uid=None if within is None else Uid(within),
        )
        keywords = sorted(search.indexed_keywords(level))
        plan = plan_of(store, search.search_statement(1, query, keywords))
        assert not [step for step in plan if step.startswith("SCAN")], (parameters, plan)
        count = search.count_statement(1, query)
        steps = [] if count is None else plan_of(store, count)
        # What is counted is a stretch of its own, bounded, and only that may be walked through.
        assert not [step for step in steps if re.match(r"SCAN (?!anon_1)", step)], steps
        if not parameters and within is None:
            # The order is the index's own: a page costs no sort.
            assert not [step for step in plan if "TEMP B-TREE" in step], plan


def plan_of(store: FilledStore, statement: search.Statement) -> list[str]:
    with store.database.read() as connection:
        compiled = statement.compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        return [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))]


def test_retrieval_goes_through_indexes(store: FilledStore) -> None:
    from fileroom.database.stored import _below, _joined, _select

    path = InstancePath(Uid("1.2.2"), Uid("1.2.2.0"), Uid("1.2.2.0.0"))
    statements = [
        _below(_select(), 1, path),
        _below(_joined(schema.instances.c.id), 1, InstancePath(Uid("1.2.2"))),
        _select().where(schema.instances.c.id.in_([1, 2, 3])),
    ]
    with store.database.read() as connection:
        for statement in statements:
            compiled = statement.compile(
                dialect=connection.dialect, compile_kwargs={"literal_binds": True}
            )
            plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))]
            assert not [step for step in plan if step.startswith("SCAN")], plan


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["PatientID", "AccessionNumber", "PatientName", "ReferringPhysicianName"]),
    st.one_of(
        st.text(st.characters(exclude_characters="*?", exclude_categories=["Cs"]), max_size=12),
        st.sampled_from(["' OR 1=1 --", "P0'; DROP TABLE studies;--", "P%", "\\", "P0\0", "[P]0"]),
    ),
)
def test_no_value_is_more_than_a_value(store: FilledStore, keyword: str, value: str) -> None:
    stored = {
        "PatientID": [f"P{at % 2}" for at in range(4)],
        "AccessionNumber": [f"A{at}" for at in range(4)],
        "PatientName": list(NAMES),
        "ReferringPhysicianName": ["Ref^Erring"] * 4,
    }[keyword]
    wanted = value.strip(" \0")
    if keyword.endswith("Name"):
        wanted = wanted.rstrip("=")
    expected = {STUDIES[at] for at in range(4) if not value.strip() or stored[at] == wanted}
    assert set(studies(store, (keyword, value))) == expected


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(alphabet="abdehjnorstyœö'^ %_*", max_size=8))
def test_fuzzy_matching_is_the_rule_of_prefixes(store: FilledStore, value: str) -> None:
    tokens = name_key(value).split()
    expected = {
        STUDIES[at]
        for at, name in enumerate(NAMES)
        if not tokens
        or any(part.startswith(token) for part in name_key(name).split() for token in tokens)
    }
    assert set(studies(store, ("fuzzymatching", "true"), ("PatientName", value))) == expected
