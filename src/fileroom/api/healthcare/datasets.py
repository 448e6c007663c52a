"""``projects.locations.datasets``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from fileroom.api.healthcare.identities import keep_identities, tell_deleted
from fileroom.api.healthcare.update_masks import apply_update_mask, parse_update_mask
from fileroom.api.wire import EMPTY, Dataset, ListDatasetsResponse, json_answer
from fileroom.database import stores
from fileroom.database.operations import Kind, insert_operation
from fileroom.errors import InvalidArgument
from fileroom.names import DatasetName, OperationName

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call
    from fileroom.database.engine import Connection

MUTABLE = ("timeZone",)


def create(call: Call) -> Answer:
    """Create a dataset; the operation that says so is done when it is named."""
    body = call.request_as(Dataset)
    name = DatasetName(call.location, call.parameter("datasetId") or "")
    _refuse_encryption(body)
    time_zone = checked_time_zone(body.time_zone)

    def insert(transaction: Connection) -> OperationName:
        dataset = stores.insert_dataset(transaction, name, time_zone=time_zone)
        package = f"google.cloud.healthcare.{call.api_version}.dataset"
        operation_id = insert_operation(
            transaction,
            dataset.id,
            kind=Kind.CREATE_DATASET,
            api_version=call.api_version,
            principal=call.principal.name,
            request={"name": str(name)},
            response={
                "@type": f"type.googleapis.com/{package}.Dataset",
                "name": str(name),
                **({"timeZone": time_zone} if time_zone else {}),
            },
            retention_microseconds=call.deployment.settings.operation_retention_microseconds,
        )
        return OperationName(name, operation_id)

    return json_answer({"name": str(call.deployment.database.write(insert))})


def get(call: Call) -> Answer:
    """Give a dataset."""
    with call.deployment.database.read() as connection:
        return json_answer(
            to_wire(stores.get_dataset(connection, call.dataset, permission=call.permission))
        )


def list_(call: Call) -> Answer:
    """Give the datasets of a location by name."""
    with call.deployment.database.read() as connection:
        page = stores.list_datasets(
            connection,
            call.location,
            page_size=call.page_size(),
            page_token=call.parameter("pageToken") or "",
        )
    return json_answer(
        ListDatasetsResponse(
            datasets=[to_wire(dataset) for dataset in page.items],
            next_page_token=page.next_page_token,
        )
    )


def patch(call: Call) -> Answer:
    """Replace what the mask names."""
    body = call.request_as(Dataset)
    masks = parse_update_mask(call.parameter("updateMask"), Dataset, mutable=MUTABLE)
    changed = apply_update_mask({}, {"timeZone": body.time_zone}, masks)
    time_zone = checked_time_zone(changed.get("timeZone", ""))
    dataset = call.deployment.database.write(
        lambda transaction: stores.update_dataset(transaction, call.dataset, time_zone=time_zone)
    )
    keep_identities(call.deployment, call.dataset)
    return json_answer(to_wire(dataset))


def delete(call: Call) -> Answer:
    """Delete a dataset with its DICOM stores; its name is free at once."""
    deleted = call.deployment.database.write(
        lambda transaction: stores.delete_dataset(transaction, call.dataset)
    )
    tell_deleted(call.deployment, deleted)
    return EMPTY


def to_wire(dataset: stores.Dataset) -> Dataset:
    """Give a dataset as on the wire."""
    return Dataset(name=str(dataset.name), time_zone=dataset.time_zone)


def checked_time_zone(name: str) -> str:
    """Give the name back if it is in the IANA time zone database, or empty for UTC."""
    if name and name not in _time_zones():
        raise InvalidArgument(
            f"invalid time_zone {name[:64]!r}: it must be a name of the IANA time zone database,"
            " such as Europe/Berlin, or empty for UTC",
            "time_zone",
        )
    return name


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _refuse_encryption(body: Dataset) -> None:
    if body.encryption_spec is not None and body.encryption_spec.kms_key_name:
        raise InvalidArgument(
            "encryption_spec.kms_key_name: this server has no key management service and does not"
            " pretend to encrypt; leave it out and encrypt the disk beneath the data directory",
            "encryption_spec.kms_key_name",
        )
