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
    from collections.abc import Container, Mapping, Sequence

    import psycopg
    from sqlalchemy import ColumnElement, Connection, FromClause, Select, Table
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
    added: Container[str] = (),
) -> None:
    """Give rows of known ``id`` new values, or have values ``added`` to those that they have."""
    if not rows:
        return
    names = [name for name in rows[0] if name != "id"]
    if _is_copied(transaction, rows):
        given = given_rows(transaction, table, rows)
        new: Mapping[str, ColumnElement[Any]] = {name: given.c[name] for name in names}
        is_row = table.c.id == given.c.id
    else:
        new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
        is_row = table.c.id == bindparam("new_id", type_=table.c.id.type)
    statement = (
        update(table)
        .where(is_row)
        .values({name: table.c[name] + new[name] if name in added else new[name] for name in names})
    )
    if _is_copied(transaction, rows):
        transaction.execute(statement)
    else:
        renamed = [{f"new_{name}": value for name, value in row.items()} for row in rows]
        transaction.execute(statement, renamed)


def given_rows(transaction: Connection, table: Table, rows: Sequence[Row]) -> FromClause:
    """Give values as rows of a query, with the names and types of columns of a table."""
    columns = [table.c[name] for name in rows[0]]
    if transaction.dialect.name != "postgresql":
        names = (column(each.name, each.type) for each in columns)
        return values(*names, name="given").data([tuple(row.values()) for row in rows]).cte()
    given = (
        func.unnest(literal([row[each.name] for row in rows], ARRAY(each.type))).label(each.name)
        for each in columns
    )
    return select(*given).subquery("given")


def find_held(
    transaction: Connection, table: Table, columns: Sequence[str], keys: Sequence[Row]
) -> Sequence[FoundRow[*tuple[Any, ...]]]:
    """Give columns of the rows of unique keys, and keep those from deletion meanwhile.

    PostgreSQL looks each up by itself: where it has not counted a new table's rows yet, it takes a
    list of keys for a reason to read all rows of the store.
    """
    wanted = [table.c[name] for name in columns]
    given = given_rows(transaction, table, keys)
    is_key = and_(*(table.c[name] == given.c[name] for name in keys[0]))
    if transaction.dialect.name != "postgresql":
        return transaction.execute(select(*wanted).join(given, is_key)).all()
    one = select(*wanted).where(is_key).limit(1).with_for_update(read=True, key_share=True)
    found = one.lateral("found")
    return transaction.execute(select(found).select_from(given.join(found, true()))).all()


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
    wanted = {name: [row[name] for row in rows] for name in key}
    known = {tuple(found) for found in transaction.execute(_find_keys(table, key), wanted)}
    return [row for row in rows if _key_of(row, key) not in known]


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
