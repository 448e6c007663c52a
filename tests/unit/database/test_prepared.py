"""Statements that the driver runs by itself give what SQLAlchemy would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, Integer, bindparam, column, create_engine, event, select, table
from sqlalchemy.exc import OperationalError

from fileroom.database.prepared import Prepared
from fileroom.database.schema import dicom_stores, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMED = select(dicom_stores).where(
    dicom_stores.c.dicom_store_id == bindparam("named"), dicom_stores.c.etag == "e"
)


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A database in memory with two DICOM stores."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        for number, config in enumerate(({"labels": {"a": "b"}}, {})):
            connection.execute(
                dicom_stores.insert().values(
                    dataset_id=1,
                    dicom_store_id=f"s{number}",
                    config=config,
                    etag="e",
                    blob_prefix=f"p{number}",
                    created_at=number,
                )
            )
        yield connection
    engine.dispose()


@pytest.mark.parametrize("named", ["s0", "s1", "absent"])
def test_rows_are_those_of_sqlalchemy(connection: Connection, named: str) -> None:
    prepared = Prepared(NAMED)
    expected = connection.execute(NAMED, {"named": named}).all()
    for _ in range(2):
        found = prepared.rows(connection, {"named": named})
        assert found == expected
        assert [row._mapping for row in found] == [row._mapping for row in expected]


def test_listeners_hear_of_it(connection: Connection) -> None:
    heard = []
    event.listen(connection, "before_cursor_execute", lambda *told: heard.append(told[2:4]))
    Prepared(NAMED).rows(connection, {"named": "s0"})
    ((statement, parameters),) = heard
    assert statement.startswith("SELECT dicom_stores.id")
    assert parameters == ["s0", "e"]


def test_errors_are_sqlalchemys_and_tell_no_values(connection: Connection) -> None:
    absent = table("absent", column("id", Integer))
    prepared = Prepared(select(absent).where(absent.c.id == bindparam("named")))
    with pytest.raises(OperationalError, match="no such table: absent") as caught:
        prepared.rows(connection, {"named": "DOE^JOHN"})
    assert "DOE" not in str(caught.value)
