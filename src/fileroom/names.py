"""Google resource names as frozen values: parse, ``str``, parent.

``projects/P/locations/L/datasets/D/dicomStores/S`` and its relatives. The parser rejects ``:`` in
every segment, so that a custom verb (``…/dicomStores/s:import``) never reads as an identifier.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from fileroom.errors import InvalidArgument

Uid = NewType("Uid", str)

_DATASET_ID = re.compile(r"[\w.\-]{1,256}")
_STORE_ID = re.compile(r"[\w.\-]{1,256}")
_PROJECT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,62}")
_LOCATION_ID = re.compile(r"[a-z0-9][a-z0-9\-]{0,62}")
_ACCOUNT_ID = re.compile(r"[a-z][a-z0-9\-]{4,28}[a-z0-9]")
_ACCOUNT_PROJECT_ID = re.compile(r"[a-z0-9][a-z0-9._\-]{0,62}")
_EMAIL_DOMAIN = ".iam.gserviceaccount.com"
_OPERATION_ID = re.compile(r"[0-9A-Za-z_\-]{1,64}")
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
UID_LENGTH_MAX = 64


def _check(value: str, pattern: re.Pattern[str], what: str) -> None:
    if not pattern.fullmatch(value) or value in {".", ".."}:
        raise InvalidArgument(
            f"invalid {what} {value!r}: it must match {pattern.pattern}", what.replace(" ", "_")
        )


@dataclass(frozen=True, slots=True)
class LocationName:
    """``projects/{project}/locations/{location}``."""

    project: str
    location: str

    def __post_init__(self) -> None:
        _check(self.project, _PROJECT_ID, "project id")
        _check(self.location, _LOCATION_ID, "location id")

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"


@dataclass(frozen=True, slots=True)
class DatasetName:
    """``projects/{project}/locations/{location}/datasets/{dataset_id}``."""

    parent: LocationName
    dataset_id: str

    def __post_init__(self) -> None:
        _check(self.dataset_id, _DATASET_ID, "dataset id")

    def __str__(self) -> str:
        return f"{self.parent}/datasets/{self.dataset_id}"


@dataclass(frozen=True, slots=True)
class DicomStoreName:
    """``…/datasets/{dataset_id}/dicomStores/{dicom_store_id}``."""

    parent: DatasetName
    dicom_store_id: str

    def __post_init__(self) -> None:
        _check(self.dicom_store_id, _STORE_ID, "DICOM store id")

    def __str__(self) -> str:
        return f"{self.parent}/dicomStores/{self.dicom_store_id}"


@dataclass(frozen=True, slots=True)
class OperationName:
    """``…/datasets/{dataset_id}/operations/{operation_id}``."""

    parent: DatasetName
    operation_id: str

    def __post_init__(self) -> None:
        _check(self.operation_id, _OPERATION_ID, "operation id")

    def __str__(self) -> str:
        return f"{self.parent}/operations/{self.operation_id}"


@dataclass(frozen=True, slots=True)
class ProjectName:
    """``projects/{project}``."""

    project: str

    def __post_init__(self) -> None:
        _check(self.project, _PROJECT_ID, "project id")

    def __str__(self) -> str:
        return f"projects/{self.project}"


@dataclass(frozen=True, slots=True)
class ServiceAccountName:
    """``projects/{project}/serviceAccounts/{email}``, which Google's clients know by the email."""

    project: str
    account_id: str

    def __post_init__(self) -> None:
        # In lower case, as policies compare members: two accounts never have one email.
        _check(self.project, _ACCOUNT_PROJECT_ID, "project id")
        _check(self.account_id, _ACCOUNT_ID, "account id")

    @property
    def email(self) -> str:
        """How key files and policies name it."""
        return f"{self.account_id}@{self.project}{_EMAIL_DOMAIN}"

    def __str__(self) -> str:
        return f"projects/{self.project}/serviceAccounts/{self.email}"


@dataclass(frozen=True, slots=True)
class InstancePath:
    """A study, series or instance below ``dicomWeb/``, by its UIDs."""

    study_instance_uid: Uid
    series_instance_uid: Uid | None = None
    sop_instance_uid: Uid | None = None

    def __str__(self) -> str:
        text = f"studies/{self.study_instance_uid}"
        if self.series_instance_uid is not None:
            text += f"/series/{self.series_instance_uid}"
        if self.sop_instance_uid is not None:
            text += f"/instances/{self.sop_instance_uid}"
        return text


ResourceName = LocationName | DatasetName | DicomStoreName | OperationName


def parse_account_email(text: str, project: str = "-") -> ServiceAccountName:
    """Give the service account of an email; ``-`` as project takes the one that it names.

    Raises
    ------
    InvalidArgument
        If it is no email of a service account, or of another project.
    """
    account_id, _, host = text.partition("@")
    if not host.endswith(_EMAIL_DOMAIN):
        raise InvalidArgument(
            f"{text[:200]!r} is no service account: one is named as in"
            f" importer@PROJECT{_EMAIL_DOMAIN}",
            "name",
        )
    name = ServiceAccountName(host.removesuffix(_EMAIL_DOMAIN), account_id)
    if project not in {"-", name.project}:
        raise InvalidArgument(f"{text[:200]!r} is not of project {project}", "name")
    return name


def parse_name(text: str) -> ResourceName:
    """Give the resource that a full name denotes.

    Raises
    ------
    InvalidArgument
        If the text is no name of a location, dataset, DICOM store or operation.
    """
    segments = text.strip("/").split("/")
    match segments:
        case ["projects", project, "locations", location, *rest]:
            location_name = LocationName(project, location)
        case _:
            raise InvalidArgument(f"{text!r} is not a resource name", "name")
    match rest:
        case []:
            return location_name
        case ["datasets", dataset_id]:
            return DatasetName(location_name, dataset_id)
        case ["datasets", dataset_id, "dicomStores", dicom_store_id]:
            return DicomStoreName(DatasetName(location_name, dataset_id), dicom_store_id)
        case ["datasets", dataset_id, "operations", operation_id]:
            return OperationName(DatasetName(location_name, dataset_id), operation_id)
        case _:
            raise InvalidArgument(f"{text!r} is not a resource name", "name")


def parse_uid(text: str, what: str = "UID") -> Uid:
    """Give a UID without its padding.

    Trailing NUL and space are trimmed; leading zeros in a component are accepted, as much real
    data has them.

    Raises
    ------
    InvalidArgument
        If it is empty, over 64 characters, or other than digits and dots.

    References
    ----------
    PS3.5 9.1
    """
    uid = text.rstrip("\0 ")
    if len(uid) > UID_LENGTH_MAX or not _UID.fullmatch(uid):
        raise InvalidArgument(f"{what} {uid[:80]!r} is not a UID of at most 64 characters", what)
    return Uid(uid)


def parse_instance_path(text: str) -> InstancePath:
    """Give the study, series or instance that ``/studies/…[/series/…[/instances/…]]`` names.

    Raises
    ------
    InvalidArgument
        If the text has another form or a UID is not valid.
    """
    segments = text.strip().strip("/").split("/")
    match segments:
        case ["studies", study]:
            return InstancePath(parse_uid(study))
        case ["studies", study, "series", series]:
            return InstancePath(parse_uid(study), parse_uid(series))
        case ["studies", study, "series", series, "instances", instance]:
            return InstancePath(parse_uid(study), parse_uid(series), parse_uid(instance))
        case _:
            raise InvalidArgument(
                f"{text[:200]!r} is not /studies/UID[/series/UID[/instances/UID]]", "resource path"
            )
