"""What no row names any more is collected at once, without a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.archive.collect import Collector
from fileroom.database import collection, rebuild
from fileroom.upkeep.owning import check_there, owned

if TYPE_CHECKING:
    from fileroom.database.collection import Waiting
    from fileroom.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What one run of the collector did, and what it left."""

    places: int
    bytes: int
    waiting: Waiting
    deleted_stores: int
    """Whose content is not all gone, since an operation on them has not ended."""


def collect_garbage(settings: Settings) -> Collected:
    """Collect at once what is due in a data directory that no server runs on, orphans included.

    Raises
    ------
    FailedPrecondition
        If a server runs on it, or its rows were not all made again from blobs.
    NotFound
        If there is no database in it.
    """
    check_there(settings)
    with owned(settings) as (database, blobs):
        rebuild.check_rebuilt(database)
        collector = Collector(database, blobs, interval_seconds=1.0, after_crash=True)
        collector.collect()
        collector.collect()  # what the first has found to be orphans
        with database.read() as connection:
            return Collected(
                places=collector.reclaimed.places,
                bytes=collector.reclaimed.bytes,
                waiting=collection.waiting_drops(connection),
                deleted_stores=collection.count_deleted_stores(connection),
            )
