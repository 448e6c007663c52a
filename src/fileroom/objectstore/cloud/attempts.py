"""Requests that are repeated: how often, how long apart, how many at a time, and when no more.

Waits are drawn at random between nothing and a bound that doubles (full jitter), or are as long as
the server asks. A bucket that says it is busy is asked by half as many at a time, and by one more
after each round that went well (additive increase, multiplicative decrease).
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from fileroom.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from fileroom.objectstore.cloud.faults import Fault, Kind
from fileroom.objectstore.cloud.provider import CONNECTIONS_MAX
from fileroom.objectstore.contract import BUCKET_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.errors import FileroomError

ATTEMPTS_MAX: Final = 8
FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 6.4
ATTEMPTS_SECONDS_MAX: Final = 20.0
"""Begun no later than this; a worker's object has a minute. Who waits longer tries again later."""
AT_ONCE_FIRST: Final = 8
DENIED_MAX: Final = 50
"""Objects in a row that the credentials do not open, before none is asked for any more."""

AnswerT = TypeVar("AnswerT")
_REPEATED: Final = {Kind.BUSY, Kind.PASSING, Kind.UNKNOWN}


class Pace:
    """How many requests of this process a bucket bears at a time."""

    def __init__(self, *, first: float = AT_ONCE_FIRST, most: int = CONNECTIONS_MAX) -> None:
        self._room = threading.Condition()
        self._most = most
        self._limit = first
        self._under_way = 0
        self._slowed_at = 0.0

    @property
    def limit(self) -> int:
        """The bound of now."""
        return int(self._limit)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for room, and take it."""
        with self._room:
            self._room.wait_for(lambda: self._under_way < self.limit)
            self._under_way += 1
        try:
            yield
        finally:
            with self._room:
                self._under_way -= 1
                self._room.notify()

    def went_well(self) -> None:
        """Let one more at a time after each round."""
        with self._room:
            self._limit = min(float(self._most), self._limit + 1.0 / self._limit)
            self._room.notify()

    def slow_down(self, asked_at: float) -> None:
        """Halve the bound, once for all requests that were sent before it was halved."""
        with self._room:
            if asked_at > self._slowed_at:
                self._limit = max(1.0, self._limit / 2)
                self._slowed_at = time.monotonic()


class Attempts:
    """The requests of one process to one bucket."""

    def __init__(
        self,
        name: str,
        *,
        forget_credentials: Callable[[], None] = lambda: None,
        is_own: bool = False,
        is_check: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take a bucket's; ``is_check`` for who asks what is wrong, and so asks each once."""
        self._name = name
        self._forget_credentials = forget_credentials
        self._is_own = is_own
        self._attempts_max = 1 if is_check else ATTEMPTS_MAX
        self._remedy = "" if is_check else f"; see: fileroom buckets check {name}"
        self._sleep = sleep
        self._denied_in_a_row = 0
        self.pace = Pace()

    def run(self, ask: Callable[[], AnswerT], what: str) -> AnswerT:
        """Ask until it is answered, or asking again cannot help.

        Raises
        ------
        NotFound, Aborted, AlreadyExists, PermissionDenied, FailedPrecondition, DataLoss
            As the object or the credentials are.
        ResourceExhausted
            If a quota is used up.
        Unavailable
            If the cloud cannot be reached, stays busy, or does not know the credentials.
        """
        attempt, waited, began = 0, 0.0, time.monotonic()
        while True:
            attempt += 1
            try:
                return self._once(ask)
            except Fault as fault:
                wait = _wait_seconds(fault, attempt) if attempt < self._attempts_max else None
                spent = max(waited, time.monotonic() - began)
                if wait is None or spent + wait > ATTEMPTS_SECONDS_MAX:
                    raise self.translated(fault, what) from fault
            self._sleep(wait)
            waited += wait

    def _once(self, ask: Callable[[], AnswerT]) -> AnswerT:
        with self.pace.turn():
            asked_at = time.monotonic()
            try:
                answer = ask()
            except Fault as fault:
                if fault.kind is Kind.BUSY:
                    self.pace.slow_down(asked_at)
                raise
        self.pace.went_well()
        self._denied_in_a_row = 0
        return answer

    def translated(self, fault: Fault, what: str) -> FileroomError:
        """Give the error that a fault is to whoever asked for ``what``."""
        where = f"{what} of {self._name}" if what else self._name
        match fault.kind:
            case Kind.ABSENT:
                return NotFound(f"{where} does not exist")
            case Kind.NO_BUCKET if self._is_own:
                return self._credentials(fault, "the archive's own bucket is not there")
            case Kind.NO_BUCKET:
                return NotFound(f"{self._name} does not exist{self._remedy}", "buckets")
            case Kind.CHANGED:
                return Aborted(f"{where} was changed while it was read; read it again")
            case Kind.EXISTS:
                return AlreadyExists(f"{where} is there already")
            case Kind.DENIED | Kind.REFUSED if self._is_own:
                return self._credentials(fault, "the archive's own bucket refuses it")
            case Kind.DENIED:
                self._denied_in_a_row += 1
                if self._denied_in_a_row >= DENIED_MAX:
                    return self._credentials(fault, f"{DENIED_MAX} requests in a row were refused")
                return PermissionDenied(
                    f"the credentials of {self._name} do not allow it: {fault.message}"
                    f"{self._remedy}",
                    "buckets",
                )
            case Kind.CREDENTIALS:
                return self._credentials(fault, "the credentials are not valid")
            case Kind.ELSEWHERE:
                return Unavailable(
                    f"{self._name} is not where the settings say ({fault.message}); see its region"
                    " and endpoint there",
                    BUCKET_SETTINGS,
                )
            case Kind.FULL:
                return ResourceExhausted(f"{self._name} takes no more: {fault.message}", "buckets")
            case Kind.DAMAGED:
                return DataLoss(f"{where} differs from its checksum: {fault.message}")
            case Kind.REFUSED:
                return FailedPrecondition(f"{where} is refused: {fault.message}", "buckets")
            case _:
                return Unavailable(
                    f"{self._name} does not answer as it should: {fault.message}", "buckets"
                )

    def _credentials(self, fault: Fault, why: str) -> Unavailable:
        self._forget_credentials()  # they may be others, once somebody has mended them
        return Unavailable(f"{self._name}: {why} ({fault.message}){self._remedy}", BUCKET_SETTINGS)


def _wait_seconds(fault: Fault, attempt: int) -> float | None:
    """Give how long to wait before the next attempt; None if there is none."""
    if fault.kind not in _REPEATED:
        return None
    asked = fault.retry_after_seconds or 0.0
    bound = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
    return asked + random.uniform(0.0, bound)  # noqa: S311 - spreads requests, hides nothing
