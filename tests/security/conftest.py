"""A server with two hospitals on it, and callers of every role."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2
import jwt as pyjwt
import pytest

from fileroom.auth.policies import Policy, checked_bindings
from fileroom.auth.roles import DATASET_ROLES, ROLES, STORE_ROLES
from fileroom.database.service_accounts import insert_service_account
from fileroom.names import ServiceAccountName
from fileroom.objectstore.buckets import BucketSettings
from fileroom.settings import Settings
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.database.engine import Connection
    from tests.unit.api.conftest import ServedDeployment

OURS, THEIRS = "north", "south"
"""Two projects on one server."""
LEVELS = {
    "project": sorted(ROLES),
    "dataset": sorted(DATASET_ROLES),
    "store": sorted(STORE_ROLES),
}
"""Where a role may be granted, and which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hospital:
    """What one project owns."""

    project: str
    dataset: str
    dicom_store: str
    operation: str
    bucket: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hospitals:
    """A server and what is on it."""

    server: ServedDeployment
    ours: Hospital
    theirs: Hospital
    tokens: dict[ServiceAccountName, str] = field(default_factory=dict)
    """What accounts were given already."""

    def headers(self, role: str, level: str) -> dict[str, str]:
        """Give the header of who has one role in our hospital, at one level."""
        name = account_of(role, level)
        if name not in self.tokens:
            self.tokens[name] = self.token_of(name)
        return {"Authorization": f"Bearer {self.tokens[name]}"}

    def anonymous(self) -> httpx2.Client:
        """Give a client that brings no token by itself."""
        return httpx2.Client(base_url=self.server.url, trust_env=False)

    def token_of(self, name: ServiceAccountName) -> str:
        """Give an access token of an account, by a key made for it."""
        accounts = self.server.deployment.access.service_accounts
        assert accounts is not None
        key, file = accounts.make_key(name)
        now = int(time.time())
        claims = {"iss": name.email, "aud": file["token_uri"], "iat": now, "exp": now + 3600}
        headers = {"kid": key.key_id}
        assertion = pyjwt.encode(claims, file["private_key"], algorithm="RS256", headers=headers)
        return accounts.exchange(assertion)[0]


def account_of(role: str, level: str) -> ServiceAccountName:
    """Give the account that has one role at one level of our hospital."""
    return ServiceAccountName(OURS, f"{level}-role-{LEVELS[level].index(role):02}")


def bindings_at(level: str) -> list[tuple[str, list[str]]]:
    """Give each role of a level to an account of its own."""
    return [(role, [f"serviceAccount:{account_of(role, level).email}"]) for role in LEVELS[level]]


def _hospital(server: ServedDeployment, project: str) -> Hospital:
    parent = f"projects/{project}/locations/us-central1"
    assert server.call("POST", f"{parent}/datasets", {}, datasetId="radiology").status_code == 200
    dataset = f"{parent}/datasets/radiology"
    dicom_store = server.make_store(dataset, "archive")
    body = {"gcsSource": {"uri": f"gs://{project}-scans/**.dcm"}}
    return Hospital(
        project=project,
        dataset=dataset,
        dicom_store=dicom_store,
        operation=server.call("POST", f"{dicom_store}:import", body).json()["name"],
        bucket=f"{project}-scans",
    )


def _grant(server: ServedDeployment, ours: Hospital) -> None:
    """Have each role at each level be somebody's, in our hospital alone."""

    def make(transaction: Connection) -> None:
        for level, roles in LEVELS.items():
            for role in roles:
                insert_service_account(transaction, account_of(role, level), display_name=role)

    server.deployment.database.write(make)
    for resource, level in ((ours.dataset, "dataset"), (ours.dicom_store, "store")):
        bindings = [{"role": role, "members": who} for role, who in bindings_at(level)]
        answer = server.call("POST", f"{resource}:setIamPolicy", {"policy": {"bindings": bindings}})
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospitals]:
    root = tmp_path_factory.mktemp("hospitals")
    buckets = []
    for project in (OURS, THEIRS):
        (root / project).mkdir()
        bucket = BucketSettings(
            name=f"gs://{project}-scans",
            path=root / project,
            project=project,
            allow=frozenset({"read", "write", "delete"}),
            stores=("*",),
        )
        buckets.append(bucket)
    policy = Policy(bindings=checked_bindings(bindings_at("project"), ROLES, "a project"))
    settings = Settings(
        data=root / "data", workers=1, buckets=tuple(buckets), policies={OURS: policy}
    )
    with served(settings) as server:
        ours, theirs = _hospital(server, OURS), _hospital(server, THEIRS)
        _grant(server, ours)
        yield Hospitals(server=server, ours=ours, theirs=theirs)
