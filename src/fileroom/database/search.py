"""A search over the rows of a DICOM store (QIDO-RS), all values bound.

Results come in one order that does not depend on what was asked: studies and series in the order
in which they were first stored, instances by series and then by SOP Instance UID. Every such order
is that of an index, so that a page costs what lies before it and no sort. A study or series that
holds no instance is not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Select, and_, or_, select

from fileroom.database.schema import instances, series, studies
from fileroom.dicom.levels import Level
from fileroom.dicom.matching import DateRange, Equals, NameTokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.sql.schema import Column, Table

    from fileroom.database.engine import Connection
    from fileroom.dicom.matching import Condition, Query

Statement = Select[*tuple[object, ...]]

_STUDY: Final = {
    "StudyInstanceUID": studies.c.study_instance_uid,
    "PatientName": studies.c.patient_name,
    "PatientID": studies.c.patient_id,
    "PatientBirthDate": studies.c.patient_birth_date,
    "PatientSex": studies.c.patient_sex,
    "StudyDate": studies.c.study_date,
    "StudyTime": studies.c.study_time,
    "AccessionNumber": studies.c.accession_number,
    "ReferringPhysicianName": studies.c.referring_physician_name,
    "StudyID": studies.c.study_id,
    "StudyDescription": studies.c.study_description,
}
_SERIES: Final = {
    "SeriesInstanceUID": series.c.series_instance_uid,
    "Modality": series.c.modality,
    "SeriesNumber": series.c.series_number,
    "SeriesDescription": series.c.series_description,
    "SeriesDate": series.c.series_date,
    "SeriesTime": series.c.series_time,
}
_INSTANCE: Final = {
    "SOPInstanceUID": instances.c.sop_instance_uid,
    "SOPClassUID": instances.c.sop_class_uid,
    "InstanceNumber": instances.c.instance_number,
    "TransferSyntaxUID": instances.c.transfer_syntax_uid,
    "NumberOfFrames": instances.c.number_of_frames,
    "Rows": instances.c.rows,
    "Columns": instances.c.columns,
    "BitsAllocated": instances.c.bits_allocated,
}
# Of a study or series they are those of the instance that describes it.
_DESCRIBED: Final = {
    "SpecificCharacterSet": instances.c.specific_character_set,
    "TimezoneOffsetFromUTC": instances.c.timezone_offset_from_utc,
}
_COLUMNS: Final[Mapping[Level, Mapping[str, Column[object]]]] = {
    Level.STUDY: {**_STUDY, **_DESCRIBED},
    Level.SERIES: {**_STUDY, **_SERIES, **_DESCRIBED},
    Level.INSTANCE: {**_STUDY, **_SERIES, **_INSTANCE, **_DESCRIBED},
}
_NAME_KEYS: Final = {"PatientName": studies.c.patient_name_key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The results of a search: what the index knows of each, and whose header knows the rest."""

    keywords: tuple[str, ...]
    rows: Sequence[Row[*tuple[object, ...]]]
    """Each holds the id of an instance, then a value for each keyword."""


def indexed_keywords(level: Level) -> frozenset[str]:
    """Give what a search of this level can tell without reading headers."""
    return frozenset(_COLUMNS[level])


def find_matches(
    connection: Connection, store_id: int, query: Query, keywords: Sequence[str]
) -> Matches:
    """Give the results of a search with the values of some indexed attributes."""
    statement = search_statement(store_id, query, keywords)
    return Matches(keywords=tuple(keywords), rows=connection.execute(statement).all())


def search_statement(store_id: int, query: Query, keywords: Sequence[str]) -> Statement:
    """Give the statement of a search."""
    columns = _COLUMNS[query.level]
    statement: Statement = select(instances.c.id, *(columns[keyword] for keyword in keywords))
    statement = _FROM[query.level](statement).where(
        _entrance(query).c.store_id == store_id,
        *(_where(columns, condition) for condition in query.conditions),
    )
    if query.study_instance_uid is not None:
        statement = statement.where(studies.c.study_instance_uid == query.study_instance_uid)
    if query.series_instance_uid is not None:
        statement = statement.where(series.c.series_instance_uid == query.series_instance_uid)
    return statement.order_by(*_ORDERS[query.level]).limit(query.limit).offset(query.offset)


def _studies(statement: Statement) -> Statement:
    return (
        statement.select_from(studies)
        .join(instances, instances.c.id == studies.c.described_by)
        .where(studies.c.state == "LIVING")
    )


def _series(statement: Statement) -> Statement:
    return (
        statement.select_from(series)
        .join(studies, studies.c.id == series.c.study_id)
        .join(instances, instances.c.id == series.c.described_by)
        .where(studies.c.state == "LIVING", series.c.state == "LIVING")
    )


def _instances(statement: Statement) -> Statement:
    return (
        statement.select_from(series)
        .join(studies, studies.c.id == series.c.study_id)
        .join(instances, instances.c.series_id == series.c.id)
        .where(studies.c.state == "LIVING", series.c.state == "LIVING")
    )


_FROM: Final = {
    Level.STUDY: _studies,
    Level.SERIES: _series,
    Level.INSTANCE: _instances,
}
_ORDERS: Final = {
    Level.STUDY: (studies.c.id,),
    Level.SERIES: (series.c.id,),
    Level.INSTANCE: (series.c.id, instances.c.sop_instance_uid),
}


def _entrance(query: Query) -> Table:
    """Give the table whose indexes narrow the search down.

    The others are reached from it by their keys. The store is asked of it alone: asked of all of
    them it invites the planner to begin with the widest.
    """
    keywords = {condition.keyword for condition in query.conditions}
    if "SOPInstanceUID" in keywords and query.study_instance_uid is None:
        return instances
    if query.study_instance_uid is not None or not keywords.isdisjoint(_STUDY):
        return studies
    return studies if query.level is Level.STUDY else series


def _where(columns: Mapping[str, Column[object]], condition: Condition) -> ColumnElement[bool]:
    column = columns[condition.keyword]
    match condition:
        case Equals(value=value):
            return column == value
        case DateRange(first=first, last=last):
            if first == last:
                return column == first
            bounds = []
            if first is not None:
                bounds.append(column >= first)
            if last is not None:
                bounds.append(column <= last)
            return and_(*bounds)
        case NameTokens(tokens=tokens):
            key = _NAME_KEYS[condition.keyword]
            return or_(*(key.contains(f" {token}", autoescape=True) for token in tokens))
