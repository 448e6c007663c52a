"""Attributes beside the columns: looked for in headers, or indexed since a store says so."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, func, select, update

from fileroom.archive import indexing
from fileroom.archive.indexing import AttributeIndexer
from fileroom.archive.search import search
from fileroom.database import extra_attributes, schema
from fileroom.database.instances import DuplicatePolicy
from fileroom.dicom.dictionary import attribute
from fileroom.dicom.levels import Level
from fileroom.dicom.matching import parse_query
from fileroom.errors import InvalidArgument, Unavailable
from fileroom.names import Uid
from tests.corpus import BIG_ENDIAN, IMPLICIT, Row, minimal_instance
from tests.store_content import FilledStore, filled_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.engine import Connection

KEYWORDS = (
    "BodyPartExamined",
    "InstitutionName",
    "OperatorsName",
    "SliceThickness",
    "EchoNumbers",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "FrameOfReferenceUID",
    "ImageType",
    "SamplesPerPixel",
)
EXTRA: tuple[list[Row], ...] = (
    [
        (0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"),
        (0x00080022, "DA", "20240102"),
        (0x0008002A, "DT", "20240102101112"),
        (0x00080032, "TM", "1011"),
        (0x00080080, "LO", "St. Elsewhere"),
        (0x00081070, "PN", "Müller^Anna\\Doe^Jo"),
        (0x00180015, "CS", "CHEST"),
        (0x00180050, "DS", "1.50"),
        (0x00200052, "UI", "1.2.9"),
        (0x00280002, "US", 1),
    ],
    [
        (0x00080022, "DA", "20250102"),
        (0x00080032, "TM", "101112.5"),
        (0x00080080, "LO", "st. elsewhere"),
        (0x00180015, "CS", "HEAD"),
        (0x00180050, "DS", "+15.0E-1"),
        (0x00180086, "IS", "2\\3"),
        (0x00280002, "US", 3),
    ],
    [(0x00180015, "CS", ""), (0x00180050, "DS", "n/a")],
    [],
)
SYNTAXES = (None, IMPLICIT, BIG_ENDIAN, None)
CASES = [
    ("BodyPartExamined", "CHEST", {0}),
    ("BodyPartExamined", "CHEST,HEAD", {0, 1}),
    ("BodyPartExamined", "*E*", {0, 1}),
    ("BodyPartExamined", "chest", set()),
    ("BodyPartExamined", "*", {0, 1, 2, 3}),
    ("InstitutionName", "St. Elsewhere", {0}),
    ("InstitutionName", "?t. *", {0, 1}),
    ("InstitutionName", "S%", set()),
    ("OperatorsName", "doe^jo", {0}),
    ("OperatorsName", "*anna*", {0}),
    ("OperatorsName", "anna", set()),
    ("SliceThickness", "1.5", {0, 1}),
    ("SliceThickness", "15e-1", {0, 1}),
    ("EchoNumbers", "3", {1}),
    ("AcquisitionDate", "20240101-20241231", {0}),
    ("AcquisitionTime", "1011", {0, 1}),
    ("AcquisitionTime", "101112-", {1}),
    ("AcquisitionDateTime", "202401", {0}),
    ("AcquisitionDateTime", "-2023", set()),
    ("FrameOfReferenceUID", "1.2.8,1.2.9", {0}),
    ("ImageType", "PRIMARY", {0}),
    ("SamplesPerPixel", "3", {1}),
]


def instance(number: int, **overrides: str) -> bytes:
    values: dict[str, object] = {
        "study_instance_uid": f"1.2.{number}",
        "series_instance_uid": f"1.2.{number}.1",
        "sop_instance_uid": f"1.2.{number}.1.1",
        "specific_character_set": "ISO_IR 192",
        "transfer_syntax_uid": SYNTAXES[number] or "1.2.840.10008.1.2.1",
        "extra": EXTRA[number],
        **overrides,
    }
    return minimal_instance(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledStore]:
    """Four instances, each a study, in a store that indexes nothing more."""
    files = [instance(number) for number in range(4)]
    with filled_store(tmp_path_factory.mktemp("plain"), files) as store:
        yield store


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledStore]:
    """The same in a store that indexes every attribute of ``KEYWORDS``."""
    files = [instance(number) for number in range(4)]
    with filled_store(tmp_path_factory.mktemp("indexed"), files) as store:
        have_indexed(store, *KEYWORDS)
        index(store)
        yield store


def have_indexed(store: FilledStore, *keywords: str) -> None:
    paths = [attribute(keyword).key for keyword in keywords]
    store.database.write(
        lambda transaction: extra_attributes.set_indexed_attributes(
            transaction, store.content.store_id, paths
        )
    )


def index(store: FilledStore) -> None:
    AttributeIndexer(store.database, store.content.blobs, store.content.buckets).index()


def found(
    store: FilledStore, level: Level, *parameters: tuple[str, str], study: str | None = None
) -> set[int]:
    """Give the numbers of the results."""
    query = parse_query(
        level, parameters, extended=True, study_instance_uid=None if study is None else Uid(study)
    )
    answer = search(store.content, query, "http://h", counting=True)
    results = list(answer.results)
    assert answer.total in {None, len(results)}
    keyword = {"study": "Study", "series": "Series", "instance": "SOP"}[level] + "InstanceUID"
    values = [each[attribute(keyword).key] for each in results]
    return {int(each["Value"][0].split(".")[2]) for each in values}  # type: ignore[index]


def keys(store: FilledStore) -> int:
    with store.database.read() as connection:
        return connection.execute(
            select(func.count()).select_from(schema.extra_attributes)
        ).scalar_one()


@contextmanager
def store_of(directory: Path, *numbers: int) -> Iterator[FilledStore]:
    with filled_store(directory, [instance(number) for number in numbers]) as store:
        yield store


@pytest.mark.clause(
    "PS3.18 8.3.4", "any attribute is matched beside indexed keys", holds="own rule"
)
@pytest.mark.parametrize(("keyword", "value", "expected"), CASES)
def test_headers_and_indexes_find_the_same(
    plain: FilledStore, indexed: FilledStore, keyword: str, value: str, expected: set[int]
) -> None:
    for level in Level:
        assert found(indexed, level, (keyword, value)) == expected
        beside = ("PatientID", "P1*")
        assert found(plain, level, (keyword, value), beside) == expected
        assert found(indexed, level, (keyword, value), beside) == expected


def test_what_is_indexed_and_what_is_not_narrow_one_another(indexed: FilledStore) -> None:
    both = [("BodyPartExamined", "*"), ("SliceThickness", "1.5"), ("StationName", "x")]
    assert found(indexed, Level.INSTANCE, *both) == set()
    assert found(indexed, Level.INSTANCE, *both[:2], ("InstitutionName", "st*")) == {1}


@pytest.mark.parametrize("level", Level)
def test_pages_of_what_is_looked_through_headers_are_the_whole(
    tmp_path: Path, level: Level
) -> None:
    with filled_store(tmp_path) as store:
        store.add(
            minimal_instance(
                study_instance_uid=f"1.2.{number}",
                series_instance_uid=f"1.2.{number}.1",
                sop_instance_uid=f"1.2.{number}.1.1",
                extra=[(0x00180015, "CS", "CHEST" if number % 3 else "HEAD")],
            )
            for number in range(20)
        )
        asked = [("BodyPartExamined", "CHEST"), ("PatientID", "P*")]
        whole = found(store, level, *asked)
        assert whole == {number for number in range(20) if number % 3}
        pages = []
        for offset in range(0, 20, 4):
            query = parse_query(
                level, [*asked, ("limit", "4"), ("offset", str(offset))], extended=True
            )
            answer = search(store.content, query, "http://h", counting=True)
            assert answer.total == (None if offset + 4 < len(whole) else len(whole))
            pages += list(answer.results)
        assert len(pages) == len(whole)


@pytest.mark.clause(
    "PS3.18 8.3.4", "an attribute without an index is 400 in the whole store", holds="own rule"
)
def test_without_another_key_an_unindexed_attribute_is_refused_and_the_setting_named(
    plain: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidArgument, match=r"fileroomOptions\.indexedAttributes"):
        found(plain, Level.STUDY, ("BodyPartExamined", "CHEST"))
    assert found(plain, Level.SERIES, ("BodyPartExamined", "CHEST"), study="1.2.0") == {0}
    monkeypatch.setattr("fileroom.archive.search.CANDIDATES_MAX", 3)
    with pytest.raises(InvalidArgument, match=r"BodyPartExamined .* 3 headers .*indexedAttributes"):
        found(plain, Level.STUDY, ("BodyPartExamined", "CHEST"), ("PatientID", "P1"))


@pytest.mark.clause(
    "PS3.18 8.3.4", "a search by an index that is being filled is 503", holds="own rule"
)
def test_an_index_answers_once_it_is_full_and_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "KEYS_AT_A_TIME", 1)
    with store_of(tmp_path, 0, 1, 2, 3) as store:
        have_indexed(store, "BodyPartExamined")
        indexer = AttributeIndexer(store.database, store.content.blobs, store.content.buckets)
        for percent in (0, 25, 50, 75, 99):
            with pytest.raises(Unavailable, match=f"BodyPartExamined .* {percent} %"):
                found(store, Level.STUDY, ("BodyPartExamined", "CHEST"))
            with store.database.read() as connection:
                (area,) = extra_attributes.stores_with_indexes(connection)
            indexer._index_some(area)
        assert found(store, Level.STUDY, ("BodyPartExamined", "CHEST")) == {0}


def test_what_is_stored_replaced_and_deleted_later_is_followed(tmp_path: Path) -> None:
    with store_of(tmp_path, 0) as store:
        have_indexed(store, "BodyPartExamined")
        index(store)
        store.add([instance(1)], writer=2)
        index(store)
        assert found(store, Level.INSTANCE, ("BodyPartExamined", "HEAD")) == {1}
        replacement = instance(0, extra=[(0x00180015, "CS", "HEAD")])  # type: ignore[arg-type]
        store.add([replacement], writer=3, policy=DuplicatePolicy.REPLACE)
        index(store)
        assert found(store, Level.INSTANCE, ("BodyPartExamined", "CHEST")) == set()
        assert found(store, Level.INSTANCE, ("BodyPartExamined", "HEAD")) == {0, 1}
        store.database.write(lambda writer: writer.execute(delete(schema.instances)))
        assert keys(store) == 0
        index(store)


def test_an_index_that_an_import_has_run_away_from_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra_attributes, "BEHIND_MAX", 1)
    with store_of(tmp_path, 0) as store:
        have_indexed(store, "BodyPartExamined")
        index(store)
        store.add([instance(1)], writer=2)
        assert found(store, Level.STUDY, ("BodyPartExamined", "*E*")) == {0}
        store.add([instance(2)], writer=3)
        with pytest.raises(Unavailable, match="BodyPartExamined"):
            found(store, Level.STUDY, ("BodyPartExamined", "*E*"))
        index(store)
        assert found(store, Level.STUDY, ("BodyPartExamined", "*E*")) == {0, 1}


def test_an_attribute_that_is_added_is_filled_beside_those_that_are_full(tmp_path: Path) -> None:
    with store_of(tmp_path, 0, 1) as store:
        have_indexed(store, "BodyPartExamined")
        index(store)
        have_indexed(store, "BodyPartExamined", "SliceThickness")
        assert found(store, Level.STUDY, ("BodyPartExamined", "CHEST")) == {0}
        with pytest.raises(Unavailable, match="SliceThickness"):
            found(store, Level.STUDY, ("SliceThickness", "1.5"))
        index(store)
        store.add([instance(2), instance(3)], writer=2)
        index(store)
        assert found(store, Level.STUDY, ("SliceThickness", "1.5")) == {0, 1}
        assert found(store, Level.STUDY, ("BodyPartExamined", "*E*")) == {0, 1}


def test_an_attribute_that_is_taken_away_leaves_nothing_and_can_come_back(tmp_path: Path) -> None:
    with store_of(tmp_path, 0, 1) as store:
        have_indexed(store, "BodyPartExamined")
        index(store)
        have_indexed(store)
        with pytest.raises(InvalidArgument, match="not indexed"):
            found(store, Level.STUDY, ("BodyPartExamined", "CHEST"))
        index(store)
        assert keys(store) == 0
        with store.database.read() as connection:
            assert connection.execute(select(schema.indexed_attributes)).all() == []
        have_indexed(store, "BodyPartExamined")
        have_indexed(store)
        have_indexed(store, "BodyPartExamined")
        index(store)
        assert found(store, Level.STUDY, ("BodyPartExamined", "CHEST")) == {0}


def test_a_slice_whose_instances_went_meanwhile_is_still_written(tmp_path: Path) -> None:
    with store_of(tmp_path, 0, 1) as store:
        have_indexed(store, "BodyPartExamined")
        with store.database.read() as connection:
            (area,) = extra_attributes.stores_with_indexes(connection)
            part = extra_attributes.next_slice(connection, area, keys_at_a_time=100)
        assert part is not None
        first, second = part.instance_ids
        told: extra_attributes.Keys = {each: {"00180015": ("X",)} for each in part.instance_ids}

        def change(transaction: Connection) -> None:
            transaction.execute(delete(schema.instances).where(schema.instances.c.id == first))
            for _ in range(2):  # a slice that a crash repeats changes nothing more
                extra_attributes.write_slice(transaction, part, told)

        store.database.write(change)
        with store.database.read() as connection:
            rows = connection.execute(select(schema.extra_attributes.c.instance_id)).scalars().all()
            state = extra_attributes.find_attribute_indexes(connection, store.content.store_id)
        assert rows == [second]
        assert state["00180015"].is_filled


def test_a_damaged_instance_keeps_no_other_waiting(tmp_path: Path) -> None:
    with store_of(tmp_path, 0, 1) as store:
        have_indexed(store, "BodyPartExamined")
        table = schema.instances

        def damage(transaction: Connection) -> None:
            transaction.execute(delete(schema.headers))
            transaction.execute(
                update(table).where(table.c.sop_instance_uid == "1.2.0.1.1").values(size=1)
            )

        store.database.write(damage)
        index(store)
        assert found(store, Level.INSTANCE, ("BodyPartExamined", "*E*")) == {1}
