"""OpenID providers: one that answers as they do, and ones that do not."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from fileroom.auth import oidc
from fileroom.auth.authenticate import Authenticator
from fileroom.auth.oidc import OidcVerifier, is_trustworthy
from fileroom.errors import InvalidArgument, Unauthenticated, Unavailable
from tests.oidc_provider import SIGNERS, public, served_provider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.auth.authorize import Principal
    from tests.oidc_provider import Provider


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
        ({"email_verified": "false"}, "has not verified"),
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


def test_who_makes_up_a_key_id_keeps_nobody_waiting(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = OidcVerifier([provider.issuer()])
    recognized(verifier, provider.token())
    monkeypatch.setattr(oidc, "AGAIN_SECONDS", 0.0)
    provider.holds = threading.Event()
    with ThreadPoolExecutor(1) as stranger:
        made_up = stranger.submit(recognized, verifier, provider.token(key_id="made-up"))
        while provider.asked.count("/keys") < 2:
            time.sleep(0.01)
        assert recognized(verifier, provider.token())
        assert not made_up.done()
        provider.holds.set()
        with pytest.raises(Unauthenticated, match="no key of the token's issuer"):
            made_up.result()


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
        (200, b'{"keys": ' + b"[" * 100_000, {}),
        (200, b'{"keys": "\xff"}', {}),
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


# Signing in

REDIRECT = "https://pacs.example.org/console/signed-in"
VERIFIER = "v" * 43
CHALLENGE = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"


def code_of(provider: Provider, verifier: OidcVerifier) -> str:
    """Sign in as a browser would, and give the code that one comes back with."""
    url = verifier.sign_in_url(provider.url, REDIRECT, "state", CHALLENGE)
    asked = parse_qs(urlsplit(url).query)
    assert asked["client_id"] == ["fileroom"]
    assert asked["code_challenge_method"] == ["S256"]
    back = httpx2.get(url, trust_env=False).headers["Location"]
    assert back.startswith(REDIRECT)
    return parse_qs(urlsplit(back).query)["code"][0]


@pytest.mark.clause("RFC 7636 4", "a code counts for who has the verifier of its challenge")
def test_a_code_becomes_a_token_for_whom_it_was_given(provider: Provider) -> None:
    verifier = OidcVerifier([provider.issuer()])

    token = verifier.exchange_code(provider.url, code_of(provider, verifier), VERIFIER, REDIRECT)

    assert recognized(verifier, token).name == "user:ada@example.org"
    for wrong in ((VERIFIER + "x", REDIRECT), (VERIFIER, REDIRECT + "x")):
        with pytest.raises(Unauthenticated, match="did not take the code"):
            verifier.exchange_code(provider.url, code_of(provider, verifier), *wrong)
    with pytest.raises(Unauthenticated, match="did not take the code"):
        verifier.exchange_code(provider.url, "made-up", VERIFIER, REDIRECT)


def test_a_provider_may_want_a_secret(provider: Provider, tmp_path: Path) -> None:
    provider.secret = "s3cret"
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    knowing = OidcVerifier([provider.issuer(client_secret_file=file)])
    unknowing = OidcVerifier([provider.issuer()])

    assert knowing.exchange_code(provider.url, code_of(provider, knowing), VERIFIER, REDIRECT)
    with pytest.raises(Unauthenticated):
        unknowing.exchange_code(provider.url, code_of(provider, knowing), VERIFIER, REDIRECT)


def test_nobody_is_sent_to_a_provider_that_is_not_named(provider: Provider) -> None:
    verifier = OidcVerifier([provider.issuer()])

    with pytest.raises(InvalidArgument, match="no OpenID provider"):
        verifier.sign_in_url("https://evil.example", REDIRECT, "state", CHALLENGE)
    assert provider.asked == []
