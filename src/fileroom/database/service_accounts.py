"""Service accounts: names for programs, and the public halves of their keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from fileroom.database.dialects import lock
from fileroom.database.engine import Connection, now_microseconds
from fileroom.database.pages import (
    Page,
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.database.prepared import Prepared
from fileroom.database.schema import service_account_keys, service_accounts
from fileroom.errors import AlreadyExists, FailedPrecondition, NotFound
from fileroom.names import ServiceAccountName

if TYPE_CHECKING:
    from sqlalchemy import Row

KEYS_MAX: Final = 10
"""Of one account; Google allows as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """One service account."""

    id: int
    name: ServiceAccountName
    display_name: str
    disabled: bool
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountKey:
    """One key of an account, without the half that signs."""

    key_id: str
    public_key: str
    """As PEM."""
    created_at: int


_SIGNER: Final = Prepared(
    select(
        service_accounts.c.project,
        service_accounts.c.account_id,
        service_accounts.c.disabled,
        service_account_keys.c.public_key,
    )
    .join_from(service_account_keys, service_accounts)
    .where(service_account_keys.c.key_id == bindparam("named"))
)


def find_signer(connection: Connection, key_id: str) -> tuple[ServiceAccountName, str] | None:
    """Give whose key it is and its public half; None if there is none, or none that counts."""
    rows = _SIGNER.rows(connection, {"named": key_id})
    if not rows or rows[0].disabled:
        return None
    return ServiceAccountName(rows[0].project, rows[0].account_id), rows[0].public_key


def insert_service_account(
    transaction: Connection, name: ServiceAccountName, *, display_name: str
) -> ServiceAccount:
    """Add an account; AlreadyExists if there is one of that name."""
    try:
        with transaction.begin_nested():
            transaction.execute(
                insert(service_accounts).values(
                    project=name.project,
                    account_id=name.account_id,
                    display_name=display_name,
                    created_at=now_microseconds(),
                )
            )
    except IntegrityError as error:
        raise AlreadyExists(f"service account {name.email} already exists", "accountId") from error
    return get_service_account(transaction, name)


def get_service_account(connection: Connection, name: ServiceAccountName) -> ServiceAccount:
    """Give the account of that name; NotFound if there is none."""
    query = select(service_accounts).where(
        service_accounts.c.project == name.project,
        service_accounts.c.account_id == name.account_id,
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"Unknown service account {name.email}", "name")
    return _account(row)


def list_service_accounts(
    connection: Connection, project: str, *, page_size: int | None = None, page_token: str = ""
) -> Page[ServiceAccount]:
    """Give the accounts of a project by name."""
    size = page_size_within_limits(page_size)
    listing = f"serviceAccounts of {project}"
    query = select(service_accounts).where(service_accounts.c.project == project)
    if page_token:
        (last,) = decode_page_token(listing, page_token, tuple[str])
        query = query.where(service_accounts.c.account_id > last)
    rows = connection.execute(query.order_by(service_accounts.c.account_id).limit(size + 1)).all()
    items = tuple(_account(row) for row in rows[:size])
    if len(rows) <= size:
        return Page(items=items)
    return Page(
        items=items, next_page_token=encode_page_token(listing, (items[-1].name.account_id,))
    )


def set_disabled(transaction: Connection, name: ServiceAccountName, *, disabled: bool) -> None:
    """Have an account count no more, or again."""
    lock(transaction)
    account = get_service_account(transaction, name)
    transaction.execute(
        update(service_accounts)
        .where(service_accounts.c.id == account.id)
        .values(disabled=disabled)
    )


def delete_service_account(transaction: Connection, name: ServiceAccountName) -> None:
    """Delete an account with its keys; tokens of theirs count no more."""
    lock(transaction)
    account = get_service_account(transaction, name)
    keys = service_account_keys
    transaction.execute(delete(keys).where(keys.c.account_id == account.id))
    transaction.execute(delete(service_accounts).where(service_accounts.c.id == account.id))


def insert_key(
    transaction: Connection, name: ServiceAccountName, key_id: str, public_key: str
) -> ServiceAccountKey:
    """Add a key to an account.

    Raises
    ------
    NotFound
        If there is no such account.
    FailedPrecondition
        If it has as many keys as one may have.
    """
    lock(transaction)
    account = get_service_account(transaction, name)
    keys = service_account_keys
    held = select(func.count()).select_from(keys).where(keys.c.account_id == account.id)
    if transaction.execute(held).scalar_one() >= KEYS_MAX:
        raise FailedPrecondition(
            f"{name.email} has {KEYS_MAX} keys, as many as an account may have: delete one first",
            "keys",
        )
    row = {"key_id": key_id, "public_key": public_key, "created_at": now_microseconds()}
    transaction.execute(insert(keys).values(account_id=account.id, **row))
    return get_key(transaction, name, key_id)


def get_key(connection: Connection, name: ServiceAccountName, key_id: str) -> ServiceAccountKey:
    """Give a key of an account; NotFound if it has none of that id."""
    keys = [key for key in list_keys(connection, name) if key.key_id == key_id]
    if not keys:
        raise NotFound(f"service account {name.email} has no key {key_id[:64]!r}", "name")
    return keys[0]


def list_keys(connection: Connection, name: ServiceAccountName) -> tuple[ServiceAccountKey, ...]:
    """Give the keys of an account, oldest first."""
    account = get_service_account(connection, name)
    keys = service_account_keys
    query = select(keys.c.key_id, keys.c.public_key, keys.c.created_at).where(
        keys.c.account_id == account.id
    )
    return tuple(
        ServiceAccountKey(key_id=row.key_id, public_key=row.public_key, created_at=row.created_at)
        for row in connection.execute(query.order_by(keys.c.created_at, keys.c.key_id))
    )


def delete_key(transaction: Connection, name: ServiceAccountName, key_id: str) -> None:
    """Delete a key; what it signed counts no more."""
    lock(transaction)
    key = get_key(transaction, name, key_id)
    keys = service_account_keys
    transaction.execute(delete(keys).where(keys.c.key_id == key.key_id))


def _account(row: Row[*tuple[object, ...]]) -> ServiceAccount:
    return ServiceAccount(
        id=row.id,
        name=ServiceAccountName(row.project, row.account_id),
        display_name=row.display_name,
        disabled=row.disabled,
        created_at=row.created_at,
    )
