"""What an import or an export works with; made once by the deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fileroom.database.engine import Database
    from fileroom.objectstore.buckets import Buckets
    from fileroom.transfer.pipeline import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Facilities:
    """The parts of a deployment that move objects."""

    database: Database
    buckets: Buckets
    blobs: Path
    """The directory of all stores' blobs."""
    turns: Turns
    """The workers, shared between the running operations."""
    wake: Callable[[], None]
    """Have the runner look for new operations now."""
    grace_seconds: float
    """How long the bytes of what was replaced or deleted stay."""
    booted_at: float
    """When this server began, as ``time.time()`` gives it."""
