"""Bad input is answered clearly, and costs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.errors import Code, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place


@pytest.mark.parametrize(
    "uri",
    [
        "bucket/x.dcm",
        "s4://bucket/x.dcm",
        "gs://",
        "gs://BUCKET",
        "gs://BUCKET/**/x.dcm",
        "gs://BUCKET/a*/**",
        "gs://*/x.dcm",
        "",
    ],
)
@pytest.mark.clause(
    "Cloud Healthcare v1 GcsSource.uri",
    "a URI that is not gs://BUCKET/OBJECT, or whose wildcards stand elsewhere, answers 400",
)
def test_wrong_uri_is_refused_at_the_request(place: Place, uri: str) -> None:
    with pytest.raises(InvalidArgument):
        place.client.import_(place.dicom_store, uri.replace("BUCKET", place.bucket_id))

    methods = [each.api_method_name for each in place.client.list_operations(place.dataset)]
    assert [method for method in methods if "Import" in method] == []


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.import",
    "a bucket that is unknown or not allowed answers 403 and names the role that is missing",
    holds="chosen",
)
def test_missing_bucket_is_refused_at_the_request(place: Place) -> None:
    with pytest.raises(PermissionDenied, match="no-such-bucket") as denied:
        place.client.import_(place.dicom_store, "gs://no-such-bucket/**")
    with pytest.raises(PermissionDenied, match="no-such-bucket"):
        place.client.export(place.dicom_store, "gs://no-such-bucket")

    assert "roles/storage.object" in str(denied.value)


@pytest.mark.clause(
    "Cloud Healthcare v1 errors",
    "a DICOM store that is not there answers 404, a dataset that is not there 403",
)
def test_missing_store_and_missing_dataset_differ(place: Place) -> None:
    with pytest.raises(NotFound):
        place.client.import_(f"{place.dicom_store}-other", f"gs://{place.bucket_id}/**")
    other = place.dicom_store.replace(place.dataset_id, "no-such-dataset")
    with pytest.raises(PermissionDenied):
        place.client.import_(other, f"gs://{place.bucket_id}/**")


@pytest.mark.parametrize("pattern", ["*.dcm", "nothing.dcm", "directory"])
@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.import",
    "a pattern without a match, an object that is not there and a URI that names a directory end "
    "the operation with error code 5, NOT_FOUND, naming the pattern",
    holds="chosen",
)
def test_nothing_to_import_ends_in_not_found(place: Place, pattern: str) -> None:
    place.put("directory/x.dcm", next(slices(1)))

    operation = place.import_all(pattern)

    assert operation.error is not None
    assert operation.error.code is Code.NOT_FOUND
    assert f"gs://{place.bucket_id}/{pattern}" in operation.error.message
    assert ("/**" in operation.error.message) == (pattern == "directory")


@pytest.mark.clause(
    "Cloud Healthcare v1 Operation",
    "a partly failed import ends with error code 2, the counters, up to ten sampleErrors in "
    "details[0] and no response",
    holds="chosen",
)
@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.import",
    "of two objects with the same UIDs and other bytes the first in key order is imported, the "
    "other fails and names the checksum mismatch; an identical one is no failure",
    holds="chosen",
)
def test_bad_objects_fail_alone_each_with_its_reason(place: Place) -> None:
    good, changed = slices(2)
    place.put("a-good.dcm", good)
    place.put("b-same-instance.dcm", good[:-1] + bytes([good[-1] ^ 1]))
    place.put("c-copy.dcm", good)
    place.put("d-empty.dcm", b"")
    place.put("e-text.dcm", b"no DICOM at all" * 20)
    place.put("f-truncated.dcm", changed[: len(changed) // 2])
    place.put("g-good.dcm", changed)

    operation = place.import_all()
    failures = {
        failure.source.rpartition("/")[2]: failure
        for failure in place.client.failures(operation.name)
    }

    assert {key: str(failure.reason) for key, failure in failures.items()} == {
        "b-same-instance.dcm": "DUPLICATE_DIFFERENT",
        "d-empty.dcm": "EMPTY",
        "e-text.dcm": "NOT_DICOM",
        "f-truncated.dcm": "TRUNCATED",
    }
    assert "the DICOM files differ (checksum mismatch)" in failures["b-same-instance.dcm"].message
    assert failures["f-truncated.dcm"].byte_offset is not None
    assert {name: count for name, count in operation.account.items() if count} == {
        "listed": 7,
        "imported": 2,
        "identical": 1,
        "failed": 4,
    }
    assert operation.response is None
    assert operation.error is not None
    assert operation.error.code is Code.UNKNOWN
    assert len(operation.error.details[0]["sampleErrors"]) == 4  # type: ignore[arg-type]


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.import",
    "directories and placeholders of directories are passed over and not counted",
    holds="chosen",
)
def test_directory_placeholders_are_passed_over(place: Place) -> None:
    (place.bucket / "empty-directory").mkdir()
    place.put("a.dcm", next(slices(1)))

    operation = place.import_all()

    assert operation.error is None
    assert operation.account["listed"] == 1


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.export",
    "a uriPrefix that names a file of a local bucket is refused",
    holds="chosen",
)
def test_export_onto_a_file_is_refused(place: Place) -> None:
    place.put("taken", b"a file")

    with pytest.raises(FailedPrecondition, match="taken"):
        place.client.export(place.dicom_store, f"gs://{place.bucket_id}/taken")

    assert (place.bucket / "taken").read_bytes() == b"a file"
