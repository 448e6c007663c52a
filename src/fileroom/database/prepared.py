"""Statements that requests run all the time: compiled once, then run by the driver itself.

SQLAlchemy takes 30 to 45 µs from a statement to its rows, of which finding them takes 8.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Dialect, Row, Select
    from sqlalchemy.sql.compiler import SQLCompiler

    Parameters = Mapping[str, object] | Sequence[object]


class Prepared:
    """A query of one shape: all that differs from run to run are its bound values."""

    def __init__(self, statement: Select[*tuple[object, ...]]) -> None:
        self._statement = statement
        self._forms: dict[str, _Form] = {}

    def rows(
        self, connection: Connection, values: Mapping[str, object]
    ) -> Sequence[Row[*tuple[object, ...]]]:
        """Give the rows; who listens to SQLAlchemy's statements hears of it.

        Raises
        ------
        DBAPIError
            As ``Connection.execute`` does.
        """
        dialect = connection.dialect
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = _form(self._statement, dialect)
        parameters = form.parameters(values)
        cursor = connection.connection.cursor()
        try:
            for hear in connection.dispatch.before_cursor_execute:
                hear(connection, cursor, form.text, parameters, None, False)
            with driver_errors(dialect, form.text):
                cursor.execute(form.text, parameters)
                return form.rows(cursor.fetchall())
        finally:
            cursor.close()


@contextmanager
def driver_errors(dialect: Dialect, statement: str) -> Iterator[None]:
    """Raise what the driver raises as ``Connection.execute`` does: as a DBAPIError."""
    try:
        yield
    except dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(
            statement,
            None,  # values of attributes stay out of messages
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            dialect=dialect,
        ) from error


@dataclass(frozen=True, slots=True)
class _Form:
    """A statement in one dialect's words."""

    text: str
    parameters: Callable[[Mapping[str, object]], Parameters]
    converters: Sequence[Callable[[object], object] | None]
    """For each column, where what the driver gives is not yet the value."""
    shape: SimpleResultMetaData

    def rows(self, found: Sequence[Sequence[object]]) -> Sequence[Row[*tuple[object, ...]]]:
        """Give what the driver found as rows."""
        if any(self.converters):
            found = [
                tuple(
                    value if convert is None else convert(value)
                    for value, convert in zip(row, self.converters, strict=True)
                )
                for row in found
            ]
        return IteratorResult(self.shape, iter(found)).all()


def _form(statement: Select[*tuple[object, ...]], dialect: Dialect) -> _Form:
    compiled = statement.compile(dialect=dialect)
    columns = statement.selected_columns
    return _Form(
        text=str(compiled),
        parameters=_binder(compiled),
        converters=[
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        ],
        shape=SimpleResultMetaData([column.name for column in columns]),
    )


def _binder(compiled: SQLCompiler) -> Callable[[Mapping[str, object]], Parameters]:
    """Give what orders the bound values as the driver wants them, constants among them."""
    constants = compiled.params
    order = compiled.positiontup
    if order is None:
        return lambda values: {**constants, **values}

    def in_order(values: Mapping[str, object]) -> Parameters:
        everything = {**constants, **values}
        return [everything[name] for name in order]

    return in_order
