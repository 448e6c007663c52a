"""The revisions make what the tables say, forth and back, and refuse what they do not know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from fileroom.database import migrations, schema
from fileroom.database.engine import open_database, open_engine
from fileroom.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(tmp_path / "fileroom.db", writable=True)
    yield engine
    engine.dispose()


def tables(engine: Engine) -> dict[str, list[str]]:
    """Give the lines that make each table and index; constraints may come in any order."""
    statement = (
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
    )
    with engine.connect() as connection:
        rows = connection.execute(text(statement)).all()
    return {row.name: sorted(line.strip(" \t,") for line in row.sql.splitlines()) for row in rows}


def move(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if revision == "base" else command.upgrade)(config, revision)


def test_revisions_make_the_tables_that_the_code_works_with(engine: Engine, tmp_path: Path) -> None:
    migrations.upgrade(engine)
    by_metadata = open_engine(tmp_path / "metadata.db", writable=True)
    with by_metadata.begin() as connection:
        schema.metadata.create_all(connection)

    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []
    assert tables(engine) == tables(by_metadata)
    by_metadata.dispose()


def test_downgrade_takes_all_away_and_upgrade_brings_it_back(engine: Engine) -> None:
    migrations.upgrade(engine)
    made = tables(engine)
    move(engine, "base")
    left = tables(engine)
    move(engine, schema.REVISION)

    assert left.keys() - {"sqlite_sequence"} == set()
    assert tables(engine) == made


def test_database_of_this_revision_is_left_as_it_is(tmp_path: Path) -> None:
    open_database(tmp_path / "fileroom.db").close()
    before = (tmp_path / "fileroom.db").read_bytes()
    open_database(tmp_path / "fileroom.db").close()

    assert (tmp_path / "fileroom.db").read_bytes() == before


def test_database_of_a_newer_version_is_refused_untouched(tmp_path: Path, engine: Engine) -> None:
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    made = tables(engine)

    with pytest.raises(FailedPrecondition) as caught:
        open_database(tmp_path / "fileroom.db")

    assert caught.value.message == (
        "the database has revision '9999', which is newer than this Fileroom knows "
        f"('{schema.REVISION}'): start the newer version, or restore the backup made before it"
    )
    assert tables(engine) == made


def test_database_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    open_database(tmp_path / "fileroom.db").close()

    assert (tmp_path / "fileroom.db").stat().st_mode & 0o777 == 0o600
