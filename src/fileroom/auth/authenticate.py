"""Who calls: the access token of a data directory, and whether a request bears it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from fileroom.auth import jwt
from fileroom.auth.authorize import ANYONE, OWNER, Principal
from fileroom.auth.jwt import TOKEN_LENGTH_MAX
from fileroom.auth.token_file import find_token_text, read_given_token, write_token_text
from fileroom.database.meta import find_meta, insert_meta, put_meta
from fileroom.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fileroom.database.engine import Database

AuthMode = Literal["token", "service-account", "oidc", "none"]

_META_KEY: Final = "access_token_sha256"

UNAUTHENTICATED: Final = (
    "Request is missing required authentication credential, or it is not valid. Expected the"
    " access token of this server as 'Authorization: Bearer TOKEN';"
    " `fileroom auth print-access-token` prints it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """The server's token as known at start."""

    sha256: str
    text: str | None
    """``None`` where the owner removed the file: the token still works, nobody can print it."""
    is_new: bool
    """Made by this start, so it is to be shown once."""


class Recognizer(Protocol):
    """Tells who bears a JSON Web Token."""

    def knows(self, peeked: jwt.Peeked) -> bool:
        """Whether a token says that it is one of these."""

    def recognize(self, token: str, peeked: jwt.Peeked) -> Principal:
        """Tell whose it is; Unauthenticated if it is not what it says."""


class Authenticator:
    """Tells who a request comes from."""

    def __init__(
        self,
        modes: Sequence[AuthMode],
        token: AccessToken | None,
        recognizers: Sequence[Recognizer] = (),
    ) -> None:
        assert token is not None or "token" not in modes
        self._open = "none" in modes
        self._sha256 = token.sha256.encode() if token is not None else b""
        self._recognizers = tuple(recognizers)

    def authenticate(self, authorization: str | None, access_token: str | None = None) -> Principal:
        """Give the principal of the ``Authorization`` header or the ``access_token`` parameter.

        Raises
        ------
        Unauthenticated
            If neither holds a token that counts here.
        Unavailable
            If whoever made the token cannot be asked for keys.
        """
        presented = self.present(authorization, access_token)
        return presented if isinstance(presented, Principal) else self.recognize(presented)

    def present(self, authorization: str | None, access_token: str | None) -> Principal | str:
        """Give the principal of a request where that is told at once, else its token.

        Raises
        ------
        Unauthenticated
            If there is no token, or one that cannot count.
        """
        if self._open:
            return ANYONE
        presented = access_token
        if authorization is not None:
            scheme, _, presented = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise Unauthenticated(UNAUTHENTICATED, "Authorization")
        presented = (presented or "").strip()
        if not presented:
            raise Unauthenticated(UNAUTHENTICATED, "Authorization")
        if len(presented) > TOKEN_LENGTH_MAX:
            raise Unauthenticated(UNAUTHENTICATED, "token")
        if self._sha256 and hmac.compare_digest(_sha256(presented).encode(), self._sha256):
            return OWNER
        if not self._recognizers or not jwt.looks_like_jwt(presented):
            raise Unauthenticated(UNAUTHENTICATED, "token")
        return presented

    def recognize(self, token: str) -> Principal:
        """Give whose JSON Web Token this is; may ask the database, or whoever made it.

        Raises
        ------
        Unauthenticated
            If it does not count.
        Unavailable
            If whoever made it cannot be asked.
        """
        peeked = jwt.peek(token)
        for recognizer in self._recognizers:
            if recognizer.knows(peeked):
                return recognizer.recognize(token, peeked)
        raise Unauthenticated(UNAUTHENTICATED, "token")


def open_access_token(
    database: Database, directory: Path, given: Path | None = None
) -> AccessToken:
    """Give the token of a ``given`` file, else of this data directory; a first start makes it.

    The database row is the truth; the file comes before it, so that a crash between the two only
    makes another token, which nobody was shown.
    """
    if given is not None:
        held = read_given_token(given)
        return AccessToken(sha256=_sha256(held), text=held, is_new=False)
    with database.read() as connection:
        sha256 = find_meta(connection, _META_KEY)
    if sha256 is not None:
        text = find_token_text(directory)
        known = text is not None and hmac.compare_digest(_sha256(text), sha256)
        return AccessToken(sha256=sha256, text=text if known else None, is_new=False)
    text = secrets.token_urlsafe(32)
    write_token_text(directory, text)
    sha256 = _sha256(text)
    database.write(lambda transaction: insert_meta(transaction, _META_KEY, sha256))
    return AccessToken(sha256=sha256, text=text, is_new=True)


def rotate_access_token(database: Database, directory: Path) -> None:
    """Have another token be the owner's, once servers start again; the file holds its text.

    A crash between the two leaves the old one in force and the file without use: this is run again.
    """
    text = secrets.token_urlsafe(32)
    write_token_text(directory, text)
    database.write(lambda transaction: put_meta(transaction, _META_KEY, _sha256(text)))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
