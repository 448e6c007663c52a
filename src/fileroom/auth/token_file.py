"""The access token's text, in a file that only the owner of the data directory can read.

Free of SQL, since the command line reads the file each time it is run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from fileroom.crashpoints import crashpoint
from fileroom.errors import FailedPrecondition, NotFound, PermissionDenied

if TYPE_CHECKING:
    from pathlib import Path

TOKEN_FILE: Final = "access-token"  # noqa: S105 - a file's name
GIVEN_LENGTH_MIN: Final = 32


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
        text = find_token_text(directory)
    except PermissionError as error:
        raise PermissionDenied(
            f"{directory / TOKEN_FILE} cannot be read: only the owner of the data directory may"
            " print the access token",
            "data",
        ) from error
    if text is None:
        raise NotFound(
            f"there is no access token in {directory}: the first start of a server there writes it,"
            f" as in `fileroom serve --data {directory}`. To a backup, or beside a second server,"
            " copy the file access-token of the first; or name its directory with --data",
            "data",
        )
    return text


def read_given_token(file: Path) -> str:
    """Give the token of a file that the operator gives.

    Raises
    ------
    FailedPrecondition
        If it cannot be read, or holds no token that is long enough to be none that is guessed.
    """
    try:
        text = file.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise FailedPrecondition(
            f"access_token_file: {file} cannot be read: {told}", "access_token_file"
        ) from error
    if len(text) < GIVEN_LENGTH_MIN or any(each.isspace() for each in text):
        raise FailedPrecondition(
            f"access_token_file: {file} must hold one word of at least {GIVEN_LENGTH_MIN}"
            " characters, as `openssl rand -base64 32` makes one",
            "access_token_file",
        )
    return text


def find_token_text(directory: Path) -> str | None:
    """Give what the file holds, if it is there."""
    try:
        return (directory / TOKEN_FILE).read_text("ascii", "replace").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_token_text(directory: Path, text: str) -> None:
    """Write the file anew, durable on return."""
    path = directory / TOKEN_FILE
    path.unlink(missing_ok=True)
    crashpoint("token.removed")
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
    above = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(above)
    finally:
        os.close(above)
    crashpoint("token.written")
