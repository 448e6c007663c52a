"""What became of every object of an operation: ``:ledger``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.calls import Answer
from fileroom.api.row_formats import asked_type
from fileroom.database import operations, stores
from fileroom.database.operations import Kind
from fileroom.errors import FailedPrecondition
from fileroom.rows import CSV, NDJSON, PARQUET, encode_rows
from fileroom.transfer.ledger import COLUMNS, as_row, read_ledger

if TYPE_CHECKING:
    from fileroom.api.calls import Call


def ledger(call: Call) -> Answer:
    """Give every object that an operation has worked on, as NDJSON, CSV or Parquet."""
    media_type = asked_type(call, (NDJSON, CSV, PARQUET)) or NDJSON
    database = call.deployment.database
    with database.read() as connection:
        stores.get_dataset(connection, call.dataset, permission=call.permission)
        operation = operations.get_operation(connection, call.operation)
    if operation.kind not in {Kind.IMPORT, Kind.EXPORT}:
        raise FailedPrecondition(
            f"{operation.name} keeps no ledger: only imports and exports do; its failures are at"
            " :failures",
            "name",
        )
    rows = ([as_row(line) for line in lines] for lines in read_ledger(database, operation.id))
    body = encode_rows(rows, COLUMNS, media_type)
    charset = "" if media_type == PARQUET else "; charset=UTF-8"
    return Answer(media_type=f"{media_type}{charset}", body=body)
