"""What is written a second, in SQLite and in PostgreSQL: rows alone, and by a whole server.

Run it as ``python -m benchmarks.databases [ROWS [FILES]]``. The PostgreSQL is on this machine, and
so on the same processors, and syncs its log as SQLite does.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.database import many_rows
from fileroom.database.engine import Database, open_database
from fileroom.database.instances import StoreWrite, store_records
from tests.corpus import UID_ROOT, mr_instance
from tests.postgresql import running_postgresql
from tests.server import running_server
from tests.unit.database.rows import new_store, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom import Client

DATASET: Final = "projects/demo/locations/us-central1/datasets/databases"
BATCH: Final = 250
KeyOf = Callable[[int], tuple[str, str, str]]
SIZES: Final = (1, 10, 25, 100, 250)
"""Rows of a batch, where ``COPY`` is measured beside ``INSERT``."""
HEADER: Final = bytes(range(256)) * 4
ROUNDS: Final = 3


def _key(number: int) -> tuple[str, str, str]:
    study = f"{UID_ROOT}.{number // 1000}"
    return study, f"{study}.{number // 250 % 4}", f"{study}.{number // 250 % 4}.{number}"


def _key_of_own_study(number: int) -> tuple[str, str, str]:
    study = f"{UID_ROOT}.9.{number}"
    return study, f"{study}.1", f"{study}.1.1"


def main() -> None:
    """Print a line for each kind of work."""
    given = sys.argv[1:]
    rows, files = map(int, (*given, *("20000", "3000")[len(given) :]))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_postgresql(durable=True))
        places: dict[str, Path | str] = {
            "SQLite": directory / "rows.db",
            "PostgreSQL": server.new_database(),
        }
        told = {name: _store_rows(place, rows) for name, place in places.items()}
        _tell("rows committed in batches of 250, a second", told)
        for size in SIZES:
            ways = _store_both_ways(server.new_database(), size, rows // 20)
            _tell(f"rows committed in batches of {size}, a second, PostgreSQL", ways)
        ways = _store_both_ways(server.new_database(), BATCH, rows // 2, _key_of_own_study)
        _tell(f"the same, {BATCH} and each of its own study", ways)
        sides = {
            name: stack.enter_context(_serving(directory / name, address, files))
            for name, address in (("SQLite", ""), ("PostgreSQL", server.new_database()))
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        posts: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(ROUNDS):
            for name, client in sides.items():
                rates[name].append(files / _import(client, number))
                posts[name].append(_stored_a_second(client, number))
        _tell("instances imported, 24 KB, a second", rates)
        _tell("instances stored one by one by a client, a second", posts)


def _tell(title: str, found: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(values) for name, values in found.items()}
    one, other = medians
    ratio = medians[other] / medians[one]
    figures = ", ".join(f"{name} {value:,.0f}" for name, value in medians.items())
    print(f"{title}: {figures}; {ratio:.2f}", flush=True)


def _store_rows(place: Path | str, count: int) -> list[float]:
    database = open_database(place)
    store_id = database.write(new_store)
    rates = []
    for round_ in range(ROUNDS):
        began = time.perf_counter()
        for first in range(0, count, BATCH):
            _store_batch(database, store_id, round_ * count + first)
        rates.append(count / (time.perf_counter() - began))
    database.close()
    return rates


def _store_both_ways(
    address: str, size: int, count: int, key: KeyOf = _key
) -> dict[str, list[float]]:
    """Store rows by ``INSERT`` and by ``COPY`` in turn."""
    database = open_database(address)
    store_id = database.write(new_store)
    rates: dict[str, list[float]] = {"INSERT": [], "COPY": []}
    numbers = itertools.count(0, size)
    for _ in range(ROUNDS):
        for way, rows_min in (("INSERT", sys.maxsize), ("COPY", 1)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(many_rows, "COPY_ROWS_MIN", rows_min)
                began = time.perf_counter()
                batches = max(10, min(count // size, 50))
                for _ in range(batches):
                    _store_batch(database, store_id, next(numbers), size, key)
                rates[way].append(batches * size / (time.perf_counter() - began))
    database.close()
    return rates


def _store_batch(
    database: Database, store_id: int, first: int, size: int = BATCH, key: KeyOf = _key
) -> None:
    records = [
        record(number, key(number), str(number), header=HEADER)
        for number in range(first, first + size)
    ]
    write = StoreWrite(store_id=store_id, operation_id=1)
    database.write(lambda transaction: store_records(transaction, write, records), lane="batch")


@contextmanager
def _serving(data: Path, address: str, files: int) -> Iterator[Client]:
    environment = {"FILEROOM_DATABASE": address} if address else {}
    with running_server(data, environment=environment) as server, server.client() as client:
        bucket = server.make_bucket("source")
        for number in range(files):
            (bucket / f"{number:06}.dcm").write_bytes(_file(number, 100))
        client.wait(client.create_dataset(DATASET))
        yield client


def _file(number: int, rows: int) -> bytes:
    study, series, instance = _key(number)
    return mr_instance(
        rows=rows,
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=instance,
    )


def _import(client: Client, number: int) -> float:
    store = f"{DATASET}/dicomStores/imported-{number}"
    client.create_dicom_store(store)
    began = time.perf_counter()
    ended = client.wait(client.import_(store, "gs://source/**"), poll_seconds=0.02)
    assert ended.counters.failure == 0
    return time.perf_counter() - began


def _stored_a_second(client: Client, number: int, count: int = 200) -> float:
    store = f"{DATASET}/dicomStores/stored-{number}"
    client.create_dicom_store(store)
    files = [_file(each, 16) for each in range(count)]
    began = time.perf_counter()
    for file in files:
        client.store_instances(store, [file])
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
