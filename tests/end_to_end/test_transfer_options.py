"""What imports and exports may be asked for beyond Google's API, by the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from fileroom.client import Operation
    from tests.end_to_end.conftest import Fileroom, Place


@pytest.fixture
def filled(place: Place) -> Place:
    """A bucket with three instances and one object that is none."""
    for index, content in enumerate(slices(3)):
        place.put(f"in/{index}.dcm", content)
    place.put("in/readme.dcm", b"no DICOM")
    return place


def importing(fileroom: Fileroom, place: Place, *flags: str) -> Result:
    uri = f"--gcs-uri=gs://{place.bucket_id}/in/**"
    retries = any(flag.startswith("--retry-of") for flag in flags)
    source = () if retries else (uri,)
    return fileroom("dicom-stores", "import", "gcs", place.dicom_store, *source, *flags)


def exporting(fileroom: Fileroom, place: Place, *flags: str) -> Result:
    prefix = f"--gcs-uri-prefix=gs://{place.bucket_id}/out"
    return fileroom("dicom-stores", "export", "gcs", place.dicom_store, prefix, *flags)


def last(place: Place) -> Operation:
    return next(iter(place.client.list_operations(place.dataset)))


def search(place: Place) -> list[Any]:
    return list(place.client.search_instances(place.dicom_store))


def account(place: Place) -> dict[str, int]:
    return {term: count for term, count in last(place).account.items() if count}


def manifest(place: Place) -> Path:
    return place.bucket / "told" / last(place).name.operation_id


def test_import_is_tried_retried_and_taken_back(fileroom: Fileroom, filled: Place) -> None:
    manifests = f"--manifest-uri-prefix=gs://{filled.bucket_id}/told"

    assert importing(fileroom, filled, "--validate-only").exit_code == 3
    assert account(filled) == {"listed": 4, "imported": 3, "failed": 1}
    assert search(filled) == []

    asked = ("--priority=high", "--duplicate-policy=keep-first", manifests)
    assert importing(fileroom, filled, *asked, "--manifest-format=csv").exit_code == 3
    imported = last(filled).name
    assert sorted(path.name for path in manifest(filled).iterdir()) == [
        "ledger-00000.csv",
        "manifest.json",
    ]
    filled.put("in/readme.dcm", [*slices(4)][3])
    retried = importing(fileroom, filled, f"--retry-of={imported.operation_id}", manifests)
    assert retried.exit_code == 0, retried.stderr
    assert account(filled) == {"listed": 1, "imported": 1}
    told = json.loads((manifest(filled) / "manifest.json").read_bytes())
    assert told["request"]["fileroomOptions"] == {
        "retryOf": str(imported),
        "duplicatePolicy": "KEEP_FIRST",
        "manifestUriPrefix": f"gs://{filled.bucket_id}/told",
    }
    assert (manifest(filled) / "_SUCCESS").exists()

    assert fileroom("operations", "undo", str(imported), "--quiet").exit_code == 0
    assert account(filled) == {"listed": 3, "deleted": 3}
    assert len(search(filled)) == 1


def test_export_goes_on_from_an_earlier_one_and_proves_itself(
    fileroom: Fileroom, filled: Place
) -> None:
    importing(fileroom, filled)
    asked = (f"--manifest-uri-prefix=gs://{filled.bucket_id}/told", "--verify=content")
    assert exporting(fileroom, filled, *asked, "--write-metadata").exit_code == 0
    first = last(filled).name
    assert sorted(path.name for path in manifest(filled).iterdir()) == [
        "_SUCCESS",
        "ledger-00000.ndjson",
        "manifest.json",
        "metadata-00000.parquet",
    ]
    told = json.loads((manifest(filled) / "manifest.json").read_bytes())
    assert told["verification"] == {
        "by": "CONTENT",
        "verified": 3,
        "differing": 0,
        "samples": [],
    }

    assert exporting(fileroom, filled, f"--since={first.operation_id}").exit_code == 0
    assert account(filled) == {}
    assert exporting(fileroom, filled, "--if-exists=skip-identical").exit_code == 0
    assert account(filled) == {"listed": 3, "unchanged": 3}
    standing = min((filled.bucket / "out").rglob("*.dcm"))
    standing.write_bytes(b"another's")
    assert exporting(fileroom, filled, "--if-exists=fail").exit_code == 3
    assert account(filled) == {"listed": 3, "exported": 2, "failed": 1}
    assert standing.read_bytes() == b"another's"


def test_what_is_asked_for_wrongly_is_said_at_once(fileroom: Fileroom, filled: Place) -> None:
    before = len(list(filled.client.list_operations(filled.dataset)))
    for flag, says in {
        "--manifest-format=csv": "name its place in manifest_uri_prefix",
        "--manifest-uri-prefix=gs://elsewhere/x": "elsewhere",
        "--retry-of=1": "NOT_FOUND",
    }.items():
        refused = importing(fileroom, filled, flag)
        assert refused.exit_code == 1
        assert says in refused.stderr
    assert len(list(filled.client.list_operations(filled.dataset))) == before
