"""Every route, asked by every role at every level, about one's own things and another's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fileroom.api import rates
from fileroom.api.calls import Answer
from fileroom.api.routes import ROUTES
from fileroom.auth.authorize import UNCONDITIONAL
from fileroom.auth.roles import ROLES
from tests.security.asking import path_of
from tests.security.conftest import LEVELS
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from fileroom.api.calls import Call
    from fileroom.api.routing import Route
    from fileroom.deployment import Deployment
    from tests.security.conftest import Hospitals

PASSED = 299
"""What a route answers here once a caller was let through: no route does by itself."""
GATED = tuple(route for route in ROUTES if not route.per_item)


def _pass(_call: Call) -> Answer:
    return Answer(status=PASSED)


def expected(route: Route, role: str, level: str, *, is_ours: bool) -> bool:
    """Whether somebody with a role at a level of ours is to be let through."""
    if route.permission == UNCONDITIONAL:
        return True
    below = {
        # A new bucket is of no project.
        "project": "{project}" in route.template or "{bucket}" in route.template,
        "dataset": "{dataset}" in route.template,
        "store": "{dicomStore}" in route.template or "{operation}" in route.template,
    }
    return is_ours and below[level] and route.permission in ROLES[role]


@pytest.fixture(scope="module")
def gate(hospitals: Hospitals) -> Iterator[httpx2.Client]:
    """The same door as the server's, with nothing behind it that a request could harm."""
    routes = tuple(
        replace(route, handler=_pass, request=None, upload=None, has_document=False, query=None)
        for route in GATED
    )
    own = hospitals.server.deployment

    def with_door(behind: Deployment) -> Deployment:
        return replace(behind, access=own.access, buckets=own.buckets)

    settings = replace(own.settings, data=own.settings.data.with_name("gate"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates, "FAILURES_AT_ONCE", 10_000)  # each route is asked by nobody, thrice
        with served(settings, routes, changed=with_door) as behind:
            yield behind.client


@pytest.mark.parametrize("level", LEVELS)
def test_each_role_passes_where_its_permissions_say_and_nowhere_else(
    hospitals: Hospitals, gate: httpx2.Client, level: str
) -> None:
    wrong = []
    for role in LEVELS[level]:
        headers = hospitals.headers(role, level)
        for route in GATED:
            for hospital in (hospitals.ours, hospitals.theirs):
                answer = gate.request(route.verb, path_of(route, hospital), headers=headers)
                passes = expected(route, role, level, is_ours=hospital is hospitals.ours)
                if answer.status_code != (PASSED if passes else 403):
                    wrong.append((role, route.method_id, hospital.project, answer.status_code))

    assert wrong == []


@pytest.mark.parametrize("authorization", ["", "Bearer guess", "Bearer eyJhbGciOiJub25lIn0.e30."])
def test_who_is_nobody_passes_nowhere(
    hospitals: Hospitals, gate: httpx2.Client, authorization: str
) -> None:
    for route in GATED:
        headers = {"Authorization": authorization}
        answer = gate.request(route.verb, path_of(route, hospitals.ours), headers=headers)
        assert answer.status_code == 401, route.method_id
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_every_route_is_behind_the_door() -> None:
    """A route names its permission, or asks for it item by item, which has tests of its own."""
    for route in ROUTES:
        assert route.permission or route.method_id.endswith("testIamPermissions"), route
    assert {route.method_id for route in ROUTES if route.per_item} == {
        "fileroom.entries.list",
        "fileroom.projects.list",
        "storage.buckets.list",
    }


# What is asked item by item


def test_lists_tell_of_what_one_may_see(hospitals: Hospitals) -> None:
    client, ours = hospitals.server.client, hospitals.ours
    for level, roles in LEVELS.items():
        for role in roles:
            headers = hospitals.headers(role, level)
            projects = client.get("/v1/projects", headers=headers).json()
            buckets = client.get("/storage/v1/b", headers=headers).json()
            body = {"resourceNames": [f"projects/{ours.project}"]}
            entries = client.post("/v2/entries:list", headers=headers, json=body)

            held = ROLES[role] if level == "project" else frozenset()
            sees = level != "project" or "resourcemanager.projects.list" in held
            named = {each["projectId"] for each in projects.get("projects", [])}
            assert named == ({ours.project} if sees else set()), (role, level)
            named = {each["name"] for each in buckets.get("items", [])}
            assert named == ({ours.bucket} if "storage.buckets.list" in held else set()), role
            assert entries.status_code == (200 if "logging.logEntries.list" in held else 403), role


def test_no_log_entry_of_another_project_is_told(hospitals: Hospitals) -> None:
    headers = hospitals.headers("roles/owner", "project")
    names = [f"projects/{each.project}" for each in (hospitals.ours, hospitals.theirs)]

    for asked in (names, names[1:], ["projects/absent"]):
        answer = hospitals.server.client.post(
            "/v2/entries:list", headers=headers, json={"resourceNames": asked}
        )
        assert answer.status_code == 403


def test_a_bucket_tells_what_it_permits_to_those_who_may_use_it(hospitals: Hospitals) -> None:
    asked = {"permissions": ["storage.objects.get", "storage.objects.create"]}

    def held(role: str, bucket: str) -> list[str]:
        path = f"/storage/v1/b/{bucket}/iam/testPermissions"
        headers = hospitals.headers(role, "project")
        answer = hospitals.server.client.get(path, headers=headers, params=asked)
        assert answer.status_code == 200
        found: list[str] = answer.json().get("permissions", [])
        return found

    ours, theirs = hospitals.ours.bucket, hospitals.theirs.bucket
    assert held("roles/storage.admin", ours) == asked["permissions"]
    assert held("roles/storage.objectViewer", ours) == ["storage.objects.get"]
    assert held("roles/healthcare.datasetAdmin", ours) == []
    assert held("roles/storage.admin", theirs) == held("roles/storage.admin", "absent") == []
