"""Imports that only validate: they tell what an import makes of each object, and store nothing."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from fileroom.database import operations, schema
from fileroom.errors import FailedPrecondition
from fileroom.operations.operation import account
from fileroom.transfer.changing.undoing import request_undo
from fileroom.transfer.importing.job import ImportJob, forget_import, request_import
from fileroom.transfer.options import ImportOptions
from tests.corpus import minimal_instance
from tests.dicom_writer import DEFLATED
from tests.unit.database.rows import STORE, add_tombstone, all_rows
from tests.unit.transfer.site import Site, instance, uids

if TYPE_CHECKING:
    from fileroom.operations.runner import Run

ONE, TWO, THREE = uids(1), uids(2), uids(3, series=2)
LEFT_ALONE = ("instances", "series", "studies", "blob_drops", "dicom_stores", "tombstones")


def imported(site: Site, uri: str = "gs://bucket/in/**", **options: Any) -> Run:
    """Run an import to its end, and end its operation."""
    name = request_import(
        site.facilities, STORE, uri, options=ImportOptions(**options), api_version="v1"
    )
    run = site.claim(name)
    assert ImportJob(facilities=site.facilities)(run)
    return site.end(run)


def outcome(site: Site, run: Run) -> dict[str, str]:
    """Give what became of each object, or would."""
    return {
        line.source.removeprefix("gs://bucket/in/"): str(line.reason or line.result)
        for line in site.ledger(run)
        if line.result != "deferred"
    }


def rows(site: Site) -> list[Any]:
    with site.database.read() as connection:
        return [
            [tuple(row) for row in all_rows(connection, schema.metadata.tables[name])]
            for name in LEFT_ALONE
        ]


def mixed(site: Site) -> None:
    """Put objects of every end beside a store that holds some of them."""
    site.put("in/a.dcm", instance(ONE))
    site.put("in/b.dcm", instance(TWO))
    imported(site)
    site.put("in/b.dcm", instance(TWO, patient_name="Other^Name^Longer"))  # another size
    site.put("in/c.dcm", instance(ONE))
    site.put("in/d.dcm", instance(THREE))
    site.put("in/e.dcm", instance(THREE))
    site.put("in/f.dcm", instance(THREE, patient_id="P2"))  # of the same size
    site.put("in/g.dcm", instance(TWO, patient_id="P9"))
    site.put("in/h.txt", b"no DICOM")
    site.put("in/i.dcm", b"")
    site.put("in/j.dcm", instance(uids(4))[:-3])


@pytest.mark.parametrize("policy", ["", "KEEP_FIRST", "REPLACE"])
@pytest.mark.parametrize("mode", ["", "REFERENCE"])
def test_what_is_foretold_comes_true(site: Site, policy: Any, mode: Any) -> None:
    mixed(site)
    before, blobs = rows(site), site.blob_files()

    foretold = imported(site, validate_only=True, duplicate_policy=policy, mode=mode)

    assert rows(site) == before
    assert site.blob_files() == blobs
    done = imported(site, duplicate_policy=policy, mode=mode)
    assert outcome(site, foretold) == outcome(site, done)
    assert len(outcome(site, done)) == 10
    assert account(foretold.read()) == account(done.read())


def test_all_ends_are_foretold(site: Site) -> None:
    mixed(site)

    assert outcome(site, imported(site, validate_only=True)) == {
        "a.dcm": "identical",
        "b.dcm": "DUPLICATE_DIFFERENT",
        "c.dcm": "identical",
        "d.dcm": "imported",
        "e.dcm": "identical",
        "f.dcm": "DUPLICATE_DIFFERENT",
        "g.dcm": "DUPLICATE_DIFFERENT",
        "h.txt": "NOT_DICOM",
        "i.dcm": "EMPTY",
        "j.dcm": "TRUNCATED",
    }


@pytest.mark.parametrize("mode", ["", "REFERENCE"])
def test_members_of_an_archive_are_foretold(site: Site, mode: Any) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.dcm", instance(ONE))
        file.writestr("b.dcm", instance(ONE))
        file.writestr("c.dcm", instance(ONE, patient_id="P2"))
        file.writestr("d.txt", b"no DICOM")
    site.put("in/all.zip", archive.getvalue())
    uri = "gs://bucket/in/all.zip!/**"

    foretold = imported(site, uri, validate_only=True, mode=mode)
    assert not site.blob_files()
    assert outcome(site, foretold) == outcome(site, imported(site, uri, mode=mode))


def test_object_that_goes_meanwhile_is_told_of_as_it_is_then(site: Site) -> None:
    site.put("in/a.dcm", instance(ONE))
    site.put("in/b.dcm", instance(ONE, patient_id="P2"))
    name = request_import(
        site.facilities,
        STORE,
        "gs://bucket/in/**",
        options=ImportOptions(validate_only=True),
        api_version="v1",
    )
    run = site.claim(name)
    assert ImportJob(facilities=site.facilities)(run)
    again = imported(site, validate_only=True)
    (site.bucket / "in" / "a.dcm").unlink()

    assert outcome(site, again) == outcome(site, run)
    assert outcome(site, imported(site, validate_only=True)) == {"b.dcm": "imported"}


def test_what_was_noted_for_it_goes_when_it_ends(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.transfer.importing.job.ROWS_AT_A_TIME", 1)
    for number in range(3):
        site.put(f"in/{number}.dcm", instance(uids(number + 1)))
    run = imported(site, validate_only=True)
    with site.database.read() as connection:
        assert len(all_rows(connection, schema.operation_foreseen)) == 3

    forget_import(site.facilities, run.read())

    with site.database.read() as connection:
        assert not all_rows(connection, schema.operation_foreseen)


def test_what_was_deleted_meanwhile_stays_so(site: Site) -> None:
    site.put("in/a.dcm", instance(ONE))
    name = request_import(
        site.facilities,
        STORE,
        "gs://bucket/in/**",
        options=ImportOptions(validate_only=True),
        api_version="v1",
    )
    run = site.claim(name)
    site.database.write(
        lambda tx: operations.begin_operation(tx, run.operation, start_seq=0, total=None)
    )
    site.database.write(lambda tx: add_tombstone(tx, site.store_id, *ONE))

    assert ImportJob(facilities=site.facilities)(run)
    assert outcome(site, run) == {"a.dcm": "DELETED_MEANWHILE"}


def test_there_is_nothing_to_undo(site: Site) -> None:
    site.put("in/a.dcm", instance(ONE))
    run = imported(site, validate_only=True)

    with pytest.raises(FailedPrecondition, match="only validated"):
        request_undo(
            site.facilities, run.operation.name, api_version="v1", permission="any.permission"
        )


@pytest.mark.parametrize("large", [False, True])
def test_a_deflated_object_is_foretold_and_imported_alike(
    site: Site, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        for module in ("worker", "line"):
            monkeypatch.setattr(f"fileroom.transfer.importing.{module}.LARGE_BYTES", 1)
    site.put("in/a.dcm", minimal_instance(transfer_syntax_uid=DEFLATED))

    foretold = outcome(site, imported(site, validate_only=True))

    assert foretold == outcome(site, imported(site)) == {"a.dcm": "imported"}
    refused = outcome(site, imported(site, mode="REFERENCE", validate_only=True))
    assert refused == {"a.dcm": "UNSUPPORTED_REFERENCE"}
