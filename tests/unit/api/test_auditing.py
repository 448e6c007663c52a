"""Every route has a type of access and a name by which the audit log calls it."""

from __future__ import annotations

import pytest

from fileroom.api.auditing import ACCESS, begins_operation, is_durable, method_name
from fileroom.api.routes import ROUTES
from fileroom.operations.auditing import METHOD_NAMES

DICOM = "google.cloud.healthcare.v1.dicom.DicomService"


def test_every_route_has_a_type_of_access_and_none_is_left_over() -> None:
    assert set(ACCESS) == {route.permission for route in ROUTES}


def test_what_is_not_asked_by_get_or_to_look_is_durable() -> None:
    looks = {
        "datasets.testIamPermissions",
        "datasets.dicomStores.testIamPermissions",
        "fileroom.entries.list",
    }
    durable = {route.method_id for route in ROUTES if is_durable(route)}
    assert durable == {route.method_id for route in ROUTES if route.verb != "GET"} - looks


@pytest.mark.parametrize(
    ("method_id", "name"),
    [
        ("get", "google.cloud.location.Locations.GetLocation"),
        ("datasets.list", "google.cloud.healthcare.v1.dataset.DatasetService.ListDatasets"),
        ("datasets.operations.cancel", "google.longrunning.Operations.CancelOperation"),
        ("datasets.dicomStores.patch", f"{DICOM}.UpdateDicomStore"),
        ("datasets.dicomStores.setIamPolicy", f"{DICOM}.SetIamPolicy"),
        ("datasets.dicomStores.storeInstances", f"{DICOM}.StoreInstances"),
        ("datasets.dicomStores.studies.delete", f"{DICOM}.DeleteStudy"),
        (
            "datasets.dicomStores.studies.series.instances.retrieveRendered",
            f"{DICOM}.RetrieveInstanceRendered",
        ),
        ("storage.objects.get", "storage.objects.get"),
        ("fileroom.entries.list", "fileroom.entries.list"),
        ("fileroom.operations.undo", f"{DICOM}.UndoImportDicomData"),
    ],
)
def test_methods_bear_googles_names(method_id: str, name: str) -> None:
    route = next(route for route in ROUTES if route.method_id == method_id)
    assert method_name(route, "v1") == name


def test_both_entries_of_an_operation_name_the_same_method() -> None:
    begun = {
        method_name(route, "v1").removeprefix("google.cloud.healthcare.v1.")
        for route in ROUTES
        if begins_operation(route)
    }
    assert begun == set(METHOD_NAMES.values())
