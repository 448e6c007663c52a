"""Who is let in."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from fileroom.auth.authenticate import (
    AccessToken,
    Authenticator,
    open_access_token,
    rotate_access_token,
)
from fileroom.auth.authorize import Authorizer, Principal, Resource
from fileroom.auth.token_file import TOKEN_FILE, read_access_token
from fileroom.database.engine import open_database
from fileroom.errors import FailedPrecondition, NotFound, PermissionDenied, Unauthenticated
from fileroom.names import DatasetName, LocationName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.engine import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path / "fileroom.db")
    yield database
    database.close()


@pytest.fixture
def token(database: Database, tmp_path: Path) -> AccessToken:
    return open_access_token(database, tmp_path)


def test_first_start_makes_a_token_and_the_next_one_knows_it(
    database: Database, tmp_path: Path
) -> None:
    first = open_access_token(database, tmp_path)
    again = open_access_token(database, tmp_path)

    assert first.is_new
    assert first.text is not None
    assert len(first.text) >= 43
    assert (again.is_new, again.text, again.sha256) == (False, first.text, first.sha256)
    assert read_access_token(tmp_path) == first.text


def test_token_is_readable_by_the_owner_alone_and_not_in_the_database(
    token: AccessToken, tmp_path: Path
) -> None:
    assert token.text is not None
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600
    assert token.text.encode() not in (tmp_path / "fileroom.db").read_bytes()


def test_token_file_without_row_is_replaced(database: Database, tmp_path: Path) -> None:
    """A crash between the two leaves a token that nobody was shown."""
    (tmp_path / TOKEN_FILE).write_text("left over\n")

    token = open_access_token(database, tmp_path)

    assert token.is_new
    assert read_access_token(tmp_path) == token.text != "left over"


def test_token_works_after_its_file_is_removed(
    database: Database, token: AccessToken, tmp_path: Path
) -> None:
    (tmp_path / TOKEN_FILE).unlink()

    again = open_access_token(database, tmp_path)

    assert (again.text, again.is_new) == (None, False)
    assert Authenticator(("token",), again).authenticate(f"Bearer {token.text}").holds_all
    with pytest.raises(NotFound, match="fileroom serve"):
        read_access_token(tmp_path)


def test_token_is_taken_from_header_and_query(token: AccessToken) -> None:
    authenticator = Authenticator(("token",), token)

    assert authenticator.authenticate(f"Bearer {token.text}").name == "token:owner"
    assert authenticator.authenticate(f"bearer  {token.text} ").holds_all
    assert authenticator.authenticate(None, token.text).holds_all


def test_another_token_is_the_owners_from_the_next_start(
    database: Database, token: AccessToken, tmp_path: Path
) -> None:
    rotate_access_token(database, tmp_path)

    again = open_access_token(database, tmp_path)
    assert again.text == read_access_token(tmp_path) != token.text
    authenticator = Authenticator(("token",), again)
    assert authenticator.authenticate(f"Bearer {again.text}").holds_all
    with pytest.raises(Unauthenticated):
        authenticator.authenticate(f"Bearer {token.text}")


def test_a_given_token_is_the_only_one(
    database: Database, token: AccessToken, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("a" * 32 + "\n")

    authenticator = Authenticator(("token",), open_access_token(database, tmp_path, file))

    assert authenticator.authenticate(f"Bearer {'a' * 32}").holds_all
    with pytest.raises(Unauthenticated):
        authenticator.authenticate(f"Bearer {token.text}")


@pytest.mark.parametrize("content", ["", "short", "a" * 20 + " " + "a" * 20, "é" * 40, None])
def test_a_given_file_without_a_good_token_is_refused(
    database: Database, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content, "utf-8")

    with pytest.raises(FailedPrecondition, match="access_token_file"):
        open_access_token(database, tmp_path, file)


@pytest.mark.parametrize(
    ("authorization", "access_token"),
    [
        (None, None),
        (None, ""),
        (None, "guess"),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer guess", None),
        ("Basic dTpw", None),
        ("Bearer " + "x" * 1_000_000, None),
        ("Bearer \udcff", None),
        ("Bearer é", None),
    ],
)
def test_anything_else_is_unauthenticated(
    token: AccessToken, authorization: str | None, access_token: str | None
) -> None:
    with pytest.raises(Unauthenticated, match="print-access-token"):
        Authenticator(("token",), token).authenticate(authorization, access_token)


def test_wrong_header_is_not_saved_by_the_query(token: AccessToken) -> None:
    with pytest.raises(Unauthenticated):
        Authenticator(("token",), token).authenticate("Bearer guess", token.text)


def test_mode_none_lets_everybody_in() -> None:
    assert Authenticator(("none",), None).authenticate(None).name == "anonymous"


def test_require_refuses_without_saying_whether_the_resource_exists(database: Database) -> None:
    nobody = Principal(name="nobody")
    name = DatasetName(LocationName("p", "l"), "d")
    resource = Resource(shown=str(name), project="p", name=name)

    with pytest.raises(PermissionDenied) as caught:
        Authorizer(database, {}).require(nobody, "healthcare.datasets.get", resource)

    assert caught.value.message == (
        "Permission 'healthcare.datasets.get' denied on resource"
        " 'projects/p/locations/l/datasets/d' (or it may not exist)."
        " See that its dataset is spelled right and has been created."
    )
