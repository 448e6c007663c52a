from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fileroom.client import Client
from fileroom.client.policies import with_binding, without_binding
from fileroom.errors import NotFound
from tests.unit.client.scripted_server import Scripted, scripted_server

if TYPE_CHECKING:
    from fileroom.client import JsonObject

DATASET = "projects/p/locations/l/datasets/d"
WORKING_HOURS: JsonObject = {"title": "hours", "expression": "request.time.getHours() < 17"}
VIEWER = "roles/healthcare.dicomViewer"
POLICY: JsonObject = {
    "etag": "BwU=",
    "version": 3,
    "bindings": [
        {"role": VIEWER, "members": ["user:ada@x.org"]},
        {"role": VIEWER, "members": ["user:ada@x.org"], "condition": WORKING_HOURS},
    ],
}


def test_policy_is_read_with_conditions_and_written_with_its_etag() -> None:
    answer = Scripted(200, json.dumps(POLICY).encode())
    with scripted_server(answer) as script, Client(script.url) as client:
        policy = client.policies.get(DATASET)
        client.policies.set(DATASET, policy, update_mask=["bindings", "etag"])
        client.policies.set(f"{DATASET}/dicomStores/s", policy)
    assert policy == POLICY
    (_, asked, _), (_, masked, first), (_, written, second) = script.requests
    assert asked == f"/v1/{DATASET}:getIamPolicy?options.requestedPolicyVersion=3"
    assert masked == f"/v1/{DATASET}:setIamPolicy"
    assert json.loads(first) == {"policy": POLICY, "updateMask": "bindings,etag"}
    assert written == f"/v1/{DATASET}/dicomStores/s:setIamPolicy"
    assert json.loads(second) == {"policy": POLICY}


def test_member_joins_the_binding_of_the_role_and_condition() -> None:
    plain = with_binding(POLICY, VIEWER, "user:bob@x.org")
    assert plain["bindings"] == [
        {"role": VIEWER, "members": ["user:ada@x.org", "user:bob@x.org"]},
        {"role": VIEWER, "members": ["user:ada@x.org"], "condition": WORKING_HOURS},
    ]
    assert plain["etag"] == "BwU="
    assert with_binding(POLICY, VIEWER, "user:ada@x.org") == POLICY


def test_first_binding_of_a_policy_is_made_and_a_condition_needs_version_3() -> None:
    assert with_binding({"etag": "A="}, "roles/a", "user:a@x.org") == {
        "etag": "A=",
        "bindings": [{"role": "roles/a", "members": ["user:a@x.org"]}],
    }
    assert with_binding({"version": 1}, "roles/a", "user:a@x.org", WORKING_HOURS) == {
        "version": 3,
        "bindings": [{"role": "roles/a", "members": ["user:a@x.org"], "condition": WORKING_HOURS}],
    }


def test_member_leaves_a_binding_which_goes_with_its_last() -> None:
    kept = without_binding(POLICY, VIEWER, "user:ada@x.org", WORKING_HOURS)
    assert kept["bindings"] == [{"role": VIEWER, "members": ["user:ada@x.org"]}]
    assert without_binding(POLICY, VIEWER, "user:ada@x.org", "any")["bindings"] == []
    both = with_binding(POLICY, VIEWER, "user:bob@x.org")
    assert without_binding(both, VIEWER, "user:bob@x.org") == POLICY


@pytest.mark.parametrize(
    ("role", "member", "condition"),
    [
        ("roles/other", "user:ada@x.org", None),
        (VIEWER, "user:bob@x.org", None),
        (VIEWER, "user:ada@x.org", {"title": "other", "expression": "true"}),
    ],
)
def test_member_without_the_role_is_told(
    role: str, member: str, condition: JsonObject | None
) -> None:
    with pytest.raises(NotFound, match=f"the policy gives {member} no {role}"):
        without_binding(POLICY, role, member, condition)
