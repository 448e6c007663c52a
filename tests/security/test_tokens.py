"""Tokens that do not count, each told by 401 and how to bring one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.security.conftest import account_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.security.conftest import Hospitals

STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def file(hospitals: Hospitals) -> dict[str, str]:
    accounts = hospitals.server.deployment.access.service_accounts
    assert accounts is not None
    return accounts.make_key(account_of("roles/owner", "project"))[1]


def claims(file: dict[str, str], **changed: Any) -> dict[str, Any]:
    now = int(time.time())
    root = file["token_uri"].removesuffix("/token")
    held = {
        "iss": file["client_email"],
        "sub": file["client_email"],
        "aud": f"{root}/",
        "iat": now,
        "exp": now + 600,
    }
    return held | changed


def signed(file: dict[str, str], key: Any = None, algorithm: str = "RS256", **changed: Any) -> str:
    headers = {"kid": file["private_key_id"]}
    signer = key or file["private_key"]
    return pyjwt.encode(claims(file, **changed), signer, algorithm=algorithm, headers=headers)


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unsigned(file: dict[str, str], **header: Any) -> str:
    head = {"typ": "JWT", "kid": file["private_key_id"]} | header
    return f"{segment(head)}.{segment(claims(file))}."


def confused(file: dict[str, str]) -> str:
    """The public half taken for a secret that both sides know."""
    private = load_pem_private_key(file["private_key"].encode(), None)
    secret = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = segment({"alg": "HS256", "typ": "JWT", "kid": file["private_key_id"]})
    body = f"{head}.{segment(claims(file))}"
    digest = hmac.new(secret, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def own_kind(file: dict[str, str]) -> str:
    """A token that says it is one of the server's own, by a secret that is made up."""
    head = {"kid": file["private_key_id"], "typ": "at+jwt"}
    return pyjwt.encode(claims(file, iss="fileroom"), "x" * 32, algorithm="HS256", headers=head)


FORGED: dict[str, Callable[[dict[str, str]], str]] = {
    "expired": lambda file: signed(file, exp=int(time.time()) - 600),
    "from the future": lambda file: signed(file, iat=int(time.time()) + 3600),
    "for longer than an hour": lambda file: signed(file, exp=int(time.time()) + 86_400),
    "of another audience": lambda file: signed(file, aud="https://elsewhere.example/"),
    "without audience": lambda file: signed(file, aud=[]),
    "of another issuer": lambda file: signed(file, iss="chief@example.org"),
    "for another subject": lambda file: signed(file, sub="chief@example.org"),
    "signed by a stranger": lambda file: signed(file, key=STRANGER),
    "by another algorithm": lambda file: signed(file, algorithm="RS512"),
    "alg none": lambda file: unsigned(file, alg="none"),
    "alg NONE": lambda file: unsigned(file, alg="NONE"),
    "no signature": lambda file: unsigned(file, alg="RS256"),
    "HS256 with the public key": confused,
    "with its own key": lambda file: unsigned(file, alg="RS256", jwk={"kty": "oct", "k": "AAAA"}),
    "with an address of keys": lambda file: unsigned(
        file, alg="RS256", jku="http://127.0.0.1:1/keys"
    ),
    "with what must be understood": lambda file: unsigned(file, alg="RS256", crit=["exp"]),
    "a key id that is a path": lambda file: unsigned(file, alg="RS256", kid="../../etc/passwd"),
    "a key id that is SQL": lambda file: unsigned(file, alg="RS256", kid="' OR '1'='1"),
    "a key id that is no text": lambda file: unsigned(file, alg="RS256", kid={"a": 1}),
    "one of the server's own": own_kind,
    "a megabyte": lambda file: signed(file) + "A" * (1 << 14),
}


@pytest.mark.clause("RFC 6750 3", "a token that does not count is told by 401 and WWW-Authenticate")
@pytest.mark.parametrize("how", FORGED)
@pytest.mark.parametrize("where", ["header", "query"])
def test_a_forged_token_is_told_by_401(
    hospitals: Hospitals, file: dict[str, str], how: str, where: str
) -> None:
    token = FORGED[how](file)
    headers = {"Authorization": f"Bearer {token}"} if where == "header" else {}
    query = {"access_token": token} if where == "query" else {}
    with hospitals.anonymous() as client:
        answer = client.get(f"/v1/{hospitals.ours.dataset}", headers=headers, params=query)

    assert answer.status_code == 401, answer.text
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fileroom", error="invalid_token"'
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
    assert token not in answer.text


def test_the_good_one_beside_them_counts(hospitals: Hospitals, file: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {signed(file)}"}
    answer = hospitals.server.client.get(f"/v1/{hospitals.ours.dataset}", headers=headers)

    assert answer.status_code == 200


def test_who_brings_none_is_told_how(hospitals: Hospitals) -> None:
    with hospitals.anonymous() as client:
        answer = client.get(f"/v1/{hospitals.ours.dataset}")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fileroom"'
    assert "print-access-token" in answer.json()["error"]["message"]
