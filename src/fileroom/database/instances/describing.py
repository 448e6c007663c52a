"""Which instance describes a study or series once another one is gone.

It is always that of the lowest id (H30 of the core). Its attributes are in its header, which may
have to be read from its blob: that is not for the writer's transaction, so whoever deletes brings
them, and is told which if he could not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from fileroom.database import schema
from fileroom.database.instances.owners import SERIES_COLUMNS, STUDY_COLUMNS, described_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Table

    from fileroom.database.engine import Connection
    from fileroom.dicom.part10 import IndexedAttributes

    Descriptions = Mapping["Describer", IndexedAttributes | None]
    """None where the attributes cannot be read: what the study or series says then stays."""


@dataclass(frozen=True, slots=True)
class Describer:
    """An instance with certain bytes; others have come into its row if it was replaced."""

    instance_id: int
    place_key: str
    place_offset: int


class Undescribed(Exception):
    """The attributes of these instances must be known first: for whoever deletes, nobody else."""

    def __init__(self, describers: tuple[Describer, ...]) -> None:
        super().__init__(describers)
        self.describers = describers


@dataclass(frozen=True, slots=True)
class Description:
    """By which instance a study or series is described, and by which it is to be."""

    table: Table
    row_id: int
    before: int | None
    after: int | None


def first_of_study(
    transaction: Connection, study_id: int, *, instead_of: Mapping[int, int | None]
) -> int | None:
    """Give the lowest of the instances that describe the series of a study.

    ``instead_of`` names another one for some series, or none.
    """
    table = schema.series.c
    others: int | None = transaction.execute(
        select(func.min(table.described_by)).where(
            table.study_id == study_id,
            table.state == "LIVING",
            table.id.not_in(list(instead_of)),
        )
    ).scalar()
    found = [each for each in (others, *instead_of.values()) if each is not None]
    return min(found, default=None)


def describe_by(
    transaction: Connection, descriptions: Sequence[Description], known: Descriptions
) -> None:
    """Have studies and series described by other instances.

    Raises
    ------
    Undescribed
        If the attributes of one of these are not known; nothing was changed then.
    """
    changed = [each for each in descriptions if each.before != each.after]
    describers = _describers(transaction, {each.after for each in changed} - {None})
    missing = tuple(each for each in describers.values() if each not in known)
    if missing:
        raise Undescribed(missing)
    for each in changed:
        values: dict[str, object] = {"described_by": each.after}
        attributes = None if each.after is None else known[describers[each.after]]
        if attributes is not None:
            columns = STUDY_COLUMNS if each.table is schema.studies else SERIES_COLUMNS
            values |= described_values(attributes, columns)
        transaction.execute(
            update(each.table).where(each.table.c.id == each.row_id).values(**values)
        )


def _describers(transaction: Connection, ids: set[int | None]) -> dict[int, Describer]:
    table = schema.instances.c
    rows = transaction.execute(
        select(table.id, table.place_key, table.place_offset).where(table.id.in_(ids))
    )
    return {row.id: Describer(row.id, row.place_key, row.place_offset) for row in rows}
