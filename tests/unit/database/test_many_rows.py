"""Many rows at once are the same rows, however a database takes them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import DBAPIError

from fileroom.database import schema
from fileroom.database.many_rows import (
    COPY_ROWS_MIN,
    find_held,
    insert_missing_rows,
    insert_new_rows,
    insert_rows,
    is_among,
    update_rows,
)
from fileroom.errors import Reason
from tests.unit.database.rows import add_claimed, all_rows, new_store

if TYPE_CHECKING:
    from fileroom.database.engine import Connection, Database

SIZES = [1, COPY_ROWS_MIN - 1, COPY_ROWS_MIN, 250]
KEY = ("store_id", "study_instance_uid")


def studies(store_id: int, count: int, first: int = 0) -> list[dict[str, object]]:
    return [
        {"store_id": store_id, "study_instance_uid": f"1.{number:04}", "study_id": "€ \\N\t\n"}
        for number in range(first, first + count)
    ]


def uids(transaction: Connection) -> list[str]:
    return list(
        transaction.execute(
            select(schema.studies.c.study_instance_uid).order_by(schema.studies.c.id)
        ).scalars()
    )


@pytest.mark.parametrize("size", SIZES)
def test_only_what_is_new_gets_rows_with_ids_in_their_order(
    transaction: Connection, store_id: int, size: int
) -> None:
    first = insert_new_rows(transaction, schema.studies, studies(store_id, size, 1000), key=KEY)
    both = studies(store_id, size) + studies(store_id, size, 1000)
    second = insert_new_rows(transaction, schema.studies, both, key=KEY)
    assert list(first) == [(store_id, f"1.{1000 + number}") for number in range(size)]
    assert list(second) == [(store_id, f"1.{number:04}") for number in range(size)]
    ids = [*first.values(), *second.values()]
    assert ids == sorted(ids)
    assert uids(transaction) == [uid for _, uid in (*first, *second)]
    assert insert_new_rows(transaction, schema.studies, both, key=KEY) == {}
    assert {row.study_id for row in all_rows(transaction, schema.studies)} == {"€ \\N\t\n"}


@pytest.mark.parametrize("size", [0, *SIZES])
def test_rows_hold_what_was_given(transaction: Connection, store_id: int, size: int) -> None:
    operation = add_claimed(transaction, store_id=store_id)
    rows = [
        {
            "operation_id": operation.id,
            "ordinal": number + 2**40,
            "source": f"gs://b/{number}\\.\n",
            "code": number % 17,
            "reason": Reason.SOURCE_NOT_FOUND,
            "message": "größer",
            "tag": None,
            "byte_offset": None if number % 2 else number,
        }
        for number in range(size)
    ]
    insert_rows(transaction, schema.operation_failures, rows)
    found = all_rows(transaction, schema.operation_failures)
    assert [dict(row._mapping) for row in found] == rows


@pytest.mark.parametrize("size", SIZES)
def test_a_key_that_is_there_is_an_error_like_any_other(
    transaction: Connection, store_id: int, size: int
) -> None:
    rows = studies(store_id, size)
    insert_rows(transaction, schema.studies, rows)
    with transaction.begin_nested() as savepoint:
        with pytest.raises(DBAPIError, match=r"INSERT|COPY"):
            insert_rows(transaction, schema.studies, rows)
        savepoint.rollback()
    assert len(uids(transaction)) == size


def test_who_comes_second_begins_again(database: Database, copied: None) -> None:
    """Where nobody kept others away, though whoever calls it should."""
    store_id = database.write(new_store)
    met = threading.Barrier(2)
    attempts = []

    def add(name: str) -> int:
        waited = False

        def meet(*told: Any) -> None:
            """Have both found nothing before either of them copies."""
            nonlocal waited
            if told[2].startswith("COPY") and not waited:
                waited = True
                met.wait(10)

        def change(transaction: Connection) -> int:
            attempts.append(name)
            event.listen(transaction, "before_cursor_execute", meet)
            return len(insert_new_rows(transaction, schema.studies, rows, key=KEY))

        rows = studies(store_id, 20, 2000)
        return database.write(change)

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(add, "ab")) == [0, 20]
    with database.read() as connection:
        assert len(set(uids(connection))) == len(uids(connection))
    assert len(attempts) == (3 if database.is_shared else 2)


def test_who_listens_to_statements_hears_of_a_copy(transaction: Connection, store_id: int) -> None:
    heard: list[str] = []
    hear = lambda *told: heard.append(told[2])  # noqa: E731 - the same one is taken away
    event.listen(transaction, "before_cursor_execute", hear)
    try:
        insert_rows(transaction, schema.studies, studies(store_id, COPY_ROWS_MIN))
    finally:
        event.remove(transaction, "before_cursor_execute", hear)
    by_copy = transaction.dialect.name == "postgresql"
    assert [told.split()[0] for told in heard] == ["COPY" if by_copy else "INSERT"]


@pytest.mark.parametrize("size", SIZES)
def test_missing_rows_are_those_that_are_not_there(
    transaction: Connection, store_id: int, size: int
) -> None:
    for first in (0, size // 2, size):
        insert_missing_rows(transaction, schema.studies, studies(store_id, size, first), key=KEY)
    assert sorted(uids(transaction)) == [f"1.{number:04}" for number in range(2 * size)]


@pytest.mark.parametrize("size", [0, *SIZES])
def test_each_row_gets_its_own_values(transaction: Connection, store_id: int, size: int) -> None:
    key = (*KEY, "study_id")
    ids = insert_new_rows(transaction, schema.studies, studies(store_id, size + 1), key=key)
    (_, *changed) = ids.values()
    update_rows(
        transaction,
        schema.studies,
        [
            {"id": row_id, "patient_id": None if number % 2 else f"P{number}", "described_by": 7}
            for number, row_id in enumerate(changed)
        ],
    )
    update_rows(
        transaction,
        schema.studies,
        [{"id": row_id, "described_by": row_id} for row_id in changed],
        added=frozenset({"described_by"}),
    )
    found = {row.id: row for row in all_rows(transaction, schema.studies)}
    assert [found[row_id].patient_id for row_id in changed] == [
        None if number % 2 else f"P{number}" for number in range(size)
    ]
    assert [found[row_id].described_by for row_id in changed] == [7 + each for each in changed]
    untouched = found[next(iter(ids.values()))]
    assert (untouched.patient_id, untouched.described_by) == (None, None)


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_found_by_what_is_given(transaction: Connection, store_id: int, size: int) -> None:
    insert_rows(transaction, schema.studies, studies(store_id, 3 * size))
    wanted = studies(store_id, size, size)
    table = schema.studies.c
    texts = [str(row["study_instance_uid"]) for row in wanted]
    among = select(table.study_instance_uid).where(
        is_among(transaction, table.study_instance_uid, texts)
    )
    assert sorted(transaction.execute(among).scalars()) == texts
    keys = [{name: row[name] for name in KEY} for row in studies(store_id, size + 1, 2 * size)]
    found = find_held(transaction, schema.studies, ("study_instance_uid", "store_id"), keys)
    assert sorted(row.study_instance_uid for row in found) == [
        row["study_instance_uid"] for row in keys[:-1]
    ]
    assert {row.store_id for row in found} == {store_id}
