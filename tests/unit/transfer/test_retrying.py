"""An import of what failed in an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.database import operations
from fileroom.database.operations import Counters
from fileroom.errors import FailedPrecondition, InvalidArgument, NotFound, Reason
from fileroom.operations.operation import account
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.options import ImportOptions
from tests.unit.database.rows import DATASET, STORE
from tests.unit.transfer.site import Site, instance, uids

if TYPE_CHECKING:
    from fileroom.operations.runner import Run

URI = "gs://bucket/**"


def imported(site: Site, uri: str = URI, options: ImportOptions | None = None) -> Run:
    """Run an import to its end, and end its operation."""
    name = request_import(
        site.facilities, STORE, uri, options=options or ImportOptions(), api_version="v1"
    )
    run = site.claim(name)
    assert ImportJob(facilities=site.facilities)(run)
    return site.end(run)


def retry_of(run: Run, **options: str) -> ImportOptions:
    return ImportOptions(retry_of=str(run.operation.name), **options)  # type: ignore[arg-type]


def failures(site: Site, run: Run) -> dict[str, Reason]:
    with site.database.read() as connection:
        found = operations.first_failures(connection, run.operation.id, 1000)
    return {failure.source: failure.reason for failure in found}


@pytest.fixture
def earlier(site: Site) -> Run:
    """An import in which three objects of six failed."""
    site.put("a.dcm", instance(uids(1)))
    site.put("b.dcm", b"")
    site.put("c.dcm", instance(uids(1), patient_id="other"))
    site.put("d.dcm", instance(uids(4)))
    site.put("e.dcm", b"not yet")
    site.put("f.dcm", instance(uids(6)))
    return imported(site)


def test_only_what_failed_is_imported(site: Site, earlier: Run) -> None:
    site.put("b.dcm", instance(uids(2)))
    (site.bucket / "e.dcm").unlink()
    site.put("g.dcm", instance(uids(7)))

    run = imported(site, "", retry_of(earlier))

    told = account(run.read())
    assert (told["listed"], told["imported"], told["failed"]) == (3, 1, 2)
    assert run.read().total == 3
    assert failures(site, run) == {
        "gs://bucket/c.dcm": Reason.DUPLICATE_DIFFERENT,
        "gs://bucket/e.dcm": Reason.SOURCE_NOT_FOUND,
    }
    assert [line.source for line in site.ledger(run)] == [
        "gs://bucket/b.dcm",
        "gs://bucket/c.dcm",
        "gs://bucket/e.dcm",
    ]


def test_a_retry_is_retried(site: Site, earlier: Run) -> None:
    site.put("b.dcm", instance(uids(2)))
    again = imported(site, URI, retry_of(earlier))
    site.put("e.dcm", instance(uids(5)))

    third = imported(site, URI, retry_of(again, duplicate_policy="KEEP_FIRST"))

    told = account(third.read())
    assert (told["listed"], told["imported"], told["kept"]) == (2, 1, 1)


def test_what_is_left_open_is_as_it_was(site: Site) -> None:
    site.put("b.dcm", b"")
    name = request_import(
        site.facilities,
        STORE,
        URI,
        storage_class="COLDLINE",
        options=ImportOptions(mode="REFERENCE"),
        api_version="v1",
    )
    run = site.claim(name)
    assert ImportJob(facilities=site.facilities)(run)
    site.end(run)

    request = imported(site, "", retry_of(run, duplicate_policy="REPLACE")).read().request

    assert request["blobStorageSettings"] == {"blobStorageClass": "COLDLINE"}
    assert request["fileroomOptions"] == {
        "mode": "REFERENCE",
        "duplicatePolicy": "REPLACE",
        "retryOf": str(run.operation.name),
    }


def test_it_goes_on_after_its_cursor(site: Site, earlier: Run) -> None:
    name = request_import(site.facilities, STORE, "", options=retry_of(earlier), api_version="v1")
    with site.database.read() as connection:
        failed = operations.failures_from(connection, earlier.operation.id, at_most=10)
    assert [ordinal for ordinal, _ in failed] == [1, 2, 4]
    run = site.claim(name)
    site.database.write(
        lambda transaction: operations.advance_operation(
            transaction, run.operation, Counters(listed=2), cursor="2", next_ordinal=2
        )
    )

    assert ImportJob(facilities=site.facilities)(site.claim(name))

    assert [line.source for line in site.ledger(run)] == ["gs://bucket/e.dcm"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("operations/1", InvalidArgument),
        (str(STORE), InvalidArgument),
        (f"{DATASET}/operations/1", NotFound),
    ],
)
def test_what_is_no_operation_is_refused(site: Site, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        request_import(
            site.facilities, STORE, "", options=ImportOptions(retry_of=text), api_version="v1"
        )


def test_what_is_not_to_be_retried_is_refused(site: Site, earlier: Run) -> None:
    with pytest.raises(InvalidArgument, match=r"was from gs://bucket/\*\*"):
        request_import(
            site.facilities, STORE, "gs://bucket/a", options=retry_of(earlier), api_version="v1"
        )
    good = imported(site, "gs://bucket/a.dcm")
    with pytest.raises(FailedPrecondition, match="nothing failed"):
        request_import(site.facilities, STORE, "", options=retry_of(good), api_version="v1")
    running = site.claim(request_import(site.facilities, STORE, URI, api_version="v1"))
    with pytest.raises(FailedPrecondition, match="has not ended"):
        request_import(site.facilities, STORE, "", options=retry_of(running), api_version="v1")
