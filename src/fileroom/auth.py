"""Who calls, and what they may do to which name.

Two modes. ``token``: one random 256-bit token, made at the first start; its SHA-256 is in the
database and decides, its text is in a file only the owner of the data directory can read. ``none``:
everybody may do everything, which the settings allow on loopback only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from fileroom.database.meta import find_meta, insert_meta
from fileroom.errors import FailedPrecondition, NotFound, PermissionDenied, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fileroom.database.engine import Database

AuthMode = Literal["token", "none"]

TOKEN_FILE: Final = "access-token"  # noqa: S105 - a file's name
TOKEN_LENGTH_MAX: Final = 8192
_META_KEY: Final = "access_token_sha256"

UNAUTHENTICATED: Final = (
    "Request is missing required authentication credential, or it is not valid. Expected the"
    " access token of this server as 'Authorization: Bearer TOKEN';"
    " `fileroom auth print-access-token` prints it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls."""

    name: str
    """As it stands in logs: ``token:owner`` or ``anonymous``."""
    holds_all: bool
    """Whether every permission on every resource is theirs."""


OWNER: Final = Principal(name="token:owner", holds_all=True)
ANYONE: Final = Principal(name="anonymous", holds_all=True)


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


def require(principal: Principal, permission: str, resource: object) -> None:
    """Let pass who holds ``permission`` on ``resource``; every route goes through here.

    Raises
    ------
    PermissionDenied
        If the principal does not hold it.
    """
    if not principal.holds_all:
        raise PermissionDenied(
            f"Permission '{permission}' denied on resource '{resource}' (or it may not exist).",
            permission,
        )


def open_access_token(database: Database, directory: Path) -> AccessToken:
    """Give the token of this data directory, made if this is its first start.

    The database row is the truth; the file comes before it, so that a crash between the two only
    makes another token, which nobody was shown.
    """
    with database.read() as connection:
        sha256 = find_meta(connection, _META_KEY)
    if sha256 is not None:
        text = _read_token_file(directory)
        known = text is not None and hmac.compare_digest(_sha256(text), sha256)
        return AccessToken(sha256=sha256, text=text if known else None, is_new=False)
    text = secrets.token_urlsafe(32)
    _write_token_file(directory, text)
    sha256 = _sha256(text)
    database.write(lambda transaction: insert_meta(transaction, _META_KEY, sha256))
    return AccessToken(sha256=sha256, text=text, is_new=True)


def read_access_token(directory: Path) -> str:
    """Give the token from the data directory's file, for its owner's command line.

    Raises
    ------
    NotFound
        If the server was never started there, or the file was removed.
    PermissionDenied
        If the directory belongs to somebody else.
    """
    try:
        text = _read_token_file(directory)
    except PermissionError as error:
        raise PermissionDenied(
            f"{directory / TOKEN_FILE} cannot be read: only the owner of the data directory may"
            " print the access token",
            "data",
        ) from error
    if text is None:
        raise NotFound(
            f"there is no access token in {directory}; start the server once with"
            f" `fileroom serve --data {directory}`, or name its directory with --data",
            "data",
        )
    return text


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _read_token_file(directory: Path) -> str | None:
    try:
        return (directory / TOKEN_FILE).read_text("ascii", "replace").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write_token_file(directory: Path, text: str) -> None:
    path = directory / TOKEN_FILE
    path.unlink(missing_ok=True)
    try:
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
    except OSError as error:
        raise FailedPrecondition(
            f"the access token cannot be written to {path}: {error.strerror}", "data"
        ) from error
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
