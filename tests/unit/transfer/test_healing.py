"""A damaged instance is healed by the very file it was, however that comes to be stored again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fileroom.archive.check import check_store
from fileroom.archive.retrieve import find_instance, open_as_stored
from fileroom.archive.storing import StoreRules, StoringRequest
from fileroom.database import collection, schema
from fileroom.database.instances import PlaceKind, note_damage
from fileroom.errors import DataLoss
from fileroom.names import InstancePath, Uid
from fileroom.operations.operation import account
from fileroom.transfer.changing.undoing import UndoJob, request_undo
from fileroom.transfer.exporting.job import ExportJob, request_export
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.options import ImportOptions
from tests.places import of_place
from tests.unit.database.rows import STORE, all_rows
from tests.unit.transfer.site import Site, instance, uids

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.database.values.instances import Place
    from fileroom.operations.runner import Run
    from tests.places import Lying
    from tests.unit.transfer.site import UIDS

ONE, TWO, THREE = (uids(number) for number in (1, 2, 3))
ALL = (ONE, TWO, THREE)


def imported(site: Site, **options: Any) -> Run:
    name = request_import(
        site.facilities,
        STORE,
        "gs://bucket/in/**",
        options=ImportOptions(**options),
        api_version="v1",
    )
    run = site.claim(name)
    assert ImportJob(facilities=site.facilities)(run)
    return site.end(run)


def put_and_import(site: Site) -> Run:
    for number, key in enumerate(ALL):
        site.put(f"in/{number}.dcm", instance(key))
    return imported(site)


def place(site: Site, key: UIDS) -> Place:
    return find_instance(site.content, InstancePath(*map(Uid, key))).place


def read(site: Site, key: UIDS) -> bytes:
    stored = find_instance(site.content, InstancePath(*map(Uid, key)))
    return b"".join(open_as_stored(site.content, stored).pieces)


def exported(site: Site) -> Run:
    name = request_export(site.facilities, STORE, "gs://bucket/out", api_version="v1")
    run = site.claim(name)
    assert ExportJob(facilities=site.facilities)(run)
    return site.end(run)


def told(site: Site, run: Run) -> list[str]:
    return [str(line.reason or line.result) for line in site.ledger(run)]


def faults(site: Site) -> int:
    with site.database.read() as connection:
        (area,) = collection.living_stores(connection)
    return sum(
        one.instance is not None or (one.place is not None and one.place.size is not None)
        for one in check_store(site.database, site.facilities.blobs, area, deep=True)
    )


def noted(site: Site) -> int:
    with site.database.read() as connection:
        return len(all_rows(connection, schema.damaged_places))


def damage(site: Site, how: Callable[[Lying], None]) -> None:
    """Damage the second of three instances, and have it noticed by who reads it."""
    how(of_place(site.blobs, place(site, TWO)))
    with pytest.raises(DataLoss):
        read(site, TWO)


@pytest.mark.parametrize("how", ["flip_last", "lose"])
@pytest.mark.parametrize("policy", ["", "KEEP_FIRST", "REPLACE"])
def test_a_new_import_heals_what_somebody_found_damaged(site: Site, how: str, policy: Any) -> None:
    first = put_and_import(site)
    before = [place(site, key) for key in ALL]
    damage(site, lambda lying: getattr(lying, how)())
    assert faults(site) == 1

    second = imported(site, duplicate_policy=policy)

    assert told(site, second) == ["identical", "HEALED", "identical"]
    terms = account(second.read())
    assert (terms["identical"], terms["replaced"], terms["failed"]) == (2, 1, 0)
    assert [read(site, key) for key in ALL] == [instance(key) for key in ALL]
    assert faults(site) == noted(site) == 0
    after = [place(site, key) for key in ALL]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]
    with site.database.read() as connection:
        assert {row.operation_id for row in all_rows(connection, schema.instances)} == {
            first.operation.id
        }
    assert told(site, imported(site, duplicate_policy=policy)) == ["identical"] * 3


def test_an_import_that_validates_foretells_the_healing(site: Site) -> None:
    put_and_import(site)
    damage(site, lambda lying: lying.flip_last())

    foretold = [
        line
        for line in site.ledger(imported(site, validate_only=True))
        if line.result != "deferred"
    ]

    assert sorted(str(line.reason or line.result) for line in foretold) == [
        "HEALED",
        "identical",
        "identical",
    ]
    assert noted(site) == 1
    with pytest.raises(DataLoss):
        read(site, TWO)


def test_a_large_object_heals_as_a_copy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    put_and_import(site)
    damage(site, lambda lying: lying.flip_last())
    for module in ("worker", "line"):
        monkeypatch.setattr(f"fileroom.transfer.importing.{module}.LARGE_BYTES", 1)

    assert told(site, imported(site)).count("HEALED") == 1
    assert place(site, TWO).kind is not PlaceKind.REFERENCE
    assert read(site, TWO) == instance(TWO)


def test_other_bytes_heal_nothing(site: Site) -> None:
    put_and_import(site)
    damage(site, lambda lying: lying.flip_last())
    site.put("in/1.dcm", instance(TWO, patient_id="P2"))

    assert told(site, imported(site)) == ["identical", "DUPLICATE_DIFFERENT", "identical"]
    assert faults(site) == noted(site) == 1


def test_a_client_heals_by_storing_the_file_again(site: Site) -> None:
    put_and_import(site)
    damage(site, lambda lying: lying.flip_last())

    request = StoringRequest(site.facilities.requests, site.content, StoreRules())
    try:
        part = request.begin_part()
        part.write(instance(TWO))
        part.end()
        (outcome,) = request.store()
    finally:
        request.close()

    assert outcome.failure is None
    assert read(site, TWO) == instance(TWO)
    assert faults(site) == noted(site) == 0


@pytest.mark.parametrize("how", ["flip_last", "lose"])
def test_an_export_notes_what_it_could_not_write(site: Site, how: str) -> None:
    put_and_import(site)
    getattr(of_place(site.blobs, place(site, TWO)), how)()
    assert [one for one in told(site, exported(site)) if one != "deferred"].count("DATA_LOSS") == 1

    assert "HEALED" in told(site, imported(site))
    assert read(site, TWO) == instance(TWO)


def test_undoing_the_import_that_healed_leaves_it_healed(site: Site) -> None:
    put_and_import(site)
    damage(site, lambda lying: lying.flip_last())
    healing = imported(site)

    name = request_undo(
        site.facilities,
        healing.operation.name,
        api_version="v1",
        permission="healthcare.dicomStores.dicomWebDelete",
    )
    run = site.claim(name)
    assert UndoJob(facilities=site.facilities)(run)
    site.end(run)

    assert [read(site, key) for key in ALL] == [instance(key) for key in ALL]
    assert account(run.read())["failed"] == 0


def test_damage_is_forgotten_with_what_is_collected(site: Site) -> None:
    put_and_import(site)
    lost = place(site, TWO)
    damage(site, lambda lying: lying.flip_last())
    site.put("in/1.dcm", instance(TWO, patient_id="P2"))
    imported(site, duplicate_policy="REPLACE")
    assert noted(site) == 1

    def collect(transaction: Any) -> None:
        transaction.execute(schema.blob_drops.update().values(not_before=0))
        collection.take_due_drops(transaction)

    site.database.write(lambda tx: note_damage(tx, site.store_id, [place(site, ONE)]))
    site.database.write(collect)

    assert noted(site) == 1  # of the first, which stays
    assert place(site, TWO) != lost
