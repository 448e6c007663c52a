"""Many rows inserted, changed or looked for at once, each database in its fastest way.

PostgreSQL takes new rows by ``COPY``: the driver spends 0.1 ms on each row of an ``INSERT`` to find
its placeholders alone. A ``COPY`` fails as a whole where one key is there already, so only rows
that cannot meet one go in by it. Other values go there as one array for each column.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    and_,
    any_,
    bindparam,
    column,
    func,
    insert,
    literal,
    select,
    true,
    update,
    values,
)

from fileroom.database.dialects import insert_if_new
from fileroom.database.prepared import driver_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg
    from sqlalchemy import ColumnElement, Connection, FromClause, Select, Table, Update
    from sqlalchemy import Row as FoundRow

    Row = Mapping[str, object]
    Key = tuple[Any, ...]

COPY_ROWS_MIN: Final = 10
"""From as many rows on ``COPY`` is the faster one: docs/reference/performance.md."""


def insert_rows(transaction: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows whose keys are not there, all with the same columns."""
    if _is_copied(transaction, rows):
        _copy(transaction, table, rows)
    elif rows:
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
    if not _is_copied(transaction, rows):
        columns = [table.c[name] for name in key]
        statement = insert_if_new(transaction, table).returning(table.c.id, *columns)
        return {tuple(found[1:]): int(found.id) for found in transaction.execute(statement, rows)}
    new = _without_known(transaction, table, rows, key)
    if not new:
        return {}
    ids = transaction.execute(_draw_ids(table), {"how_many": len(new)}).scalars()
    numbered = [(row_id, row) for row_id, row in zip(ids, new, strict=True)]
    _copy(transaction, table, [{"id": row_id, **row} for row_id, row in numbered])
    return {_key_of(row, key): row_id for row_id, row in numbered}


def insert_missing_rows(
    transaction: Connection, table: Table, rows: Sequence[Row], *, key: tuple[str, ...]
) -> None:
    """Insert those rows whose keys are not there yet; see ``insert_new_rows``."""
    if _is_copied(transaction, rows):
        insert_rows(transaction, table, _without_known(transaction, table, rows, key))
    elif rows:
        transaction.execute(insert_if_new(transaction, table), rows)


def update_rows(
    transaction: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    added: frozenset[str] = frozenset(),
) -> None:
    """Give rows of known ``id`` new values, or have values ``added`` to those that they have."""
    if not rows:
        return
    names = tuple(rows[0])
    if _is_copied(transaction, rows):
        transaction.execute(_update_all(table, names, added), _as_arrays(rows))
    else:
        renamed = [{f"new_{name}": value for name, value in row.items()} for row in rows]
        transaction.execute(_update_one(table, names, added), renamed)


def find_held(
    transaction: Connection, table: Table, columns: tuple[str, ...], keys: Sequence[Row]
) -> Sequence[FoundRow[*tuple[Any, ...]]]:
    """Give columns of the rows of unique keys, and keep those from deletion meanwhile.

    PostgreSQL looks each up by itself: where it has not counted a new table's rows yet, it takes a
    list of keys for a reason to read all rows of the store.
    """
    names = tuple(keys[0])
    if transaction.dialect.name == "postgresql":
        return transaction.execute(_find_held(table, columns, names), _as_arrays(keys)).all()
    # A join, since SQLite reads the whole table to find several pairs by IN.
    given = (
        values(*(column(name, table.c[name].type) for name in names), name="given")
        .data([tuple(key.values()) for key in keys])
        .cte()
    )
    is_key = and_(*(table.c[name] == given.c[name] for name in names))
    return transaction.execute(
        select(*(table.c[name] for name in columns)).join(given, is_key)
    ).all()


def is_among(
    transaction: Connection, attribute: ColumnElement[str], texts: Sequence[str]
) -> ColumnElement[bool]:
    """Tell whether an attribute has one of many values."""
    if transaction.dialect.name == "postgresql":
        return attribute == any_(literal(list(texts), ARRAY(attribute.type)))
    return attribute.in_(texts)


def _key_of(row: Row, key: tuple[str, ...]) -> Key:
    return tuple(row[name] for name in key)


def _without_known(
    transaction: Connection, table: Table, rows: Sequence[Row], key: tuple[str, ...]
) -> list[Row]:
    keys = [{name: row[name] for name in key} for row in rows]
    found = transaction.execute(_find_keys(table, key), _as_arrays(keys))
    known = {tuple(each) for each in found}
    return [row for row in rows if _key_of(row, key) not in known]


def _as_arrays(rows: Sequence[Row]) -> dict[str, list[object]]:
    """Give the values of rows as one list for each column."""
    return {f"all_{name}": [row[name] for row in rows] for name in rows[0]}


@lru_cache
def _given(table: Table, names: tuple[str, ...]) -> FromClause:
    """Give what turns arrays back to rows, with the names and types of columns of a table."""
    columns = (table.c[name] for name in names)
    arrays = (
        func.unnest(bindparam(f"all_{each.name}", type_=ARRAY(each.type))).label(each.name)
        for each in columns
    )
    return select(*arrays).subquery("given")


@lru_cache
def _find_keys(table: Table, key: tuple[str, ...]) -> Select[*tuple[object, ...]]:
    """Give what finds keys.

    Each is looked up by itself: a join of both would be planned while the table is small, and read
    all of it when it no longer is.
    """
    given = _given(table, key)
    is_key = and_(*(table.c[name] == given.c[name] for name in key))
    there = select(table.c.id).where(is_key).limit(1).lateral()
    return select(*given.c).join(there, true())


@lru_cache
def _find_held(
    table: Table, columns: tuple[str, ...], key: tuple[str, ...]
) -> Select[*tuple[Any, ...]]:
    given = _given(table, key)
    is_key = and_(*(table.c[name] == given.c[name] for name in key))
    one = select(*(table.c[name] for name in columns)).where(is_key).limit(1)
    found = one.with_for_update(read=True, key_share=True).lateral("found")
    return select(found).select_from(given.join(found, true()))


@lru_cache
def _update_all(table: Table, names: tuple[str, ...], added: frozenset[str]) -> Update:
    given = _given(table, names)
    return _update(table, names, added, dict(given.c)).where(table.c.id == given.c.id)


@lru_cache
def _update_one(table: Table, names: tuple[str, ...], added: frozenset[str]) -> Update:
    new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return _update(table, names, added, new).where(table.c.id == new["id"])


def _update(
    table: Table,
    names: tuple[str, ...],
    added: frozenset[str],
    new: Mapping[str, ColumnElement[Any]],
) -> Update:
    return update(table).values(
        {
            name: table.c[name] + new[name] if name in added else new[name]
            for name in names
            if name != "id"
        }
    )


@lru_cache
def _draw_ids(table: Table) -> Select[int]:
    numbers = func.generate_series(1, bindparam("how_many", type_=Integer))
    next_id: ColumnElement[int] = func.nextval(f"{table.name}_id_seq", type_=BigInteger)
    return select(next_id).select_from(numbers)


def _is_copied(transaction: Connection, rows: Sequence[Row]) -> bool:
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
