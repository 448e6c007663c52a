"""JSON Web Tokens, read strictly: the verifier chooses key and algorithm, never the token.

References
----------
RFC 7515, RFC 7519, RFC 8725
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning

from fileroom.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from joserfc.jwk import Key

# RFC 9864 calls it Ed25519; providers sign by the older name.
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)

TOKEN_LENGTH_MAX: Final = 8192
SKEW_SECONDS: Final = 60
"""How far the clocks of who signs and of this server may differ."""
_REFUSED_HEADERS: Final = frozenset({"b64", "crit", "jku", "jwk", "x5c", "x5t", "x5u"})
"""By these a token would choose its own key, or change what is signed."""
_ANY: Final = jws.JWSRegistry(strict_check_header=False)
"""To look into a token with; to verify one, its algorithms are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peeked:
    """What a token says of itself before anything is verified: enough to choose a key."""

    algorithm: str
    key_id: str
    kind: str
    """The header's ``typ``."""
    issuer: str


def looks_like_jwt(token: str) -> bool:
    """Tell a JSON Web Token from an opaque one."""
    return token.startswith("eyJ") and token.count(".") == 2


def peek(token: str) -> Peeked:
    """Give what a token says of itself.

    Raises
    ------
    Unauthenticated
        If it is none, too long, or names where its key is to be found.
    """
    header, claims = _parts(token)
    if refused := sorted(_REFUSED_HEADERS & header.keys()):
        raise Unauthenticated(f"the token's header holds {refused[0]}, which is refused", "token")
    return Peeked(
        algorithm=_text(header, "alg"),
        key_id=_text(header, "kid"),
        kind=_text(header, "typ"),
        issuer=_text(claims, "iss"),
    )


def verify(token: str, key: Key, algorithms: Collection[str]) -> dict[str, Any]:
    """Give the claims of a token that this key signed, by one of these algorithms, for now.

    Raises
    ------
    Unauthenticated
        If another signed it, or it is not yet, or no longer, valid; ``exp`` and ``iat`` must be
        there.
    """
    try:
        signed = jws.deserialize_compact(token, key, registry=_only(algorithms))
        claims = msgspec.json.decode(signed.payload or b"", type=dict[str, Any])
    except (JoseError, RecursionError, TypeError, ValueError) as error:
        raise Unauthenticated("the token's signature is not valid", "token") from error
    now = time.time()
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires <= now - SKEW_SECONDS:
        raise Unauthenticated("the token has expired: sign in again, or make another", "token")
    not_before = _time(claims, "nbf") if "nbf" in claims else issued
    if max(issued, not_before) > now + SKEW_SECONDS:
        raise Unauthenticated(
            "the token is from the future: see that both clocks are right", "token"
        )
    return claims


def sign(
    claims: Mapping[str, Any], key: Key, algorithm: str, *, kind: str = "JWT", key_id: str = ""
) -> str:
    """Give a token with these claims."""
    header = {"alg": algorithm, "typ": kind} | ({"kid": key_id} if key_id else {})
    content = msgspec.json.encode(claims)
    return jws.serialize_compact(header, content, key, registry=_only((algorithm,)))


def _only(algorithms: Collection[str]) -> jws.JWSRegistry:
    assert algorithms, "without a name, all that are recommended would do"
    # Beside a registry, a list of algorithms counts for nothing: it has to be in it.
    return jws.JWSRegistry(algorithms=list(algorithms), strict_check_header=False)


def audiences(claims: Mapping[str, Any]) -> frozenset[str]:
    """Give whom a token is for."""
    held = claims.get("aud", [])
    many = held if isinstance(held, list) else [held]
    return frozenset(each for each in many if isinstance(each, str))


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if len(token) > TOKEN_LENGTH_MAX or not token.isascii():
        raise Unauthenticated("the token is no JSON Web Token of at most 8 KB", "token")
    try:
        unverified = jws.extract_compact(token.encode(), None, _ANY)
        claims = msgspec.json.decode(unverified.payload or b"", type=dict[str, Any])
        # joserfc takes any JSON that "alg" is in: a text, an array.
        header = dict(unverified.headers())
    except (JoseError, RecursionError, TypeError, ValueError) as error:
        raise Unauthenticated("the token is no JSON Web Token", "token") from error
    return header, claims


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthenticated(f"the token says no {name} in seconds since 1970", "token")
    return value
