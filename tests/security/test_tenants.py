"""Two tenants on one server: what is another's looks as if it were not there."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, event

from fileroom.api.routes import ROUTES
from tests.security.asking import path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from tests.security.conftest import Hospital, Hospitals

ABOUT_RESOURCES = tuple(route for route in ROUTES if "{" in route.template and not route.per_item)
NAMES = ("dataset", "dicomStore", "operation", "project", "bucket", "account")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that a caller can tell of an answer."""

    status: int
    body: str
    headers: tuple[str, ...]
    statements: int


@contextmanager
def counted() -> Iterator[list[str]]:
    """Collect the statements of requests."""
    statements: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # Beside requests, a server's own upkeep asks from threads of its own.
        if threading.current_thread().name.startswith(("AnyIO", "database-writer")):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def seen(
    hospitals: Hospitals, verb: str, path: str, headers: dict[str, str], said: dict[str, str]
) -> Seen:
    """Ask, and blot out of the answer the names that the caller wrote into the path."""
    with counted() as statements:
        answer: httpx2.Response = hospitals.server.client.request(
            verb, path, headers=headers, content=b"{}"
        )
    body = answer.text
    for name in sorted(said.values(), key=len, reverse=True):
        body = body.replace(name, "NAME")
    kept = tuple(sorted(name for name in answer.headers if name not in {"date", "x-request-id"}))
    return Seen(status=answer.status_code, body=body, headers=kept, statements=len(statements))


def named(hospital: Hospital) -> dict[str, str]:
    return {
        "project": hospital.project,
        "dataset": hospital.dataset.rpartition("/")[2],
        "dicomStore": hospital.dicom_store.rpartition("/")[2],
        "operation": hospital.operation.rpartition("/")[2],
        "bucket": hospital.bucket,
    }


@pytest.fixture(scope="module")
def quiet(hospitals: Hospitals) -> Iterator[Hospitals]:
    """Nothing but requests asks the database any more."""
    deployment = hospitals.server.deployment
    for _ in range(200):
        done = hospitals.server.get(hospitals.theirs.operation).get("done")
        if done:
            break
    deployment.runner.stop(10)
    with pytest.MonkeyPatch.context() as patch:  # the audit log's end is noted when it is closed
        patch.setattr("fileroom.audit.log.ANCHOR_SECONDS", 86_400.0)
        patch.setattr("fileroom.audit.log.ANCHOR_LINES", 10**9)
        yield hospitals


@pytest.mark.parametrize(
    ("role", "level"),
    [
        ("roles/owner", "project"),
        ("roles/healthcare.datasetAdmin", "dataset"),
        ("roles/healthcare.dicomEditor", "store"),
    ],
)
def test_what_another_owns_is_as_what_is_not_there(quiet: Hospitals, role: str, level: str) -> None:
    headers = quiet.headers(role, level)
    differing = []
    for route in ABOUT_RESOURCES:
        theirs = named(quiet.theirs)
        variables = [name for name in theirs if f"{{{name}}}" in route.template]
        real = seen(quiet, route.verb, path_of(route, quiet.theirs), headers, theirs)
        for variable in variables:
            said = theirs | {variable: "absent"}
            changed = {name: said[name] for name in variables}
            gone = seen(quiet, route.verb, path_of(route, quiet.theirs, **changed), headers, said)
            if gone != real:
                differing.append((route.method_id, route.verb, variable, real, gone))

    assert differing == []


def test_a_sibling_in_the_same_dataset_is_as_one_that_is_not_there(quiet: Hospitals) -> None:
    """Who was let in to one DICOM store learns of no other in its dataset."""
    sibling = quiet.server.make_store(quiet.ours.dataset, "sibling").rpartition("/")[2]
    headers = quiet.headers("roles/healthcare.dicomEditor", "store")
    for route in ABOUT_RESOURCES:
        if "{dicomStore}" not in route.template:
            continue
        answers = [
            seen(
                quiet,
                route.verb,
                path_of(route, quiet.ours, dicomStore=name),
                headers,
                {"dicomStore": name},
            )
            for name in (sibling, "missing")
        ]
        assert answers[0] == answers[1], route.method_id


def test_page_tokens_are_of_one_listing(hospitals: Hospitals) -> None:
    ours, theirs = hospitals.ours, hospitals.theirs
    for number in range(2):
        hospitals.server.make_store(theirs.dataset, f"more{number}")
    page = hospitals.server.get(f"{theirs.dataset}/dicomStores", pageSize="1")

    answer = hospitals.server.client.get(
        f"/v1/{ours.dataset}/dicomStores",
        params={"pageToken": page["nextPageToken"]},
        headers=hospitals.headers("roles/healthcare.dicomViewer", "dataset"),
    )

    assert answer.status_code == 400
    assert "belongs to another listing" in answer.json()["error"]["message"]


@pytest.mark.parametrize("verb", ["", ":failures", ":ledger", ":cancel", ":pause", ":undo"])
def test_an_operation_is_reached_by_its_own_dataset_alone(hospitals: Hospitals, verb: str) -> None:
    """Another's operation is not had by asking for it below a dataset of one's own."""
    operation = hospitals.theirs.operation.rpartition("/")[2]
    path = f"/v1/{hospitals.ours.dataset}/operations/{operation}{verb}"
    method = "POST" if verb in {":cancel", ":pause", ":undo"} else "GET"

    answers = [
        hospitals.server.client.request(
            method, each, headers=hospitals.headers("roles/owner", "project"), content=b""
        )
        for each in (path, path.replace(operation, "absent"))
    ]

    assert [each.status_code for each in answers] == [404, 404]
    assert answers[0].text.replace(operation, "absent") == answers[1].text


def test_an_import_learns_nothing_of_the_operation_of_another(
    hospitals: Hospitals,
) -> None:
    """``retryOf`` and ``since`` take operations of the same DICOM store only."""
    headers = hospitals.headers("roles/owner", "project")
    body = {"fileroomOptions": {"retryOf": hospitals.theirs.operation}}

    answer = hospitals.server.client.post(
        f"/v1/{hospitals.ours.dicom_store}:import", json=body, headers=headers
    )

    assert answer.status_code in {400, 404}
    assert hospitals.theirs.bucket not in answer.text
