"""The one writer: order, groups, errors, durability; and readers beside it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, insert, select, text

from fileroom.database import dialects, schema, sqlite
from fileroom.database.dialects import bounded
from fileroom.database.sqlite import SMALL_WRITES_MAX, SqliteDatabase, open_sqlite
from fileroom.errors import AlreadyExists, Internal, ResourceExhausted, Unavailable
from tests.databases import new_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fileroom.database.engine import Connection, Lane


def open_new(directory: Path) -> SqliteDatabase:
    """Open a database without content."""
    place = new_database(directory)
    assert not isinstance(place, str)
    return SqliteDatabase(place)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = open_new(tmp_path)
    try:
        yield database
    finally:
        database.close()


def add(key: str, value: str = "") -> Callable[[Connection], str]:
    def change(transaction: Connection) -> str:
        transaction.execute(insert(schema.meta).values(key=key, value=value))
        return key

    return change


def keys(database: SqliteDatabase) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(schema.meta.c.key)).scalars())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came to this"
        time.sleep(0.001)


class Waiting:
    """Writes asked for, one after the other, while the writer is held up by a batch."""

    def __init__(self, database: SqliteDatabase, pool: ThreadPoolExecutor) -> None:
        self._database = database
        self._pool = pool
        self._go = threading.Event()
        self._holding = threading.Event()
        self._first = pool.submit(database.write, self._hold, lane="batch")
        self._holding.wait(10)

    def _hold(self, _: Connection) -> None:
        self._holding.set()
        self._go.wait(10)

    def write(self, change: Callable[[Connection], object], lane: Lane = "small") -> Future[object]:
        waiting = self._database._waiting[lane]
        before = len(waiting)
        future = self._pool.submit(self._database.write, change, lane=lane)
        wait_until(lambda: len(waiting) > before)
        return future

    def go(self) -> None:
        self._go.set()
        self._first.result()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(SMALL_WRITES_MAX + 100) as pool:
        yield pool


def test_small_writes_go_before_batches_that_wait_longer(
    database: SqliteDatabase, pool: ThreadPoolExecutor
) -> None:
    order: list[str] = []
    waiting = Waiting(database, pool)
    futures = [
        waiting.write(lambda _: order.append("batch 1"), "batch"),
        waiting.write(lambda _: order.append("batch 2"), "batch"),
        waiting.write(lambda _: order.append("small 1")),
        waiting.write(lambda _: order.append("small 2")),
    ]
    waiting.go()
    for future in futures:
        future.result()

    assert order == ["small 1", "small 2", "batch 1", "batch 2"]


def test_small_write_waits_for_one_batch_at_most(
    database: SqliteDatabase, pool: ThreadPoolExecutor
) -> None:
    begun = 0
    done = threading.Event()

    def batch(_: Connection) -> None:
        nonlocal begun
        begun += 1
        time.sleep(0.002)

    def keep_writing() -> None:
        while not done.is_set():
            database.write(batch, lane="batch")

    writers = [pool.submit(keep_writing) for _ in range(4)]
    waits = []
    for _ in range(25):
        before = begun
        waits.append(database.write(lambda _: begun) - before)
    done.set()
    for writer in writers:
        writer.result()

    # One that runs, and one that may begin before the write is asked for.
    assert max(waits) <= 2


def test_failing_small_write_leaves_its_neighbours_whole(
    database: SqliteDatabase, pool: ThreadPoolExecutor
) -> None:
    def fails(transaction: Connection) -> None:
        add("half")(transaction)
        raise AlreadyExists("it is there")

    waiting = Waiting(database, pool)
    before, failing, clashing, after = (
        waiting.write(change) for change in (add("a"), fails, add("a"), add("b"))
    )
    waiting.go()

    assert (before.result(), after.result()) == ("a", "b")
    with pytest.raises(AlreadyExists, match="it is there"):
        failing.result()
    with pytest.raises(Internal, match="refused a statement"):
        clashing.result()
    assert keys(database) == {"a", "b"}


def test_more_small_writes_than_one_group_holds_are_all_done(
    database: SqliteDatabase, pool: ThreadPoolExecutor
) -> None:
    names = {f"key {number}" for number in range(SMALL_WRITES_MAX + 10)}
    waiting = Waiting(database, pool)
    futures = [waiting.write(add(name)) for name in names]
    waiting.go()

    assert {future.result() for future in futures} == names
    assert keys(database) == names


def test_failing_batch_writes_nothing_and_the_next_one_works(database: SqliteDatabase) -> None:
    def fails(transaction: Connection) -> None:
        add("half")(transaction)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(fails, lane="batch")
    database.write(add("whole"), lane="batch")

    assert keys(database) == {"whole"}


def test_writer_keeps_what_it_wrote_over_the_death_of_its_process(tmp_path: Path) -> None:
    path = tmp_path / "fileroom.db"
    open_sqlite(path).close()
    program = (
        "import os, pathlib, signal, sys\n"
        "from sqlalchemy import insert\n"
        "from fileroom.database import schema\n"
        "from fileroom.database.sqlite import SqliteDatabase\n"
        "database = SqliteDatabase(pathlib.Path(sys.argv[1]))\n"
        "row = insert(schema.meta).values(key='kept', value='')\n"
        "database.write(lambda transaction: transaction.execute(row) and None)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False)

    assert ended.returncode == -signal.SIGKILL
    database = open_sqlite(path)
    assert keys(database) == {"kept"}
    database.close()


def test_each_commit_is_synced(database: SqliteDatabase) -> None:
    full = 2

    def synchronous(transaction: Connection) -> object:
        return transaction.exec_driver_sql("PRAGMA synchronous").scalar()

    assert database.write(synchronous) == full


def test_reader_sees_one_snapshot(database: SqliteDatabase) -> None:
    count = select(func.count()).select_from(schema.meta)
    with database.read() as connection:
        assert connection.execute(count).scalar() == 0
        database.write(add("later"))

        assert connection.execute(count).scalar() == 0
    assert keys(database) == {"later"}


def test_what_takes_too_long_is_given_up_and_the_next_is_not(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "STATEMENT_SECONDS", 0.1)
    endless = text(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    )
    with (
        pytest.raises(Unavailable, match="took more than 60 s for a statement; ask for less"),
        database.read() as connection,
        bounded(connection),
    ):
        connection.execute(endless)
    long = text(f"{endless} LIMIT 1".replace("FROM n) ", "FROM n WHERE x < 2000000) "))
    began = time.monotonic()
    with database.read() as connection:
        assert connection.execute(long).scalar_one() == 2_000_000
    assert time.monotonic() - began > 0.1, "it took no longer than one that is bounded may"


def test_reader_cannot_write(database: SqliteDatabase) -> None:
    with pytest.raises(Unavailable, match="readonly"), database.read() as connection:
        add("no")(connection)

    assert keys(database) == set()


class Disk:
    """How far the database may grow: SQLite's own limit gives its own error of a full disk."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def is_full(self) -> None:
        pages = self._database.write(lambda tx: tx.exec_driver_sql("PRAGMA page_count").scalar())
        assert isinstance(pages, int)
        self._limit(pages + 2)

    def has_room(self) -> None:
        self._limit(1 << 30)

    def _limit(self, pages: int) -> None:
        self._database.write(lambda tx: tx.exec_driver_sql(f"PRAGMA max_page_count={pages}").all())


def test_full_disk_fails_the_whole_group_and_writes_nothing_of_it(
    database: SqliteDatabase, pool: ThreadPoolExecutor
) -> None:
    disk = Disk(database)
    disk.is_full()
    waiting = Waiting(database, pool)
    group = [waiting.write(change) for change in (add("a"), add("large", "x" * 100_000), add("b"))]
    waiting.go()

    for future in group:
        with pytest.raises(ResourceExhausted, match="disk") as caught:
            future.result()
        assert caught.value.detail == "NO_SPACE"
    assert keys(database) == set()
    disk.has_room()
    database.write(add("large", "x" * 100_000))
    assert keys(database) == {"large"}


def test_full_disk_fails_a_batch_after_any_of_its_statements(database: SqliteDatabase) -> None:
    disk = Disk(database)
    disk.is_full()
    for writes_before in range(4):

        def batch(transaction: Connection, many: int = writes_before) -> None:
            for number in range(many):
                add(f"{many} {number}")(transaction)
            add("large", "x" * 100_000)(transaction)

        with pytest.raises(ResourceExhausted):
            database.write(batch, lane="batch")
        assert keys(database) == set()
    disk.has_room()


def test_change_that_goes_on_over_a_full_disk_writes_nothing(database: SqliteDatabase) -> None:
    def goes_on(transaction: Connection) -> None:
        add("before")(transaction)
        with pytest.raises(Exception, match="full"), transaction.begin_nested():
            add("large", "x" * 100_000)(transaction)
        add("after")(transaction)

    disk = Disk(database)
    disk.is_full()
    with pytest.raises((ResourceExhausted, Unavailable, Internal)):
        database.write(goes_on)
    disk.has_room()

    assert keys(database) == set()
    database.write(add("next"))
    assert keys(database) == {"next"}


def test_write_that_another_process_keeps_out_is_a_fault_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 50)
    database = open_new(tmp_path)
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    lanes: tuple[Lane, ...] = ("small", "batch")
    for lane in lanes:
        with pytest.raises(Unavailable, match="locked"):
            database.write(add("kept out"), lane=lane)
    other.execute("ROLLBACK")
    other.close()
    database.write(add("let in"))

    assert keys(database) == {"let in"}
    database.close()


def test_log_is_moved_to_the_file_when_the_writer_is_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "IDLE_SECONDS", 0.02)
    database = open_new(tmp_path)
    size = 1_000_000
    database.write(add("large", "x" * size))

    wait_until(lambda: database.path.stat().st_size > size)
    database.close()


def test_log_that_grew_beneath_a_long_reader_is_cut_once_it_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = 50
    monkeypatch.setattr(sqlite, "IDLE_SECONDS", 0.02)
    monkeypatch.setattr(sqlite, "CHECKPOINT_PAGES", kept)
    database = open_new(tmp_path)
    log = tmp_path / f"{database.path.name}-wal"
    at_most = kept * sqlite.PAGE_BYTES
    with database.read() as connection:
        connection.execute(select(schema.meta)).all()
        for number in range(20):
            database.write(add(str(number), "x" * 50_000))
        # No frame behind the reader's may be written over: the log grows as long as it stays.
        assert log.stat().st_size > 4 * at_most
    wait_until(lambda: database.path.stat().st_size > 20 * 50_000)

    database.write(add("next"))

    assert log.stat().st_size <= at_most
    database.close()


def test_no_write_waits_for_a_writer_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> None:
    database = open_new(tmp_path)
    waiting = Waiting(database, pool)
    future = waiting.write(add("a"))
    monkeypatch.setattr(sqlite, "SMALL_WRITES_MAX", None)  # ends the writer when it takes the next
    waiting.go()

    with pytest.raises(Unavailable, match="writer"):
        future.result(10)
    with pytest.raises(Unavailable):
        database.write(add("b"))
    database.close()


def test_reader_holds_back_no_write_and_no_close(tmp_path: Path) -> None:
    database = open_new(tmp_path)
    with database.read() as connection:
        connection.execute(select(schema.meta)).all()
        database.write(add("meanwhile"))
        database.close()


def test_closing_finishes_the_writes_that_wait(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    database = open_sqlite(tmp_path / "fileroom.db")
    waiting = Waiting(database, pool)
    futures = [waiting.write(add("a")), waiting.write(add("b"), "batch")]
    closing = pool.submit(database.close)
    wait_until(lambda: database._closing)
    with pytest.raises(Unavailable, match="closing"):
        database.write(add("too late"))
    waiting.go()
    closing.result()

    assert [future.result() for future in futures] == ["a", "b"]
    again = open_sqlite(tmp_path / "fileroom.db")
    assert keys(again) == {"a", "b"}
    again.close()
