"""Many rows inserted at once, each database in its fastest way.

PostgreSQL takes them by ``COPY``: the driver spends 0.1 ms on each row of an ``INSERT`` to find its
placeholders alone. A ``COPY`` fails as a whole where one key is there already, so only rows that
cannot meet one go in by it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ARRAY, BigInteger, Integer, and_, bindparam, func, insert, select, true

from fileroom.database.dialects import insert_if_new
from fileroom.database.prepared import driver_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg
    from sqlalchemy import ColumnElement, Connection, Select, Table

    Row = Mapping[str, object]
    Key = tuple[Any, ...]

COPY_ROWS_MIN: Final = 10
"""From as many rows on ``COPY`` is the faster one: docs/reference/performance.md."""


def insert_rows(transaction: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows whose keys are not there, all with the same columns."""
    if not rows:
        return
    if _copies(transaction, rows):
        _copy(transaction, table, rows)
    else:
        transaction.execute(insert(table), rows)


def insert_new_rows(
    transaction: Connection, table: Table, rows: Sequence[Row], *, key: tuple[str, ...]
) -> dict[Key, int]:
    """Insert those rows whose keys are not there yet; give their ids, which rise as they came.

    Whoever calls it keeps others from inserting the same keys until the transaction ends; if they
    did it all the same, the database would refuse the rows, and the change be run again.
    """
    if not rows:
        return {}
    if not _copies(transaction, rows):
        columns = [table.c[name] for name in key]
        statement = insert_if_new(transaction, table).returning(table.c.id, *columns)
        return {tuple(found[1:]): int(found.id) for found in transaction.execute(statement, rows)}
    wanted = {name: [row[name] for row in rows] for name in key}
    there = {tuple(found) for found in transaction.execute(_find_keys(table, key), wanted)}
    new = [row for row in rows if tuple(row[name] for name in key) not in there]
    if not new:
        return {}
    ids = transaction.execute(_draw_ids(table), {"how_many": len(new)}).scalars()
    numbered = [(row_id, row) for row_id, row in zip(ids, new, strict=True)]
    _copy(transaction, table, [{"id": row_id, **row} for row_id, row in numbered])
    return {tuple(row[name] for name in key): row_id for row_id, row in numbered}


@lru_cache
def _find_keys(table: Table, key: tuple[str, ...]) -> Select[*tuple[object, ...]]:
    """Give what finds keys, which are bound as one array for each column.

    A placeholder for each value would cost what ``COPY`` spares. Each is looked up by itself: a
    join of both would be planned while the table is small, and read all of it when it no longer is.
    """
    columns = [table.c[name] for name in key]
    wanted = select(
        *(
            func.unnest(bindparam(column.name, type_=ARRAY(column.type))).label(column.name)
            for column in columns
        )
    ).subquery()
    is_wanted = and_(*(column == wanted.c[column.name] for column in columns))
    there = select(table.c.id).where(is_wanted).limit(1).lateral()
    return select(*wanted.c).join(there, true())


@lru_cache
def _draw_ids(table: Table) -> Select[int]:
    numbers = func.generate_series(1, bindparam("how_many", type_=Integer))
    next_id: ColumnElement[int] = func.nextval(f"{table.name}_id_seq", type_=BigInteger)
    return select(next_id).select_from(numbers)


def _copies(transaction: Connection, rows: Sequence[Row]) -> bool:
    return transaction.dialect.name == "postgresql" and len(rows) >= COPY_ROWS_MIN


def _copy(transaction: Connection, table: Table, rows: Sequence[Row]) -> None:
    dialect = transaction.dialect
    columns = [table.c[name] for name in rows[0]]
    quote = dialect.identifier_preparer.quote
    names = ", ".join(quote(column.name) for column in columns)
    statement = f"COPY {quote(table.name)} ({names}) FROM STDIN (FORMAT BINARY)"
    types = [column.type.compile(dialect).split()[0].lower() for column in columns]
    driver: psycopg.Connection[object] = transaction.connection.driver_connection  # type: ignore[assignment]
    with driver_errors(dialect, statement), driver.cursor() as cursor:
        for hear in transaction.dispatch.before_cursor_execute:
            hear(transaction, cursor, statement, rows, None, True)
        with cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(list(row.values()))
