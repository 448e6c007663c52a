"""Operations that go on by one transaction at a time, when a test says so."""

from __future__ import annotations

import faulthandler
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import update

from fileroom.database import operations, schema
from fileroom.errors import Aborted
from fileroom.operations.runner import Run, Runner
from fileroom.transfer.jobs import jobs_of
from fileroom.transfer.pipeline import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.database.engine import Connection, Database
    from fileroom.database.operations import Operation
    from tests.unit.transfer.site import Site

WAIT_SECONDS: Final = 8.0


@dataclass(slots=True)
class Gate:
    """Before each write of one server; some of its threads may stand here at a time."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    standing: int = 0
    permits: int = 0
    writing: bool = False
    closed: bool = False
    """Whether no write passes any more: the server is dead, or has left the operation."""

    def write(self, do: Callable[[], Any]) -> Any:
        """Wait for a permit, then write."""
        with self.changed:
            self.standing += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.permits or self.closed)
            self.standing -= 1
            if self.closed:
                raise Aborted("this server is dead")
            self.permits, self.writing = 0, True
        try:
            return do()
        finally:
            with self.changed:
                self.writing = False
                self.changed.notify_all()

    def let_pass(self) -> None:
        """Let one write pass, and wait until another one stands here, or none will."""
        with self.changed:
            self.permits = 1
            self.changed.notify_all()
        self.await_next()

    def await_next(self) -> None:
        """Wait until nobody writes, and some write stands here or none will."""

        def stands() -> bool:
            passed = not self.permits and not self.writing
            return self.closed or (passed and self.standing > 0)

        with self.changed:
            if not self.changed.wait_for(stands, WAIT_SECONDS):
                faulthandler.dump_traceback(all_threads=True)
                raise AssertionError("an operation neither goes on nor ends")

    def close(self) -> None:
        """Let no write pass any more."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class GatedDatabase:
    """A database whose writes wait at a gate."""

    def __init__(self, database: Database, gate: Gate) -> None:
        self._database = database
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def write(self, *arguments: Any, **named: Any) -> Any:
        """Write, when the test says so."""
        return self._gate.write(lambda: self._database.write(*arguments, **named))


class Stepped:
    """One operation, claimed by a server of its own."""

    def __init__(self, site: Site, operation: Operation) -> None:
        self.gate = Gate()
        self.operation = operation
        database = cast("Database", GatedDatabase(site.database, self.gate))
        self._workers = ThreadPoolExecutor(1)
        turns = Turns(self._workers, lambda: 1)
        facilities = replace(site.facilities, database=database, turns=turns, pixel_turns=turns)
        runner = Runner(database, "server", jobs_of(facilities), logs_url=lambda one: str(one.name))
        run = Run(database, operation)
        self._thread = threading.Thread(target=self._work, args=(runner, run), daemon=True)
        self._thread.start()
        self.gate.await_next()

    def _work(self, runner: Runner, run: Run) -> None:
        try:
            runner._run_to_end(run)
        except Aborted:
            pass
        finally:
            self._workers.shutdown(wait=False)
            self.gate.close()

    @property
    def ended(self) -> bool:
        """Whether its coordinator has left it."""
        return self.gate.closed

    def step(self) -> None:
        """Let one transaction pass."""
        self.gate.let_pass()

    def kill(self) -> None:
        """End its coordinator: nothing it writes comes through any more."""
        self.gate.close()
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()


def claim_next(site: Site, running: list[int]) -> Operation | None:
    """Claim what nobody runs."""

    def claim(transaction: Connection) -> Operation | None:
        table = schema.operations
        transaction.execute(update(table).where(table.c.id.not_in(running)).values(lease_until=0))
        return operations.claim_operation(transaction, "server", without=running)

    return site.database.write(claim)
