"""No statement that production runs reads a whole table to find some of its rows."""

from __future__ import annotations

import re
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event

from fileroom.database import (
    collection,
    comparing,
    content_metrics,
    exports,
    extra_attributes,
    operations,
    stored,
    stores,
)
from fileroom.database.collection import StoreArea
from fileroom.database.instances import DuplicatePolicy, StoreWrite, deleting, store_records
from fileroom.database.instances.describing import Describer
from fileroom.database.operations import Counters, DeferredObject
from fileroom.database.sqlite import open_engine
from fileroom.errors import Code, ObjectFailure, Reason
from fileroom.names import InstancePath, Uid
from tests.databases import new_database
from tests.unit.database.rows import DATASET, HOUR, STORE, add_claimed, new_store, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.database.engine import Connection
    from fileroom.database.operations import Operation

Statement = tuple[str, object]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Of SQLite alone: PostgreSQL plans by what is in a table, of which there is little here."""
    place = new_database(tmp_path_factory.mktemp("plans"))
    assert not isinstance(place, str)
    engine = open_engine(place, writable=True)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


GROWING = (
    "blob_drops|extra_attributes|frame_tables|headers|instances|operation_deferred|"
    "operation_failures|"
    "operation_ledger|operations|series|studies"
)
KEY = ("1.2", "1.2.1", "1.2.1.1")
PATH = InstancePath(*map(Uid, KEY))
OBJECT = DeferredObject(ordinal=7, source="gs://b/7", version=None, size=1, why="SLOW")
FAILURE = ObjectFailure(
    source="gs://b/7", code=Code.NOT_FOUND, reason=Reason.SOURCE_NOT_FOUND, message="gone"
)


@contextmanager
def recorded(connection: Connection) -> Iterator[list[Statement]]:
    """Give the statements that run, with their parameters."""
    statements: list[Statement] = []

    def note(
        _connection: Connection,
        _cursor: object,
        statement: str,
        parameters: object,
        _context: object,
        _many: bool,
    ) -> None:
        statements.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(connection, "before_cursor_execute", note)


def plans(connection: Connection, statements: list[Statement]) -> list[tuple[str, str]]:
    """Give the steps of each statement's plan, each beside its statement."""
    cursor = connection.connection.cursor()
    steps = []
    for statement, parameters in statements:
        if statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN")):
            continue
        assert isinstance(parameters, list | tuple)
        of_many = bool(parameters) and isinstance(parameters[0], list | tuple)
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters[0] if of_many else parameters)
        steps += [(row[3], statement) for row in cursor.fetchall()]
    return steps


def claim(transaction: Connection) -> Operation:
    return add_claimed(transaction)


def store_batch(transaction: Connection, operation: Operation, policy: DuplicatePolicy) -> None:
    store_id = operation.store_id
    assert store_id is not None
    write = StoreWrite(store_id=store_id, operation_id=operation.id, start_seq=0, policy=policy)
    others = [record(n, (KEY[0], KEY[1], f"9.{n}"), "b", operation=operation.id) for n in (1, 2)]
    # SQLite plans for one key otherwise than for several.
    others += [record(n, (f"1.{n}", f"1.{n}.1", "9"), "b", operation=operation.id) for n in (3, 4)]
    changed = record(0, KEY, f"{policy} of {operation.id}", operation=operation.id)
    store_records(transaction, write, [changed, *others])


def read_frames(transaction: Connection, operation: Operation) -> None:
    found = stored.find_stored_frames(transaction, operation.store_id or 0, PATH, chunk=3)
    assert found is not None
    stored.find_frame_chunk(transaction, found.instance, 1)
    stored.keep_frame_table(transaction, found.instance, [b"a", b"b"])
    assert stored.find_frame_chunk(transaction, found.instance, 1) == b"b"


def page_of_instances(connection: Connection, operation: Operation, levels: int) -> None:
    assert operation.store_id is not None
    path = None if levels == 0 else InstancePath(*map(Uid, KEY[:levels]))
    exports.count_instances(connection, operation.store_id, horizon=9, path=path)
    exports.list_instances(
        connection, operation.store_id, horizon=9, path=path, after=(1, "9.1"), at_most=250
    )


def second_page_of_operations(connection: Connection, done: bool | None) -> None:
    token = operations.list_operations(connection, DATASET, page_size=1, done=done).next_page_token
    operations.list_operations(connection, DATASET, page_token=token, done=done)


def second_page_of_failures(connection: Connection, operation: Operation) -> None:
    for reason in (None, FAILURE.reason):
        token = operations.list_failures(
            connection, operation.name, page_size=1, reason=reason
        ).next_page_token
        operations.list_failures(connection, operation.name, page_token=token, reason=reason)


def read_log(connection: Connection, operation: Operation) -> None:
    for newest_first in (False, True):
        for named in (None, operation.name.operation_id):
            operations.operations_from(
                connection,
                ["p1", "p2"],
                operation_id=named,
                newest_first=newest_first,
                at_most=9,
            )
        operations.failures_from(
            connection, operation.id, seen=0, last_first=newest_first, at_most=9
        )


def commit_batch(transaction: Connection, operation: Operation) -> None:
    operations.lock_operation(transaction, operation, next_ordinal=0)
    operations.insert_failures(transaction, operation, [(3, FAILURE)])
    operations.insert_deferred(transaction, operation, [OBJECT])
    operations.insert_ledger_chunk(
        transaction, operation, first_ordinal=0, lane=0, count=3, chunk=b""
    )
    operations.advance_operation(transaction, operation, Counters(listed=3), next_ordinal=3)


def finish_deferred(transaction: Connection, operation: Operation) -> None:
    operations.insert_deferred(transaction, operation, [OBJECT])
    operations.due_deferred(transaction, operation, at_most=2, without=[1, 2])
    operations.defer_again(transaction, operation, OBJECT)
    operations.take_deferred(transaction, operation, OBJECT.ordinal)


def end(transaction: Connection, operation: Operation) -> None:
    operations.read_progress(transaction, operation)
    operations.first_failures(transaction, operation.id, 10)
    operations.count_failures(transaction, operation.id)
    operations.finish_operation(transaction, operation, listed=3, retention_microseconds=-1)
    operations.delete_expired_operations(transaction, 10)


def read_ledger(connection: Connection, operation: Operation) -> None:
    operations.ledger_chunks(connection, operation.id, after=(1, 0), at_most=9)


def purge(transaction: Connection, operation: Operation) -> None:
    assert operation.store_id is not None
    area = StoreArea(id=operation.store_id, blob_prefix="")
    collection.deleted_stores(transaction)
    while collection.purge_rows(transaction, area):
        pass
    collection.forget_store(transaction, area)


def compare_with_blobs(connection: Connection, operation: Operation) -> None:
    assert operation.store_id is not None
    collection.unfinished_writers(connection, operation.store_id)
    collection.newest_writer(connection)
    with comparing.KnownPlaces(
        lambda: nullcontext(connection), operation.store_id, references=False
    ) as places:
        ids = [place.instance_id or 0 for place in places]
    comparing.find_known(lambda: nullcontext(connection), operation.store_id, ["a"])
    comparing.find_places(connection, ids)
    comparing.find_references(connection, ids)
    comparing.indexed_rows(connection, ids)
    comparing.is_living(connection, operation.store_id)
    collection.still_named(connection, operation.store_id, ["a"])


def index_attributes(transaction: Connection, operation: Operation) -> None:
    assert operation.store_id is not None
    extra_attributes.set_indexed_attributes(transaction, operation.store_id, ["00180015"])
    extra_attributes.find_attribute_indexes(transaction, operation.store_id)
    for area in extra_attributes.stores_with_indexes(transaction):
        part = extra_attributes.next_slice(transaction, area, keys_at_a_time=2)
        assert part is not None
        told: extra_attributes.Keys = {each: {"00180015": ("X",)} for each in part.instance_ids}
        extra_attributes.write_slice(transaction, part, told)
        extra_attributes.next_slice(transaction, area, keys_at_a_time=2)
        extra_attributes.set_indexed_attributes(transaction, area.id, [])
        while extra_attributes.delete_leaving(transaction, area):
            pass


def delete_one(transaction: Connection, operation: Operation) -> None:
    deleting.delete_instance(
        transaction, operation.store_id or 0, PATH, grace_microseconds=0, known=Everything()
    )


class Everything(dict[Describer, None]):
    """Says of each instance that nobody knows its attributes."""

    def __contains__(self, _: object) -> bool:
        return True

    def __missing__(self, _: Describer) -> None:
        return None


def delete_all(transaction: Connection, operation: Operation, levels: int) -> None:
    store_id, path = operation.store_id or 0, InstancePath(*map(Uid, KEY[:levels]))
    deleting.begin_deletion(transaction, store_id, path, known=Everything())
    deleting.count_below(transaction, store_id, path)
    while not deleting.delete_slice(transaction, store_id, path, grace_microseconds=0).is_last:
        pass


def measure(transaction: Connection, operation: Operation) -> None:
    store_id = operation.store_id or 0
    for levels in (1, 2):
        path = InstancePath(*map(Uid, KEY[:levels]))
        content_metrics.get_content_metrics(transaction, store_id, path)
    content_metrics.get_storage_info(transaction, store_id, PATH)
    content_metrics.set_storage_class(transaction, [1, 2], "ARCHIVE")


def find_metadata(connection: Connection, operation: Operation) -> None:
    assert operation.store_id is not None
    for path in (InstancePath(PATH.study_instance_uid), PATH):
        (version,) = stored.list_series(connection, operation.store_id, path)
    assert stored.find_series(connection, operation.store_id, version.series_id) == version
    ids = stored.list_instances_of_series(connection, version.series_id)
    assert stored.find_stored_instances(connection, ids)


RUNS: dict[str, Callable[[Connection, Operation], object]] = {
    "claim": lambda tx, _: operations.claim_operation(tx, "boot-1"),
    "heartbeat": operations.prolong_lease,
    "asked of it": operations.requests_of,
    "cancel": lambda tx, op: operations.request_cancel(tx, op.name),
    "get_operation": lambda tx, op: operations.get_operation(tx, op.name),
    "list_operations": lambda tx, _: second_page_of_operations(tx, None),
    "list_operations, done": lambda tx, _: second_page_of_operations(tx, True),
    "list_failures": second_page_of_failures,
    "read the log": read_log,
    "commit a batch": commit_batch,
    "finish a deferred object": finish_deferred,
    "end": end,
    "read the ledger": read_ledger,
    "store, FAIL": lambda tx, op: store_batch(tx, op, DuplicatePolicy.FAIL_IF_DIFFERENT),
    "store, REPLACE": lambda tx, op: store_batch(tx, op, DuplicatePolicy.REPLACE),
    "export all": lambda tx, op: page_of_instances(tx, op, 0),
    "export a study": lambda tx, op: page_of_instances(tx, op, 1),
    "export a series": lambda tx, op: page_of_instances(tx, op, 2),
    "export an instance": lambda tx, op: page_of_instances(tx, op, 3),
    "find_instance": lambda tx, op: exports.find_instance(tx, op.store_id or 0, PATH),
    "read frames": read_frames,
    "delete an instance": delete_one,
    "delete a study": lambda tx, op: delete_all(tx, op, 1),
    "delete a series": lambda tx, op: delete_all(tx, op, 2),
    "metrics and storage": measure,
    "due drops": lambda tx, _: collection.take_due_drops(tx),
    "spent tombstones": lambda tx, _: collection.forget_spent_tombstones(tx),
    "purge": purge,
    "compare with blobs": compare_with_blobs,
    "index attributes": index_attributes,
    "find metadata": find_metadata,
    "changed series": lambda tx, op: stored.list_changed_series(tx, op.store_id or 0, 0, 100),
    "get_dicom_store": lambda tx, _: stores.get_dicom_store(tx, STORE),
    "list_dicom_stores": lambda tx, _: stores.list_dicom_stores(tx, DATASET),
    "store_metrics": lambda tx, op: content_metrics.store_metrics(tx, op.store_id or 0),
}


def steps_of(transaction: Connection, name: str) -> list[tuple[str, str]]:
    """Give the plans of what runs under a name, in a store that holds some of everything."""
    store_id = new_store(transaction)
    earlier = add_claimed(transaction, store_id=store_id)
    store_batch(transaction, earlier, DuplicatePolicy.FAIL_IF_DIFFERENT)
    operations.insert_failures(transaction, earlier, [(0, FAILURE)])
    operations.finish_operation(transaction, earlier, listed=0, retention_microseconds=HOUR)
    operation = add_claimed(transaction, store_id=store_id)
    operations.insert_failures(transaction, operation, [(0, FAILURE), (1, FAILURE)])
    with recorded(transaction) as statements:
        RUNS[name](transaction, operation)
    found = plans(transaction, statements)
    assert found
    return found


@pytest.mark.parametrize("name", RUNS)
def test_statement_finds_its_rows_by_an_index(transaction: Connection, name: str) -> None:
    found = steps_of(transaction, name)

    assert [each for each in found if re.match(rf"SCAN ({GROWING})\b", each[0])] == []


@pytest.mark.parametrize(
    "name",
    [
        "due drops",
        "changed series",
        "read the log",
        "list_operations",
        "list_operations, done",
        *(name for name in RUNS if name.startswith(("export", "delete"))),
    ],
)
def test_first_rows_are_found_without_sorting_all(transaction: Connection, name: str) -> None:
    found = steps_of(transaction, name)

    assert [each for each in found if "TEMP B-TREE" in each[0]] == []


@pytest.mark.parametrize("name", ["export a study", "export a series", "export an instance"])
def test_export_of_a_path_looks_at_no_other_study(transaction: Connection, name: str) -> None:
    found = steps_of(transaction, name)

    assert [
        each for each in found if "(store_id=?)" in each[0] or "ix_series_store" in each[0]
    ] == []


def test_a_page_of_operations_begins_where_the_one_before_ended(transaction: Connection) -> None:
    found = steps_of(transaction, "list_operations")

    steps = [step for step, _ in found]
    assert any("(dataset_id=? AND created_at<?)" in step for step in steps)
