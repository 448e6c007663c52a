"""Rows that are given as a list, a row to a line: NDJSON, CSV, Parquet."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fileroom.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Iterable

NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_PIECE_BYTES: Final = 1 << 20
_ROWS_OF_A_GROUP: Final = 50_000
_BYTES_OF_A_GROUP: Final = 64 << 20
_VALUE_BYTES: Final = 16
Rows = Iterator[Sequence[Mapping[str, Any]]]
"""Rows by their columns, some at a time; a column that has no value is left out."""


def encode_rows(rows: Rows, columns: Mapping[str, type], media_type: str) -> Iterator[bytes]:
    """Give rows of columns of ``str`` and ``int`` in one of the three forms, in pieces.

    Raises
    ------
    FailedPrecondition
        If the library for Parquet is not installed.
    """
    if media_type == PARQUET:
        return parquet(rows, columns)
    return as_csv(rows, tuple(columns)) if media_type == CSV else ndjson(rows)


def ndjson(rows: Rows) -> Iterator[bytes]:
    """Give a line of JSON for each row."""
    for some in rows:
        yield b"".join(msgspec.json.encode(row) + b"\n" for row in some)


def as_csv(rows: Rows, columns: Sequence[str]) -> Iterator[bytes]:
    """Give a heading and a line for each row (RFC 4180)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for some in rows:
        writer.writerows([_cell(row.get(column)) for column in columns] for row in some)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def parquet(rows: Rows, columns: Mapping[str, type]) -> Iterator[bytes]:
    """Give a Parquet file of columns of ``str`` and ``int``.

    Raises
    ------
    FailedPrecondition
        If the library is not installed.
    """
    pyarrow = load_pyarrow()
    kinds = {str: pyarrow.string(), int: pyarrow.int64()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    # The footer is known in the end, and then names all that came before: it is sent from a file.
    return _sent(_written(pyarrow, schema, rows))


def load_pyarrow() -> Any:  # noqa: ANN401 - an optional library
    """Give the library for Parquet.

    Raises
    ------
    FailedPrecondition
        If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise FailedPrecondition(
            "this server cannot write Parquet: pip install 'fileroom[parquet]', or ask for NDJSON"
            " or CSV",
            "format",
        ) from error
    return pyarrow


def _written(pyarrow: Any, schema: Any, rows: Rows) -> Any:  # noqa: ANN401 - an optional library
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed once it is sent
    try:
        with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for group in _groups(rows):
                writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _sent(file: Any) -> Iterator[bytes]:  # noqa: ANN401 - made by tempfile
    with file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _groups(rows: Iterable[Sequence[Mapping[str, Any]]]) -> Iterator[list[Mapping[str, Any]]]:
    group: list[Mapping[str, Any]] = []
    size = 0
    for some in rows:
        group += some
        size += sum(_length(row) for row in some)
        if len(group) >= _ROWS_OF_A_GROUP or size >= _BYTES_OF_A_GROUP:
            yield group
            group, size = [], 0
    yield group


def _length(row: Mapping[str, Any]) -> int:
    return sum(len(each) if isinstance(each, str) else _VALUE_BYTES for each in row.values())


def _cell(value: object) -> object:
    # A spreadsheet runs a cell that begins like a formula; names of objects come from outside.
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value
