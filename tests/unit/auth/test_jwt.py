"""JSON Web Tokens, good and forged; PyJWT makes them, and is asked as a second opinion."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from fileroom.auth import jwt
from fileroom.errors import Unauthenticated

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEY = RSAKey.import_key(PUBLIC_PEM)


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    held = {"iss": "issuer", "sub": "sub", "aud": "fileroom", "iat": now, "exp": now + 600}
    return {name: value for name, value in (held | changed).items() if value is not None}


def signed(headers: dict[str, Any] | None = None, **changed: Any) -> str:
    return pyjwt.encode(claims(**changed), PRIVATE, algorithm="RS256", headers=headers)


def segment(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def by_hand(header: dict[str, Any], signature: bytes = b"") -> str:
    return f"{segment(header)}.{segment(claims())}.{segment(signature)}"


def confused(algorithm: str) -> str:
    """The public key taken for the secret of an algorithm that has one key for both."""
    body = f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{segment(claims())}"
    digest = hmac.new(PUBLIC_PEM, body.encode(), hashlib.sha256).digest()
    return f"{body}.{segment(digest)}"


def test_a_good_token_gives_its_claims() -> None:
    token = signed({"kid": "k1"})

    assert jwt.looks_like_jwt(token)
    assert jwt.peek(token) == jwt.Peeked(
        algorithm="RS256", key_id="k1", kind="JWT", issuer="issuer"
    )
    assert jwt.verify(token, KEY, ("RS256",)) == claims(
        iat=pyjwt.decode(token, options={"verify_signature": False})["iat"],
        exp=pyjwt.decode(token, options={"verify_signature": False})["exp"],
    )


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(by_hand({"alg": "none"}), id="none"),
        pytest.param(by_hand({"alg": "None", "typ": "JWT"}), id="None"),
        pytest.param(by_hand({"alg": "RS256"}), id="no signature"),
        pytest.param(by_hand({"alg": "RS256"}, b"x" * 256), id="a made-up signature"),
        pytest.param(confused("HS256"), id="HS256 with the public key"),
        pytest.param(pyjwt.encode(claims(), OTHER, algorithm="RS256"), id="signed by another key"),
        pytest.param(
            pyjwt.encode(claims(), PRIVATE, algorithm="RS512"), id="an algorithm not asked for"
        ),
        pytest.param(pyjwt.encode(claims(), PRIVATE, algorithm="PS256"), id="another padding"),
    ],
)
def test_what_was_not_signed_by_the_key_is_refused(token: str) -> None:
    with pytest.raises(pyjwt.PyJWTError):
        pyjwt.decode(token, PUBLIC_PEM, algorithms=["RS256"], audience="fileroom")
    with pytest.raises(Unauthenticated, match="signature is not valid"):
        jwt.verify(token, KEY, ("RS256",))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"exp": int(time.time()) - 3600}, "has expired"),
        ({"exp": None}, "says no exp"),
        ({"exp": "9999999999"}, "says no exp"),
        ({"exp": True}, "says no exp"),
        ({"iat": None}, "says no iat"),
        ({"iat": int(time.time()) + 3600}, "from the future"),
        ({"nbf": int(time.time()) + 3600}, "from the future"),
        ({"nbf": "soon"}, "says no nbf"),
    ],
)
def test_what_is_not_for_now_is_refused(changed: dict[str, Any], words: str) -> None:
    body = claims(**changed)
    unchecked = f"{segment({'alg': 'RS256', 'typ': 'JWT'})}.{segment(body)}".encode()
    signature = pyjwt.algorithms.RSAAlgorithm(pyjwt.algorithms.RSAAlgorithm.SHA256).sign(
        unchecked, PRIVATE
    )
    token = f"{unchecked.decode()}.{segment(signature)}"

    with pytest.raises(Unauthenticated, match=words):
        jwt.verify(token, KEY, ("RS256",))


def test_the_algorithms_named_are_the_only_ones() -> None:
    with pytest.raises(Unauthenticated, match="signature is not valid"):
        jwt.verify(signed(), KEY, ("ES256", "HS256"))


def test_clocks_may_differ_by_a_minute() -> None:
    now = int(time.time())

    assert jwt.verify(signed(iat=now + 50, exp=now + 600), KEY, ("RS256",))
    assert jwt.verify(signed(iat=now - 600, exp=now - 50), KEY, ("RS256",))


@pytest.mark.parametrize("name", ["crit", "jku", "jwk", "x5u", "x5c", "x5t"])
def test_a_token_that_would_choose_its_own_key_is_refused(name: str) -> None:
    value: object = {"kty": "oct", "k": "AAAA"} if name == "jwk" else ["http://127.0.0.1/keys"]
    header = {"alg": "RS256", "kid": "k1", name: value}

    with pytest.raises(Unauthenticated, match=f"holds {name}"):
        jwt.peek(by_hand(header))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        "eyJ",
        "eyJ.eyJ.eyJ",
        "a.b.c.d",
        f"{segment([])}.{segment({})}.",
        f"{segment({'alg': 'RS256'})}.{segment([])}.",
        f"{segment({'alg': 'RS256'})}.{segment(b'{')}.",
        f"{segment({'alg': 'RS256'})}.{segment(b'[' * 4000)}.",
        f"{segment({'alg': 'RS256'})}.{segment(b'[' * 2000 + b']' * 2000)}.",
        f"{segment(b'[' * 4000)}.{segment({})}.",
        f"{segment('alg')}.{segment({})}.",
        f"{segment(['alg'])}.{segment({})}.",
        "é.é.é",
        signed() + "x" * 1_000_000,
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        jwt.peek(token)


@given(st.text(max_size=300) | st.from_regex(r"eyJ[\w\-]*\.[\w\-]*\.[\w\-]*", fullmatch=True))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    for read in (jwt.peek, lambda token: jwt.verify(token, KEY, ("RS256",))):
        try:
            read(text)
        except Unauthenticated:
            continue


def test_signed_tokens_are_what_others_read() -> None:
    pem = PRIVATE.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    token = jwt.sign(claims(), RSAKey.import_key(pem), "RS256", key_id="k2")

    assert pyjwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT", "kid": "k2"}
    assert (
        pyjwt.decode(token, PUBLIC_PEM, algorithms=["RS256"], audience="fileroom")["sub"] == "sub"
    )


def test_audiences_are_one_or_many() -> None:
    assert jwt.audiences({"aud": "a"}) == {"a"}
    assert jwt.audiences({"aud": ["a", "b", 3]}) == {"a", "b"}
    assert jwt.audiences({"aud": {"a": 1}}) == jwt.audiences({}) == frozenset()
