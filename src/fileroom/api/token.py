"""``POST /token``: an access token for an assertion that a service account signed.

References
----------
RFC 7523; RFC 6749 5
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import msgspec

from fileroom.api.calls import JSON, Answer
from fileroom.errors import Unauthenticated

if TYPE_CHECKING:
    from fileroom.auth.service_accounts import ServiceAccounts

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
BODY_BYTES_MAX: Final = 32 * 1024
_FIELDS_MAX: Final = 20
_NEVER_KEPT: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def exchange(accounts: ServiceAccounts | None, body: bytes) -> Answer:
    """Answer a request for an access token, errors included, as OAuth 2.0 has it."""
    if len(body) > BODY_BYTES_MAX:
        return _error("invalid_request", f"a request has at most {BODY_BYTES_MAX} bytes")
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=_FIELDS_MAX, strict_parsing=True)
    except ValueError:
        return _error("invalid_request", "the body must be application/x-www-form-urlencoded")
    grant, assertion = fields.get("grant_type", []), fields.get("assertion", [])
    if accounts is None or grant != [JWT_BEARER]:
        if accounts is None:
            told = "this server lets no service accounts in: the setting auth says who is let in"
        else:
            told = f"grant_type must be {JWT_BEARER}"
        return _error("unsupported_grant_type", told)
    if len(assertion) != 1:
        return _error("invalid_request", "one assertion is required")
    try:
        token, seconds = accounts.exchange(assertion[0])
    except Unauthenticated as error:
        return _error("invalid_grant", error.message)
    content = {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}
    return Answer(body=msgspec.json.encode(content), media_type=JSON, headers=_NEVER_KEPT)


def _error(code: str, told: str) -> Answer:
    content = msgspec.json.encode({"error": code, "error_description": told})
    return Answer(status=400, body=content, media_type=JSON, headers=_NEVER_KEPT)
