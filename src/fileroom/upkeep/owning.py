"""A data directory that no server runs on meanwhile."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from fileroom.database.engine import open_database
from fileroom.database.servers import LEASE_SECONDS, has_living_server
from fileroom.deployment import lock_data, open_blobs, write_holder
from fileroom.errors import FailedPrecondition, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.database.engine import Database
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.settings import Settings


def check_there(settings: Settings) -> None:
    """Refuse a directory without a database; raises NotFound."""
    if settings.database is None and not settings.database_path.exists():
        raise NotFound(f"there is no database in {settings.data}; name its directory with --data")


@contextmanager
def owned(settings: Settings) -> Iterator[tuple[Database, Blobs]]:
    """Give the database and the blobs of a data directory, on which no server runs meanwhile."""
    with ExitStack() as stack:
        lock, holder = lock_data(settings.data, stack)
        stack.callback(write_holder, lock, holder)
        database = open_database(settings.database_place)
        stack.callback(database.close)
        check_alone(database)
        yield database, open_blobs(settings)


def check_alone(database: Database) -> None:
    """Refuse a database that servers run on; raises FailedPrecondition."""
    with database.read() as connection:
        if has_living_server(connection):
            raise FailedPrecondition(
                "servers run on the database: end them first; one that was killed counts as"
                f" running for {LEASE_SECONDS:.0f} s",
                "database",
            )
