"""Programs that prove who they are by a key file of Google's form.

A key is made here, its public half kept, its other half in the key file alone. By it a client signs
either what ``POST /token`` takes for an access token, or, if it likes, each access token itself.

References
----------
RFC 7523; Google Identity, "Using OAuth 2.0 for Server to Server Applications"; AIP-4111
"""

from __future__ import annotations

import base64
import secrets
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import OctKey, RSAKey

from fileroom.auth import jwt
from fileroom.auth.authorize import Principal
from fileroom.database.meta import find_meta, keep_meta
from fileroom.database.service_accounts import find_signer, insert_key
from fileroom.errors import Unauthenticated

if TYPE_CHECKING:
    from fileroom.database.engine import Database
    from fileroom.database.service_accounts import ServiceAccountKey
    from fileroom.names import ServiceAccountName

TOKEN_PATH: Final = "/token"  # noqa: S105 - a path
TOKEN_SECONDS: Final = 3600
KEY_ALGORITHM: Final = "RS256"
ACCESS_TOKEN_KIND: Final = "at+jwt"  # noqa: S105 - RFC 9068's name of the kind
_OWN_ALGORITHM: Final = "HS256"
_OWN_ISSUER: Final = "fileroom"
_SECRET_KEY: Final = "token_signing_secret"  # noqa: S105 - a row's name
_SECRET_BYTES: Final = 32
_GOOGLES_TOKEN_URLS: Final = frozenset(
    {
        "https://oauth2.googleapis.com/token",
        "https://www.googleapis.com/oauth2/v4/token",
    }
)
"""What Google's clients write as audience, wherever they then send the assertion."""
_GOOGLES_SERVICES: Final = frozenset(
    {
        "https://healthcare.googleapis.com",
        "https://logging.googleapis.com",
        "https://storage.googleapis.com",
        "https://www.googleapis.com",
    }
)
"""What they write as audience of a token they sign for themselves."""


class ServiceAccounts:
    """Makes keys and access tokens, and tells who bears one."""

    def __init__(self, database: Database, public_url: str) -> None:
        self._database = database
        self._root = public_url.rstrip("/")
        self._own_key = OctKey.import_key(_open_secret(database))

    def make_key(self, name: ServiceAccountName) -> tuple[ServiceAccountKey, dict[str, str]]:
        """Add a key to an account; give it, and the key file that is nowhere else.

        Raises
        ------
        NotFound
            If there is no such account.
        FailedPrecondition
            If it has as many keys as one may have.
        """
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        key_id = secrets.token_hex(20)
        key = self._database.write(
            lambda transaction: insert_key(transaction, name, key_id, public.decode())
        )
        return key, self._key_file(name, key_id, private)

    def _key_file(
        self, name: ServiceAccountName, key_id: str, private: rsa.RSAPrivateKey
    ) -> dict[str, str]:
        signs = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {
            "type": "service_account",
            "project_id": name.project,
            "private_key_id": key_id,
            "private_key": signs.decode(),
            "client_email": name.email,
            "client_id": name.email,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": f"{self._root}{TOKEN_PATH}",
            "universe_domain": "googleapis.com",
        }

    def exchange(self, assertion: str) -> tuple[str, int]:
        """Give an access token for an assertion, and for how many seconds it counts.

        Raises
        ------
        Unauthenticated
            If no key of an account here signed it, or it is for another server, or it has expired.
        """
        name, key_id, claims = self._signed(assertion)
        wanted = _GOOGLES_TOKEN_URLS | {f"{self._root}{TOKEN_PATH}", self._root}
        if not jwt.audiences(claims) & wanted:
            raise Unauthenticated(
                f"the assertion's audience is not this server: it should be {self._root}"
                f"{TOKEN_PATH}",
                "aud",
            )
        now = int(time.time())
        issued = {
            "iss": _OWN_ISSUER,
            "sub": name.email,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "jti": uuid.uuid4().hex,
        }
        token = jwt.sign(
            issued, self._own_key, _OWN_ALGORITHM, kind=ACCESS_TOKEN_KIND, key_id=key_id
        )
        return token, TOKEN_SECONDS

    def recognize(self, token: str, peeked: jwt.Peeked) -> Principal:
        """Tell whose access token this is: one of this server's, or one an account signed itself.

        Raises
        ------
        Unauthenticated
            If it is of no account that counts.
        """
        if peeked.kind == ACCESS_TOKEN_KIND:
            claims = jwt.verify(token, self._own_key, (_OWN_ALGORITHM,))
            name, _ = self._signer(peeked.key_id)
            if claims.get("iss") != _OWN_ISSUER or claims.get("sub") != name.email:
                raise Unauthenticated("the token is not one of this server's", "token")
            return _principal(name)
        name, _, claims = self._signed(token)
        held = {each.rstrip("/") for each in jwt.audiences(claims)}
        is_scoped = "aud" not in claims and isinstance(claims.get("scope"), str)
        if not is_scoped and not held & (_GOOGLES_SERVICES | {self._root}):
            raise Unauthenticated(
                f"the token's audience is not this server: it should be {self._root}/", "aud"
            )
        return _principal(name)

    def knows(self, peeked: jwt.Peeked) -> bool:
        """Whether a token says that it is of such an account, and not of another issuer's."""
        # Providers call their access tokens by that kind as well.
        is_own = peeked.kind == ACCESS_TOKEN_KIND and peeked.issuer == _OWN_ISSUER
        return is_own or peeked.issuer.endswith(".iam.gserviceaccount.com")

    def _signed(self, token: str) -> tuple[ServiceAccountName, str, dict[str, Any]]:
        """Give who signed a token, by which key, and what it claims."""
        key_id = jwt.peek(token).key_id
        name, public_key = self._signer(key_id)
        claims = jwt.verify(token, RSAKey.import_key(public_key), (KEY_ALGORITHM,))
        if claims.get("iss") != name.email or claims.get("sub", name.email) != name.email:
            raise Unauthenticated("the token's issuer is not the account that signed it", "iss")
        if claims["exp"] - claims["iat"] > TOKEN_SECONDS + jwt.SKEW_SECONDS:
            raise Unauthenticated("the token is for longer than an hour", "exp")
        return name, key_id, claims

    def _signer(self, key_id: str) -> tuple[ServiceAccountName, str]:
        with self._database.read() as connection:
            signer = find_signer(connection, key_id)
        if signer is None:
            raise Unauthenticated(
                "no key of a service account here signed the token: the key or its account was"
                " deleted or disabled, or is of another server",
                "kid",
            )
        return signer


def _principal(name: ServiceAccountName) -> Principal:
    member = f"serviceAccount:{name.email.lower()}"
    return Principal(name=member, members=frozenset({member}))


def _open_secret(database: Database) -> dict[str, str | list[str]]:
    """Give what access tokens are signed with: one of a database, which its servers share."""
    with database.read() as connection:
        kept = find_meta(connection, _SECRET_KEY)
    if kept is None:
        made = base64.urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES)).decode().rstrip("=")
        kept = database.write(lambda transaction: keep_meta(transaction, _SECRET_KEY, made))
    return {"kty": "oct", "k": kept}
