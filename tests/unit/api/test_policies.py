"""IAM policies over HTTP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.api.conftest import ServedDeployment

VIEWER = "roles/healthcare.dicomViewer"
ADA = "user:ada@example.org"


@pytest.fixture
def dataset(server: ServedDeployment, request: pytest.FixtureRequest) -> str:
    return server.make_dataset(re.sub(r"\W", "-", request.node.name)[5:])


def set_policy(server: ServedDeployment, name: str, body: dict[str, Any]) -> tuple[int, Any]:
    answer = server.call("POST", f"{name}:setIamPolicy", body)
    return answer.status_code, answer.json()


@pytest.mark.clause(
    "Cloud Healthcare v1 datasets.getIamPolicy", "a resource without policy has one with an etag"
)
def test_policy_that_was_never_set_has_an_etag(server: ServedDeployment, dataset: str) -> None:
    store = server.make_store(dataset, "s")

    for name in (dataset, store):
        assert server.get(f"{name}:getIamPolicy") == {"etag": "ACAB"}
        query = {"options.requestedPolicyVersion": "3"}
        assert server.get(f"{name}:getIamPolicy", **query) == {"etag": "ACAB"}


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.setIamPolicy",
    "a policy is replaced as a whole, and given as it is then",
)
def test_policy_is_kept_as_it_was_set(server: ServedDeployment, dataset: str) -> None:
    store = server.make_store(dataset, "s")
    bindings = [{"role": VIEWER, "members": [ADA]}]

    for name in (dataset, store):
        status, made = set_policy(server, name, {"policy": {"bindings": bindings}})
        assert (status, made["bindings"], made["version"]) == (200, bindings, 1)
        assert server.get(f"{name}:getIamPolicy") == made
        status, emptied = set_policy(server, name, {"policy": {"etag": made["etag"]}})
        assert status == 200
        assert emptied.keys() == {"etag"}


@pytest.mark.clause(
    "IAM, Policy.etag", "a policy whose etag is of an older one is refused with 409 ABORTED"
)
def test_lost_update_is_refused(server: ServedDeployment, dataset: str) -> None:
    first = server.get(f"{dataset}:getIamPolicy")
    mine = {"policy": {"etag": first["etag"], "bindings": [{"role": VIEWER, "members": [ADA]}]}}
    assert set_policy(server, dataset, mine)[0] == 200

    status, error = set_policy(server, dataset, mine)

    assert (status, error["error"]["status"]) == (409, "ABORTED")
    assert "concurrent policy changes" in error["error"]["message"]


def test_mask_says_what_is_set(server: ServedDeployment, dataset: str) -> None:
    bindings = [{"role": VIEWER, "members": [ADA]}]
    set_policy(server, dataset, {"policy": {"bindings": bindings}})

    status, kept = set_policy(server, dataset, {"policy": {}, "updateMask": "etag"})
    assert (status, kept["bindings"]) == (200, bindings)
    status, error = set_policy(server, dataset, {"policy": {}, "updateMask": "members"})
    assert (status, "'members'" in error["error"]["message"]) == (400, True)


@pytest.mark.clause(
    "IAM, Policy.bindings.condition", "conditions are refused, not left aside", holds="deviation"
)
@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (None, "policy is required"),
        (
            {"bindings": [{"role": VIEWER, "members": [ADA], "condition": {"expression": "true"}}]},
            "holds no conditions",
        ),
        ({"bindings": [{"role": VIEWER, "members": ["allUsers"]}]}, "allUsers is refused"),
        ({"bindings": [{"role": "roles/owner", "members": [ADA]}]}, "is not supported"),
        ({"auditConfigs": [{"service": "allServices"}]}, "every access is audited"),
        ({"version": 2}, "policy.version"),
    ],
)
def test_what_no_policy_can_be_is_refused(
    server: ServedDeployment, policy: dict[str, Any] | None, words: str
) -> None:
    dataset = "projects/p1/locations/us-central1/datasets/refusing"
    server.call("POST", f"{dataset.rpartition('/')[0]}", {}, datasetId="refusing")
    body: dict[str, Any] = {} if policy is None else {"policy": policy}

    status, error = set_policy(server, dataset, body)

    assert (status, error["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert words in error["error"]["message"]
    assert server.get(f"{dataset}:getIamPolicy") == {"etag": "ACAB"}


def test_policy_of_what_is_not_there(server: ServedDeployment, dataset: str) -> None:
    for verb, method in (("GET", "getIamPolicy"), ("POST", "setIamPolicy")):
        body: dict[str, Any] | None = {"policy": {}} if verb == "POST" else None
        absent = server.call(verb, f"{dataset}/dicomStores/absent:{method}", body)
        assert absent.status_code == 404
        absent = server.call(verb, f"{dataset}-absent:{method}", body)
        assert absent.status_code == 403
        assert f"healthcare.datasets.{method}" in absent.json()["error"]["message"]


@pytest.mark.clause(
    "Cloud Healthcare v1 datasets.testIamPermissions",
    "of what does not exist no permission is held, and the answer is no 404",
)
def test_permissions_are_told_of_what_exists(server: ServedDeployment, dataset: str) -> None:
    asked = {"permissions": ["healthcare.datasets.get", "healthcare.made.up"]}
    held = server.call("POST", f"{dataset}:testIamPermissions", asked)
    gone = server.call("POST", f"{dataset}-absent:testIamPermissions", asked)
    store = server.call("POST", f"{dataset}/dicomStores/absent:testIamPermissions", asked)

    assert held.json() == {"permissions": ["healthcare.datasets.get"]}
    assert (gone.status_code, gone.json()) == (store.status_code, store.json()) == (200, {})


@pytest.mark.parametrize("permissions", [[], ["healthcare.*"], ["a.b.c"] * 101])
def test_permissions_are_named_singly(
    server: ServedDeployment, dataset: str, permissions: list[str]
) -> None:
    answer = server.call("POST", f"{dataset}:testIamPermissions", {"permissions": permissions})

    assert answer.status_code == 400


def test_policies_go_with_what_they_are_about(server: ServedDeployment, dataset: str) -> None:
    set_policy(server, dataset, {"policy": {"bindings": [{"role": VIEWER, "members": [ADA]}]}})
    server.call("DELETE", dataset)
    server.make_dataset(dataset.rpartition("/")[2])

    assert server.get(f"{dataset}:getIamPolicy") == {"etag": "ACAB"}
