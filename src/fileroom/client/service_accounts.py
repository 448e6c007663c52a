"""Service accounts and their keys: who programs are."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote

from fileroom.client.queries import page_query
from fileroom.client.values import objects, text
from fileroom.names import ServiceAccountName, parse_account_email

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.client.transport import Transport
    from fileroom.client.values import JsonObject

    Account = ServiceAccountName | str


class ServiceAccounts:
    """The service accounts of one server; each is named by its email.

    An account may do nothing until a policy names it, and proves who it is by a key file.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: ServiceAccountName, *, display_name: str = "") -> JsonObject:
        """Create an account."""
        body: JsonObject = {"accountId": name.account_id}
        if display_name:
            body["serviceAccount"] = {"displayName": display_name}
        return self._transport.call("POST", f"projects/{name.project}/serviceAccounts", body=body)

    def get(self, account: Account) -> JsonObject:
        """Give an account."""
        return self._transport.call("GET", _path(account))

    def list_(self, project: str, *, page_size: int | None = None) -> Iterator[JsonObject]:
        """Give the accounts of a project, by name."""
        path = f"projects/{project}/serviceAccounts"
        return self._transport.pages(path, "accounts", query=page_query(page_size))

    def delete(self, account: Account) -> None:
        """Delete an account with its keys; whatever they signed counts no more."""
        self._transport.call("DELETE", _path(account))

    def disable(self, account: Account) -> None:
        """Have an account count no more, until it is enabled."""
        self._transport.call("POST", f"{_path(account)}:disable", body={})

    def enable(self, account: Account) -> None:
        """Have an account count again."""
        self._transport.call("POST", f"{_path(account)}:enable", body={})

    def create_key(self, account: Account) -> tuple[JsonObject, bytes]:
        """Make a key; give it, and the key file that is nowhere else."""
        key = self._transport.call("POST", f"{_path(account)}/keys", body={})
        return key, base64.b64decode(text(key, "privateKeyData"))

    def list_keys(self, account: Account) -> list[JsonObject]:
        """Give the keys of an account, oldest first."""
        return objects(self._transport.call("GET", f"{_path(account)}/keys"), "keys")

    def delete_key(self, account: Account, key_id: str) -> None:
        """Delete a key; whatever it signed counts no more."""
        self._transport.call("DELETE", f"{_path(account)}/keys/{quote(key_id, safe='')}")


def _path(account: Account) -> str:
    return str(parse_account_email(account) if isinstance(account, str) else account)
