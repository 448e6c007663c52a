"""``projects.serviceAccounts`` and their keys, in the shapes of Google's IAM API.

References
----------
IAM API v1, projects.serviceAccounts and projects.serviceAccounts.keys
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal

import msgspec

from fileroom.api.wire import EMPTY, Message, json_answer, timestamp
from fileroom.database import service_accounts as kept
from fileroom.errors import FailedPrecondition, InvalidArgument
from fileroom.names import ProjectName, ServiceAccountName, parse_account_email

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call
    from fileroom.auth.service_accounts import ServiceAccounts

DISPLAY_NAME_MAX = 100


class ServiceAccount(Message):
    """``ServiceAccount``."""

    name: str = ""
    project_id: str = ""
    unique_id: str = ""
    email: str = ""
    display_name: str = ""
    disabled: bool = False


class CreateServiceAccountRequest(Message):
    """``CreateServiceAccountRequest``."""

    account_id: str = ""
    service_account: ServiceAccount | None = None


class ListServiceAccountsResponse(Message):
    """``ListServiceAccountsResponse``."""

    accounts: tuple[ServiceAccount, ...] = ()
    next_page_token: str = ""


class DisableServiceAccountRequest(Message):
    """``DisableServiceAccountRequest``."""


class EnableServiceAccountRequest(Message):
    """``EnableServiceAccountRequest``."""


class ServiceAccountKey(Message):
    """``ServiceAccountKey``."""

    name: str = ""
    private_key_type: str = ""
    key_algorithm: str = ""
    private_key_data: str = ""
    public_key_data: str = ""
    valid_after_time: str = ""
    key_origin: str = ""
    key_type: str = ""


class CreateServiceAccountKeyRequest(Message):
    """``CreateServiceAccountKeyRequest``."""

    private_key_type: Literal[
        "", "TYPE_UNSPECIFIED", "TYPE_GOOGLE_CREDENTIALS_FILE", "TYPE_PKCS12_FILE"
    ] = ""
    key_algorithm: Literal["", "KEY_ALG_UNSPECIFIED", "KEY_ALG_RSA_1024", "KEY_ALG_RSA_2048"] = ""


class ListServiceAccountKeysResponse(Message):
    """``ListServiceAccountKeysResponse``."""

    keys: tuple[ServiceAccountKey, ...] = ()


def create(call: Call) -> Answer:
    """Create a service account, which may do nothing until a policy names it."""
    _service_accounts(call)
    body = call.request_as(CreateServiceAccountRequest)
    shown = "" if body.service_account is None else body.service_account.display_name
    if len(shown) > DISPLAY_NAME_MAX or (shown and not shown.isprintable()):
        raise InvalidArgument(
            f"displayName has at most {DISPLAY_NAME_MAX} characters on one line", "displayName"
        )
    name = ServiceAccountName(ProjectName(call.path["project"]).project, body.account_id)
    account = call.deployment.database.write(
        lambda transaction: kept.insert_service_account(transaction, name, display_name=shown)
    )
    return json_answer(_to_wire(account))


def get(call: Call) -> Answer:
    """Give a service account."""
    with call.deployment.database.read() as connection:
        return json_answer(_to_wire(kept.get_service_account(connection, _name(call))))


def list_(call: Call) -> Answer:
    """Give the service accounts of a project by name."""
    with call.deployment.database.read() as connection:
        page = kept.list_service_accounts(
            connection,
            ProjectName(call.path["project"]).project,
            page_size=call.page_size(),
            page_token=call.parameter("pageToken") or "",
        )
    return json_answer(
        ListServiceAccountsResponse(
            accounts=tuple(map(_to_wire, page.items)), next_page_token=page.next_page_token
        )
    )


def delete(call: Call) -> Answer:
    """Delete a service account with its keys; whatever they signed counts no more."""
    name = _name(call)
    call.deployment.database.write(
        lambda transaction: kept.delete_service_account(transaction, name)
    )
    return EMPTY


def disable(call: Call) -> Answer:
    """Have a service account count no more, until it is enabled."""
    return _set_disabled(call, disabled=True)


def enable(call: Call) -> Answer:
    """Have a service account count again."""
    return _set_disabled(call, disabled=False)


def create_key(call: Call) -> Answer:
    """Make a key, whose file is in this answer and nowhere else."""
    body = call.request_as(CreateServiceAccountKeyRequest)
    if body.private_key_type == "TYPE_PKCS12_FILE":
        raise InvalidArgument(
            "privateKeyType: key files are made as TYPE_GOOGLE_CREDENTIALS_FILE only",
            "privateKeyType",
        )
    if body.key_algorithm == "KEY_ALG_RSA_1024":
        raise InvalidArgument("keyAlgorithm: keys are made as KEY_ALG_RSA_2048", "keyAlgorithm")
    name = _name(call)
    key, file = _service_accounts(call).make_key(name)
    data = base64.b64encode(msgspec.json.format(msgspec.json.encode(file), indent=2))
    return json_answer(_key_to_wire(name, key, private_key_data=data.decode()))


def get_key(call: Call) -> Answer:
    """Give a key, without the half that signs."""
    name = _name(call)
    with call.deployment.database.read() as connection:
        key = kept.get_key(connection, name, call.path["key"])
    public = base64.b64encode(key.public_key.encode()).decode()
    return json_answer(_key_to_wire(name, key, public_key_data=public))


def list_keys(call: Call) -> Answer:
    """Give the keys of a service account, without the halves that sign."""
    name = _name(call)
    with call.deployment.database.read() as connection:
        keys = kept.list_keys(connection, name)
    return json_answer(
        ListServiceAccountKeysResponse(keys=tuple(_key_to_wire(name, key) for key in keys))
    )


def delete_key(call: Call) -> Answer:
    """Delete a key; whatever it signed counts no more."""
    name = _name(call)
    call.deployment.database.write(
        lambda transaction: kept.delete_key(transaction, name, call.path["key"])
    )
    return EMPTY


def _set_disabled(call: Call, *, disabled: bool) -> Answer:
    name = _name(call)
    call.deployment.database.write(
        lambda transaction: kept.set_disabled(transaction, name, disabled=disabled)
    )
    return EMPTY


def _name(call: Call) -> ServiceAccountName:
    return parse_account_email(call.path["account"], ProjectName(call.path["project"]).project)


def _service_accounts(call: Call) -> ServiceAccounts:
    accounts = call.deployment.access.service_accounts
    if accounts is None:
        raise FailedPrecondition(
            "this server lets no service accounts in: name service-account among the setting auth",
            "auth",
        )
    return accounts


def _to_wire(account: kept.ServiceAccount) -> ServiceAccount:
    return ServiceAccount(
        name=str(account.name),
        project_id=account.name.project,
        unique_id=str(account.id),
        email=account.name.email,
        display_name=account.display_name,
        disabled=account.disabled,
    )


def _key_to_wire(
    name: ServiceAccountName,
    key: kept.ServiceAccountKey,
    *,
    private_key_data: str = "",
    public_key_data: str = "",
) -> ServiceAccountKey:
    return ServiceAccountKey(
        name=f"{name}/keys/{key.key_id}",
        private_key_type="TYPE_GOOGLE_CREDENTIALS_FILE" if private_key_data else "",
        key_algorithm="KEY_ALG_RSA_2048",
        private_key_data=private_key_data,
        public_key_data=public_key_data,
        valid_after_time=timestamp(key.created_at),
        key_origin="GOOGLE_PROVIDED",
        key_type="USER_MANAGED",
    )
