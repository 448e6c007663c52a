"""What PostgreSQL alone has to show: several who write at a time, one of whom may be lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import event, func, insert, select, text

from fileroom.database import exports, postgresql, schema, servers
from fileroom.database.instances import StoreWrite, next_change_seq, store_records
from fileroom.database.postgresql import PostgresqlDatabase
from fileroom.errors import Aborted, Internal, ResourceExhausted, Unavailable
from tests.unit.database.rows import new_store, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.database.engine import Connection
    from tests.postgresql import PostgresqlServer

INSTANCES = 10_000


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


@pytest.mark.parametrize("part", [0.0, 0.5, 0.9])
def test_a_page_of_an_export_costs_the_same_wherever_it_begins(
    filled: PostgresqlDatabase, part: float
) -> None:
    with filled.read() as connection:
        heard: list[tuple[str, Any]] = []
        event.listen(connection, "before_cursor_execute", lambda *told: heard.append(told[2:4]))
        store_id, series_id, sop_instance_uid = connection.execute(
            select(
                schema.instances.c.store_id,
                schema.instances.c.series_id,
                schema.instances.c.sop_instance_uid,
            )
            .order_by(schema.instances.c.series_id, schema.instances.c.sop_instance_uid)
            .offset(int(INSTANCES * part))
            .limit(1)
        ).one()
        page = exports.list_instances(
            connection,
            store_id,
            horizon=10**6,
            path=None,
            after=(series_id, sop_instance_uid),
            at_most=250,
        )
        statement, parameters = heard[-1]
        (plan,) = connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
        ).scalar_one()
    assert len(page) == 250
    # The page, what its series has before it, series and studies; or all of the last ones, sorted.
    assert _rows_read(plan["Plan"]) < INSTANCES / 8


@pytest.fixture(scope="module")
def filled(server: PostgresqlServer) -> Iterator[PostgresqlDatabase]:
    """A store of 40 series of 250 instances."""
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
    database.write(lambda transaction: transaction.execute(text("ANALYZE")))
    yield database
    database.close()
