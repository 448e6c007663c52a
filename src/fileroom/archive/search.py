"""Results of a search as DICOM JSON: rows, completed from stored headers where they fall short.

Where the rows tell everything that is asked, no header is read (7,000 instances: a fifth of a
second). What a study or series tells beyond its rows is what its describing instance tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.archive.retrieve import bulk_data_uri, each_reader
from fileroom.database.search import find_matches, indexed_keywords
from fileroom.dicom import json_model
from fileroom.dicom.json_model import attribute_value, told_character_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fileroom.archive.retrieve import StoreContent
    from fileroom.database.search import Matches
    from fileroom.dicom.dictionary import Attribute
    from fileroom.dicom.json_model import JsonObject
    from fileroom.dicom.matching import Query

_AVAILABILITY: Final = "InstanceAvailability"
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


def search(
    content: StoreContent, query: Query, dicom_web_url: str
) -> tuple[int, Iterator[JsonObject]]:
    """Give how many results a search has, and the results one by one.

    Fewer come if some are deleted while they are drawn.
    """
    indexed = indexed_keywords(query.level)
    columns = [field for field in query.fields if field.keyword in indexed]
    with content.database.read() as connection:
        matches = find_matches(
            connection, content.store_id, query, [field.keyword for field in columns]
        )
    tags = frozenset(
        field.tag
        for field in query.fields
        if field.keyword not in indexed and field.keyword != _AVAILABILITY
    )
    told = _from_rows(query, columns, matches)
    if tags or query.every_field:
        told = _completed(content, query, tags, matches, told, dicom_web_url)
    return len(matches.rows), told


def _from_rows(query: Query, columns: list[Attribute], matches: Matches) -> Iterator[JsonObject]:
    """Give what the index knows of each result, by ascending tag."""
    names = [(field.key, field.keyword, field.vr) for field in columns]
    fixed: JsonObject = {
        field.key: attribute_value(field.vr, "ONLINE")
        for field in query.fields
        if field.keyword == _AVAILABILITY
    }
    sort = bool(fixed)
    for _, *values in matches.rows:
        told = dict(fixed)
        for (key, keyword, vr), value in zip(names, values, strict=True):
            if value is None:
                if keyword in _TOLD_EMPTY:
                    told[key] = {"vr": vr}
            elif vr in {"UI", "US", "IS"}:
                told[key] = {"vr": vr, "Value": [value]}
            elif keyword == "SpecificCharacterSet":
                told[key] = attribute_value(vr, told_character_set(str(value)))
            else:
                told[key] = attribute_value(vr, str(value))
        yield dict(sorted(told.items())) if sort else told


def _completed(
    content: StoreContent,
    query: Query,
    tags: frozenset[int],
    matches: Matches,
    told: Iterator[JsonObject],
    dicom_web_url: str,
) -> Iterator[JsonObject]:
    """Give each result with what the header of its instance tells beyond the index."""
    ids = [int(str(row[0])) for row in matches.rows]
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
