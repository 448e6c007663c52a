"""People and programs whom an OpenID provider knows: its ID and access tokens.

References
----------
OpenID Connect Core 1.0, 2 and 3.1.3.7; OpenID Connect Discovery 1.0, 4; RFC 7517
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

import httpx2
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from fileroom.auth import jwt
from fileroom.auth.authorize import Principal
from fileroom.errors import InvalidArgument, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from joserfc.jwk import Key

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""Those there are: each proves by a public key alone."""
KEYS_SECONDS: Final = 3600.0
"""How long an issuer's keys are taken for current."""
AGAIN_SECONDS: Final = 30.0
"""How soon at most an issuer is asked again because of a token whose key is not among them."""
TIMEOUT_SECONDS: Final = 5.0
DOCUMENT_BYTES_MAX: Final = 1 << 20
KEYS_MAX: Final = 100
GROUPS_MAX: Final = 1000
_KINDS: Final[dict[str, type[RSAKey | ECKey | OKPKey]]] = {
    "RSA": RSAKey,
    "EC": ECKey,
    "OKP": OKPKey,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcIssuer:
    """One OpenID provider that may tell who somebody is."""

    issuer: str
    """As tokens name it, to the letter."""
    audiences: tuple[str, ...]
    """For whom a token must be: this server's client id there."""
    algorithms: tuple[str, ...] = ("RS256",)
    jwks_uri: str = ""
    """Where its keys are; without it, where its discovery document says."""
    user_claim: str = "email"
    """The claim that names the user in policies."""
    groups_claim: str = "groups"
    """The claim that holds their groups."""
    client_secret_file: Path | None = None
    """Holds what proves this server to it, where it wants that for people who sign in here."""


@dataclass(slots=True)
class _Keys:
    """An issuer's keys as last seen."""

    by_id: Mapping[str, Key] = field(default_factory=dict)
    read_at: float = float("-inf")
    tried_at: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)
    document: Mapping[str, Any] = field(default_factory=dict)
    document_at: float = float("-inf")


class OidcVerifier:
    """Tells who bears a token of one of the issuers."""

    def __init__(self, issuers: Sequence[OidcIssuer]) -> None:
        self._issuers = {each.issuer: each for each in issuers}
        self._keys = {each.issuer: _Keys() for each in issuers}

    def knows(self, peeked: jwt.Peeked) -> bool:
        """Whether a token says that it is of one of the issuers."""
        return peeked.issuer in self._issuers

    def recognize(self, token: str, peeked: jwt.Peeked) -> Principal:
        """Tell whose token this is.

        Raises
        ------
        Unauthenticated
            If the issuer did not sign it, by an algorithm of its own, for this server, for now.
        Unavailable
            If the issuer's keys cannot be had.
        """
        issuer = self._issuers[peeked.issuer]
        key = self._key(issuer, peeked.key_id)
        claims = jwt.verify(token, key, issuer.algorithms)
        if claims.get("iss") != issuer.issuer:
            raise Unauthenticated("the token is not of the issuer that it names", "iss")
        if not jwt.audiences(claims) & set(issuer.audiences):
            raise Unauthenticated(
                f"the token is not for this server: its audience should be {issuer.audiences[0]!r}",
                "aud",
            )
        return _principal(issuer, claims)

    @property
    def names(self) -> tuple[str, ...]:
        """The issuers, as tokens name them."""
        return tuple(self._issuers)

    def sign_in_url(self, name: str, redirect_uri: str, state: str, challenge: str) -> str:
        """Give where somebody signs in; they come back to ``redirect_uri`` with a code.

        Raises
        ------
        InvalidArgument
            If there is no such issuer.
        Unavailable
            If it cannot be asked.

        References
        ----------
        OpenID Connect Core 1.0, 3.1.2; RFC 7636 4.3
        """
        issuer = self._issuer(name)
        query = {
            "response_type": "code",
            "client_id": issuer.audiences[0],
            "redirect_uri": redirect_uri,
            "scope": "openid email",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = self._endpoint(issuer, "authorization_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def exchange_code(self, name: str, code: str, verifier: str, redirect_uri: str) -> str:
        """Give the ID token of who came back with a code.

        Raises
        ------
        InvalidArgument
            If there is no such issuer.
        Unauthenticated
            If the issuer does not take the code, or its token does not count here.
        Unavailable
            If it cannot be asked.

        References
        ----------
        OpenID Connect Core 1.0, 3.1.3; RFC 7636 4.5
        """
        issuer = self._issuer(name)
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": issuer.audiences[0],
            "code_verifier": verifier,
        }
        if issuer.client_secret_file is not None:
            fields["client_secret"] = issuer.client_secret_file.read_text("utf-8").strip()
        answer = _ask(self._endpoint(issuer, "token_endpoint"), fields)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Unauthenticated(f"{name} did not take the code: sign in again", "code")
        self.recognize(token, jwt.peek(token))
        return token

    def _issuer(self, name: str) -> OidcIssuer:
        if name not in self._issuers:
            raise InvalidArgument(f"there is no OpenID provider {name[:100]!r} here", "issuer")
        return self._issuers[name]

    def _endpoint(self, issuer: OidcIssuer, name: str) -> str:
        keys = self._keys[issuer.issuer]
        with keys.lock:
            if time.monotonic() - keys.document_at > KEYS_SECONDS:
                keys.document = _read_document(issuer)
                keys.document_at = time.monotonic()
            endpoint = keys.document.get(name, "")
        if not isinstance(endpoint, str) or not is_trustworthy(endpoint):
            raise Unavailable(f"{issuer.issuer} does not say its {name}", "oidc")
        return endpoint

    def _key(self, issuer: OidcIssuer, key_id: str) -> Key:
        """Give one of an issuer's keys; who signs with a new one has the issuer asked again."""
        keys = self._keys[issuer.issuer]
        known = keys.by_id.get(key_id)
        if known is not None and time.monotonic() - keys.read_at <= KEYS_SECONDS:
            return known  # whoever made up a key id keeps nobody waiting
        with keys.lock:
            now = time.monotonic()
            stale = now - keys.read_at > KEYS_SECONDS or key_id not in keys.by_id
            if stale and now - keys.tried_at > AGAIN_SECONDS:
                keys.tried_at = now
                try:
                    keys.by_id = _read_keys(issuer)
                    keys.read_at = now
                except Unavailable:
                    if key_id not in keys.by_id:
                        raise
            if key_id in keys.by_id:
                return keys.by_id[key_id]
            if not keys.by_id:
                raise Unavailable(f"the keys of {issuer.issuer} could not be had", "oidc")
        raise Unauthenticated("no key of the token's issuer has the token's key id", "kid")


def _principal(issuer: OidcIssuer, claims: Mapping[str, Any]) -> Principal:
    name = claims.get(issuer.user_claim)
    if not isinstance(name, str) or not name or any(each.isspace() for each in name):
        raise Unauthenticated(
            f"the token does not name its user in the claim {issuer.user_claim}: have the issuer"
            " put it in, or set user_claim",
            "token",
        )
    # Some providers write it as a text.
    if issuer.user_claim == "email" and claims.get("email_verified") in (False, "false"):
        raise Unauthenticated("the issuer has not verified the user's email", "email_verified")
    user = f"user:{name.lower()}"
    members = {user}
    if "@" in name:
        members.add(f"domain:{name.lower().rpartition('@')[2]}")
    groups = claims.get(issuer.groups_claim, [])
    if isinstance(groups, list):
        members.update(
            f"group:{each.lower()}" for each in groups[:GROUPS_MAX] if isinstance(each, str)
        )
    return Principal(name=user, members=frozenset(members))


def _read_keys(issuer: OidcIssuer) -> dict[str, Key]:
    uri = issuer.jwks_uri
    if not uri:
        uri = _read_document(issuer).get("jwks_uri", "")
        if not isinstance(uri, str) or not is_trustworthy(uri):
            raise Unavailable(f"{issuer.issuer} does not say where its keys are", "oidc")
    keys: dict[str, Key] = {}
    held = _ask(uri).get("keys", [])
    for each in held[:KEYS_MAX] if isinstance(held, list) else []:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        kind, key_id = _KINDS.get(str(each.get("kty"))), each.get("kid", "")
        if kind is None or not isinstance(key_id, str):
            continue  # a secret would do for an algorithm that this does not take
        try:
            keys[key_id] = kind.import_key(
                {name: text for name, text in each.items() if isinstance(text, str)}
            )
        except (JoseError, ValueError, TypeError):
            continue  # one that nobody can use hides no other
    return keys


def _read_document(issuer: OidcIssuer) -> dict[str, Any]:
    """Give what an issuer says of itself; nothing where it is another's."""
    document = _ask(f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration")
    return document if document.get("issuer") == issuer.issuer else {}


def _ask(url: str, fields: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Give the JSON that a GET answers, or a POST of fields; of what a POST is refused, nothing."""
    try:
        with (
            httpx2.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False) as client,
            client.stream(
                "GET" if fields is None else "POST",
                url,
                headers={"Accept": "application/json"},
                data=fields,
            ) as answer,
        ):
            if fields is not None and answer.is_client_error:
                return {}
            answer.raise_for_status()
            body = b""
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > DOCUMENT_BYTES_MAX:
                    raise Unavailable(f"{url} answers more than a document of keys is", "oidc")
        return msgspec.json.decode(body, type=dict[str, Any])
    except (httpx2.HTTPError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Unavailable(
            f"{url}, by which tokens are verified, cannot be read: {type(error).__name__}", "oidc"
        ) from error


def is_trustworthy(url: str) -> bool:
    """Whether what is read from an address is its owner's: over TLS, or from this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}
    )
