"""What an operation leaves in the user's bucket, in every form and after every end."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow.parquet
import pytest

from fileroom.database import operations
from fileroom.errors import (
    Aborted,
    Cancelled,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Unavailable,
)
from fileroom.operations.operation import account
from fileroom.transfer.exporting.job import ExportJob, request_export
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.manifest import WithManifest
from fileroom.transfer.manifest.verifying import Verification
from fileroom.transfer.options import ExportOptions, ImportOptions
from tests.unit.database.rows import STORE
from tests.unit.transfer.site import Site, instance, uids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.operations.runner import Job, Run

MANIFESTS = "gs://bucket/told"
OUT = "gs://bucket/out"
KEYS = [uids(number) for number in range(1, 6)]


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fileroom.transfer.manifest.files.LINES_OF_A_PART", 1)
    monkeypatch.setattr("fileroom.transfer.ledger.CHUNKS_AT_A_TIME", 1)


def asked_import(site: Site, **options: Any) -> Run:
    for key in KEYS:
        site.put(f"in/{key[2]}.dcm", instance(key))
    site.put("in/=other.txt", b"no DICOM")
    given = ImportOptions(manifest_uri_prefix=MANIFESTS, **options)
    name = request_import(
        site.facilities, STORE, "gs://bucket/in/**", options=given, api_version="v1"
    )
    return site.claim(name)


def asked_export(site: Site, **options: Any) -> Run:
    mime_type = options.pop("mime_type", "")
    given = ExportOptions(manifest_uri_prefix=MANIFESTS, **options)
    name = request_export(
        site.facilities, STORE, OUT, mime_type=mime_type, options=given, api_version="v1"
    )
    return site.claim(name)


def job(site: Site, inner: Job | None = None) -> WithManifest:
    return WithManifest(
        facilities=site.facilities, job=inner or ImportJob(facilities=site.facilities)
    )


def export_job(site: Site) -> WithManifest:
    return job(site, ExportJob(facilities=site.facilities))


def stored(site: Site) -> None:
    (site.bucket / "in").mkdir()
    run = asked_import(site)
    assert ImportJob(facilities=site.facilities)(run)


def directory(site: Site, run: Run) -> Path:
    return site.bucket / "told" / run.operation.name.operation_id


def files(site: Site, run: Run) -> list[str]:
    return sorted(path.name for path in directory(site, run).iterdir())


def manifest(site: Site, run: Run) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((directory(site, run) / "manifest.json").read_bytes())
    for file in told["files"]:
        content = (directory(site, run) / file["name"]).read_bytes()
        assert file["size"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    return told


def lines(site: Site, run: Run) -> Iterator[dict[str, Any]]:
    for path in sorted(directory(site, run).glob("ledger-*")):
        content = path.read_bytes()
        match path.suffix:
            case ".ndjson":
                yield from map(json.loads, content.splitlines())
            case ".csv":
                yield from csv.DictReader(io.StringIO(content.decode()))
            case _:
                yield from pyarrow.parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("form", ["", "NDJSON", "CSV", "PARQUET"])
def test_import_leaves_a_line_of_each_object_and_its_account(site: Site, form: Any) -> None:
    run = asked_import(site, manifest_format=form)

    assert job(site)(run)

    told = manifest(site, run)
    results = Counter(line["result"] for line in lines(site, run))
    assert results == {"imported": 5, "failed": 1}
    assert told["account"] == {
        **dict.fromkeys(("identical", "kept", "replaced", "pending", "notStarted"), 0),
        "listed": 6,
        "imported": 5,
        "failed": 1,
    }
    assert sum(file.get("lines", 0) for file in told["files"]) == 6
    assert told["operation"] == str(run.operation.name)
    assert told["request"]["gcsSource"] == {"uri": "gs://bucket/in/**"}
    assert "_SUCCESS" not in files(site, run)
    hashes = {
        line["sopInstanceUid"]: line["sha256"] for line in lines(site, run) if line.get("sha256")
    }
    assert hashes == {key[2]: hashlib.sha256(instance(key)).hexdigest() for key in KEYS}


def test_export_is_a_success_once_all_that_it_wrote_was_found(site: Site) -> None:
    stored(site)
    run = asked_export(site)

    assert export_job(site)(run)

    told = manifest(site, run)
    assert told["verification"] == {"by": "SIZE", "verified": 5, "differing": 0, "samples": []}
    assert "_SUCCESS" in files(site, run)
    for line in lines(site, run):
        path = site.bucket / line["destination"].removeprefix("gs://bucket/")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == line["sha256"]


def lose(path: Path) -> None:
    path.unlink()


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "verify", "fault"),
    [(lose, "", "is not there"), (shorten, "SIZE", "bytes, not"), (flip, "CONTENT", "other bytes")],
)
def test_export_that_is_not_there_as_written_is_no_success(
    site: Site, damage: Any, verify: Any, fault: str
) -> None:
    stored(site)
    run = asked_export(site, verify=verify)

    def damaging(run: Run) -> bool:
        done = ExportJob(facilities=site.facilities)(run)
        key = KEYS[2]
        damage(site.bucket / "out" / key[0] / key[1] / f"{key[2]}.dcm")
        return done

    with pytest.raises(DataLoss, match=f"1 of 5 exported objects .*{fault}"):
        job(site, damaging)(run)

    verification = manifest(site, run)["verification"]
    assert (verification["verified"], verification["differing"]) == (4, 1)
    (sample,) = verification["samples"]
    assert fault in sample["fault"]
    assert (site.bucket / sample["destination"].removeprefix("gs://bucket/")).parent.is_dir()
    assert "_SUCCESS" not in files(site, run)


def test_flipped_bit_is_seen_only_where_the_bytes_are_read_again(site: Site) -> None:
    stored(site)
    run = asked_export(site, verify="CONTENT")
    assert export_job(site)(run)

    assert manifest(site, run)["verification"]["by"] == "CONTENT"
    assert "_SUCCESS" in files(site, run)


def test_pictures_are_verified_by_the_sizes_of_all_of_an_instance(site: Site) -> None:
    stored(site)
    run = asked_export(site, mime_type="image/png")

    assert export_job(site)(run)

    told = manifest(site, run)
    assert told["account"]["failed"] == 5, "instances without pixels"
    assert told["verification"]["verified"] == 0


def test_metadata_of_all_that_was_exported_lie_beside_the_ledger(site: Site) -> None:
    stored(site)
    run = asked_export(site, write_metadata=True)

    assert export_job(site)(run)

    rows = [
        row
        for path in sorted(directory(site, run).glob("metadata-*.parquet"))
        for row in pyarrow.parquet.read_table(path).to_pylist()
    ]
    assert {
        (row["StudyInstanceUID"], row["SeriesInstanceUID"], row["SOPInstanceUID"]) for row in rows
    } == set(KEYS)
    for row in rows:
        model = json.loads(row["Metadata"])
        assert model["00080018"]["Value"] == [row["SOPInstanceUID"]]
        assert model["00100020"]["Value"] == ["P1"]
    assert manifest(site, run)["metadataUntold"] == 0


def test_cancelled_operation_tells_what_it_had_done(site: Site) -> None:
    run = asked_import(site)

    def cancelled(run: Run) -> bool:
        ImportJob(facilities=site.facilities)(run)
        raise Cancelled("the operation was cancelled")

    with pytest.raises(Cancelled):
        job(site, cancelled)(run)

    told = manifest(site, run)
    assert told["error"] == {"code": 1, "message": "the operation was cancelled"}
    assert Counter(line["result"] for line in lines(site, run)) == {"imported": 5, "failed": 1}


def test_operation_that_is_cancelled_over_its_manifest_tells_what_it_had_done(site: Site) -> None:
    run = asked_import(site)
    work = ImportJob(facilities=site.facilities)

    def done_and_cancelled(run: Run) -> bool:
        done = work(run)
        site.database.write(lambda tx: operations.request_cancel(tx, run.operation.name))
        return done

    with pytest.raises(Cancelled):
        job(site, done_and_cancelled)(run)

    assert manifest(site, run)["error"]["code"] == 1
    assert "_SUCCESS" not in files(site, run)
    assert len(list(lines(site, run))) == len(KEYS) + 1


def test_success_is_taken_back_where_the_operation_ends_otherwise(site: Site) -> None:
    stored(site)
    run = asked_export(site)
    assert export_job(site)(run)
    assert "_SUCCESS" in files(site, run)
    spare = directory(site, run) / "ledger-00077.ndjson"  # as an attempt may leave that had more
    spare.write_bytes(b"{}")

    # Its end was not committed, so it is done again.
    site.database.write(lambda tx: operations.request_cancel(tx, run.operation.name))
    with pytest.raises(Cancelled):
        export_job(site)(run)

    assert manifest(site, run)["error"]["code"] == 1
    assert not {"_SUCCESS", spare.name} & set(files(site, run))


def test_server_that_was_claimed_away_from_has_no_last_word(site: Site) -> None:
    stored(site)
    run = asked_export(site)
    work = ExportJob(facilities=site.facilities)

    def done_and_lost(run: Run) -> bool:
        done = work(run)
        site.claim(run.operation.name)
        return done

    with pytest.raises(Aborted):
        job(site, done_and_lost)(run)

    assert not directory(site, run).exists()


def test_verification_is_left_off_when_somebody_asks_for_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(site)
    run = asked_export(site, verify="CONTENT")
    whole: list[str] = []
    truly = Verification._sha256_of

    def reading(verification: Verification, key: str, *looking: Any) -> bytes:
        site.database.write(lambda tx: operations.request_cancel(tx, run.operation.name))
        sha256 = truly(verification, key, *looking)
        whole.append(key)
        return sha256

    monkeypatch.setattr(Verification, "_sha256_of", reading)
    monkeypatch.setattr("fileroom.transfer.manifest.job.LOOK_SECONDS", 0.0)
    with pytest.raises(Cancelled):
        export_job(site)(run)

    assert not whole
    assert manifest(site, run)["error"]["code"] == 1


def test_place_that_is_an_object_is_refused_at_the_request(site: Site) -> None:
    site.put("told", b"a file")
    with pytest.raises(FailedPrecondition, match="names an object"):
        asked_import(site)


def test_operation_that_waits_for_its_environment_writes_nothing_yet(site: Site) -> None:
    run = asked_import(site)

    def away(run: Run) -> bool:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        job(site, away)(run)
    assert not (site.bucket / "told").exists()


def test_server_that_stops_leaves_the_manifest_to_the_next(site: Site) -> None:
    run = asked_import(site)
    inner = ImportJob(facilities=site.facilities)

    def stopped(run: Run) -> bool:
        done = inner(run)
        run.stop()
        return done

    assert not job(site, stopped)(run)
    assert "manifest.json" not in files(site, run)

    again = site.claim(run.operation.name)
    assert job(site)(again)
    assert manifest(site, again)["account"]["listed"] == 6


def test_import_of_nothing_leaves_an_empty_ledger(site: Site) -> None:
    name = request_import(
        site.facilities,
        STORE,
        "gs://bucket/in/**",
        options=ImportOptions(manifest_uri_prefix=MANIFESTS),
        api_version="v1",
    )
    run = site.claim(name)
    assert job(site, lambda _: True)(run)

    assert files(site, run) == ["_SUCCESS", "ledger-00000.ndjson", "manifest.json"]
    assert list(lines(site, run)) == []


def test_ledger_gives_the_account_whatever_the_manifest_is_asked_for(site: Site) -> None:
    run = asked_import(site)
    assert job(site)(run)
    with site.database.read() as connection:
        ended = operations.read_progress(connection, run.operation)

    told = manifest(site, run)["account"]
    assert told["listed"] == sum(count for term, count in told.items() if term != "listed")
    assert told["listed"] == account(ended)["listed"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"manifest_format": "CSV"}, "manifest_format"),
        ({"verify": "SIZE"}, "verify"),
        ({"write_metadata": True}, "write_metadata"),
    ],
)
def test_what_belongs_to_a_manifest_needs_its_place(
    site: Site, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"{field} says how the manifest is made"):
        request_export(
            site.facilities, STORE, OUT, options=ExportOptions(**options), api_version="v1"
        )


def test_manifest_that_could_not_be_written_is_refused_at_the_request(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, error in {
        "gs://other/told": PermissionDenied,
        "told": InvalidArgument,
        "gs://bucket/*": InvalidArgument,
    }.items():
        with pytest.raises(error):
            request_import(
                site.facilities,
                STORE,
                "gs://bucket/**",
                options=ImportOptions(manifest_uri_prefix=place),
                api_version="v1",
            )
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for options in ({"manifest_format": "PARQUET"}, {"write_metadata": True}):
        with pytest.raises(FailedPrecondition, match="pip install"):
            asked_export(site, **options)
