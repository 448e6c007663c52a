"""OpenID providers: one that answers as they do, and ones that do not."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fileroom.auth import oidc
from fileroom.auth.authenticate import Authenticator
from fileroom.auth.oidc import OidcIssuer, OidcVerifier, is_trustworthy
from fileroom.errors import Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.auth.authorize import Principal

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
SIGNERS: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}


def public(algorithm: str, key_id: str) -> dict[str, Any]:
    """Give the public half of a key as a provider tells it."""
    kinds: dict[str, Any] = {
        "RS256": pyjwt.algorithms.RSAAlgorithm,
        "ES256": pyjwt.algorithms.ECAlgorithm,
        "EdDSA": pyjwt.algorithms.OKPAlgorithm,
    }
    told = kinds[algorithm].to_jwk(SIGNERS[algorithm].public_key(), as_dict=True)
    return {**told, "kid": key_id, "use": "sig", "alg": algorithm, "key_ops": ["verify"]}


@dataclass(slots=True)
class Provider:
    """An OpenID provider on this machine."""

    url: str
    keys: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[int, bytes, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def issuer(self, **changed: Any) -> OidcIssuer:
        held: dict[str, Any] = {"issuer": self.url, "audiences": ("fileroom",)}
        return OidcIssuer(**(held | changed))

    def token(self, algorithm: str = "RS256", key_id: str = "k1", **changed: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "fileroom",
            "sub": "1234",
            "email": "Ada@Example.org",
            "email_verified": True,
            "groups": ["/radiology", "Readers"],
            "iat": now,
            "exp": now + 300,
        } | changed
        return pyjwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            SIGNERS[algorithm],
            algorithm=algorithm,
            headers={"kid": key_id},
        )


@contextmanager
def served_provider() -> Iterator[Provider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            status, body, headers = 404, b"", dict[str, str]()
            if self.path in served.answers:
                status, body, headers = served.answers[self.path]
            elif self.path == "/.well-known/openid-configuration":
                told = {"issuer": served.url, "jwks_uri": f"{served.url}/keys"}
                status, body = 200, json.dumps(told).encode()
            elif self.path == "/keys":
                status, body = 200, json.dumps({"keys": served.keys}).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Provider(f"http://127.0.0.1:{server.server_port}")
    served.keys.append(public("RS256", "k1"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with served_provider() as answering:
        yield answering


def recognized(verifier: OidcVerifier, token: str) -> Principal:
    return Authenticator(("oidc",), None, [verifier]).authenticate(f"Bearer {token}")


@pytest.mark.clause(
    "OpenID Connect Core 1.0, 3.1.3.7", "an ID token of the issuer, for this client, for now"
)
def test_a_token_tells_user_domain_and_groups(provider: Provider) -> None:
    principal = recognized(OidcVerifier([provider.issuer()]), provider.token())

    assert principal.name == "user:ada@example.org"
    assert principal.members == {
        "user:ada@example.org",
        "domain:example.org",
        "group:/radiology",
        "group:readers",
    }
    assert not principal.holds_all


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_each_algorithm_counts_where_it_is_named(provider: Provider, algorithm: str) -> None:
    provider.keys.append(public(algorithm, "other"))
    token = provider.token(algorithm, "other")
    named = provider.issuer(algorithms=(algorithm,))
    others = tuple(each for each in SIGNERS if each != algorithm)

    assert recognized(OidcVerifier([named]), token)
    with pytest.raises(Unauthenticated, match="signature is not valid"):
        recognized(OidcVerifier([provider.issuer(algorithms=others)]), token)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"aud": "elsewhere"}, "not for this server"),
        ({"aud": None}, "not for this server"),
        ({"exp": int(time.time()) - 300}, "has expired"),
        ({"exp": None}, "says no exp"),
        ({"email": None}, "does not name its user"),
        ({"email": "a b"}, "does not name its user"),
        ({"email_verified": False}, "has not verified"),
        ({"iss": "https://other.example"}, "access token of this server"),
    ],
)
def test_tokens_that_do_not_count(provider: Provider, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(Unauthenticated, match=words):
        recognized(OidcVerifier([provider.issuer()]), provider.token(**changed))


def test_an_email_that_is_a_service_accounts_makes_none(provider: Provider) -> None:
    email = "importer@hospital.iam.gserviceaccount.com"
    principal = recognized(OidcVerifier([provider.issuer()]), provider.token(email=email))

    assert f"serviceAccount:{email}" not in principal.members


def test_another_claim_may_name_the_user(provider: Provider) -> None:
    verifier = OidcVerifier([provider.issuer(user_claim="client_id", groups_claim="roles")])
    principal = recognized(verifier, provider.token(client_id="night-import", roles=["R"]))

    assert principal.members == {"user:night-import", "group:r"}


def test_keys_are_kept_and_asked_for_again_when_a_new_one_signs(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = OidcVerifier([provider.issuer()])
    for _ in range(3):
        recognized(verifier, provider.token())
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]

    provider.keys.append(public("RS256", "k2"))
    for _ in range(20):
        with pytest.raises(Unauthenticated, match="no key of the token's issuer"):
            recognized(verifier, provider.token(key_id="k2"))
    assert len(provider.asked) == 2, "whoever makes up key ids does not have the issuer asked"

    monkeypatch.setattr(oidc, "AGAIN_SECONDS", 0.0)
    assert recognized(verifier, provider.token(key_id="k2"))
    assert recognized(verifier, provider.token(key_id="k1"))


def test_known_keys_count_while_the_provider_is_away(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = OidcVerifier([provider.issuer()])
    recognized(verifier, provider.token())
    monkeypatch.setattr(oidc, "KEYS_SECONDS", -1.0)
    monkeypatch.setattr(oidc, "AGAIN_SECONDS", 0.0)
    provider.answers["/keys"] = (503, b"", {})

    assert recognized(verifier, provider.token())
    with pytest.raises(Unavailable, match="cannot be read"):
        recognized(verifier, provider.token(key_id="new"))


@pytest.mark.parametrize(
    "answer",
    [
        (503, b"", {}),
        (200, b"<html>", {}),
        (200, b"[]", {}),
        (200, b" " * (oidc.DOCUMENT_BYTES_MAX + 1), {}),
        (302, b"", {"Location": "http://127.0.0.1:1/keys"}),
        (200, b'{"keys": 3}', {}),
        (200, b'{"keys": [{"kty": "RSA", "kid": "k1"}, 3, {"kty": "oct", "k": "AA"}]}', {}),
    ],
)
def test_a_provider_that_tells_no_keys_lets_nobody_in(
    provider: Provider, answer: tuple[int, bytes, dict[str, str]]
) -> None:
    provider.answers["/keys"] = answer

    with pytest.raises((Unavailable, Unauthenticated)):
        recognized(OidcVerifier([provider.issuer()]), provider.token())


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example", "jwks_uri": "http://127.0.0.1:1/keys"},
        {"jwks_uri": "http://127.0.0.1:1/keys"},
        {"issuer": "SELF", "jwks_uri": "http://keys.example/keys"},
        {"issuer": "SELF", "jwks_uri": 3},
    ],
)
def test_a_document_of_another_issuer_is_not_followed(
    provider: Provider, document: dict[str, Any]
) -> None:
    told = {name: provider.url if each == "SELF" else each for name, each in document.items()}
    path = "/.well-known/openid-configuration"
    provider.answers[path] = (200, json.dumps(told).encode(), {})

    with pytest.raises(Unavailable, match="does not say where its keys are"):
        recognized(OidcVerifier([provider.issuer()]), provider.token())
    assert provider.asked == [path]


def test_keys_may_be_named_without_a_document(provider: Provider) -> None:
    verifier = OidcVerifier([provider.issuer(jwks_uri=f"{provider.url}/keys")])

    assert recognized(verifier, provider.token())
    assert provider.asked == ["/keys"]


def test_what_is_read_comes_over_tls_or_from_this_machine() -> None:
    assert is_trustworthy("https://login.example.org")
    assert is_trustworthy("http://127.0.0.1:8080/keys")
    for url in ("http://login.example.org", "ftp://127.0.0.1/keys", "file:///keys", ""):
        assert not is_trustworthy(url)
