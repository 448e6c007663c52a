"""Bring a database to the revision this code works with, by Alembic.

A revision is never edited after a release; a newer one goes beside it under ``versions/``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from fileroom.database import schema
from fileroom.errors import FailedPrecondition

if TYPE_CHECKING:
    from sqlalchemy import Engine


def current_revision(engine: Engine) -> str | None:
    """Give the revision of the database behind ``engine``; None if it is empty."""
    with engine.connect() as connection:
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
    found = current_revision(engine)
    if found == schema.REVISION:
        return
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
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, schema.REVISION)
