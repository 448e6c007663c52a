"""``fileroom.Client`` against the real server."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

import fileroom
from fileroom.errors import (
    AlreadyExists,
    Code,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Reason,
    Unauthenticated,
)
from fileroom.names import InstancePath, parse_name, parse_uid
from tests import corpus
from tests.end_to_end.conftest import LOCATION, PROJECT, slices

if TYPE_CHECKING:
    from fileroom.client import Client, Json, JsonObject, Operation
    from tests.end_to_end.conftest import Place
    from tests.server import RunningServer


def first(instance: JsonObject, tag: str) -> Json:
    element = instance[tag]
    assert isinstance(element, dict)
    value = element["Value"]
    assert isinstance(value, list)
    return value[0]


def test_wrong_or_missing_token_is_unauthenticated(server: RunningServer) -> None:
    for token in (None, "wrong"):
        with fileroom.Client(server.url, token) as client, pytest.raises(Unauthenticated):
            list(client.list_locations(PROJECT))


def test_locations_datasets_and_stores(client: Client) -> None:
    location = f"projects/{PROJECT}/locations/{LOCATION}"
    assert location in [str(each.name) for each in client.list_locations(PROJECT)]
    assert client.get_location(location).body["locationId"] == LOCATION

    dataset = f"{location}/datasets/made-by-client"
    created = client.wait(client.create_dataset(dataset, time_zone="Europe/Paris"))
    assert created.response is not None
    assert created.response["name"] == dataset
    with pytest.raises(AlreadyExists, match="made-by-client"):
        client.create_dataset(dataset)
    assert client.get_dataset(dataset).time_zone == "Europe/Paris"
    changes: JsonObject = {"timeZone": "UTC"}
    assert client.patch_dataset(dataset, changes, update_mask=["timeZone"]).time_zone == "UTC"
    assert parse_name(dataset) in [each.name for each in client.list_datasets(location)]

    for number in range(3):
        settings: JsonObject = {"labels": {"parity": "odd" if number % 2 else "even"}}
        client.create_dicom_store(f"{dataset}/dicomStores/s{number}", settings)
    stores = [each.name.dicom_store_id for each in client.list_dicom_stores(dataset, page_size=2)]
    assert stores == ["s0", "s1", "s2"]
    odd = client.list_dicom_stores(dataset, filter_text="labels.parity=odd")
    assert [each.name.dicom_store_id for each in odd] == ["s1"]

    client.delete_dicom_store(f"{dataset}/dicomStores/s0")
    with pytest.raises(NotFound):
        client.get_dicom_store(f"{dataset}/dicomStores/s0")
    client.delete_dataset(dataset)
    with pytest.raises(PermissionDenied, match="or it may not exist"):
        client.get_dataset(dataset)


def test_import_search_retrieve_export(place: Place) -> None:
    contents = list(slices(3))
    for number, content in enumerate(contents):
        place.put(f"{number}.dcm", content)
    seen: list[Operation] = []
    client, store = place.client, place.dicom_store
    operation = client.wait(
        client.import_(store, f"gs://{place.bucket_id}/*.dcm"),
        poll_seconds=0.05,
        on_progress=seen.append,
    )
    assert operation.error is None
    assert operation.account["imported"] == operation.counters.success == operation.total == 3
    assert seen[-1] == operation
    assert client.get_dicom_store_metrics(store).instance_count == 3
    assert operation.name in [each.name for each in client.list_operations(place.dataset)]

    (study,) = client.search_studies(store, limit=10)
    study_uid = parse_uid(str(first(study, "0020000D")))
    assert client.search_studies(store, {"PatientID": "nobody"}) == []
    (series,) = client.search_series(store, within=InstancePath(study_uid))
    series_uid = parse_uid(str(first(series, "0020000E")))
    instances = client.search_instances(
        store,
        within=InstancePath(study_uid, series_uid),
        include_fields=["InstanceNumber", "00080018"],
        limit=2,
        offset=1,
    )
    assert len(instances) == 2

    path = InstancePath(study_uid, series_uid, parse_uid(f"{corpus.UID_ROOT}.5.1.1"))
    assert client.retrieve_instance(store, path) == contents[0]
    file = io.BytesIO()
    assert client.retrieve_instance_to(file, store, str(path)) == len(contents[0])
    assert file.getvalue() == contents[0]
    assert len(client.retrieve_metadata(store, InstancePath(study_uid))) == 3
    with pytest.raises(InvalidArgument, match="is no instance"):
        client.retrieve_instance(store, InstancePath(study_uid))
    absent = InstancePath(study_uid, series_uid, parse_uid("1.2.3"))
    with pytest.raises(NotFound):
        client.retrieve_instance(store, absent)

    exported = client.wait(client.export(store, f"gs://{place.bucket_id}/out"), poll_seconds=0.05)
    assert exported.account["exported"] == 3
    assert (place.bucket / "out" / f"{path.study_instance_uid}").is_dir()


def test_failures_come_page_by_page_with_their_reasons(place: Place) -> None:
    place.put("good.dcm", next(slices(1)))
    for number in range(5):
        place.put(f"{number}.dcm", b"")
    place.put("text.dcm", b"no DICOM at all")
    operation = place.import_all()
    assert operation.partly_failed
    assert operation.error is not None
    assert operation.error.code is Code.UNKNOWN
    failures = list(place.client.failures(operation.name, page_size=2))
    assert [failure.source.rpartition("/")[2] for failure in failures] == [
        *(f"{number}.dcm" for number in range(5)),
        "text.dcm",
    ]
    (text,) = place.client.failures(operation.name, reason=Reason.NOT_DICOM)
    assert text == failures[-1]
    assert text.code is Code.INVALID_ARGUMENT


def test_cancel_of_an_ended_operation_changes_nothing(place: Place) -> None:
    place.put("good.dcm", next(slices(1)))
    operation = place.import_all()
    place.client.cancel_operation(operation.name)
    assert place.client.get_operation(operation.name).error is None
