"""Claim operations, run their jobs, keep their leases, end them.

Any server of a deployment may claim any operation, also one that another server died over. Whether
a server's word counts is decided by the fence alone, in every transaction; leases only say when a
claim is worth trying. A fault of the environment (disk full, volume gone, database away) never
counts against an object: the operation pauses with the reason and goes on by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from fileroom.database import operations
from fileroom.database.operations import KEPT_MICROSECONDS, State
from fileroom.errors import (
    Aborted,
    Cancelled,
    FileroomError,
    Internal,
    ResourceExhausted,
    Unavailable,
)
from fileroom.operations.operation import (
    SAMPLE_ERRORS_MAX,
    ended_by,
    ended_well,
    ended_with_failures,
)
from fileroom.operations.pacing import Pacer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fileroom.database.engine import Connection, Database
    from fileroom.database.operations import Kind, Operation, Pace, Requests

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 5.0
POLL_SECONDS: Final = 1.0
BACKOFF_SECONDS_MAX: Final = 30.0
CLAIMED_MAX: Final = 64
"""Operations a server holds, those that wait for their environment included."""


class Job(Protocol):
    """What an operation of one kind does."""

    def __call__(self, run: Run) -> bool:
        """Do the work from the last commit on; False if the server stops before its end.

        Raises
        ------
        Cancelled
            If the operation's cancellation was asked for.
        Unavailable, ResourceExhausted
            If the environment must mend first; the job is then called again.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerOptions:
    """How a runner behaves."""

    running_max: int = 4
    """Operations begun at the same time; more wait in the order in which they were asked for.

    One that is paused leaves its place to the next, and goes on beside it.
    """
    retention_microseconds: int = KEPT_MICROSECONDS
    """How long an operation is kept after its end."""


@dataclass(slots=True, eq=False)
class Run:
    """One claimed operation while its job runs."""

    database: Database
    operation: Operation
    _stop: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)
    _pause: threading.Event = field(default_factory=threading.Event)
    _pacer: Pacer = field(default_factory=Pacer)

    @property
    def stopping(self) -> bool:
        """Whether the job should leave off at its next commit, for a later run to go on."""
        return self._stop.is_set() or self._pause.is_set()

    def check(self) -> None:
        """Raise Cancelled if somebody asked for it, Aborted if another server took over.

        It notes that somebody asked the operation to wait: then the job is to leave off.
        """
        asked = self._asked()
        if not self.operation.kind.can_be_cancelled:
            return
        if asked.cancel:
            raise Cancelled("the operation was cancelled")
        if asked.pause:
            self._pause.set()

    def check_claim(self) -> None:
        """Raise Aborted if another server took over, whatever was asked of the operation."""
        self._asked()

    def _asked(self) -> Requests:
        if self._lost.is_set():
            raise Aborted(f"operation {self.operation.name} was claimed by another server")
        with self.database.read() as connection:
            return operations.requests_of(connection, self.operation)

    def read(self) -> Operation:
        """Give the operation as its row stands."""
        with self.database.read() as connection:
            return operations.read_progress(connection, self.operation)

    def pace(self) -> Pace | None:
        """Give how fast it goes, as far as is known; to be asked at each heartbeat."""
        return self._pacer.read(time.monotonic(), self.read().counters)

    def stop(self) -> None:
        """Ask the job to leave off."""
        self._stop.set()

    def lose(self) -> None:
        """Note that the operation belongs to another server."""
        self._lost.set()

    def sleep(self, seconds: float) -> None:
        """Wait, but not past a stop or a cancellation."""
        deadline = time.monotonic() + seconds
        while not self.stopping and (left := deadline - time.monotonic()) > 0:
            self._stop.wait(min(left, POLL_SECONDS))
            self.check()


def pause_seconds(pauses: int) -> float:
    """Give how long an operation waits after so many pauses without progress between them."""
    return min(2.0 ** min(pauses, 10), BACKOFF_SECONDS_MAX)


def _join(threads: Iterable[threading.Thread], deadline: float) -> None:
    for thread in threads:
        if thread.is_alive():
            thread.join(max(0.0, deadline - time.monotonic()))


class Runner:
    """Runs the operations of a deployment in threads of this process."""

    def __init__(
        self,
        database: Database,
        owner: str,
        jobs: Mapping[Kind, Job],
        *,
        logs_url: Callable[[Operation], str],
        on_finished: Callable[[Operation], None] = lambda _: None,
        options: RunnerOptions | None = None,
    ) -> None:
        """Take what runs each kind; ``on_finished`` hears of each operation that has ended."""
        self._database = database
        self._owner = owner
        self._jobs = jobs
        self.logs_url = logs_url
        """Gives where a person reads what became of an operation's objects."""
        self._on_finished = on_finished
        self._options = options or RunnerOptions()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._running: dict[Run, threading.Thread] = {}
        self._waits: dict[int, str] = {}
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._claim_forever, name="operations-claim", daemon=True),
            threading.Thread(target=self._beat_forever, name="operations-heartbeat", daemon=True),
        ]

    def start(self) -> None:
        """Begin to claim operations, those that a dead server ran first among them."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look for an operation to claim now rather than within a second."""
        self._wake.set()

    def as_it_stands(self, operation: Operation) -> Operation:
        """Give an operation, and that it waits, though a full disk lets nobody write that down."""
        why = self._waits.get(operation.id)
        if why is None or operation.state is State.DONE:
            return operation
        return replace(operation, state=State.PAUSED, paused_why=why)

    def stop(self, drain_seconds: float) -> None:
        """Let the jobs leave off at a commit, and give their operations up."""
        self._stopping.set()
        self._wake.set()
        with self._lock:
            for run in self._running:
                run.stop()
        deadline = time.monotonic() + drain_seconds
        _join(self._threads, deadline)
        with self._lock:  # one more may have been claimed until then, and is told to leave off
            running = list(self._running.values())
        _join(running, deadline)

    # ------------------------------------------------------------------ threads

    def _claim_forever(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                while self._claim_one():
                    pass
            except FileroomError as error:
                logger.warning("no operation could be claimed", extra={"cause": str(error)})
            except Exception:  # the one thread that claims must outlive whatever it meets
                logger.exception("no operation could be claimed, by a fault of Fileroom's own")
            self._wake.wait(POLL_SECONDS)

    def _claim_one(self) -> bool:
        with self._lock:
            own = [run.operation.id for run in self._running]
        at_work = len(own) - len(self._waits)
        if (
            self._stopping.is_set()
            or at_work >= self._options.running_max
            or len(own) >= CLAIMED_MAX
        ):
            return False
        # What runs here is not claimed again, though the clock jump past the end of its lease.
        claimed = self._database.write(
            lambda transaction: operations.claim_operation(transaction, self._owner, without=own)
        )
        if claimed is None:
            return False
        run = Run(self._database, claimed)
        run.pace()  # the first reading, from which the next one tells
        thread = threading.Thread(
            target=self._run, args=(run,), name=f"operation-{claimed.id}", daemon=True
        )
        with self._lock:
            self._running[run] = thread
            if self._stopping.is_set():
                run.stop()
        thread.start()
        return True

    def _beat_forever(self) -> None:
        while not self._stopping.wait(HEARTBEAT_SECONDS):
            with self._lock:
                running = list(self._running)
            for run in running:
                self._beat(run)

    def _beat(self, run: Run) -> None:
        try:
            pace = run.pace()
            self._database.write(
                lambda transaction: operations.prolong_lease(transaction, run.operation, pace)
            )
        except Aborted:
            run.lose()
        except FileroomError as error:
            logger.warning("heartbeat failed", extra={"cause": str(error)})
        except Exception:  # the one thread that beats must outlive whatever it meets
            logger.exception("heartbeat failed, by a fault of Fileroom's own")

    # ------------------------------------------------------------------ one operation

    def _run(self, run: Run) -> None:
        operation = run.operation
        logger.info("operation claimed", extra={"operation": str(operation.name)})
        try:
            self._run_to_end(run)
        except Aborted as error:
            logger.info("operation given up", extra={"cause": str(error)})
        except FileroomError as error:
            logger.warning("operation left as it is", extra={"cause": str(error)})
        finally:
            with self._lock:
                del self._running[run]
            self._wake.set()

    def _run_to_end(self, run: Run) -> None:
        pauses = 0
        ordinal = run.operation.next_ordinal
        while True:
            error: FileroomError | None = None
            try:
                if not self._jobs[run.operation.kind](run):
                    self._release(run)
                    return
                self._finish(run, None)
                return
            except Aborted:
                raise
            except (Unavailable, ResourceExhausted) as fault:
                reached = self._progress(run)
                pauses = 0 if reached > ordinal else pauses + 1
                ordinal = reached
                error = self._pause(run, fault, pause_seconds(pauses))
            except FileroomError as fault:
                error = fault
            except Exception:
                logger.exception("operation failed by a fault of Fileroom's own")
                error = Internal("the operation met a fault of the server; its log has more")
            if error is not None:
                self._finish(run, error)
                return
            if run.stopping:
                self._release(run)
                return

    def _progress(self, run: Run) -> int:
        try:
            return run.read().next_ordinal
        except FileroomError:
            return run.operation.next_ordinal

    def _pause(self, run: Run, fault: FileroomError, seconds: float) -> FileroomError | None:
        """Wait for the environment to mend; gives the error that ended the wait, if one did."""
        logger.warning("operation paused", extra={"cause": str(fault), "seconds": seconds})
        self._waits[run.operation.id] = fault.message
        self._wake.set()  # its place is free
        try:
            return self._wait(run, fault, seconds)
        finally:
            self._waits.pop(run.operation.id, None)

    def _wait(self, run: Run, fault: FileroomError, seconds: float) -> FileroomError | None:
        self._note(lambda tx: operations.pause_operation(tx, run.operation, fault.message))
        while True:
            try:
                run.sleep(seconds)
            except Cancelled as cancelled:
                return cancelled
            except (Unavailable, ResourceExhausted):
                time.sleep(POLL_SECONDS)
            noted = self._note(lambda tx: operations.resume_operation(tx, run.operation))
            if noted or run.stopping:
                return None

    def _note(self, change: Callable[[Connection], None]) -> bool:
        try:
            self._database.write(change)
        except (Unavailable, ResourceExhausted) as error:
            logger.warning("the database takes no note", extra={"cause": str(error)})
            return False
        return True

    def _release(self, run: Run) -> None:
        self._database.write(
            lambda transaction: operations.release_operation(transaction, run.operation)
        )

    def _finish(self, run: Run, error: FileroomError | None) -> None:
        def finish(transaction: Connection) -> None:
            progress = operations.read_progress(transaction, run.operation)
            first = operations.first_failures(transaction, progress.id, SAMPLE_ERRORS_MAX)
            listed, status, response = progress.counters.listed, None, None
            if error is not None:
                listed = max(listed, progress.total or 0)
                status = ended_by(progress, error, first)
            elif first:
                status = ended_with_failures(
                    progress,
                    progress.counters,
                    operations.count_failures(transaction, progress.id),
                    first,
                    self.logs_url(progress),
                )
            else:
                response = ended_well(progress)
            operations.finish_operation(
                transaction,
                run.operation,
                listed=listed,
                error=status,
                response=response,
                retention_microseconds=self._options.retention_microseconds,
            )

        self._database.write(finish)
        logger.info("operation ended", extra={"operation": str(run.operation.name)})
        self._on_finished(run.operation)
