"""The revisions make what the tables say, forth and back, and refuse what they do not know."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from fileroom.database import migrations, postgresql, schema, sqlite
from fileroom.database.engine import open_database
from fileroom.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from tests.databases import Dialect
    from tests.postgresql import PostgresqlServer


@pytest.fixture
def engine(dialect: Dialect, server: PostgresqlServer, tmp_path: Path) -> Iterator[Engine]:
    """Give an empty database, without tables."""
    engine = empty(dialect, server, tmp_path / "fileroom.db")
    yield engine
    engine.dispose()


def empty(dialect: Dialect, server: PostgresqlServer, path: Path) -> Engine:
    if dialect == "postgresql":
        return postgresql.open_engine(server.new_database(template=False), writable=True)
    return sqlite.open_engine(path, writable=True)


_COLUMN = re.compile(r"\n|,\s+(?=[a-z_][a-z0-9_]* [A-Z]+\b)")
"""A line for each; one that was added later is on that of the column before it."""
_OF_POSTGRESQL = """
SELECT table_name AS name, concat_ws(
    ' ', column_name, data_type, collation_name, column_default, is_nullable
) AS sql FROM information_schema.columns
WHERE table_schema = 'public' AND table_name <> 'alembic_version'
UNION ALL SELECT tablename, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename <> 'alembic_version'
UNION ALL SELECT conrelid::regclass::text, concat_ws(' ', conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
AND conname NOT LIKE 'alembic_version%'
UNION ALL SELECT attrelid::regclass::text, concat_ws(' ', attname, attstorage)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
AND relname <> 'alembic_version'
"""


def tables(engine: Engine) -> dict[str, list[str]]:
    """Give the lines that make each table and index; constraints may come in any order."""
    statement = (
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
    )
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.execute(text(statement)).all()
            return {
                row.name: sorted(line.strip(" \t,") for line in _COLUMN.split(row.sql))
                for row in rows
            }
        found: dict[str, list[str]] = {}
        for row in connection.execute(text(_OF_POSTGRESQL)):
            found.setdefault(row.name, []).append(row.sql)
    return {name: sorted(lines) for name, lines in found.items()}


def move(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if revision == "base" else command.upgrade)(config, revision)


def test_revisions_make_the_tables_that_the_code_works_with(
    engine: Engine, dialect: Dialect, server: PostgresqlServer, tmp_path: Path
) -> None:
    migrations.upgrade(engine)
    by_metadata = empty(dialect, server, tmp_path / "metadata.db")
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


def test_database_of_a_newer_version_is_refused_untouched(engine: Engine) -> None:
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    made = tables(engine)

    with pytest.raises(FailedPrecondition) as caught:
        migrations.upgrade(engine)

    assert caught.value.message == (
        "the database has revision '9999', which is newer than this Fileroom knows "
        f"('{schema.REVISION}'): start the newer version, or restore the backup made before it"
    )
    assert tables(engine) == made


def test_two_servers_that_start_at_a_time_make_the_tables_once(server: PostgresqlServer) -> None:
    address = server.new_database(template=False)
    with ThreadPoolExecutor(4) as threads:
        for opened in threads.map(open_database, [address] * 4):
            opened.close()


def test_database_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    open_database(tmp_path / "fileroom.db").close()

    assert (tmp_path / "fileroom.db").stat().st_mode & 0o777 == 0o600
