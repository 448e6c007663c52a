"""What the documents of the API leave open, and what Fileroom chose: one test for each choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from fileroom.errors import InvalidArgument, NotFound
from tests import corpus
from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.conftest import Place
    from tests.server import RunningServer

ACCEPT_STORED = "application/dicom; transfer-syntax=*"


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Iterator[httpx2.Client]:
    """A plain HTTP client with the token."""
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx2.Client(
        base_url=f"{server.url}/v1/", headers=headers, timeout=30, trust_env=False
    ) as client:
        yield client


def error(answer: httpx2.Response) -> tuple[int, str]:
    body: dict[str, Any] = answer.json()
    return answer.status_code, body["error"]["status"]


@pytest.mark.clause(
    "Cloud Healthcare v1 OperationMetadata",
    "metadata.fileroom counts every listed object exactly once, at every moment",
    holds="chosen",
)
def test_account_sums_to_listed_at_every_reading(place: Place) -> None:
    for index, content in enumerate(slices(400)):
        place.put(f"{index:04}.dcm", content)
    seen: list[dict[str, int]] = []

    started = place.client.import_(place.dicom_store, f"gs://{place.bucket_id}/**")
    place.client.wait(
        started, poll_seconds=0.01, on_progress=lambda each: seen.append(each.account)
    )

    assert [account for account in seen if sum(account.values()) != 2 * account["listed"]] == []
    assert seen[-1]["imported"] == 400


@pytest.mark.parametrize("mime_type", ["", "application/dicom", ACCEPT_STORED])
@pytest.mark.clause(
    "Cloud Healthcare v1 GcsDestination.mimeType",
    "no mimeType, application/dicom and application/dicom; transfer-syntax=* all export the bytes "
    "as they were stored",
    holds="chosen",
)
def test_export_of_plain_dicom_is_as_stored(place: Place, mime_type: str) -> None:
    content = corpus.mr_instance(rows=16, transfer_syntax_uid=corpus.IMPLICIT)
    place.put("a.dcm", content)
    place.import_all()

    prefix = f"gs://{place.bucket_id}/out"
    started = place.client.export(place.dicom_store, prefix, mime_type=mime_type)
    place.client.wait(started, poll_seconds=0.1)

    (written,) = (place.bucket / "out").glob("*/*/*.dcm")
    assert written.read_bytes() == content


@pytest.mark.parametrize("mime_type", ["image/gif", "image/png; transfer-syntax=*"])
@pytest.mark.clause(
    "Cloud Healthcare v1 GcsDestination.mimeType",
    "a mimeType that is not documented answers 400 with those that are",
)
def test_export_in_a_form_that_is_not_documented_is_refused(place: Place, mime_type: str) -> None:
    with pytest.raises(InvalidArgument, match="image/png"):
        place.client.export(place.dicom_store, f"gs://{place.bucket_id}/out", mime_type=mime_type)


@pytest.mark.parametrize("below", ["/series/1.2/instances/1.3", "/metadata"])
@pytest.mark.clause(
    "PS3.18 10.4",
    "retrieving an instance, or the metadata of a study, that is not there answers 404",
    holds="chosen",
)
def test_retrieve_of_what_is_absent_is_not_found(
    place: Place, http: httpx2.Client, below: str
) -> None:
    answer = http.get(
        f"{place.dicom_store}/dicomWeb/studies/1.2.3{below}",
        headers={"Accept": "application/dicom+json" if "metadata" in below else ACCEPT_STORED},
    )

    assert answer.status_code == 404


@pytest.mark.clause(
    "Cloud Healthcare v1 lists",
    "operations are listed newest first, datasets and DICOM stores by name",
    holds="chosen",
)
def test_order_of_lists(place: Place) -> None:
    place.put("a.dcm", next(slices(1)))
    names = [place.import_all().name for _ in range(3)]
    for dicom_store_id in ("zebra", "ant"):
        place.client.create_dicom_store(f"{place.dataset}/dicomStores/{dicom_store_id}")

    listed = [each.name for each in place.client.list_operations(place.dataset)]
    stores = [each.name.dicom_store_id for each in place.client.list_dicom_stores(place.dataset)]
    parent = place.dataset.partition("/datasets/")[0]
    datasets = [each.name.dataset_id for each in place.client.list_datasets(parent)]

    assert listed[:3] == names[::-1]
    assert stores == ["ant", place.dicom_store_id, "zebra"]
    assert datasets == sorted(datasets)


@pytest.mark.clause(
    "Cloud Healthcare v1 DicomStore",
    "notificationConfig, notificationConfigs and streamConfigs are checked, kept and returned; "
    "nothing is delivered by this version",
    holds="deviation",
)
def test_notification_and_stream_settings_are_kept(place: Place) -> None:
    settings: Any = {
        "notificationConfigs": [{"pubsubTopic": "projects/p1/topics/dicom"}],
        "streamConfigs": [{"bigqueryDestination": {"tableUri": "bq://p1.archive.instances"}}],
    }
    name = f"{place.dataset}/dicomStores/noisy"

    place.client.create_dicom_store(name, settings)
    kept = place.client.get_dicom_store(name).body

    assert {key: kept[key] for key in settings} == settings
    wrong: Any = {"notificationConfig": {"pubsubTopic": "no topic"}}
    with pytest.raises(InvalidArgument):
        place.client.create_dicom_store(f"{place.dataset}/dicomStores/wrong", wrong)


@pytest.mark.clause(
    "Cloud Healthcare v1",
    "bigqueryDestination, :deidentify and what else comes later answer 501 UNIMPLEMENTED and say "
    "what to use meanwhile",
    holds="deviation",
)
def test_what_comes_later_answers_unimplemented(place: Place, http: httpx2.Client) -> None:
    answers = [
        http.post(
            f"{place.dicom_store}:export",
            json={"bigqueryDestination": {"tableUri": "bq://p1.archive.instances"}},
        ),
        http.post(f"{place.dicom_store}:deidentify", json={}),
        http.post(f"{place.dataset}:deidentify", json={}),
    ]

    assert [error(answer) for answer in answers] == [(501, "UNIMPLEMENTED")] * 3
    assert all(answer.json()["error"]["message"] for answer in answers)


@pytest.mark.clause(
    "Cloud Healthcare v1 Dataset.encryptionSpec",
    "a customer's encryption key is refused with 400: Fileroom does not pretend to encrypt",
    holds="deviation",
)
def test_encryption_key_is_refused(place: Place, http: httpx2.Client) -> None:
    parent = place.dataset.partition("/datasets/")[0]
    answer = http.post(
        f"{parent}/datasets?datasetId=secret",
        json={"encryptionSpec": {"kmsKeyName": "projects/p1/locations/l/keyRings/r/cryptoKeys/k"}},
    )

    assert error(answer) == (400, "INVALID_ARGUMENT")


@pytest.mark.clause(
    "Cloud Healthcare v1 projects.locations",
    "any valid project and location exists; the list shows those of the settings and those in use",
    holds="chosen",
)
def test_any_valid_project_and_location_exists(place: Place) -> None:
    parent = f"projects/new-project-{place.dataset_id}/locations/mars-north1"
    place.client.wait(place.client.create_dataset(f"{parent}/datasets/ds"), poll_seconds=0.1)

    listed = [each.name.location for each in place.client.list_locations(parent.split("/")[1])]

    assert set(listed) >= {"us-central1", "mars-north1"}
    assert str(place.client.get_location(parent).name) == parent


@pytest.mark.clause(
    "Cloud Healthcare v1",
    "URLs in answers come from the setting public_url, never from the request",
    holds="chosen",
)
def test_urls_in_answers_come_from_the_settings(place: Place, http: httpx2.Client) -> None:
    place.put("a.dcm", next(slices(1)))
    operation = place.import_all()

    answer = http.get(
        str(operation.name),
        headers={"X-Forwarded-Host": "evil.example", "Host": f"localhost:{place.server.url[-5:]}"},
    ).json()

    assert answer["metadata"]["logsUrl"].startswith(place.server.url)


@pytest.mark.clause(
    "Cloud Healthcare v1 searchForStudies",
    "limit over the ceiling answers 400; PatientName without fuzzymatching is exact and "
    "case-sensitive",
    holds="chosen",
)
def test_search_is_exact_and_bounded(place: Place, http: httpx2.Client) -> None:
    place.put("a.dcm", next(slices(1)))
    place.import_all()
    search = place.client.search_studies

    assert len(list(search(place.dicom_store, {"PatientName": "Sample^Sam"}))) == 1
    assert list(search(place.dicom_store, {"PatientName": "sample^sam"})) == []
    assert len(list(search(place.dicom_store, {"PatientName": "sam"}, fuzzy_matching=True))) == 1
    over = http.get(f"{place.dicom_store}/dicomWeb/studies", params={"limit": "5001"})
    assert error(over) == (400, "INVALID_ARGUMENT")
    assert "limit" in over.text


@pytest.mark.clause(
    "Cloud Healthcare v1 global parameters",
    "answers are pretty-printed unless prettyPrint=false, callback answers 400, fields is ignored",
    holds="chosen",
)
def test_format_of_answers(place: Place, http: httpx2.Client) -> None:
    pretty = http.get(place.dicom_store)
    plain = http.get(place.dicom_store, params={"prettyPrint": "false", "fields": "labels"})
    callback = http.get(place.dicom_store, params={"callback": "run"})

    assert "\n" in pretty.text
    assert "\n" not in plain.text.strip()
    assert plain.json() == pretty.json()
    assert error(callback) == (400, "INVALID_ARGUMENT")


@pytest.mark.clause(
    "PS3.5 9.1",
    "trailing NUL and space of a UID are trimmed, leading zeros in a component are accepted",
    holds="chosen",
)
def test_rule_for_uids(place: Place) -> None:
    place.put("zeros.dcm", corpus.minimal_instance(study_instance_uid="1.02.003\0"))
    place.put("letters.dcm", corpus.minimal_instance(study_instance_uid="1.2.a"))

    operation = place.import_all()
    (study,) = place.client.search_studies(place.dicom_store)
    (failure,) = place.client.failures(operation.name)

    assert study["0020000D"] == {"vr": "UI", "Value": ["1.02.003"]}
    assert str(failure.reason) == "INVALID_UID"


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.delete",
    "a DICOM store that is deleted and made again under one id is empty",
    holds="chosen",
)
def test_store_made_again_is_empty(place: Place) -> None:
    place.put("a.dcm", next(slices(1)))
    place.import_all()

    place.client.delete_dicom_store(place.dicom_store)
    with pytest.raises(NotFound):
        place.client.get_dicom_store(place.dicom_store)
    place.client.create_dicom_store(place.dicom_store)

    assert place.client.get_dicom_store_metrics(place.dicom_store).instance_count == 0
    assert list(place.client.search_studies(place.dicom_store)) == []
    assert place.import_all().account["imported"] == 1
