"""Operations that run in a test: a database, a runner, and what to wait for."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fileroom.database import operations
from fileroom.database.operations import Kind
from fileroom.operations.runner import Run, Runner, RunnerOptions
from tests.unit.database.rows import OWNER, add_operation, claimed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.database.engine import Connection, Database
    from fileroom.database.operations import Operation
    from fileroom.names import OperationName


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads bring about."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came to this"
        time.sleep(0.005)


def claimed_run(database: Database, *, store_id: int | None = None) -> Run:
    """Give the run of a new import that this server has claimed."""

    def claim(transaction: Connection) -> Operation:
        add_operation(transaction, store_id=store_id)
        return claimed(transaction)

    return Run(database, database.write(claim))


def read_operation(database: Database, name: OperationName) -> Operation:
    """Give an operation as callers see it."""
    with database.read() as connection:
        return operations.get_operation(connection, name)


@contextmanager
def running(
    database: Database,
    job: Callable[[Run], bool],
    *,
    owner: str = OWNER,
    at_once: int = 4,
    on_finished: Callable[[Operation], None] = lambda _: None,
) -> Iterator[Runner]:
    """Run every operation of a database by one job, until the block ends."""

    def do(run: Run) -> bool:
        return job(run)

    runner = Runner(
        database,
        owner,
        dict.fromkeys(Kind, do),
        logs_url=lambda operation: f"http://fileroom.example/console/{operation.name}/logs",
        on_finished=on_finished,
        options=RunnerOptions(running_max=at_once),
    )
    runner.start()
    try:
        yield runner
    finally:
        runner.stop(drain_seconds=10)
