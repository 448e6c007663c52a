"""What an object may take of a worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What one object may take of a worker before its task is ended."""

    memory_bytes: int = 1 << 30
    """Address space beyond what the worker has once it is started."""
    cpu_seconds: int = 20
    wall_seconds: float = 60.0
