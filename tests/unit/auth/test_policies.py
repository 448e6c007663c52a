"""Policies: what they grant, what they refuse to grant."""

from __future__ import annotations

import pytest

from fileroom.auth.policies import (
    BINDINGS_MAX,
    MEMBERS_MAX,
    NO_ETAG,
    Binding,
    Policy,
    checked_bindings,
    checked_member,
    policy_of,
    replaced,
)
from fileroom.auth.roles import DATASET_ROLES, PERMISSIONS, ROLES, STORE_ROLES
from fileroom.errors import Aborted, InvalidArgument

VIEWER = "roles/healthcare.dicomViewer"
EDITOR = "roles/healthcare.dicomEditor"
ADA = "user:ada@example.org"


def test_roles_add_up_for_each_name_somebody_goes_by() -> None:
    policy = Policy(
        bindings=(
            Binding(role=VIEWER, members=("group:readers@example.org", "user:eve@example.org")),
            Binding(role="roles/healthcare.datasetAdmin", members=("domain:example.org",)),
        )
    )

    assert policy.permissions({ADA}) == frozenset()
    assert policy.permissions({ADA, "group:readers@example.org"}) == ROLES[VIEWER]
    assert policy.permissions({"domain:example.org", "user:eve@example.org"}) == (
        ROLES[VIEWER] | ROLES["roles/healthcare.datasetAdmin"]
    )


def test_a_role_that_is_gone_permits_nothing() -> None:
    kept = {"bindings": [{"role": "roles/healthcare.old", "members": [ADA]}], "etag": "x"}

    assert policy_of(kept).permissions({ADA}) == frozenset()


@pytest.mark.parametrize(
    ("member", "kept"),
    [
        ("user:Ada@Example.ORG", "user:ada@example.org"),
        ("group:radiology", "group:radiology"),
        ("domain:example.org", "domain:example.org"),
        (
            "serviceAccount:importer@p.iam.gserviceaccount.com",
            "serviceAccount:importer@p.iam.gserviceaccount.com",
        ),
    ],
)
def test_members_are_kept_in_lower_case(member: str, kept: str) -> None:
    assert checked_member(member) == kept


@pytest.mark.parametrize(
    "member",
    [
        "",
        "ada@example.org",
        "user:",
        "user:a b@example.org",
        "user:a@example.org,user:b@example.org",
        "serviceAccount:importer",
        "robot:r2@example.org",
        "deleted:user:ada@example.org?uid=1",
        "user:" + "a" * 400,
        "user:a\n@example.org",
    ],
)
def test_what_is_no_member_is_refused(member: str) -> None:
    with pytest.raises(InvalidArgument, match="is no member"):
        checked_member(member)


@pytest.mark.parametrize("member", ["allUsers", "allAuthenticatedUsers"])
def test_everybody_is_no_member(member: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{member} is refused"):
        checked_member(member)


def test_bindings_of_one_role_become_one() -> None:
    given = [(VIEWER, [ADA]), (EDITOR, []), (VIEWER, ["user:ADA@example.org", "user:b@c"])]

    assert checked_bindings(given, STORE_ROLES, "a DICOM store") == (
        Binding(role=VIEWER, members=(ADA, "user:b@c")),
    )


def test_nobody_grants_more_than_a_resource_has() -> None:
    """Who may set a DICOM store's policy reaches what its administrator does, and no more."""
    for role in ("roles/healthcare.datasetAdmin", "roles/owner", "roles/storage.admin"):
        with pytest.raises(InvalidArgument, match="is not supported for a DICOM store"):
            checked_bindings([(role, [ADA])], STORE_ROLES, "a DICOM store")
    for role in ("roles/owner", "roles/iam.serviceAccountKeyAdmin", "roles/made.up"):
        with pytest.raises(InvalidArgument, match="is not supported for a dataset"):
            checked_bindings([(role, [ADA])], DATASET_ROLES, "a dataset")


def test_a_policy_is_bounded() -> None:
    with pytest.raises(InvalidArgument, match="at most 250 bindings"):
        checked_bindings([(VIEWER, [ADA])] * (BINDINGS_MAX + 1), STORE_ROLES, "a DICOM store")
    many = [f"user:u{number}@example.org" for number in range(MEMBERS_MAX + 1)]
    with pytest.raises(InvalidArgument, match="at most 1500 members"):
        checked_bindings([(VIEWER, many)], STORE_ROLES, "a DICOM store")


def test_a_stale_etag_is_refused_and_each_change_has_its_own() -> None:
    first = replaced(Policy(), (Binding(role=VIEWER, members=(ADA,)),), NO_ETAG)
    second = replaced(first, (), first.etag)

    assert len({NO_ETAG, first.etag, second.etag}) == 3
    assert replaced(second, None, "").bindings == ()
    with pytest.raises(Aborted, match="concurrent policy changes"):
        replaced(second, (), first.etag)
    assert policy_of(first.to_json()) == first


# Google's roles


@pytest.mark.clause(
    "Cloud Healthcare, Access control with IAM",
    "each role of healthcare permits what it does there, as far as there is such a method here",
)
@pytest.mark.parametrize(
    ("role", "adds"),
    [
        (
            EDITOR,
            "dicomStores.dicomWebRead dicomStores.dicomWebWrite dicomStores.dicomWebUpdate"
            " dicomStores.dicomWebDelete dicomStores.import dicomStores.export dicomStores.get"
            " dicomStores.list operations.cancel",
        ),
        (
            VIEWER,
            "dicomStores.dicomWebRead dicomStores.export dicomStores.get dicomStores.list",
        ),
        (
            "roles/healthcare.dicomStoreAdmin",
            "dicomStores.create dicomStores.delete dicomStores.deidentify"
            " dicomStores.dicomWebDelete dicomStores.get dicomStores.list dicomStores.update"
            " dicomStores.getIamPolicy dicomStores.setIamPolicy operations.cancel",
        ),
        ("roles/healthcare.dicomStoreViewer", "dicomStores.get dicomStores.list"),
        (
            "roles/healthcare.datasetAdmin",
            "datasets.create datasets.delete datasets.deidentify datasets.update"
            " datasets.getIamPolicy datasets.setIamPolicy operations.cancel operations.list",
        ),
        ("roles/healthcare.datasetViewer", ""),
    ],
)
def test_roles_are_googles(role: str, adds: str) -> None:
    everywhere = {
        "healthcare.datasets.get",
        "healthcare.datasets.list",
        "healthcare.locations.get",
        "healthcare.locations.list",
        "healthcare.operations.get",
        "resourcemanager.projects.get",
        "resourcemanager.projects.list",
    }
    assert ROLES[role] == everywhere | {f"healthcare.{each}" for each in adds.split()}


def test_the_owner_of_a_project_may_do_what_any_role_may() -> None:
    assert ROLES["roles/owner"] == PERMISSIONS == frozenset().union(*ROLES.values())
