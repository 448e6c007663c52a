"""Service accounts: keys, assertions, and the tokens that come of them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt as pyjwt
import pytest
from sqlalchemy import text

from fileroom.auth.authenticate import Authenticator
from fileroom.auth.jwt import Peeked
from fileroom.auth.service_accounts import ServiceAccounts
from fileroom.database import service_accounts as kept
from fileroom.database.engine import open_database
from fileroom.errors import AlreadyExists, FailedPrecondition, NotFound, Unauthenticated
from fileroom.names import ServiceAccountName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.engine import Database

URL = "http://127.0.0.1:8080"
IMPORTER = ServiceAccountName("hospital", "importer")
GOOGLES = "https://oauth2.googleapis.com/token"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path / "fileroom.db")
    database.write(
        lambda transaction: kept.insert_service_account(transaction, IMPORTER, display_name="")
    )
    yield database
    database.close()


@pytest.fixture
def accounts(database: Database) -> ServiceAccounts:
    return ServiceAccounts(database, URL)


@pytest.fixture
def file(accounts: ServiceAccounts) -> dict[str, str]:
    return accounts.make_key(IMPORTER)[1]


def signed(file: dict[str, str], algorithm: str = "RS256", **changed: Any) -> str:
    now = int(time.time())
    held = {
        "iss": file["client_email"],
        "sub": file["client_email"],
        "aud": GOOGLES,
        "iat": now,
        "exp": now + 3600,
    }
    claims = {name: value for name, value in (held | changed).items() if value is not None}
    headers = {"kid": file["private_key_id"]}
    return pyjwt.encode(claims, file["private_key"], algorithm=algorithm, headers=headers)


def name_of(accounts: ServiceAccounts, token: str) -> str:
    return (
        Authenticator(("service-account",), None, [accounts]).authenticate(f"Bearer {token}").name
    )


def test_a_key_file_has_googles_fields(database: Database, file: dict[str, str]) -> None:
    assert file["type"] == "service_account"
    assert file["client_email"] == "importer@hospital.iam.gserviceaccount.com"
    assert file["token_uri"] == f"{URL}/token"
    assert file["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    with database.read() as connection:
        (key,) = kept.list_keys(connection, IMPORTER)
        rows = connection.execute(text("SELECT * FROM service_account_keys")).all()
    assert key.key_id == file["private_key_id"]
    assert "PRIVATE" not in str(rows)


@pytest.mark.parametrize("audience", [GOOGLES, f"{URL}/token", URL, ["x", f"{URL}/token"]])
def test_an_assertion_becomes_an_access_token(
    accounts: ServiceAccounts, file: dict[str, str], audience: object
) -> None:
    token, seconds = accounts.exchange(signed(file, aud=audience))

    assert seconds == 3600
    principal = Authenticator(("service-account",), None, [accounts]).authenticate(
        f"Bearer {token}"
    )
    assert principal.name == "serviceAccount:importer@hospital.iam.gserviceaccount.com"
    assert not principal.holds_all
    assert principal.members == {principal.name}


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": f"{URL}/"},
        {"aud": "https://healthcare.googleapis.com/"},
        {"aud": None, "scope": "https://www.googleapis.com/auth/cloud-platform"},
    ],
)
def test_a_token_that_the_account_signed_itself_counts(
    accounts: ServiceAccounts, file: dict[str, str], changed: dict[str, Any]
) -> None:
    assert name_of(accounts, signed(file, **changed)).endswith(IMPORTER.email)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"aud": "https://elsewhere.example/token"}, "audience is not this server"),
        ({"aud": None}, "audience is not this server"),
        ({"iss": "other@hospital.iam.gserviceaccount.com"}, "issuer is not the account"),
        ({"sub": "chief@example.org"}, "issuer is not the account"),
        ({"exp": int(time.time()) - 600}, "has expired"),
        ({"exp": int(time.time()) + 86_400}, "longer than an hour"),
    ],
)
def test_assertions_for_others_or_other_times_are_refused(
    accounts: ServiceAccounts, file: dict[str, str], changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(Unauthenticated, match=words):
        accounts.exchange(signed(file, **changed))


def test_an_assertion_is_no_access_token_for_elsewhere(
    accounts: ServiceAccounts, file: dict[str, str]
) -> None:
    with pytest.raises(Unauthenticated, match="audience is not this server"):
        name_of(accounts, signed(file))


def test_another_servers_token_is_refused(
    accounts: ServiceAccounts, file: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = open_database(tmp_path / "other" / "fileroom.db")
    try:
        other.write(
            lambda transaction: kept.insert_service_account(transaction, IMPORTER, display_name="")
        )
        elsewhere = ServiceAccounts(other, URL)
        token, _ = elsewhere.exchange(signed(elsewhere.make_key(IMPORTER)[1]))
        with pytest.raises(Unauthenticated, match="signature is not valid"):
            name_of(accounts, token)
        with pytest.raises(Unauthenticated, match="no key of a service account here"):
            elsewhere.exchange(signed(file))
    finally:
        other.close()


def test_servers_of_one_database_take_each_others_tokens(
    database: Database, accounts: ServiceAccounts, file: dict[str, str]
) -> None:
    token, _ = accounts.exchange(signed(file))

    assert name_of(ServiceAccounts(database, "https://other.example"), token)


@pytest.mark.parametrize("how", ["key", "account", "disabled"])
def test_what_is_taken_back_counts_no_more_at_once(
    database: Database, accounts: ServiceAccounts, file: dict[str, str], how: str
) -> None:
    token, _ = accounts.exchange(signed(file))
    own = signed(file, aud=URL)
    assert name_of(accounts, token) == name_of(accounts, own)

    if how == "key":
        database.write(lambda tx: kept.delete_key(tx, IMPORTER, file["private_key_id"]))
    elif how == "account":
        database.write(lambda tx: kept.delete_service_account(tx, IMPORTER))
    else:
        database.write(lambda tx: kept.set_disabled(tx, IMPORTER, disabled=True))

    for bearer in (token, own):
        with pytest.raises(Unauthenticated, match="deleted or disabled"):
            name_of(accounts, bearer)
    if how == "disabled":
        database.write(lambda tx: kept.set_disabled(tx, IMPORTER, disabled=False))
        assert name_of(accounts, token)


def test_a_new_account_of_an_old_name_is_not_the_old_one(
    database: Database, accounts: ServiceAccounts, file: dict[str, str]
) -> None:
    token, _ = accounts.exchange(signed(file))
    database.write(lambda tx: kept.delete_service_account(tx, IMPORTER))
    database.write(lambda tx: kept.insert_service_account(tx, IMPORTER, display_name="again"))

    with pytest.raises(Unauthenticated):
        name_of(accounts, token)


def test_names_are_taken_once_and_keys_are_bounded(
    database: Database, accounts: ServiceAccounts
) -> None:
    with pytest.raises(AlreadyExists):
        database.write(lambda tx: kept.insert_service_account(tx, IMPORTER, display_name=""))
    for _ in range(kept.KEYS_MAX):
        accounts.make_key(IMPORTER)
    with pytest.raises(FailedPrecondition, match="delete one first"):
        accounts.make_key(IMPORTER)
    with pytest.raises(NotFound):
        accounts.make_key(ServiceAccountName("hospital", "stranger"))


def test_an_access_token_of_a_provider_is_left_to_who_knows_it(accounts: ServiceAccounts) -> None:
    """RFC 9068 gives the tokens of every issuer one kind."""
    peeked = Peeked(algorithm="RS256", key_id="k", kind="at+jwt", issuer="https://login.example")

    assert not accounts.knows(peeked)
    assert accounts.knows(replace(peeked, issuer="fileroom"))
