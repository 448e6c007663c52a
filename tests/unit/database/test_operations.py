"""Who may run an operation, what moves with a commit, and what callers see of it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from fileroom.database import operations, schema, stores
from fileroom.database.engine import now_microseconds
from fileroom.database.operations import Counters, DeferredObject, Kind, State
from fileroom.errors import (
    Aborted,
    Code,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ObjectFailure,
    Reason,
)
from fileroom.names import DatasetName, OperationName
from tests.unit.database.rows import (
    DATASET,
    HOUR,
    OWNER,
    STORE,
    add_claimed,
    add_operation,
    all_rows,
    claimed,
    new_store,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.database.engine import Connection
    from fileroom.database.operations import Operation

OTHER_OWNER = "boot-2"
OTHER_DATASET = DatasetName(DATASET.parent, "other")


def expire_lease(transaction: Connection) -> None:
    transaction.execute(update(schema.operations).values(lease_until=now_microseconds() - 1))


def failure(source: str = "gs://b/1", reason: Reason = Reason.NOT_DICOM) -> ObjectFailure:
    return ObjectFailure(
        source=source,
        code=Code.INVALID_ARGUMENT,
        reason=reason,
        message="no DICOM file",
        tag="00080018",
        byte_offset=132,
    )


def deferred(ordinal: int, not_before: int = 0) -> DeferredObject:
    return DeferredObject(
        ordinal=ordinal,
        source=f"gs://b/{ordinal}",
        version="1",
        size=3,
        why="SLOW",
        not_before=not_before,
        state={"part": 1},
    )


# Claims and fences


def test_oldest_operation_is_claimed_first_and_each_once(transaction: Connection) -> None:
    names = [add_operation(transaction) for _ in range(3)]

    assert [claimed(transaction).name for _ in names] == names
    assert operations.claim_operation(transaction, OWNER) is None


def test_higher_priority_is_claimed_before_older_ones(transaction: Connection) -> None:
    add_operation(transaction)
    urgent = add_operation(transaction)
    table = schema.operations
    transaction.execute(
        update(table).where(table.c.operation_id == urgent.operation_id).values(priority=1)
    )

    assert claimed(transaction).name == urgent


def test_claimed_operation_runs_under_a_new_fence(transaction: Connection) -> None:
    add_operation(transaction)
    before = now_microseconds()
    operation = claimed(transaction)

    (row,) = all_rows(transaction, schema.operations)
    assert (operation.state, operation.fence, row.owner) == (State.RUNNING, 1, OWNER)
    assert row.lease_until >= before + operations.LEASE_MICROSECONDS


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED])
def test_operation_of_a_silent_server_is_claimed_by_another(
    transaction: Connection, state: State
) -> None:
    first = add_claimed(transaction)
    transaction.execute(update(schema.operations).values(state=state, paused_why="disk"))
    assert operations.claim_operation(transaction, OTHER_OWNER) is None
    expire_lease(transaction)

    second = claimed(transaction, OTHER_OWNER)

    assert (second.name, second.fence) == (first.name, first.fence + 1)
    assert (second.state, second.paused_why) == (State.RUNNING, None)


def test_lease_that_is_prolonged_is_not_claimed(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    expire_lease(transaction)
    operations.prolong_lease(transaction, operation)

    assert operations.claim_operation(transaction, OTHER_OWNER) is None


def test_released_operation_is_claimed_at_once(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.release_operation(transaction, operation)

    assert claimed(transaction, OTHER_OWNER).name == operation.name


def test_heartbeat_after_a_release_keeps_nobody_away(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.release_operation(transaction, operation)

    with pytest.raises(Aborted):
        operations.prolong_lease(transaction, operation)
    assert claimed(transaction, OTHER_OWNER).name == operation.name


def test_leases_of_dead_servers_are_void_at_once(transaction: Connection) -> None:
    theirs = add_claimed(transaction)
    add_operation(transaction)
    claimed(transaction, OTHER_OWNER)

    operations.void_leases(transaction, OTHER_OWNER)

    assert claimed(transaction, OTHER_OWNER).name == theirs.name
    assert operations.claim_operation(transaction, OTHER_OWNER) is None


def test_ended_operation_is_never_claimed(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.finish_operation(transaction, operation, listed=0, retention_microseconds=HOUR)
    operations.void_leases(transaction, OTHER_OWNER)

    assert operations.claim_operation(transaction, OTHER_OWNER) is None


CLAIMED_WRITES: dict[str, Callable[[Connection, Operation], None]] = {
    "begin": lambda tx, op: operations.begin_operation(tx, op, start_seq=1, total=2),
    "set_total": lambda tx, op: operations.set_total(tx, op, 3),
    "prolong": operations.prolong_lease,
    "release": operations.release_operation,
    "pause": lambda tx, op: operations.pause_operation(tx, op, "disk"),
    "resume": operations.resume_operation,
    "lock": operations.lock_operation,
    "advance": lambda tx, op: operations.advance_operation(tx, op, Counters(imported=1)),
    "finish": lambda tx, op: operations.finish_operation(
        tx, op, listed=1, retention_microseconds=HOUR
    ),
}


@pytest.mark.parametrize("name", CLAIMED_WRITES)
def test_server_that_was_claimed_away_from_writes_nothing(
    transaction: Connection, name: str
) -> None:
    stale = add_claimed(transaction)
    expire_lease(transaction)
    claimed(transaction, OTHER_OWNER)
    before = all_rows(transaction, schema.operations)

    with pytest.raises(Aborted, match="no longer run by this coordinator"):
        CLAIMED_WRITES[name](transaction, stale)

    assert all_rows(transaction, schema.operations) == before


@pytest.mark.parametrize("name", CLAIMED_WRITES)
def test_ended_operation_stays_as_it_ended(transaction: Connection, name: str) -> None:
    operation = add_claimed(transaction)
    operations.finish_operation(transaction, operation, listed=0, retention_microseconds=HOUR)
    before = all_rows(transaction, schema.operations)

    with pytest.raises(Aborted):
        CLAIMED_WRITES[name](transaction, operation)

    assert all_rows(transaction, schema.operations) == before


# Progress


def test_batch_is_committed_once(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.lock_operation(transaction, operation, next_ordinal=0)
    operations.advance_operation(
        transaction,
        operation,
        Counters(listed=3, imported=2, failed=1, bytes=10),
        cursor="c",
        next_ordinal=3,
    )

    with pytest.raises(Aborted):
        operations.lock_operation(transaction, operation, next_ordinal=0)
    operations.lock_operation(transaction, operation, next_ordinal=3)
    progress = operations.read_progress(transaction, operation)
    assert (progress.cursor, progress.next_ordinal) == ("c", 3)
    assert progress.counters == Counters(listed=3, imported=2, failed=1, bytes=10)
    assert progress.counters.succeeded == 2


def test_deferred_object_adds_to_the_counters_and_leaves_the_cursor(
    transaction: Connection,
) -> None:
    operation = add_claimed(transaction)
    operations.advance_operation(
        transaction, operation, Counters(listed=1, deferred=1), cursor="c", next_ordinal=1
    )
    operations.advance_operation(transaction, operation, Counters(imported=1, deferred=-1))

    progress = operations.read_progress(transaction, operation)
    assert (progress.cursor, progress.next_ordinal) == ("c", 1)
    assert progress.counters == Counters(listed=1, imported=1)


def test_paused_operation_commits_nothing_until_it_goes_on(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.pause_operation(transaction, operation, "no space")

    with pytest.raises(Aborted):
        operations.lock_operation(transaction, operation)
    assert operations.read_progress(transaction, operation).paused_why == "no space"
    operations.resume_operation(transaction, operation)
    operations.lock_operation(transaction, operation)
    assert operations.read_progress(transaction, operation).paused_why is None


def test_end_never_comes_before_the_beginning(transaction: Connection) -> None:
    """Clocks are put back."""
    operation = add_claimed(transaction)
    later = now_microseconds() + HOUR
    transaction.execute(update(schema.operations).values(created_at=later))
    operation = operations.read_progress(transaction, operation)
    operations.finish_operation(transaction, operation, listed=0, retention_microseconds=HOUR)

    ended = operations.read_progress(transaction, operation)
    assert ended.ended_at == ended.created_at == later


def test_cancellation_of_what_nobody_began_never_comes_before_the_beginning(
    transaction: Connection,
) -> None:
    name = add_operation(transaction)
    later = now_microseconds() + HOUR
    transaction.execute(update(schema.operations).values(created_at=later))
    operations.request_cancel(transaction, name)

    ended = operations.get_operation(transaction, name)
    assert ended.state is State.DONE
    assert ended.ended_at == ended.created_at == later


# The second lane


def test_deferred_object_comes_back_as_it_was_put_off(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.insert_deferred(transaction, operation, [deferred(4)])

    found = operations.due_deferred(transaction, operation, at_most=9, without=[])

    assert found == [deferred(4)]


def test_deferred_objects_come_when_due_the_longest_waiting_first(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    objects = [deferred(1, 50), deferred(2, 40), deferred(3, 40), deferred(4, 30)]
    later = deferred(5, now_microseconds() + HOUR)
    operations.insert_deferred(transaction, operation, [*objects, later])
    operations.insert_deferred(transaction, add_claimed(transaction), [deferred(6)])

    found = operations.due_deferred(transaction, operation, at_most=2, without=[4])

    assert [each.ordinal for each in found] == [2, 3]


def test_deferred_object_is_taken_once(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.insert_deferred(transaction, operation, [deferred(4), deferred(5)])
    operations.take_deferred(transaction, operation, 4)

    with pytest.raises(Aborted, match="finished already"):
        operations.take_deferred(transaction, operation, 4)
    found = operations.due_deferred(transaction, operation, at_most=9, without=[])
    assert [each.ordinal for each in found] == [5]


def test_object_put_off_again_waits(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.insert_deferred(transaction, operation, [deferred(4)])
    later = DeferredObject(
        ordinal=4,
        source="gs://b/4",
        version="1",
        size=3,
        why="UNREADABLE",
        attempts=1,
        not_before=now_microseconds() + HOUR,
    )
    operations.defer_again(transaction, operation, later)

    assert operations.due_deferred(transaction, operation, at_most=9, without=[]) == []
    (row,) = all_rows(transaction, schema.operation_deferred)
    assert (row.why, row.attempts, row.state) == ("UNREADABLE", 1, None)


# What callers see


def test_operation_is_found_in_its_living_dataset_only(transaction: Connection) -> None:
    name = add_operation(transaction, kind=Kind.EXPORT)

    found = operations.get_operation(transaction, name)

    assert (found.name, found.kind, found.state) == (name, Kind.EXPORT, State.QUEUED)
    assert str(found.dicom_store_name) == f"{DATASET}/dicomStores/s"
    add_operation(transaction, dataset=OTHER_DATASET)
    with pytest.raises(NotFound, match="no longer kept"):
        operations.get_operation(transaction, OperationName(OTHER_DATASET, name.operation_id))
    stores.delete_dataset(transaction, DATASET)
    with pytest.raises(NotFound):
        operations.get_operation(transaction, name)


def test_operation_of_a_deleted_dataset_still_runs(transaction: Connection) -> None:
    name = add_operation(transaction)
    stores.delete_dataset(transaction, DATASET)

    operation = claimed(transaction)

    assert operation.name == name
    assert operations.read_progress(transaction, operation).state is State.RUNNING


def test_operation_with_a_response_is_done_from_the_start(transaction: Connection) -> None:
    dataset = stores.insert_dataset(transaction, DATASET)
    operation_id = operations.insert_operation(
        transaction,
        dataset.id,
        kind=Kind.CREATE_DATASET,
        api_version="v1",
        request={},
        response={"name": str(DATASET)},
    )

    made = operations.get_operation(transaction, OperationName(DATASET, operation_id))
    assert (made.state, made.response) == (State.DONE, {"name": str(DATASET)})
    assert made.ended_at == made.created_at
    assert made.dicom_store_name is None


def test_operations_are_listed_newest_first_page_by_page(transaction: Connection) -> None:
    names = [add_operation(transaction) for _ in range(5)]
    # Two of one microsecond are told apart by their row.
    transaction.execute(update(schema.operations).values(created_at=7))
    add_operation(transaction, dataset=OTHER_DATASET)
    pages, token = [], ""
    for _ in range(3):
        page = operations.list_operations(transaction, DATASET, page_size=2, page_token=token)
        pages.append([each.name for each in page.items])
        token = page.next_page_token

    newest_first = names[::-1]
    assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    assert token == ""


def test_list_holds_while_operations_are_added(transaction: Connection) -> None:
    names = [add_operation(transaction) for _ in range(4)]
    first = operations.list_operations(transaction, DATASET, page_size=2)
    add_operation(transaction)
    second = operations.list_operations(
        transaction, DATASET, page_size=2, page_token=first.next_page_token
    )

    assert [each.name for each in second.items] == [names[1], names[0]]


@pytest.mark.parametrize(("done", "expected"), [(True, 0), (False, 1)])
def test_operations_are_listed_by_whether_they_are_done(
    transaction: Connection, done: bool, expected: int
) -> None:
    names = [add_operation(transaction) for _ in range(2)]
    operation = claimed(transaction)
    operations.finish_operation(transaction, operation, listed=0, retention_microseconds=HOUR)

    page = operations.list_operations(transaction, DATASET, done=done)

    assert [each.name for each in page.items] == [names[expected]]


def test_page_token_of_another_listing_is_refused(transaction: Connection) -> None:
    for _ in range(2):
        add_operation(transaction)
        add_operation(transaction, dataset=OTHER_DATASET)
    token = operations.list_operations(transaction, DATASET, page_size=1).next_page_token
    assert token

    for dataset, done in ((OTHER_DATASET, None), (DATASET, True)):
        with pytest.raises(InvalidArgument, match="another listing"):
            operations.list_operations(transaction, dataset, page_token=token, done=done)
    with pytest.raises(InvalidArgument, match="not one this server gave"):
        operations.list_operations(transaction, DATASET, page_token="nonsense")


def test_cancellation_is_noted_for_whoever_runs_it(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    assert operations.requests_of(transaction, operation) == (False, False)

    operations.request_cancel(transaction, operation.name)
    operations.request_cancel(transaction, operation.name)

    assert operations.requests_of(transaction, operation) == (True, False)
    assert operations.get_operation(transaction, operation.name).state is State.RUNNING


def test_what_is_paused_is_claimed_only_once_it_is_resumed(transaction: Connection) -> None:
    name = add_operation(transaction)
    operations.request_pause(transaction, name)
    operations.request_pause(transaction, name)
    paused = operations.get_operation(transaction, name)
    assert (paused.state, paused.pause_requested) == (State.PAUSED, True)
    assert operations.claim_operation(transaction, OWNER) is None

    operations.request_resume(transaction, name)
    claimed = operations.claim_operation(transaction, OWNER)
    assert claimed is not None
    assert (claimed.name, claimed.state, claimed.paused_why) == (name, State.RUNNING, None)
    operations.request_pause(transaction, name)
    assert operations.requests_of(transaction, claimed) == (False, True)
    operations.release_operation(transaction, claimed)
    assert operations.get_operation(transaction, name).state is State.PAUSED
    assert operations.claim_operation(transaction, OWNER) is None


def test_what_is_paused_ends_with_its_store_or_if_it_is_cancelled(transaction: Connection) -> None:
    store_id = new_store(transaction)
    of_store = add_claimed(transaction, store_id=store_id)
    other = add_claimed(transaction)
    for operation in (of_store, other):
        operations.request_pause(transaction, operation.name)
        operations.release_operation(transaction, operation)
    assert operations.claim_operation(transaction, OWNER) is None
    stores.delete_dicom_store(transaction, STORE)
    claimed = operations.claim_operation(transaction, OWNER)
    assert claimed is not None
    assert claimed.id == of_store.id
    assert not operations.requests_of(transaction, claimed).pause
    operations.request_cancel(transaction, other.name)
    claimed = operations.claim_operation(transaction, OWNER)
    assert claimed is not None
    assert claimed.id == other.id
    assert operations.requests_of(transaction, claimed) == (True, False)


def test_a_deletion_is_not_paused_and_what_has_ended_stays(transaction: Connection) -> None:
    deletion = add_operation(transaction, kind=Kind.DELETE_STUDY)
    with pytest.raises(FailedPrecondition, match="deletion"):
        operations.request_pause(transaction, deletion)
    ended = add_claimed(transaction)
    operations.finish_operation(transaction, ended, listed=0, retention_microseconds=HOUR)
    operations.request_pause(transaction, ended.name)
    operations.request_resume(transaction, ended.name)
    assert operations.get_operation(transaction, ended.name).state is State.DONE


def test_cancellation_ends_an_operation_that_nobody_has_begun(transaction: Connection) -> None:
    name = add_operation(transaction)

    operations.request_cancel(transaction, name)

    ended = operations.get_operation(transaction, name)
    assert ended.state is State.DONE
    assert ended.error == {"code": 1, "message": "the operation was cancelled"}
    assert ended.response is None
    assert operations.claim_operation(transaction, "anybody") is None


def test_cancellation_after_the_end_changes_nothing(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.finish_operation(transaction, operation, listed=0, retention_microseconds=HOUR)
    before = all_rows(transaction, schema.operations)

    operations.request_cancel(transaction, operation.name)

    assert all_rows(transaction, schema.operations) == before


def test_cancellation_of_an_unknown_operation_is_refused(transaction: Connection) -> None:
    with pytest.raises(NotFound):
        operations.request_cancel(transaction, OperationName(DATASET, "1"))


def test_failures_are_listed_in_the_order_of_the_listing(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    failures = [(n, failure(f"gs://b/{n}")) for n in (5, 1, 3)]
    operations.insert_failures(transaction, operation, failures)
    other = add_claimed(transaction)
    operations.insert_failures(transaction, other, [(1, failure("gs://b/other"))])

    first = operations.list_failures(transaction, operation.name, page_size=2)
    second = operations.list_failures(
        transaction, operation.name, page_size=2, page_token=first.next_page_token
    )

    assert first.items == (failure("gs://b/1"), failure("gs://b/3"))
    assert (second.items, second.next_page_token) == ((failure("gs://b/5"),), "")
    assert operations.first_failures(transaction, operation.id, 2) == first.items


def test_failures_are_listed_and_counted_by_reason(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    reasons = [Reason.NOT_DICOM, Reason.EMPTY, Reason.NOT_DICOM]
    operations.insert_failures(
        transaction,
        operation,
        [(n, failure(f"gs://b/{n}", each)) for n, each in enumerate(reasons)],
    )

    page = operations.list_failures(transaction, operation.name, reason=Reason.NOT_DICOM)

    assert [each.source for each in page.items] == ["gs://b/0", "gs://b/2"]
    assert operations.count_failures(transaction, operation.id) == {
        Reason.EMPTY: 1,
        Reason.NOT_DICOM: 2,
    }


def test_token_of_one_reason_is_refused_for_another(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.insert_failures(transaction, operation, [(n, failure()) for n in range(2)])
    token = operations.list_failures(transaction, operation.name, page_size=1).next_page_token

    with pytest.raises(InvalidArgument, match="another listing"):
        operations.list_failures(
            transaction, operation.name, page_token=token, reason=Reason.NOT_DICOM
        )


def test_ledger_is_read_in_order_from_any_place(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    places = [(8, 0), (0, 0), (3, 1), (3, 0)]
    for first_ordinal, lane in places:
        operations.insert_ledger_chunk(
            transaction,
            operation,
            first_ordinal=first_ordinal,
            lane=lane,
            count=1,
            chunk=f"{first_ordinal}/{lane}".encode(),
        )
    read, after = [], (-1, 0)
    while chunks := operations.ledger_chunks(transaction, operation.id, after=after, at_most=3):
        read += [chunk for _, _, chunk in chunks]
        after = chunks[-1][:2]

    assert read == [b"0/0", b"3/0", b"3/1", b"8/0"]


def test_operation_is_forgotten_with_all_it_noted_when_its_time_is_over(
    transaction: Connection,
) -> None:
    store_id = new_store(transaction)
    expired, kept, running = (add_claimed(transaction, store_id=store_id) for _ in range(3))
    for operation in (expired, kept, running):
        operations.insert_failures(transaction, operation, [(0, failure())])
        operations.insert_deferred(transaction, operation, [deferred(1)])
        operations.insert_ledger_chunk(
            transaction, operation, first_ordinal=0, lane=0, count=1, chunk=b""
        )
    operations.finish_operation(transaction, expired, listed=0, retention_microseconds=-1)
    operations.finish_operation(transaction, kept, listed=0, retention_microseconds=HOUR)

    assert operations.delete_expired_operations(transaction, 100) == 1
    assert operations.delete_expired_operations(transaction, 100) == 0

    left = {kept.id, running.id}
    assert {row.id for row in all_rows(transaction, schema.operations)} == left
    for table in (
        schema.operation_failures,
        schema.operation_deferred,
        schema.operation_ledger,
    ):
        ids = transaction.execute(select(table.c.operation_id)).scalars()
        assert set(ids) == left


def test_operation_that_noted_much_is_forgotten_in_slices(transaction: Connection) -> None:
    operation = add_claimed(transaction)
    operations.insert_failures(transaction, operation, [(n, failure()) for n in range(25)])
    operations.insert_deferred(transaction, operation, [deferred(n) for n in range(12)])
    for n in range(7):
        operations.insert_ledger_chunk(
            transaction, operation, first_ordinal=n // 2, lane=n % 2, count=1, chunk=b""
        )
    operations.finish_operation(transaction, operation, listed=0, retention_microseconds=-1)
    tables = (
        schema.operations,
        schema.operation_failures,
        schema.operation_deferred,
        schema.operation_ledger,
    )

    def rows() -> int:
        return sum(len(all_rows(transaction, table)) for table in tables)

    left = [rows()]
    while operations.delete_expired_operations(transaction, 5):
        left.append(rows())

    assert left[-1] == 0
    # The last slice of each table goes with the operation itself.
    assert all(before - after <= 3 * 5 + 1 for before, after in pairwise(left))
    assert len(left) > 6


def test_operation_asked_to_wait_waits_though_its_server_died(
    transaction: Connection, store_id: int
) -> None:
    operation = add_claimed(transaction, store_id=store_id)
    operations.request_pause(transaction, operation.name)
    expire_lease(transaction)

    assert operations.claim_operation(transaction, "another") is None

    waiting = operations.get_operation(transaction, operation.name)
    assert (waiting.state, waiting.paused_why) == (State.PAUSED, operations.PAUSED_ON_REQUEST)
    operations.request_resume(transaction, operation.name)
    claimed = operations.claim_operation(transaction, "another")
    assert claimed is not None
    assert claimed.name == operation.name


def test_server_that_was_claimed_away_from_hears_so_where_it_asks(
    transaction: Connection, store_id: int
) -> None:
    operation = add_claimed(transaction, store_id=store_id)
    assert operations.requests_of(transaction, operation) == (False, False)
    expire_lease(transaction)
    assert operations.claim_operation(transaction, "another") is not None

    with pytest.raises(Aborted):
        operations.requests_of(transaction, operation)
