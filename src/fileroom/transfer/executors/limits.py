"""What an object may take of a worker, and how the loss of one is told."""

from __future__ import annotations

from dataclasses import dataclass

from fileroom.errors import Reason, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What one object may take of a worker before its task is ended."""

    memory_bytes: int = 1 << 30
    """Address space beyond what the worker has once it is started."""
    cpu_seconds: int = 20
    wall_seconds: float = 60.0


class WorkerLost(Unavailable):
    """The worker of this task was lost or ran out of memory; ``item`` is the object it was at.

    ``item`` is None where no object is to blame.
    """

    def __init__(
        self, message: str, reason: Reason = Reason.WORKER_CRASHED, item: int | None = None
    ) -> None:
        super().__init__(message, reason)
        self.args = (message, reason, item)
        self.reason = reason
        self.item = item
