"""How long a page of operations, failures and a ledger takes where there are very many.

Run it as ``python -m benchmarks.operation_lists [OPERATIONS [FAILURES]]``. Each page is asked for
at the beginning, in the middle and at the end of its list; told are the median and the 99th
percentile, in milliseconds, by SQLite and by PostgreSQL.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert

from fileroom.database import operations, schema
from fileroom.database.engine import Database, open_database
from fileroom.database.operations import Kind
from fileroom.database.pages import encode_page_token
from fileroom.errors import Code, Reason
from fileroom.transfer.ledger import LedgerLine, encode_chunk
from tests.postgresql import running_postgresql
from tests.unit.database.rows import DATASET, add_claimed, new_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fileroom.database.engine import Connection
    from fileroom.database.operations import Operation

TIMES: Final = 200
ROWS_AT_A_TIME: Final = 5_000
CHUNK: Final = 250


def main() -> None:
    """Print a line for each list, place in it and database."""
    given = sys.argv[1:]
    count, failures = map(int, (*given, *("100000", "1000000")[len(given) :]))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_postgresql(durable=True))
        places: dict[str, Path | str] = {
            "SQLite": directory / "lists.db",
            "PostgreSQL": server.new_database(),
        }
        for name, place in places.items():
            database = open_database(place)
            stack.callback(database.close)
            operation = _fill(database, count, failures)
            for what, ask in _asked(operation, count, failures).items():
                times = sorted(_times(database, ask))
                p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[-1]
                print(f"{name}: {what}: p50 {p50:.2f} ms, p99 {p99:.2f} ms", flush=True)


def _fill(database: Database, count: int, failures: int) -> Operation:
    """Insert operations that ended, and a last one whose objects failed; give that one."""
    database.write(new_store)
    operation = database.write(lambda transaction: add_claimed(transaction))
    rows: dict[str, Iterator[Mapping[str, object]]] = {
        "operations": (_operation_row(operation, number) for number in range(count)),
        "operation_failures": (_failure_row(operation, number) for number in range(failures)),
        "operation_ledger": (_ledger_row(operation, first) for first in range(0, failures, CHUNK)),
    }
    for table, each in rows.items():
        while some := [row for row, _ in zip(each, range(ROWS_AT_A_TIME), strict=False)]:
            database.write(partial(_insert, table, some))
    return operation


def _insert(table: str, rows: Sequence[Mapping[str, object]], transaction: Connection) -> None:
    transaction.execute(insert(schema.metadata.tables[table]), rows)


def _operation_row(operation: Operation, number: int) -> dict[str, object]:
    return {
        "dataset_id": 1,
        "operation_id": str(10**18 + number),
        "kind": Kind.IMPORT,
        "api_version": "v1",
        "store_id": 1,
        "request": {"name": f"{DATASET}/dicomStores/s"},
        "state": "DONE" if number % 100 else "PAUSED",
        "imported": number,
        "created_at": operation.created_at - 1_000_000 * (number + 1),
    }


def _failure_row(operation: Operation, number: int) -> dict[str, object]:
    return {
        "operation_id": operation.id,
        "ordinal": number,
        "source": f"gs://bucket/{number:012}.dcm",
        "code": int(Code.INVALID_ARGUMENT),
        "reason": Reason.NOT_DICOM if number % 1000 else Reason.SOURCE_NOT_FOUND,
        "message": "this object is not a DICOM file",
        "tag": None,
        "byte_offset": None,
    }


def _ledger_row(operation: Operation, first: int) -> dict[str, object]:
    lines = [
        LedgerLine(ordinal=number, source=f"gs://bucket/{number:012}.dcm", result="failed")
        for number in range(first, first + CHUNK)
    ]
    chunk = encode_chunk(lines)
    return {
        "operation_id": operation.id,
        "first_ordinal": first,
        "lane": 0,
        "n": CHUNK,
        "z": chunk,
    }


def _asked(
    operation: Operation, count: int, failures: int
) -> dict[str, Callable[[Connection], object]]:
    """Give what is asked for, by what it is called."""
    asked: dict[str, Callable[[Connection], object]] = {}
    for where, part in (("first", 0.0), ("middle", 0.5), ("last", 0.999)):
        for done in (None, False):
            listing = f"{DATASET}/operations?done={done}"
            place = (operation.created_at - int(1_000_000 * count * part), 2**40)
            asked[f"operations, done={done}, {where} page"] = partial(
                operations.list_operations,
                dataset=DATASET,
                page_token=encode_page_token(listing, place),
                done=done,
            )
        for reason in (None, Reason.SOURCE_NOT_FOUND):
            listing = f"{operation.name}:failures?reason={reason}"
            asked[f"failures, reason={reason}, {where} page"] = partial(
                operations.list_failures,
                name=operation.name,
                page_token=encode_page_token(listing, (int(failures * part),)),
                reason=reason,
            )
        asked[f"ledger, {where} 5,000 lines"] = partial(
            operations.ledger_chunks,
            operation_id=operation.id,
            after=(int(failures * part), 0),
            at_most=20,
        )
    asked["failures counted by reason"] = partial(
        operations.count_failures, operation_id=operation.id
    )
    return asked


def _times(database: Database, ask: Callable[[Connection], object]) -> Iterator[float]:
    deadline = time.monotonic() + 5
    for _ in range(TIMES):
        began = time.perf_counter()
        with database.read() as connection:
            ask(connection)
        yield (time.perf_counter() - began) * 1000
        if time.monotonic() > deadline:
            return


if __name__ == "__main__":
    main()
