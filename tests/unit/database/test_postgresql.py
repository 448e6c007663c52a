"""What PostgreSQL alone has to show: several who write at a time, one of whom may be lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import event, func, insert, select, text

from fileroom.database import exports, operations, postgresql, schema, servers
from fileroom.database.instances import StoreWrite, next_change_seq, store_records
from fileroom.database.many_rows import find_held, insert_rows
from fileroom.database.pages import encode_page_token
from fileroom.database.postgresql import PostgresqlDatabase
from fileroom.errors import Aborted, Internal, ResourceExhausted, Unavailable
from tests.unit.database.rows import DATASET, add_claimed, new_store, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.database.engine import Connection
    from tests.postgresql import PostgresqlServer

INSTANCES = 10_000
OPERATIONS = 3_000


@pytest.fixture
def database(server: PostgresqlServer) -> Iterator[PostgresqlDatabase]:
    database = PostgresqlDatabase(server.new_database())
    yield database
    database.close()


def add(key: str) -> Callable[[Connection], str]:
    def change(transaction: Connection) -> str:
        transaction.execute(insert(schema.meta).values(key=key, value=""))
        return key

    return change


def test_reader_sees_one_snapshot_and_writes_nothing(database: PostgresqlDatabase) -> None:
    count = select(func.count()).select_from(schema.meta)
    with database.read() as connection:
        assert connection.execute(count).scalar() == 0
        database.write(add("later"))
        assert connection.execute(count).scalar() == 0
    with pytest.raises(Internal), database.read() as connection:
        add("no")(connection)
    with database.read() as connection:
        assert connection.execute(count).scalar() == 1


def test_changes_of_a_store_are_numbered_in_the_order_of_their_commits(
    database: PostgresqlDatabase,
) -> None:
    store_id = database.write(new_store)
    committed: list[int] = []
    lock = threading.Lock()

    def change(number: int) -> None:
        def draw(transaction: Connection) -> int:
            seq = next_change_seq(transaction, store_id)
            time.sleep(0.002 * (number % 5))
            return seq

        seq = database.write(draw)
        with lock:
            committed.append(seq)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(change, range(100)))
    assert sorted(committed) == list(range(1, 101))
    # Whoever was told later committed later, but for those who were told at the same moment.
    assert all(abs(place - seq) < 8 for place, seq in enumerate(committed, 1))


def test_a_deadlock_is_run_again(database: PostgresqlDatabase) -> None:
    database.write(add("a"))
    database.write(add("b"))
    table = schema.meta
    both = threading.Barrier(2)
    attempts: list[int] = []

    def change(first: str, second: str) -> None:
        met = False

        def swap(transaction: Connection) -> None:
            nonlocal met
            attempts.append(1)
            for key in (first, second):
                transaction.execute(table.update().where(table.c.key == key).values(value=first))
                if not met:
                    met = True
                    both.wait(10)

        database.write(swap)

    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(change, "a", "b"), threads.submit(change, "b", "a")]
        for each in done:
            each.result(30)
    assert len(attempts) > 2


def test_a_key_that_another_one_took_is_seen_by_the_next_attempt(
    database: PostgresqlDatabase,
) -> None:
    def take(_: int) -> bool:
        def change(transaction: Connection) -> bool:
            found = transaction.execute(select(schema.meta.c.key)).scalar()
            if found is None:
                time.sleep(0.02)
                add("one")(transaction)
            return found is None

        return database.write(change)

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(take, range(6))) == 1


def test_what_never_comes_through_is_told(
    database: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "ATTEMPTS_MAX", 3)
    database.write(add("a"))
    with pytest.raises(Aborted, match="repeat the request"):
        database.write(add("a"))


@pytest.mark.parametrize("where", ["between two statements", "among many"])
def test_rows_that_a_halted_server_holds_are_free_again(
    server: PostgresqlServer, where: str
) -> None:
    database = PostgresqlDatabase(server.new_database(), transaction_seconds=1)
    store_id = database.write(new_store)
    go = threading.Event()

    def halt(transaction: Connection) -> None:
        next_change_seq(transaction, store_id)
        driver: Any = transaction.connection.driver_connection
        with driver.pipeline() if where == "among many" else nullcontext():
            driver.execute("SELECT 1")
            assert go.wait(20)
        next_change_seq(transaction, store_id)

    with ThreadPoolExecutor(1) as threads:
        halted = threads.submit(database.write, halt)
        time.sleep(0.3)
        began = time.monotonic()
        assert database.write(lambda tx: next_change_seq(tx, store_id)) == 1
        assert time.monotonic() - began < 10
        go.set()
        with pytest.raises((Unavailable, psycopg.OperationalError)):
            halted.result(20)
    database.close()


def test_a_database_that_starts_again_is_reached_again(server: PostgresqlServer) -> None:
    database = PostgresqlDatabase(server.new_database())
    database.write(add("before"))
    server.kill()
    with pytest.raises(Unavailable, match="did not answer"):
        database.write(add("away"))
    server.start()
    database.write(add("after"))
    with database.read() as connection:
        keys = set(connection.execute(select(schema.meta.c.key)).scalars())
    assert keys == {"before", "after"}
    database.close()


@pytest.mark.parametrize(
    ("state", "error"),
    [("53100", ResourceExhausted), ("57014", Unavailable), ("23514", Internal)],
)
def test_errors_are_those_of_the_contract(
    database: PostgresqlDatabase, state: str, error: type[Exception]
) -> None:
    statement = f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$"
    with pytest.raises(error):
        database.write(lambda transaction: transaction.execute(text(statement)))


def test_a_server_that_the_others_forgot_commits_nothing(database: PostgresqlDatabase) -> None:
    database.write(lambda tx: servers.register_server(tx, "one", "here"))
    database.write(lambda tx: servers.register_server(tx, "other", "there"))
    database.write(lambda tx: servers.hold_server(tx, "one"))
    assert database.write(servers.forget_dead_servers) == []
    late = schema.servers.update().where(schema.servers.c.boot == "one").values(lease_until=0)
    database.write(lambda tx: tx.execute(late))
    assert database.write(servers.forget_dead_servers) == ["one"]
    with pytest.raises(Unavailable, match="took it for dead"):
        database.write(lambda tx: servers.hold_server(tx, "one"))
    assert not database.write(lambda tx: servers.prolong_server(tx, "one"))
    assert database.write(lambda tx: servers.prolong_server(tx, "other"))
    with database.read() as connection:
        assert servers.known_servers(connection) == {"other"}
        assert servers.has_living_server(connection)


def _rows_read(plan: dict[str, Any]) -> int:
    """Give how many rows a plan that was run took from tables, those it threw away included."""
    own = 0
    if "Relation Name" in plan:
        each = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        own = round(each * plan["Actual Loops"])
    return own + sum(_rows_read(child) for child in plan.get("Plans", ()))


@contextmanager
def rows_read(connection: Connection) -> Iterator[list[int]]:
    """Give how many rows each statement that runs takes from tables; told at the end."""
    heard: list[tuple[str, Any]] = []

    def hear(*told: Any) -> None:
        heard.append(told[2:4])

    counts: list[int] = []
    event.listen(connection, "before_cursor_execute", hear)
    yield counts
    event.remove(connection, "before_cursor_execute", hear)
    for statement, parameters in heard:
        explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
        (plan,) = connection.exec_driver_sql(explained, parameters).scalar_one()
        counts.append(_rows_read(plan["Plan"]))


@pytest.mark.parametrize("part", [0.0, 0.5, 0.9])
def test_a_page_of_an_export_costs_the_same_wherever_it_begins(
    filled: PostgresqlDatabase, part: float
) -> None:
    table = schema.instances.c
    columns = table.store_id, table.series_id, table.sop_instance_uid
    some = select(*columns).order_by(*columns[1:]).offset(int(INSTANCES * part)).limit(1)
    with filled.read() as connection:
        store_id, series_id, sop_instance_uid = connection.execute(some).one()
        with rows_read(connection) as counts:
            page = exports.list_instances(
                connection,
                store_id,
                horizon=10**6,
                path=None,
                after=(series_id, sop_instance_uid),
                at_most=250,
            )
    assert len(page) == 250
    # The page, what its series has before it, series and studies; or all of the last ones, sorted.
    assert max(counts) < INSTANCES / 8


def test_studies_are_found_by_their_keys_in_a_table_that_nobody_counted(
    database: PostgresqlDatabase,
) -> None:
    def fill(transaction: Connection) -> list[dict[str, object]]:
        store_id = new_store(transaction)
        keys: list[dict[str, object]] = [
            {"store_id": store_id, "study_instance_uid": f"1.{number}"} for number in range(3_000)
        ]
        insert_rows(transaction, schema.studies, keys)
        return keys

    def find(transaction: Connection) -> list[int]:
        with rows_read(transaction) as counts:
            assert len(find_held(transaction, schema.studies, ("id",), keys[1000:1250])) == 250
        return counts

    keys = database.write(fill)
    assert max(database.write(find)) == 250


@pytest.mark.parametrize("part", [0.0, 0.5, 0.9])
def test_a_page_of_operations_costs_the_same_wherever_it_begins(
    filled: PostgresqlDatabase, part: float
) -> None:
    table = schema.operations.c
    place = select(table.created_at, table.id).order_by(table.created_at.desc())
    with filled.read() as connection:
        after = tuple(connection.execute(place.offset(int(OPERATIONS * part)).limit(1)).one())
        token = encode_page_token(f"{DATASET}/operations?done=None", after)
        with rows_read(connection) as counts:
            page = operations.list_operations(connection, DATASET, page_size=50, page_token=token)
    assert len(page.items) == 50
    assert max(counts) < 200


@pytest.fixture(scope="module")
def filled(server: PostgresqlServer) -> Iterator[PostgresqlDatabase]:
    """A store of 40 series of 250 instances, and many operations."""
    database = PostgresqlDatabase(server.new_database())
    store_id = database.write(new_store)
    write = StoreWrite(store_id=store_id, operation_id=1)
    for first in range(0, INSTANCES, 250):
        series = f"1.{first}"
        records = [
            record(number, ("1", series, f"{series}.{number}"))
            for number in range(first, first + 250)
        ]
        database.write(partial(store_records, write=write, records=records))
    database.write(_add_operations)
    database.write(lambda transaction: transaction.execute(text("ANALYZE")))
    yield database
    database.close()


def _add_operations(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    rows = [
        {
            "dataset_id": 1,
            "operation_id": str(number),
            "kind": operations.Kind.IMPORT,
            "api_version": "v1",
            "request": {},
            "state": operations.State.DONE,
            "created_at": operation.created_at - number,
        }
        for number in range(1, OPERATIONS)
    ]
    transaction.execute(insert(schema.operations), rows)
