"""An import of any number of objects in simulated workers: what is between them is real.

Runner, coordinator, lister, turns, ledger and database are Fileroom's own, and the listing is that
of a generated bucket. Simulated are the workers, whose clock is moved on to whichever of them is
done next, and the rows of instances, of which there are none: an object is but a line of the
ledger. Run it as ``python -m tests.simulation OBJECTS [OBJECTS-OF-A-BATCH]``.
"""

from __future__ import annotations

import heapq
import json
import random
import resource
import sys
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from fileroom.database import operations, schema
from fileroom.database.operations import DeferredObject
from fileroom.errors import Code, ObjectFailure, Reason
from fileroom.objectstore.buckets import Buckets
from fileroom.transfer import commits
from fileroom.transfer.importing.job import request_import
from fileroom.transfer.importing.line import Import
from fileroom.transfer.importing.reading import ListedObject
from fileroom.transfer.ledger import LedgerLine, failure_line
from fileroom.transfer.pipeline import BATCH_OBJECTS_MAX, Batch, Turns, cut_batches, run_pipeline
from tests.generated_bucket import GeneratedBucketSettings
from tests.unit.database.rows import STORE
from tests.unit.operations.running import read_operation, running
from tests.unit.transfer.site import opened_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Select

    from fileroom.database.engine import Connection, Database
    from fileroom.database.operations import Operation
    from fileroom.errors import WorkerLost
    from fileroom.names import OperationName
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities
    from fileroom.transfer.pipeline import Blame
    from tests.postgresql import PostgresqlServer

WORKERS: Final = 8
FAILS_EVERY: Final = 10_007
SLOW_EVERY: Final = 50_021
BATCH_SECONDS: Final = 0.25
SLOW_SECONDS: Final = 100.0
WAIT_SECONDS: Final = 0.005
"""How long the clock stands still for a worker that has nothing to do."""
LOOK_SECONDS: Final = 0.25


class VirtualExecutor(Executor):
    """Workers that take virtual time: the clock goes on to whichever is done next."""

    def __init__(self, workers: int, seed: int) -> None:
        self.now = 0.0
        self._workers = workers
        self._draw = random.Random(seed)
        self._waiting: deque[tuple[float, Future[Any], Callable[[], Any]]] = deque()
        self._working: list[tuple[float, int, Future[Any], Callable[[], Any]]] = []
        self._changed = threading.Condition()
        self._closing = False
        self._number = 0
        self._thread = threading.Thread(target=self._run, name="virtual-workers", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have the next free worker do it."""
        future: Future[Any] = Future()
        with self._changed:
            seconds = SLOW_SECONDS if fn is work_alone else BATCH_SECONDS
            self._waiting.append((seconds, future, lambda: fn(*args, **kwargs)))
            self._changed.notify()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End."""
        del cancel_futures
        with self._changed:
            self._closing = True
            self._changed.notify()
        if wait:
            self._thread.join()

    def _run(self) -> None:
        while (done := self._next()) is not None:
            future, work = done
            if future.set_running_or_notify_cancel():
                future.set_result(work())

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._changed:
            while not self._closing:
                while self._waiting and len(self._working) < self._workers:
                    self._begin(*self._waiting.popleft())
                if len(self._working) == self._workers or (
                    not self._changed.wait(WAIT_SECONDS) and self._working
                ):
                    self.now, _, future, work = heapq.heappop(self._working)
                    return future, work
        return None

    def _begin(self, seconds: float, future: Future[Any], work: Callable[[], Any]) -> None:
        self._number += 1
        ends = self.now + seconds * self._draw.lognormvariate(0.0, 0.5)
        heapq.heappush(self._working, (ends, self._number, future, work))


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What a worker made of a batch."""

    lines: tuple[LedgerLine, ...]
    failures: tuple[tuple[int, ObjectFailure], ...] = ()
    deferred: tuple[DeferredObject, ...] = ()
    seconds: float = BATCH_SECONDS

    @property
    def weight_bytes(self) -> int:
        return 100 * len(self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTask:
    """Objects for a worker."""

    source: str
    objects: tuple[ListedObject, ...]


def work_on(task: SimulatedTask) -> Simulated:
    """Do what a worker does with a batch, but for the objects themselves."""
    return _work(task, alone=False)


def work_alone(task: SimulatedTask) -> Simulated:
    """Do the same with an object that left the line."""
    return _work(task, alone=True)


def _work(task: SimulatedTask, *, alone: bool) -> Simulated:
    lines, failures, deferred = [], [], []
    for listed in task.objects:
        uri = f"{task.source}/{listed.key}"
        if listed.ordinal % FAILS_EVERY == 0:
            failure = ObjectFailure(
                source=uri, code=Code.INVALID_ARGUMENT, reason=Reason.NOT_DICOM, message="no DICOM"
            )
            failures.append((listed.ordinal, failure))
            lines.append(failure_line(listed.ordinal, failure))
        elif listed.ordinal % SLOW_EVERY == 0 and not alone:
            deferred.append(
                DeferredObject(
                    ordinal=listed.ordinal,
                    source=uri,
                    version=listed.version,
                    size=listed.size,
                    why="SLOW",
                )
            )
        else:
            lines.append(
                LedgerLine(
                    ordinal=listed.ordinal,
                    source=uri,
                    result="imported",
                    version=listed.version,
                    size=listed.size,
                )
            )
    return Simulated(lines=tuple(lines), failures=tuple(failures), deferred=tuple(deferred))


class SimulatedImport(Import):
    """An import whose workers and instances are simulated, and nothing else of it."""

    def __init__(self, facilities: Facilities, run: Run, objects_max: int) -> None:
        super().__init__(facilities, run)
        self._objects_max = objects_max

    def batches(self) -> Iterator[Batch[ListedObject]]:
        """List as an import does, in batches of any size."""
        first = self._progress.next_ordinal
        source = self._opened(self._run.check)
        items = self._listing.objects(source, self._progress.cursor or "", first)
        return cut_batches(items, first_ordinal=first, objects_max=self._objects_max)

    def submit(  # type: ignore[override]
        self, batch: Batch[ListedObject], blame: Blame, slow_seconds: float
    ) -> Future[Simulated]:
        del blame, slow_seconds
        return self._simulate(work_on, batch.items)

    def submit_deferred(self, deferred: DeferredObject) -> Future[Simulated]:  # type: ignore[override]
        listed = ListedObject(
            ordinal=deferred.ordinal,
            key=self._key(deferred.source),
            size=deferred.size,
            version=deferred.version,
        )
        return self._simulate(work_alone, (listed,))

    def _simulate(
        self, work: Callable[[SimulatedTask], Simulated], objects: tuple[ListedObject, ...]
    ) -> Future[Simulated]:
        task = SimulatedTask(source=self._source.name, objects=objects)
        return self._facilities.turns.submit(self._progress.id, work, task)

    def commit(self, batch: Batch[ListedObject], outcome: Simulated) -> None:  # type: ignore[override]
        def settle(transaction: Connection) -> list[LedgerLine]:
            operations.insert_failures(transaction, self._run.operation, outcome.failures)
            return list(outcome.lines)

        commits.commit_batch(self._run, batch, outcome.deferred, settle)

    def commit_deferred(self, deferred: DeferredObject, outcome: Simulated | WorkerLost) -> None:  # type: ignore[override]
        assert isinstance(outcome, Simulated)
        commits.commit_deferred(self._run, deferred, lambda _: list(outcome.lines))

    def discard(self, outcome: Simulated) -> None:  # type: ignore[override]
        """Have made nothing."""

    def release(self, outcome: Simulated) -> None:  # type: ignore[override]
        """Have made nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of a simulated import."""

    operation: Operation
    database: Database
    virtual_seconds: float
    memory: list[tuple[int, float]]
    """By the objects that were done, the megabytes of this process then."""
    seconds: float


def simulate(
    directory: Path,
    count: int,
    look: Callable[[Seen], None],
    *,
    shared: PostgresqlServer | None = None,
    objects_max: int = BATCH_OBJECTS_MAX,
    stops: int = 1,
) -> None:
    """Import ``count`` objects; the server ends ``stops`` times on the way, and another goes on."""
    bucket = GeneratedBucketSettings(name="gs://generated", count=count)
    with opened_site(directory, shared) as site, VirtualExecutor(WORKERS, seed=count) as workers:
        facilities = replace(
            site.facilities,
            buckets=Buckets([bucket], None),
            turns=Turns(workers, lambda: WORKERS),
        )
        name = request_import(facilities, STORE, "gs://generated/**", api_version="v1")
        memory: list[tuple[int, float]] = []
        began = time.monotonic()

        def job(run: Run) -> bool:
            return run_pipeline(run, SimulatedImport(facilities, run, objects_max))

        for number in range(stops + 1):
            until = count * (number + 1) // (stops + 1) if number < stops else None
            with running(site.database, job, owner=f"boot-{number}"):
                _wait(site.database, name, until, memory)
        seen = Seen(
            operation=read_operation(site.database, name),
            database=site.database,
            virtual_seconds=workers.now,
            memory=memory,
            seconds=time.monotonic() - began,
        )
        look(seen)


def _wait(
    database: Database, name: OperationName, until: int | None, memory: list[tuple[int, float]]
) -> None:
    """Wait until so many objects are listed, or all is done."""
    while True:
        operation = read_operation(database, name)
        memory.append((operation.counters.listed, memory_mb()))
        if operation.state is operations.State.DONE:
            return
        if until is not None and operation.counters.listed >= until:
            return
        time.sleep(LOOK_SECONDS)


def memory_mb() -> float:
    """Give what this process takes now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def check(seen: Seen, count: int) -> dict[str, float]:
    """Assert that the account is exact and that no object has a row; give what was measured."""
    counters, operation_id = seen.operation.counters, seen.operation.id
    failed = len(range(0, count, FAILS_EVERY))
    assert seen.operation.state is operations.State.DONE
    assert (counters.listed, counters.failed, counters.deferred) == (count, failed, 0)
    assert counters.imported == count - failed
    assert seen.operation.next_ordinal == count

    def ask(statement: Select[int | None]) -> int:
        with seen.database.read() as connection:
            return int(connection.execute(statement).scalar_one() or 0)

    ledger = schema.operation_ledger.c
    of_line = (ledger.operation_id == operation_id, ledger.lane == commits.LINE)
    assert ask(select(func.sum(ledger.n)).where(*of_line)) == count
    chunks = ask(select(func.count()).where(*of_line))
    slow = len([each for each in range(0, count, SLOW_EVERY) if each % FAILS_EVERY])
    assert ask(select(func.count()).where(ledger.lane == commits.LANE)) == slow
    for table, rows in (
        (schema.instances, 0),
        (schema.operation_deferred, 0),
        (schema.operation_failures, failed),
    ):
        assert ask(select(func.count()).select_from(table)) == rows, table.name
    early = max(taken for listed, taken in seen.memory if listed <= count // 5)
    return {
        "chunks": chunks,
        "ledger_bytes_an_object": ask(select(func.sum(func.length(ledger.z)))) / count,
        "seconds": seen.seconds,
        "virtual_seconds": seen.virtual_seconds,
        "objects_per_second": count / seen.seconds,
        "memory_after_a_fifth_mb": early,
        "memory_most_mb": max(taken for _, taken in seen.memory),
    }


def main() -> None:
    """Print what was measured as JSON."""
    count, objects_max = map(int, (*sys.argv[1:], str(BATCH_OBJECTS_MAX))[:2])
    work = Path(".benchmarks")
    work.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work.resolve()) as directory:

        def tell(seen: Seen) -> None:
            told = {name: round(value, 2) for name, value in check(seen, count).items()}
            print(json.dumps({"objects": count, "of_a_batch": objects_max} | told), flush=True)

        simulate(Path(directory) / "site", count, tell, objects_max=objects_max)


if __name__ == "__main__":
    main()
