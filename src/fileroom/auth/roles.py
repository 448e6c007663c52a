"""What each role permits: Google's roles for healthcare, and those for what is beside it.

References
----------
Cloud Healthcare documentation, "Access control with IAM"; IAM predefined roles of healthcare and
storage
"""

from __future__ import annotations

from typing import Final

_EVERY_ROLE: Final = frozenset(
    {
        "healthcare.datasets.get",
        "healthcare.datasets.list",
        "healthcare.locations.get",
        "healthcare.locations.list",
        "healthcare.operations.get",
        "resourcemanager.projects.get",
        "resourcemanager.projects.list",
    }
)
"""What comes with each of Google's roles for healthcare."""


def _of(service: str, *rights: str) -> frozenset[str]:
    return frozenset(f"healthcare.{service}.{right}" for right in rights)


_DICOM_VIEWER: Final = _EVERY_ROLE | _of("dicomStores", "dicomWebRead", "export", "get", "list")
_DICOM_EDITOR: Final = (
    _DICOM_VIEWER
    | _of("dicomStores", "dicomWebDelete", "dicomWebUpdate", "dicomWebWrite", "import")
    | _of("operations", "cancel")
)
_STORE_VIEWER: Final = _EVERY_ROLE | _of("dicomStores", "get", "list")
_STORE_ADMIN: Final = (
    _STORE_VIEWER
    | _of("dicomStores", "create", "deidentify", "delete", "dicomWebDelete", "update")
    | _of("dicomStores", "getIamPolicy", "setIamPolicy")
    | _of("operations", "cancel")
)
_DATASET_ADMIN: Final = (
    _EVERY_ROLE
    | _of("datasets", "create", "deidentify", "delete", "update", "getIamPolicy", "setIamPolicy")
    | _of("operations", "cancel", "list")
)
_OBJECT_VIEWER: Final = frozenset(
    {
        "resourcemanager.projects.get",
        "resourcemanager.projects.list",
        "storage.objects.get",
        "storage.objects.list",
    }
)
_STORAGE_ADMIN: Final = _OBJECT_VIEWER | {
    "storage.buckets.create",
    "storage.buckets.get",
    "storage.buckets.list",
    "storage.objects.create",
    "storage.objects.delete",
}
_LOGGING_VIEWER: Final = frozenset(
    {"logging.logEntries.list", "resourcemanager.projects.get", "resourcemanager.projects.list"}
)
_ACCOUNT_ADMIN: Final = frozenset(
    {
        "iam.serviceAccounts.create",
        "iam.serviceAccounts.delete",
        "iam.serviceAccounts.disable",
        "iam.serviceAccounts.enable",
        "iam.serviceAccounts.get",
        "iam.serviceAccounts.list",
        "resourcemanager.projects.get",
        "resourcemanager.projects.list",
    }
)
_KEY_ADMIN: Final = frozenset(
    {
        "iam.serviceAccountKeys.create",
        "iam.serviceAccountKeys.delete",
        "iam.serviceAccountKeys.get",
        "iam.serviceAccountKeys.list",
        "iam.serviceAccounts.get",
        "iam.serviceAccounts.list",
        "resourcemanager.projects.get",
        "resourcemanager.projects.list",
    }
)

_ON_STORES: Final = {
    "roles/healthcare.dicomEditor": _DICOM_EDITOR,
    "roles/healthcare.dicomViewer": _DICOM_VIEWER,
    "roles/healthcare.dicomStoreAdmin": _STORE_ADMIN,
    "roles/healthcare.dicomStoreViewer": _STORE_VIEWER,
}
_ON_DATASETS: Final = {
    "roles/healthcare.datasetAdmin": _DATASET_ADMIN,
    "roles/healthcare.datasetViewer": _EVERY_ROLE,
}
_ON_PROJECTS: Final = {
    "roles/iam.serviceAccountAdmin": _ACCOUNT_ADMIN,
    "roles/iam.serviceAccountKeyAdmin": _KEY_ADMIN,
    "roles/logging.viewer": _LOGGING_VIEWER,
    "roles/storage.admin": _STORAGE_ADMIN,
    "roles/storage.objectAdmin": _STORAGE_ADMIN
    - {"storage.buckets.create", "storage.buckets.get", "storage.buckets.list"},
    "roles/storage.objectCreator": frozenset(
        {
            "resourcemanager.projects.get",
            "resourcemanager.projects.list",
            "storage.objects.create",
        }
    ),
    "roles/storage.objectViewer": _OBJECT_VIEWER,
}

OWNER_ROLE: Final = "roles/owner"
_ALL: Final = frozenset[str]().union(
    *_ON_STORES.values(), *_ON_DATASETS.values(), *_ON_PROJECTS.values()
)

ROLES: Final[dict[str, frozenset[str]]] = {
    **_ON_STORES,
    **_ON_DATASETS,
    **_ON_PROJECTS,
    OWNER_ROLE: _ALL,
}
"""What each role permits, on a resource and all that is below it."""

STORE_ROLES: Final = frozenset(_ON_STORES)
"""The roles that a policy of a DICOM store may grant: none is above its administrator's reach."""
DATASET_ROLES: Final = STORE_ROLES | frozenset(_ON_DATASETS)
"""The roles that a policy of a dataset may grant."""
PERMISSIONS: Final = _ALL
"""Every permission that there is here."""
