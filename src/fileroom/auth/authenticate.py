"""Who calls: the access token of a data directory, and whether a request bears it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from fileroom.auth.authorize import ANYONE, OWNER, Principal
from fileroom.auth.token_file import find_token_text, write_token_text
from fileroom.database.meta import find_meta, insert_meta
from fileroom.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fileroom.database.engine import Database

AuthMode = Literal["token", "none"]

TOKEN_LENGTH_MAX: Final = 8192
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


class Authenticator:
    """Tells who a request comes from."""

    def __init__(self, modes: Sequence[AuthMode], token: AccessToken | None) -> None:
        assert token is not None or "token" not in modes
        self._open = "none" in modes
        self._sha256 = token.sha256.encode() if token is not None else b""

    def authenticate(self, authorization: str | None, access_token: str | None = None) -> Principal:
        """Give the principal of the ``Authorization`` header or the ``access_token`` parameter.

        Raises
        ------
        Unauthenticated
            If neither holds this server's token.
        """
        if self._open:
            return ANYONE
        presented = access_token
        if authorization is not None:
            scheme, _, presented = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise Unauthenticated(UNAUTHENTICATED, "Authorization")
        if not presented or len(presented) > TOKEN_LENGTH_MAX:
            raise Unauthenticated(UNAUTHENTICATED, "Authorization")
        if not hmac.compare_digest(_sha256(presented.strip()).encode(), self._sha256):
            raise Unauthenticated(UNAUTHENTICATED, "Authorization")
        return OWNER


def open_access_token(database: Database, directory: Path) -> AccessToken:
    """Give the token of this data directory, made if this is its first start.

    The database row is the truth; the file comes before it, so that a crash between the two only
    makes another token, which nobody was shown.
    """
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


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
