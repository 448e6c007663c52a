"""Datasets and DICOM stores as rows."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from fileroom.database import schema, stores
from fileroom.database.content_metrics import StoreMetrics, store_metrics
from fileroom.errors import AlreadyExists, InvalidArgument, NotFound, PermissionDenied
from fileroom.names import DatasetName, DicomStoreName, LocationName

if TYPE_CHECKING:
    from fileroom.database.engine import Connection

LOCATION = LocationName("p1", "us-central1")
DATASET = DatasetName(LOCATION, "ds1")
STORE = DicomStoreName(DATASET, "s1")


def make(
    transaction: Connection, *ids: str, labels: dict[str, dict[str, str]] | None = None
) -> None:
    stores.insert_dataset(transaction, DATASET)
    for each in ids:
        config: stores.Config = {"labels": labels[each]} if labels else {}
        stores.insert_dicom_store(transaction, DicomStoreName(DATASET, each), config)


def test_dataset_is_found_by_its_whole_name_only(transaction: Connection) -> None:
    made = stores.insert_dataset(transaction, DATASET, time_zone="Europe/Berlin")

    assert stores.get_dataset(transaction, DATASET) == made
    assert made.time_zone == "Europe/Berlin"
    assert base64.b64decode(made.etag, validate=True)
    assert (
        stores.find_dataset(transaction, DatasetName(LocationName("p2", "us-central1"), "ds1"))
        is None
    )
    assert stores.find_dataset(transaction, DatasetName(LOCATION, "DS1")) is None


def test_missing_dataset_is_denied_as_if_it_were_forbidden(transaction: Connection) -> None:
    with pytest.raises(PermissionDenied) as caught:
        stores.get_dicom_store(transaction, STORE, permission="healthcare.dicomStores.import")

    assert caught.value.message == (
        f"Permission 'healthcare.dicomStores.import' denied on resource '{STORE}'"
        " (or it may not exist). See that its dataset is spelled right and has been created."
    )


def test_missing_store_of_a_dataset_is_not_found(transaction: Connection) -> None:
    make(transaction)

    with pytest.raises(NotFound, match="no DICOM store named"):
        stores.get_dicom_store(transaction, STORE)


def test_names_are_unique_among_the_living(transaction: Connection) -> None:
    make(transaction, "s1")
    with pytest.raises(AlreadyExists, match="dataset"):
        stores.insert_dataset(transaction, DATASET)
    with pytest.raises(AlreadyExists, match="DICOM store"):
        stores.insert_dicom_store(transaction, STORE, {})
    first = stores.delete_dicom_store(transaction, STORE)

    second = stores.insert_dicom_store(transaction, STORE, {})

    assert second.id != first.id
    assert second.blob_prefix != first.blob_prefix


def test_deletion_of_a_dataset_takes_its_stores(transaction: Connection) -> None:
    make(transaction, "s1")

    stores.delete_dataset(transaction, DATASET)

    assert stores.find_dicom_store(transaction, STORE) is None
    with pytest.raises(PermissionDenied):
        stores.delete_dataset(transaction, DATASET)
    stores.insert_dataset(transaction, DATASET)
    assert stores.list_dicom_stores(transaction, DATASET).items == ()


def test_pages_of_datasets_hold_each_once_in_order(transaction: Connection) -> None:
    ids = ["b", "a", "ä", "C", "a-1", "a.1", "a1"]
    for each in ids:
        stores.insert_dataset(transaction, DatasetName(LOCATION, each))
    stores.insert_dataset(transaction, DatasetName(LocationName("p2", "us-central1"), "z"))

    seen: list[str] = []
    token = ""
    while True:
        page = stores.list_datasets(transaction, LOCATION, page_size=2, page_token=token)
        seen += [dataset.name.dataset_id for dataset in page.items]
        token = page.next_page_token
        if not token:
            break

    assert seen == sorted(ids)


def test_page_token_of_another_listing_is_refused(transaction: Connection) -> None:
    make(transaction, "a", "b", "c")
    other = DatasetName(LOCATION, "ds2")
    stores.insert_dataset(transaction, other)
    token = stores.list_dicom_stores(transaction, DATASET, page_size=1).next_page_token

    for parent, text, given in [
        (other, "", token),
        (DATASET, "labels.a=b", token),
        (DATASET, "", "bm9uc2Vuc2U="),
        (DATASET, "", "%%%"),
    ]:
        with pytest.raises(InvalidArgument, match="pageToken"):
            stores.list_dicom_stores(transaction, parent, page_token=given, filter_text=text)


def test_stores_are_filtered_by_label_across_pages(transaction: Connection) -> None:
    ids = [f"s{number}" for number in range(10)]
    labels = {each: {"site": "a" if int(each[1:]) % 3 else "b"} for each in ids}
    make(transaction, *ids, labels=labels)

    first = stores.list_dicom_stores(
        transaction, DATASET, page_size=3, filter_text='labels.site="b"'
    )
    rest = stores.list_dicom_stores(
        transaction,
        DATASET,
        page_size=3,
        page_token=first.next_page_token,
        filter_text='labels.site="b"',
    )

    assert [store.name.dicom_store_id for store in (*first.items, *rest.items)] == [
        "s0",
        "s3",
        "s6",
        "s9",
    ]
    assert rest.next_page_token == ""


def test_update_of_a_store_reads_and_writes_in_one_transaction(transaction: Connection) -> None:
    make(transaction, "s1", labels={"s1": {"a": "1"}})
    before = stores.get_dicom_store(transaction, STORE)

    after = stores.update_dicom_store(transaction, STORE, lambda old: {**old, "labels": {"b": "2"}})

    assert after.labels == {"b": "2"}
    assert after.etag != before.etag
    assert after.blob_prefix == before.blob_prefix


def test_metrics_are_sums_over_series_without_studies_under_deletion(
    transaction: Connection,
) -> None:
    make(transaction, "s1")
    store = stores.get_dicom_store(transaction, STORE)
    for study, state in ((1, "LIVING"), (2, "LIVING"), (3, "DELETING")):
        transaction.execute(
            insert(schema.studies).values(
                id=study, store_id=store.id, study_instance_uid=f"1.{study}", state=state
            )
        )
        for series in (1, 2):
            transaction.execute(
                insert(schema.series).values(
                    store_id=store.id,
                    study_id=study,
                    series_instance_uid=f"1.{study}.{series}",
                    instance_count=3,
                    bytes=1000,
                )
            )

    metrics = store_metrics(transaction, store.id)

    assert metrics == StoreMetrics(
        study_count=2, series_count=4, instance_count=12, size_bytes=4000
    )
    assert stores.list_location_ids(transaction, "p1") == ("us-central1",)
