"""An import is undone: what it replaced comes back, what it created goes, nothing else changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.archive.deletion import delete_instance
from fileroom.archive.packs import open_place
from fileroom.archive.retrieve import find_instance as find_stored
from fileroom.database import operations, schema
from fileroom.database.operations import Kind
from fileroom.errors import Aborted, FailedPrecondition, NotFound, Reason
from fileroom.names import InstancePath, OperationName, Uid
from fileroom.operations.operation import account
from fileroom.transfer.changing.undoing import UndoJob, request_undo
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.options import ImportOptions
from tests.unit.database.rows import DATASET, STORE, all_rows
from tests.unit.transfer.site import Site, instance, uids

if TYPE_CHECKING:
    from fileroom.operations.runner import Run
    from fileroom.transfer.options import Mode
    from tests.unit.transfer.site import UIDS

OLD, SAME, NEW, OTHER = (uids(number, series=1 + number % 2) for number in range(4))


def imported(site: Site, contents: dict[UIDS, bytes], mode: Mode = "") -> Run:
    """Import these files, which replace what is there, and end the operation."""
    directory = f"in{len(list(site.bucket.iterdir()))}"
    for key, content in contents.items():
        site.put(f"{directory}/{key[2]}.dcm", content)
    name = request_import(
        site.facilities,
        STORE,
        f"gs://bucket/{directory}/**",
        options=ImportOptions(duplicate_policy="REPLACE", mode=mode),
        api_version="v1",
    )
    run = site.claim(name)
    assert ImportJob(facilities=site.facilities)(run)
    return site.end(run)


def begun(site: Site, run: Run) -> Run:
    """Ask for an import to be undone, and claim that."""
    name = request_undo(
        site.facilities,
        run.operation.name,
        api_version="v1",
        permission="healthcare.dicomStores.dicomWebDelete",
    )
    return site.claim(name)


def undone(site: Site, run: Run) -> dict[str, int]:
    """Undo an import, and give the account but for what is nought."""
    undoing = begun(site, run)
    assert UndoJob(facilities=site.facilities)(undoing)
    site.end(undoing)
    told = account(undoing.read())
    assert told["listed"] == sum(told.values()) - told["listed"]
    return {term: number for term, number in told.items() if number and term != "listed"}


def stored(site: Site) -> dict[UIDS, bytes]:
    """Give the bytes of all instances."""
    with site.database.read() as connection:
        rows = all_rows(connection, schema.instances)
    found = {}
    for key in (OLD, SAME, NEW, OTHER):
        if any(row.sop_instance_uid == key[2] for row in rows):
            row = find_stored(site.content, InstancePath(*map(Uid, key)))
            with open_place(site.facilities.blobs.bucket(site.blob_prefix), row.place) as blob:
                found[key] = blob.read_at(0, row.place.size)
    assert len(found) == len(rows)
    return found


def files(*keys: UIDS, patient_id: str = "P1") -> dict[UIDS, bytes]:
    return {key: instance(key, patient_id=patient_id) for key in keys}


def described(site: Site) -> dict[str, str | None]:
    with site.database.read() as connection:
        return {
            row.study_instance_uid: row.patient_id for row in all_rows(connection, schema.studies)
        }


@pytest.fixture
def before(site: Site) -> dict[UIDS, bytes]:
    """What is stored before the import that is undone."""
    imported(site, files(OLD, SAME))
    return stored(site)


def test_undo_leaves_the_store_as_it_was(site: Site, before: dict[UIDS, bytes]) -> None:
    told = described(site)
    run = imported(site, files(OLD, NEW, OTHER, patient_id="P2") | files(SAME))
    assert run.read().counters.replaced == 1

    assert undone(site, run) == {"updated": 1, "deleted": 2}

    assert stored(site) == before
    assert described(site) == told


def test_undo_of_all_there_is_leaves_nothing(site: Site) -> None:
    run = imported(site, files(OLD, SAME, NEW, OTHER))

    assert undone(site, run) == {"deleted": 4}

    assert stored(site) == {}
    with site.database.read() as connection:
        assert all_rows(connection, schema.studies) == []
        assert all_rows(connection, schema.series) == []


def test_what_somebody_changed_or_deleted_since_stays(
    site: Site, before: dict[UIDS, bytes]
) -> None:
    run = imported(site, files(OLD, SAME, NEW, OTHER, patient_id="P2"))
    imported(site, files(OLD, NEW, patient_id="P3"))
    delete_instance(site.content, InstancePath(*map(Uid, OTHER)), grace_seconds=60.0)

    assert undone(site, run) == {"updated": 1, "unchanged": 3}

    assert stored(site) == files(OLD, NEW, patient_id="P3") | {SAME: before[SAME]}


def test_undo_twice_changes_nothing_the_second_time(site: Site, before: dict[UIDS, bytes]) -> None:
    run = imported(site, files(OLD, NEW, patient_id="P2"))
    undone(site, run)

    assert undone(site, run) == {"unchanged": 2}

    assert stored(site) == before


def test_what_was_replaced_after_an_undo_is_undone_by_itself(
    site: Site, before: dict[UIDS, bytes]
) -> None:
    first = imported(site, files(OLD, patient_id="P2"))
    second = imported(site, files(OLD, patient_id="P3"))

    assert undone(site, second) == {"updated": 1}
    assert stored(site)[OLD] == files(OLD, patient_id="P2")[OLD]
    # The row is the second import's since; the first is not undone beneath it.
    assert undone(site, first) == {"unchanged": 1}


def test_bytes_that_are_collected_fail_their_instance_alone(
    site: Site, before: dict[UIDS, bytes]
) -> None:
    run = imported(site, files(OLD, SAME, NEW, patient_id="P2"))
    site.database.write(
        lambda transaction: transaction.execute(
            schema.blob_drops.delete().where(schema.blob_drops.c.sop_instance_uid == OLD[2])
        )
    )

    undoing = begun(site, run)
    assert UndoJob(facilities=site.facilities)(undoing)

    with site.database.read() as connection:
        (failure,) = operations.first_failures(connection, undoing.operation.id, 10)
    assert failure.reason is Reason.DATA_LOSS
    assert "grace is over" in failure.message
    assert stored(site) == {
        OLD: instance(OLD, patient_id="P2"),
        SAME: before[SAME],
    }


def test_damaged_bytes_are_not_brought_back(site: Site, before: dict[UIDS, bytes]) -> None:
    run = imported(site, files(OLD, patient_id="P2"))
    with site.database.read() as connection:
        (drop,) = all_rows(connection, schema.blob_drops)
    blob = site.blobs / drop.place_key
    content = bytearray(blob.read_bytes())
    content[drop.place_offset + drop.size - 1] ^= 1
    blob.write_bytes(content)

    assert undone(site, run) == {"failed": 1}

    assert stored(site)[OLD] == instance(OLD, patient_id="P2")


def test_an_import_by_reference_is_undone(site: Site) -> None:
    run = imported(site, files(NEW, OTHER), mode="REFERENCE")

    assert undone(site, run) == {"deleted": 2}

    assert stored(site) == {}
    assert len(list(site.bucket.rglob("*.dcm"))) == 2


def test_undo_goes_on_where_a_crash_ended_it(
    site: Site, before: dict[UIDS, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = imported(site, files(OLD, SAME, NEW, OTHER, patient_id="P2"))
    undoing = begun(site, run)
    commits = 0

    def advance(*args: object, **options: object) -> None:
        nonlocal commits
        commits += 1
        if commits > 1:
            raise Aborted("the server died")
        real(*args, **options)  # type: ignore[arg-type]

    real = operations.advance_operation
    with monkeypatch.context() as patch:
        patch.setattr(operations, "advance_operation", advance)
        with pytest.raises(Aborted):
            UndoJob(facilities=site.facilities)(undoing)
    assert stored(site).keys() == {OLD, SAME, NEW, OTHER}

    again = site.claim(undoing.operation.name)
    assert UndoJob(facilities=site.facilities)(again)

    told = account(again.read())
    assert (told["updated"], told["deleted"], told["failed"]) == (2, 2, 0)
    assert stored(site) == before


def test_what_cannot_be_undone_is_refused(site: Site) -> None:
    running = site.claim(request_import(site.facilities, STORE, "gs://bucket/**", api_version="v1"))
    with pytest.raises(FailedPrecondition, match="has not ended"):
        begun(site, running)
    site.end(running)
    undoing = begun(site, running)
    assert undoing.operation.kind is Kind.UNDO_IMPORT
    with pytest.raises(FailedPrecondition, match="no import"):
        begun(site, site.end(undoing))
    with pytest.raises(NotFound):
        request_undo(site.facilities, OperationName(DATASET, "1"), api_version="v1", permission="")
