"""Results of a search as DICOM JSON: rows, completed from stored headers where they fall short.

Where the rows tell everything that is asked, no header is read (7,000 instances: 60 ms). What a
study or series tells beyond its rows is what its describing instance tells, and what neither a
column nor an index of the store answers is looked for there too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from fileroom.archive.retrieve import bulk_data_uri, each_reader
from fileroom.database.dialects import bounded
from fileroom.database.extra_attributes import find_attribute_indexes
from fileroom.database.search import (
    MODALITY_SEPARATOR,
    count_results,
    find_matches,
    indexed_keywords,
)
from fileroom.dicom import json_model
from fileroom.dicom.conditions import fulfils
from fileroom.dicom.dictionary import attribute
from fileroom.dicom.json_model import attribute_value, told_character_set
from fileroom.dicom.search_keys import search_keys
from fileroom.errors import InvalidArgument, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fileroom.archive.retrieve import StoreContent
    from fileroom.database.engine import Connection
    from fileroom.database.search import Matches
    from fileroom.dicom.conditions import Condition
    from fileroom.dicom.dictionary import Attribute
    from fileroom.dicom.json_model import JsonObject
    from fileroom.dicom.matching import Query

CANDIDATES_MAX: Final = 50_000
"""Headers that are looked through for an attribute without an index: some seconds."""

_TOLD_EMPTY: Final = frozenset(
    {
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "Modality",
        "ReferringPhysicianName",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
        "InstanceNumber",
    }
)
"""What is told without a value where it has none, as the Cloud Healthcare API does (type 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of the results of a search."""

    count: int
    """How many results the page has."""
    total: int | None
    """How many there are without limit and offset; ``None`` where that is not known."""
    results: Iterator[JsonObject]
    """One by one; fewer come if some are deleted while they are drawn."""


def search(content: StoreContent, query: Query, dicom_web_url: str, *, counting: bool) -> Found:
    """Give the results of a search; ``counting`` asks for the total as well.

    Raises
    ------
    InvalidArgument
        If headers would have to be looked through for an attribute, and more than a few.
    Unavailable
        If the index of an attribute is still being filled, or the database takes too long.
    """
    indexed = indexed_keywords(query.level)
    columns = [field for field in query.fields if field.keyword in indexed]
    keywords = [field.keyword for field in columns]
    with content.database.read() as connection, bounded(connection):
        query, unindexed = _split(connection, content.store_id, query)
        if unindexed:
            every = replace(query, limit=CANDIDATES_MAX + 1, offset=0)
            matches = find_matches(connection, content.store_id, every, keywords)
        else:
            matches = find_matches(connection, content.store_id, query, keywords)
            shown = len(matches.rows)
            total = (
                count_results(connection, content.store_id, query, shown=shown)
                if counting
                else None
            )
    if unindexed:
        matches, total = _looked_through(content, query, unindexed, matches)
    tags = frozenset(field.tag for field in query.fields if field.keyword not in indexed)
    told = _from_rows(columns, matches)
    if tags or query.every_field:
        told = _completed(content, query, tags, matches, told, dicom_web_url)
    return Found(count=len(matches.rows), total=total, results=told)


# ------------------------------------------------------------------ attributes beside the columns


def _split(
    connection: Connection, store_id: int, query: Query
) -> tuple[Query, tuple[Condition, ...]]:
    """Give the search as far as indexes answer it, and what is left to look through headers for."""
    if not query.further:
        return query, ()
    indexes = find_attribute_indexes(connection, store_id)
    ready, unindexed = [], []
    for condition in query.further:
        index = indexes.get(attribute(condition.keyword).key)
        if index is None:
            unindexed.append(condition)
        elif index.is_filled:
            ready.append(condition)
        else:
            raise Unavailable(
                f"{condition.keyword} is being indexed, {index.filled_percent} % are done; search"
                " by it later",
                condition.keyword,
            )
    if unindexed and query.study_instance_uid is None and not query.conditions and not ready:
        raise _not_indexed(unindexed[0].keyword, "name the study or another key beside it")
    return replace(query, further=tuple(ready)), tuple(unindexed)


def _looked_through(
    content: StoreContent, query: Query, conditions: tuple[Condition, ...], candidates: Matches
) -> tuple[Matches, int | None]:
    """Give the page of those candidates whose headers fulfil the conditions, and their number.

    The number is known only where the page is the last one: no header is read beyond it.
    """
    if len(candidates.rows) > CANDIDATES_MAX:
        raise _not_indexed(
            conditions[0].keyword,
            f"narrow the search down to {CANDIDATES_MAX:,} headers that are looked through for it",
        )
    wanted = {attribute(condition.keyword).tag for condition in conditions}
    rows = {candidates.id_at(at): row for at, row in enumerate(candidates.rows)}
    page: list[int] = []
    passed = 0
    for reader in each_reader(content, rows):
        told = json_model.attributes(reader.header, wanted, bulk_data_uri="", read=reader.read)
        if not all(_is_fulfilled(condition, told) for condition in conditions):
            continue
        if len(page) == query.limit:
            return replace(candidates, rows=[rows[each] for each in page]), None
        passed += 1
        if passed > query.offset:
            page.append(reader.stored.id)
    return replace(candidates, rows=[rows[each] for each in page]), passed


def _is_fulfilled(condition: Condition, told: JsonObject) -> bool:
    element = told.get(attribute(condition.keyword).key)
    return any(fulfils(condition, key) for key in search_keys(element))


def _not_indexed(keyword: str, remedy: str) -> InvalidArgument:
    return InvalidArgument(
        f"{keyword} is not indexed in this DICOM store: {remedy}, or have it indexed by naming it"
        " in the store's fileroomOptions.indexedAttributes",
        keyword,
    )


# ------------------------------------------------------------------ results


def _from_rows(columns: list[Attribute], matches: Matches) -> Iterator[JsonObject]:
    """Give what the index knows of each result, by ascending tag."""
    told = [(field.key, _Elements(field)) for field in columns]
    for row in matches.rows:
        yield {
            key: element
            for (key, elements), value in zip(told, row[1:], strict=True)
            if (element := elements[value]) is not None
        }


class _Elements(dict[object, "JsonObject | None"]):
    """The elements that one attribute has in the results of a search, by value.

    Most results share most values: made once for each, 7,000 instances take half the time.
    """

    def __init__(self, field: Attribute) -> None:
        super().__init__()
        self._field = field

    def __missing__(self, value: object) -> JsonObject | None:
        element = self[value] = _element(self._field, value)
        return element


def _element(field: Attribute, value: object) -> JsonObject | None:
    """Give what is told of a value of the index; ``None`` where nothing is."""
    vr = field.vr
    if value is None:
        return {"vr": vr} if field.keyword in _TOLD_EMPTY else None
    if vr in {"UI", "US", "IS"}:
        return {"vr": vr, "Value": [value]}
    if field.keyword == "ModalitiesInStudy":
        return {"vr": vr, "Value": sorted(set(str(value).split(MODALITY_SEPARATOR)))}
    if field.keyword == "SpecificCharacterSet":
        return attribute_value(vr, told_character_set(str(value)))
    return attribute_value(vr, str(value))


def _completed(
    content: StoreContent,
    query: Query,
    tags: frozenset[int],
    matches: Matches,
    told: Iterator[JsonObject],
    dicom_web_url: str,
) -> Iterator[JsonObject]:
    """Give each result with what the header of its instance tells beyond the index."""
    ids = [matches.id_at(at) for at in range(len(matches.rows))]
    rows = zip(ids, told, strict=True)
    for reader in each_reader(content, ids):
        found: Mapping[str, object]
        uri = bulk_data_uri(dicom_web_url, reader)
        if query.every_field:
            found = json_model.metadata(reader.header, bulk_data_uri=uri, read=reader.read)
        else:
            found = json_model.attributes(reader.header, tags, bulk_data_uri=uri, read=reader.read)
        # Rows whose instance is gone have no reader.
        from_row = next(each for instance_id, each in rows if instance_id == reader.stored.id)
        yield dict(sorted((found | from_row).items()))
