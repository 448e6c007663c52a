"""What became of every object of an operation: ``:ledger``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fileroom.api.calls import Answer
from fileroom.api.row_formats import CSV, NDJSON, PARQUET, as_csv, asked_type, ndjson, parquet
from fileroom.database import operations, stores
from fileroom.transfer.ledger import read_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.api.calls import Call
    from fileroom.database.operations import Operation
    from fileroom.transfer.ledger import LedgerLine

COLUMNS: Final[dict[str, type]] = {
    "ordinal": int,
    "source": str,
    "result": str,
    "reason": str,
    "version": str,
    "size": int,
    "sha256": str,
    "studyInstanceUid": str,
    "seriesInstanceUid": str,
    "sopInstanceUid": str,
    "destination": str,
}


def ledger(call: Call) -> Answer:
    """Give every object that an operation has worked on, as NDJSON, CSV or Parquet."""
    media_type = asked_type(call, (NDJSON, CSV, PARQUET)) or NDJSON
    with call.deployment.database.read() as connection:
        stores.get_dataset(connection, call.dataset, permission=call.permission)
        operation = operations.get_operation(connection, call.operation)
    rows = _rows(call, operation)
    if media_type == PARQUET:
        return Answer(media_type=media_type, body=parquet(rows, COLUMNS))
    body = as_csv(rows, tuple(COLUMNS)) if media_type == CSV else ndjson(rows)
    return Answer(media_type=f"{media_type}; charset=UTF-8", body=body)


def _rows(call: Call, operation: Operation) -> Iterator[list[dict[str, Any]]]:
    for lines in read_ledger(call.deployment.database, operation.id):
        yield [_to_wire(line) for line in lines]


def _to_wire(line: LedgerLine) -> dict[str, Any]:
    study, series, instance = line.instance or (None, None, None)
    values = {
        "ordinal": line.ordinal,
        "source": line.source,
        "result": line.result,
        "reason": line.reason,
        "version": line.version,
        "size": line.size,
        "sha256": None if line.sha256 is None else line.sha256.hex(),
        "studyInstanceUid": study,
        "seriesInstanceUid": series,
        "sopInstanceUid": instance,
        "destination": line.destination,
    }
    return {name: value for name, value in values.items() if value is not None}
