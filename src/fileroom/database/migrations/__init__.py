"""Bring a database to the revision this code works with, by Alembic.

A revision is never edited after a release; a newer one goes beside it under ``versions/``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from fileroom.crashpoints import crashpoint
from fileroom.database import schema
from fileroom.database.dialects import lock
from fileroom.errors import FailedPrecondition

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def current_revision(connection: Connection) -> str | None:
    """Give the revision of a database; None if it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(engine: Engine) -> None:
    """Bring the database up to ``schema.REVISION``.

    Raises
    ------
    FailedPrecondition
        If its revision is not one this code knows: a newer Fileroom wrote it.
    """
    with engine.begin() as connection:
        if current_revision(connection) == schema.REVISION:
            return
        lock(connection)  # of two servers that start at the same time one finds it done
        found = current_revision(connection)
        if found != schema.REVISION:
            _upgrade(connection, found)
            crashpoint("revision.written")
    crashpoint("revision.committed")


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise FailedPrecondition(
            f"the database has revision {found!r}, which is newer than this Fileroom knows "
            f"({schema.REVISION!r}): start the newer version, or restore the backup made before it",
            "database",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, schema.REVISION)
