"""What an object costs where many are: ``python -m benchmarks.many_objects DATABASE OBJECTS``.

``DATABASE`` is ``sqlite`` or ``postgresql``; with ``--executor=dask`` a Dask cluster of two workers
does the work in place of the server's own processes. A server imports that many generated files of
1.9 KB, gives their ledger, exports them to where nothing is kept, and deletes them. Told are rates
over the first and the last tenth, the most memory that the server and its workers took, what an
instance takes in the database, how long a page of each list takes; and how fast ten thousand more
objects are imported, in turn with a server that holds no more than that.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from tests.dask_cluster import dask_cluster
from tests.generated_bucket import generated_key
from tests.postgresql import running_postgresql
from tests.server import RunningServer, running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.client import Client, Operation
    from tests.dask_cluster import DaskCluster

DATASET: Final = "projects/demo/locations/us-central1/datasets/many"
STORE: Final = f"{DATASET}/dicomStores/s"
POLL_SECONDS: Final = 0.2
PROCESSES: Final = "processes"
DASK: Final = "dask"
SMALL: Final = 10_000
"""Objects of the server beside, and of each import in turn."""
TURNS: Final = 3
PAGES: Final = 50
"""How often each list is asked for a page."""


@dataclass(slots=True)
class Memory:
    """The most memory that a server and its workers took since it was last asked."""

    server: int
    cluster: DaskCluster | None = None

    def reset(self) -> None:
        """Begin anew."""
        for process in (self.server, *self._workers()):
            Path(f"/proc/{process}/clear_refs").write_text("5")

    def told(self) -> dict[str, float]:
        """Give megabytes."""
        workers = [_peak(process) for process in self._workers()]
        return {"server_mb": _peak(self.server), "worker_mb": max(workers, default=0.0)}

    def _workers(self) -> list[int]:
        if self.cluster is not None:
            return [worker.pid for worker in self.cluster.workers]
        tasks = Path(f"/proc/{self.server}/task").iterdir()
        children = [int(each) for task in tasks for each in (task / "children").read_text().split()]
        return [child for child in children if Path(f"/proc/{child}").exists()]


def _peak(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass(slots=True)
class Progress:
    """How many objects were done, and when."""

    began: float = field(default_factory=time.monotonic)
    seen: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])

    def note(self, operation: Operation) -> None:
        """Hear of an operation as it is polled."""
        done = operation.counters.success + operation.counters.failure
        if done > self.seen[-1][1]:
            self.seen.append((time.monotonic() - self.began, done))

    def rate(self, first: float, last: float) -> float:
        """Give objects a second between two parts of the whole."""
        total = self.seen[-1][1]
        seconds = self._when(last * total) - self._when(first * total)
        return (last - first) * total / seconds if seconds else 0.0

    def _when(self, count: float) -> float:
        """Give when so many were done, as if they had come evenly between two readings."""
        for (began, before), (ended, after) in itertools.pairwise(self.seen):
            if count <= after:
                return began + (ended - began) * (count - before) / (after - before)
        return self.seen[-1][0]

    def told(self) -> dict[str, float]:
        """Give rates and the seconds it took."""
        return {
            "seconds": self.seen[-1][0],
            "per_second": self.rate(0, 1),
            "first_tenth_per_second": self.rate(0, 0.1),
            "last_tenth_per_second": self.rate(0.9, 1),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server, and the database that it works on."""

    server: RunningServer
    client: Client
    address: str
    """Of a PostgreSQL; empty for SQLite's file."""
    cluster: DaskCluster | None
    """What works for the server; None where its own processes do."""

    def size_bytes(self) -> int:
        """Give what the database takes on the disk."""
        if not self.address:
            return self._ask("PRAGMA page_count") * self._ask("PRAGMA page_size")
        return self._ask("SELECT pg_database_size(current_database())")

    def instances_left(self) -> bool:
        """Tell whether any instance has a row."""
        return bool(self._ask("SELECT count(*) FROM (SELECT 1 FROM instances LIMIT 1) AS first"))

    def _ask(self, question: str) -> int:
        if self.address:
            with psycopg.connect(self.address) as connection:
                row = connection.execute(question).fetchone()
        else:
            with sqlite3.connect(self.server.data / "fileroom.db") as file:
                row = file.execute(question).fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def opened_place(
    database: str, objects: int, directory: Path, executor: str = PROCESSES
) -> Iterator[Place]:
    """Give a server whose bucket ``gs://generated`` has so many objects."""
    directory.mkdir(exist_ok=True)
    with ExitStack() as stack:
        environment = {"FILEROOM_COLLECTION_INTERVAL_SECONDS": "1"}
        address, cluster = "", None
        if executor == DASK:
            cluster = stack.enter_context(dask_cluster(directory / "dask"))
            environment["FILEROOM_EXECUTOR"] = cluster.executor
        if database == "postgresql":
            address = stack.enter_context(running_postgresql(durable=True)).new_database()
            environment["FILEROOM_DATABASE"] = address
        command = (sys.executable, "-m", "tests.generated_server", str(objects))
        server = stack.enter_context(
            running_server(directory / "data", environment=environment, command=command)
        )
        client = stack.enter_context(server.client())
        client.wait(client.create_dataset(DATASET))
        client.create_dicom_store(STORE)
        yield Place(server=server, client=client, address=address, cluster=cluster)


def measure(
    place: Place, objects: int, small: Place | None = None
) -> Iterator[tuple[str, dict[str, float]]]:
    """Give the figures of each piece of work as it ends; ``small`` is the server beside."""
    client, memory = place.client, Memory(place.server.process.pid, place.cluster)
    empty = place.size_bytes()
    began = Progress()
    imported = client.wait(
        client.import_(STORE, "gs://generated/**"),
        poll_seconds=POLL_SECONDS,
        on_progress=began.note,
    )
    assert imported.counters.success == imported.account["imported"] == objects
    yield "import", began.told() | memory.told()
    yield "database", {"bytes_an_instance": (place.size_bytes() - empty) / objects}

    memory.reset()
    began_at = time.monotonic()
    ordinals = (line["ordinal"] for line in client.ledger(imported.name))
    in_order = sum(ordinal == number for number, ordinal in enumerate(ordinals))
    assert in_order == objects, "the ledger is not the account"
    seconds = time.monotonic() - began_at
    yield "ledger", {"seconds": seconds, "lines_per_second": objects / seconds} | memory.told()
    yield "pages", _pages(client, imported)

    if small is not None:
        yield "in turn", _in_turn(place, small, objects)
    for name, run in (("export", _export), ("delete", _delete)):
        memory.reset()
        yield name, run(place, objects) | memory.told()


def _in_turn(place: Place, small: Place, objects: int) -> dict[str, float]:
    """Import the same objects into both servers, in turn, each time into a new store."""
    rates: dict[str, list[float]] = {"many": [], "few": []}
    for turn in range(TURNS + 1):
        for name, where in (("many", place), ("few", small)):
            store = f"{DATASET}/dicomStores/in-turn-{turn}"
            where.client.create_dicom_store(store)
            began = time.monotonic()
            # The studies of the first ten thousand.
            ended = where.client.wait(
                where.client.import_(store, f"gs://generated/{generated_key(0)[:9]}?/*"),
                poll_seconds=0.02,
            )
            assert ended.counters.success == min(SMALL, objects)
            if turn:  # the first one warms both up
                rates[name].append(ended.counters.success / (time.monotonic() - began))
    many, few = (statistics.median(rates[name]) for name in ("many", "few"))
    return {"many_per_second": many, "few_per_second": few, "cost_ratio": few / many}


def _export(place: Place, objects: int) -> dict[str, float]:
    progress = Progress()
    exported = place.client.wait(
        place.client.export(STORE, "gs://sink/all"),
        poll_seconds=POLL_SECONDS,
        on_progress=progress.note,
    )
    assert exported.counters.success == exported.account["exported"] == objects
    return progress.told()


def _delete(place: Place, objects: int) -> dict[str, float]:
    began = time.monotonic()
    place.client.delete_dicom_store(STORE)
    answered = time.monotonic() - began
    for store in place.client.list_dicom_stores(DATASET):
        place.client.delete_dicom_store(store.name)
    while place.instances_left():
        time.sleep(POLL_SECONDS)
    seconds = time.monotonic() - began
    return {"answered_seconds": answered, "seconds": seconds, "per_second": objects / seconds}


def _pages(client: Client, operation: Operation) -> dict[str, float]:
    """Give milliseconds for the first page of each list, and for one study of the store."""

    def first_of_ledger() -> None:
        next(client.ledger(operation.name))

    asked: dict[str, Callable[[], object]] = {
        "operation": lambda: client.get_operation(operation.name),
        "operations": lambda: next(client.list_operations(DATASET), None),
        "failures": lambda: next(client.failures(operation.name), None),
        "ledger": first_of_ledger,
        "studies": lambda: list(client.search_studies(STORE, limit=50)),
    }
    told = {}
    for name, ask in asked.items():
        times = []
        for _ in range(PAGES):
            began = time.perf_counter()
            ask()
            times.append((time.perf_counter() - began) * 1000)
        told[f"{name}_p50_ms"] = statistics.median(times)
        told[f"{name}_p99_ms"] = statistics.quantiles(times, n=100)[-1]
    return told


def main() -> None:
    """Print a line of JSON for each piece of work."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_objects", description=__doc__)
    parser.add_argument("database", choices=("sqlite", "postgresql"))
    parser.add_argument("objects", type=int)
    parser.add_argument("--executor", choices=(PROCESSES, DASK), default=PROCESSES)
    parser.add_argument("--work", type=Path, default=Path(".benchmarks"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=given.work.resolve()))
    try:
        with (
            opened_place(
                given.database, given.objects, directory / "many", given.executor
            ) as place,
            opened_place(given.database, SMALL, directory / "few", given.executor) as small,
        ):
            for work, figures in measure(place, given.objects, small):
                rounded = {name: round(value, 2) for name, value in figures.items()}
                told = {
                    "database": given.database,
                    "executor": given.executor,
                    "objects": given.objects,
                    "work": work,
                }
                print(json.dumps(told | rounded), flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
