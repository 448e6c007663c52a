"""Service accounts over HTTP, and ``POST /token``."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import jwt as pyjwt
import pytest

from fileroom.settings import Settings
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from tests.unit.api.conftest import ServedDeployment

ACCOUNTS = "projects/p1/serviceAccounts"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def make(server: ServedDeployment, account_id: str) -> str:
    """Make an account and give its path."""
    answer = server.call("POST", ACCOUNTS, {"accountId": account_id})
    assert answer.status_code == 200, answer.text
    return f"{ACCOUNTS}/{answer.json()['email']}"


def key_file(server: ServedDeployment, account: str) -> dict[str, str]:
    answer = server.call("POST", f"{account}/keys", {})
    assert answer.status_code == 200, answer.text
    file: dict[str, str] = json.loads(base64.b64decode(answer.json()["privateKeyData"]))
    return file


def assertion(file: dict[str, str], **changed: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": file["client_email"],
        "aud": file["token_uri"],
        "iat": now,
        "exp": now + 3600,
    } | changed
    headers = {"kid": file["private_key_id"]}
    return pyjwt.encode(claims, file["private_key"], algorithm="RS256", headers=headers)


def ask(server: ServedDeployment, **fields: str) -> httpx2.Response:
    return server.client.post("/token", data=fields, headers={"Authorization": ""})


def test_account_lives_from_create_to_delete(server: ServedDeployment) -> None:
    body = {"accountId": "importer", "serviceAccount": {"displayName": "Night import"}}
    made = server.call("POST", ACCOUNTS, body).json()
    email = "importer@p1.iam.gserviceaccount.com"
    account = f"{ACCOUNTS}/{email}"

    assert made == {
        "name": account,
        "projectId": "p1",
        "uniqueId": made["uniqueId"],
        "email": email,
        "displayName": "Night import",
    }
    assert server.get(account) == made
    assert made in server.get(ACCOUNTS)["accounts"]
    assert server.call("POST", ACCOUNTS, body).status_code == 409
    assert server.call("POST", f"{account}:disable", {}).json() == {}
    assert server.get(account)["disabled"] is True
    assert server.call("POST", f"{account}:enable", {}).json() == {}
    assert server.get(account) == made
    assert server.call("DELETE", account).json() == {}
    assert server.call("GET", account).status_code == 404
    assert server.call("DELETE", account).status_code == 404


def test_accounts_are_told_in_pages(server: ServedDeployment) -> None:
    for number in range(3):
        server.call("POST", "projects/pages/serviceAccounts", {"accountId": f"number{number}"})

    first = server.get("projects/pages/serviceAccounts", pageSize="2")
    token = first["nextPageToken"]
    rest = server.get("projects/pages/serviceAccounts", pageSize="2", pageToken=token)

    assert [len(page["accounts"]) for page in (first, rest)] == [2, 1]
    assert "nextPageToken" not in rest
    assert server.get("projects/none/serviceAccounts") == {}


@pytest.mark.parametrize(
    ("project", "body"),
    [
        ("p1", {}),
        ("p1", {"accountId": "short"}),
        ("p1", {"accountId": "Importer"}),
        ("p1", {"accountId": "1mporter"}),
        ("p1", {"accountId": "importer@p1"}),
        ("P1", {"accountId": "importer"}),
        ("p1", {"accountId": "importer", "serviceAccount": {"displayName": "x" * 101}}),
        ("p1", {"accountId": "importer", "serviceAccount": {"displayName": "a\nb"}}),
    ],
)
def test_what_is_no_account_is_refused(
    server: ServedDeployment, project: str, body: dict[str, Any]
) -> None:
    assert server.call("POST", f"projects/{project}/serviceAccounts", body).status_code == 400


def test_a_keys_signing_half_is_given_once(server: ServedDeployment) -> None:
    account = make(server, "key-owner")
    made = server.call("POST", f"{account}/keys", {}).json()

    (listed,) = server.get(f"{account}/keys")["keys"]
    one = server.get(made["name"])

    assert listed == {
        name: value for name, value in made.items() if not name.startswith("privateKey")
    }
    assert base64.b64decode(one["publicKeyData"]).startswith(b"-----BEGIN PUBLIC KEY-----")
    assert "privateKeyData" not in one
    assert server.call("DELETE", made["name"]).json() == {}
    assert server.get(f"{account}/keys") == {}
    assert server.call("GET", made["name"]).status_code == 404
    for body in ({"privateKeyType": "TYPE_PKCS12_FILE"}, {"keyAlgorithm": "KEY_ALG_RSA_1024"}):
        assert server.call("POST", f"{account}/keys", body).status_code == 400


def test_token_for_an_assertion(server: ServedDeployment) -> None:
    account = make(server, "token-taker")
    answer = ask(server, grant_type=GRANT, assertion=assertion(key_file(server, account)))

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert (body["expires_in"], body["token_type"]) == (3600, "Bearer")
    bearer = {"Authorization": f"Bearer {body['access_token']}"}
    seen = server.client.get("/v1/projects", headers=bearer)
    assert (seen.status_code, seen.json()) == (200, {})
    refused = server.client.get("/v1/projects/p1/locations", headers=bearer)
    assert refused.status_code == 403


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"grant_type": "password", "assertion": "x"}, "unsupported_grant_type"),
        ({"grant_type": GRANT}, "invalid_request"),
        ({"grant_type": GRANT, "assertion": "x"}, "invalid_grant"),
        ({"grant_type": GRANT, "assertion": "x" * 40_000}, "invalid_request"),
    ],
)
def test_token_endpoint_says_what_is_wrong(
    server: ServedDeployment, fields: dict[str, str], code: str
) -> None:
    answer = ask(server, **fields)

    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert answer.json()["error_description"]


def test_token_endpoint_takes_posts_alone(server: ServedDeployment) -> None:
    assert server.client.get("/token").status_code == 404
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for content in (b"\xff", b"a" * 100_000, b"&".join([b"a=b"] * 100), b"{}"):
        answer = server.client.post("/token", content=content, headers=form)
        assert answer.json()["error"] == "invalid_request"
    answer = server.client.post("/token", headers=form)
    assert answer.json()["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://elsewhere.example/token"},
        {"exp": int(time.time()) - 3600},
        {"iss": "other@p1.iam.gserviceaccount.com"},
    ],
)
def test_assertion_that_does_not_count(server: ServedDeployment, changed: dict[str, Any]) -> None:
    account = make(server, f"refused-{next(iter(changed))}")
    answer = ask(
        server, grant_type=GRANT, assertion=assertion(key_file(server, account), **changed)
    )

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_a_server_that_lets_no_accounts_in_says_so(tmp_path: Path) -> None:
    with served(Settings(data=tmp_path / "data", workers=1, auth=("token",))) as server:
        account = server.call("POST", ACCOUNTS, {"accountId": "importer"})
        asked = ask(server, grant_type=GRANT, assertion="x")

    assert account.status_code == 400
    assert "service-account" in account.json()["error"]["message"]
    assert asked.json()["error"] == "unsupported_grant_type"
