"""Who is let in to one server, and to what: built from what the operator chose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.auth.authenticate import Authenticator, open_access_token
from fileroom.auth.authorize import Authorizer
from fileroom.auth.oidc import OidcVerifier
from fileroom.auth.service_accounts import ServiceAccounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fileroom.auth.authenticate import AccessToken, AuthMode, Recognizer
    from fileroom.auth.oidc import OidcIssuer
    from fileroom.auth.policies import Policy
    from fileroom.database.engine import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The door of one server."""

    token: AccessToken | None
    """Its owner's; None where that mode is off."""
    authenticator: Authenticator
    authorizer: Authorizer
    service_accounts: ServiceAccounts | None
    """None where that mode is off."""
    oidc: OidcVerifier | None
    """None where that mode is off."""


def open_access(
    database: Database,
    directory: Path,
    *,
    modes: Sequence[AuthMode],
    token_file: Path | None,
    public_url: str,
    issuers: Sequence[OidcIssuer],
    policies: Mapping[str, Policy],
) -> Access:
    """Give what lets callers in, with the owner's token made if this is the first start."""
    token = open_access_token(database, directory, token_file) if "token" in modes else None
    recognizers: list[Recognizer] = []
    accounts = ServiceAccounts(database, public_url) if "service-account" in modes else None
    if accounts is not None:
        recognizers.append(accounts)
    oidc = OidcVerifier(issuers) if "oidc" in modes else None
    if oidc is not None:
        recognizers.append(oidc)
    return Access(
        token=token,
        authenticator=Authenticator(modes, token, recognizers),
        authorizer=Authorizer(database, policies),
        service_accounts=accounts,
        oidc=oidc,
    )
