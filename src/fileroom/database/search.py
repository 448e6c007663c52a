"""A search over the rows of a DICOM store (QIDO-RS), all values bound.

Results come in one order that does not depend on what was asked: studies and series in the order
in which they were first stored, instances by series and then by SOP Instance UID. Every such order
is that of an index, so that a page costs what lies before it and no sort. A study or series that
holds no instance is not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, cast

from sqlalchemy import Select, and_, func, literal, or_, select

from fileroom.database.schema import extra_attributes, instances, series, studies
from fileroom.database.wildcards import begins_as, matches_pattern
from fileroom.dicom.conditions import (
    AFTER_EVERY_DIGIT,
    AnyOf,
    DateRange,
    Equals,
    NameTokens,
    NameWildcards,
    TimeRange,
    Wildcards,
)
from fileroom.dicom.dictionary import attribute
from fileroom.dicom.levels import Level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.sql.schema import Table

    from fileroom.database.engine import Connection
    from fileroom.dicom.conditions import Condition
    from fileroom.dicom.matching import Query

Statement = Select[*tuple[object, ...]]
T = TypeVar("T")

COUNT_MAX: Final = 100_000
"""More results than this are not counted."""
MODALITY_SEPARATOR: Final = "\\"

_of_study: Final = series.alias("of_study")
_any_series: Final = series.alias("any_series")
_any_instance: Final = instances.alias("any_instance")


def _over_series(told: ColumnElement[T]) -> ColumnElement[object]:
    """Give what a study's series sum up to; nothing of it is kept on the study (core rule H15)."""
    of_study = select(told).where(
        _of_study.c.study_id == studies.c.id, _of_study.c.state == "LIVING"
    )
    return cast("ColumnElement[object]", of_study.scalar_subquery())


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
    "ModalitiesInStudy": _over_series(
        func.aggregate_strings(_of_study.c.modality, MODALITY_SEPARATOR)
    ),
    "NumberOfStudyRelatedSeries": _over_series(func.count()),
    "NumberOfStudyRelatedInstances": _over_series(func.sum(_of_study.c.instance_count)),
}
_SERIES: Final = {
    "SeriesInstanceUID": series.c.series_instance_uid,
    "Modality": series.c.modality,
    "SeriesNumber": series.c.series_number,
    "SeriesDescription": series.c.series_description,
    "SeriesDate": series.c.series_date,
    "SeriesTime": series.c.series_time,
    "NumberOfSeriesRelatedInstances": series.c.instance_count,
}
_INSTANCE: Final = {
    "SOPInstanceUID": instances.c.sop_instance_uid,
    "SOPClassUID": instances.c.sop_class_uid,
    "InstanceNumber": instances.c.instance_number,
    "TransferSyntaxUID": instances.c.transfer_syntax_uid,
    "AvailableTransferSyntaxUID": instances.c.transfer_syntax_uid,
    "NumberOfFrames": instances.c.number_of_frames,
    "Rows": instances.c.rows,
    "Columns": instances.c.columns,
    "BitsAllocated": instances.c.bits_allocated,
}
# Of a study or series they are those of the instance that describes it.
_DESCRIBED: Final = {
    "InstanceAvailability": literal("ONLINE"),
    "SpecificCharacterSet": instances.c.specific_character_set,
    "TimezoneOffsetFromUTC": instances.c.timezone_offset_from_utc,
}
_COLUMNS: Final[Mapping[Level, Mapping[str, ColumnElement[object]]]] = {
    Level.STUDY: {**_STUDY, **_DESCRIBED},
    Level.SERIES: {**_STUDY, **_SERIES, **_DESCRIBED},
    Level.INSTANCE: {**_STUDY, **_SERIES, **_INSTANCE, **_DESCRIBED},
}
_NAME_KEYS: Final = {
    "PatientName": studies.c.patient_name_key,
    "ReferringPhysicianName": studies.c.referring_physician_name_key,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The results of a search: what the index knows of each, and whose header knows the rest."""

    keywords: tuple[str, ...]
    rows: Sequence[Row[*tuple[object, ...]]]
    """Each holds the id of an instance, then a value for each keyword."""

    def id_at(self, position: int) -> int:
        """Give the id of the instance that a result is described by."""
        return int(str(self.rows[position][0]))


def indexed_keywords(level: Level) -> frozenset[str]:
    """Give what a search of this level can tell without reading headers."""
    return frozenset(_COLUMNS[level])


def find_matches(
    connection: Connection, store_id: int, query: Query, keywords: Sequence[str]
) -> Matches:
    """Give the results of a search with the values of some indexed attributes."""
    statement = search_statement(store_id, query, keywords)
    return Matches(keywords=tuple(keywords), rows=connection.execute(statement).all())


def count_results(connection: Connection, store_id: int, query: Query, *, shown: int) -> int | None:
    """Give how many results there are without limit and offset, of which a page was shown.

    ``None`` where they are more than ``COUNT_MAX``, or where every instance of the store would have
    to be looked at.
    """
    if shown and shown < query.limit:
        return query.offset + shown
    if not shown and not query.offset:
        return 0
    statement = count_statement(store_id, query)
    if statement is None:
        return None
    count = int(str(connection.execute(statement).one()[0]))
    return count if count <= COUNT_MAX else None


def count_statement(store_id: int, query: Query) -> Statement | None:
    """Give the statement that counts what ``count_results`` gives; instances by their series."""
    by_instance = not _INSTANCE.keys().isdisjoint(_keywords(query))
    if query.level is Level.INSTANCE and not query.further:
        if not by_instance:
            total: Statement = select(func.coalesce(func.sum(series.c.instance_count), 0))
            return _where_all(_described_series(total), store_id, query)
        if query.study_instance_uid is None:
            return None
    one: Statement = select(literal(1).label("one"))
    some = _where_all(_COUNTED_FROM[query.level](one), store_id, query)
    return select(func.count()).select_from(some.limit(COUNT_MAX + 1).subquery())


def search_statement(store_id: int, query: Query, keywords: Sequence[str]) -> Statement:
    """Give the statement of a search."""
    columns = _COLUMNS[query.level]
    statement: Statement = select(
        instances.c.id, *(columns[keyword].label(keyword) for keyword in keywords)
    )
    statement = _where_all(_FROM[query.level](statement), store_id, query)
    return statement.order_by(*_ORDERS[query.level]).limit(query.limit).offset(query.offset)


def _where_all(statement: Statement, store_id: int, query: Query) -> Statement:
    statement = statement.where(
        _entrance(query).c.store_id == store_id,
        *(_where(query.level, condition) for condition in query.conditions),
        *(_where_further(query.level, store_id, condition) for condition in query.further),
    )
    if query.study_instance_uid is not None:
        statement = statement.where(studies.c.study_instance_uid == query.study_instance_uid)
    if query.series_instance_uid is not None:
        statement = statement.where(series.c.series_instance_uid == query.series_instance_uid)
    return statement


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


def _described_studies(statement: Statement) -> Statement:
    """As ``_studies``, without looking at the instance that only tells more of each."""
    return statement.select_from(studies).where(
        studies.c.state == "LIVING", studies.c.described_by.is_not(None)
    )


def _described_series(statement: Statement) -> Statement:
    return (
        statement.select_from(series)
        .join(studies, studies.c.id == series.c.study_id)
        .where(
            studies.c.state == "LIVING",
            series.c.state == "LIVING",
            series.c.described_by.is_not(None),
        )
    )


_COUNTED_FROM: Final = {
    Level.STUDY: _described_studies,
    Level.SERIES: _described_series,
    Level.INSTANCE: _instances,
}
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


def _keywords(query: Query) -> set[str]:
    return {condition.keyword for condition in query.conditions}


def _entrance(query: Query) -> Table:
    """Give the table whose indexes narrow the search down.

    The others are reached from it by their keys. The store is asked of it alone: asked of all of
    them it invites the planner to begin with the widest.
    """
    keywords = _keywords(query)
    if "SOPInstanceUID" in keywords and query.study_instance_uid is None:
        return instances
    if query.study_instance_uid is not None or not keywords.isdisjoint(_STUDY):
        return studies
    return studies if query.level is Level.STUDY else series


def _where(level: Level, condition: Condition) -> ColumnElement[bool]:
    keyword = condition.keyword
    if keyword == "ModalitiesInStudy":
        # One look into the study's few series, where a list of all studies of a modality is long.
        return (
            select(literal(1))
            .where(
                _of_study.c.study_id == studies.c.id,
                _of_study.c.state == "LIVING",
                _fulfils(_of_study.c.modality, condition),
            )
            .exists()
        )
    if isinstance(condition, NameTokens | NameWildcards):
        return _fulfils(_NAME_KEYS[keyword], condition)
    return _fulfils(_COLUMNS[level][keyword], condition)


def _where_further(level: Level, store_id: int, condition: Condition) -> ColumnElement[bool]:
    """Give that an attribute which the store's settings name is fulfilled.

    By any instance of a study or series: where they differ, which of them describes it is chance.
    """
    extra = extra_attributes.c
    if level is Level.STUDY:
        target = studies.c.id
        some = select(_any_series.c.study_id).select_from(extra_attributes)
    elif level is Level.SERIES:
        target = series.c.id
        some = select(_any_instance.c.series_id).select_from(extra_attributes)
    else:
        target = instances.c.id
        some = select(extra.instance_id)
    if level is not Level.INSTANCE:
        some = some.join(_any_instance, _any_instance.c.id == extra.instance_id)
    if level is Level.STUDY:
        some = some.join(_any_series, _any_series.c.id == _any_instance.c.series_id)
    return target.in_(
        some.where(
            extra.store_id == store_id,
            extra.path == attribute(condition.keyword).key,
            _fulfils(extra.value_key, condition),
        )
    )


def _fulfils(column: ColumnElement[object], condition: Condition) -> ColumnElement[bool]:
    match condition:
        case Equals(value=value):
            return column == value
        case AnyOf(values=values):
            return column.in_(values)
        case DateRange(first=first, last=last):
            return column == first if first == last else _between(column, first, last)
        case TimeRange(first=first, last=last):
            return _between(column, first, None if last is None else last + AFTER_EVERY_DIGIT)
        case Wildcards(pattern=pattern):
            return _matches(column, column, pattern)
        case NameWildcards(pattern=pattern):
            return _matches(column, column + literal(" "), pattern)
        case NameTokens(tokens=tokens):
            return or_(*(column.contains(f" {token}", autoescape=True) for token in tokens))


def _between(
    column: ColumnElement[object], first: str | None, last: str | None
) -> ColumnElement[bool]:
    bounds = []
    if first is not None:
        bounds.append(column >= first)
    if last is not None:
        bounds.append(column <= last)
    return and_(*bounds)


def _matches(
    column: ColumnElement[object], compared: ColumnElement[object], pattern: str
) -> ColumnElement[bool]:
    matching = matches_pattern(compared, pattern)
    stretch = begins_as(column, pattern)
    return matching if stretch is None else and_(stretch, matching)
