"""``POST /token``: an access token for what proves who somebody is; ``GET /sign-in``.

A service account brings an assertion that it signed. Somebody who came back from an OpenID provider
to the console brings the provider's code.

References
----------
RFC 7523; RFC 6749 4.1 and 5; RFC 7636
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import msgspec

from fileroom.api.calls import JSON, Answer
from fileroom.api.requests import bind_query
from fileroom.errors import InvalidArgument, Unauthenticated

if TYPE_CHECKING:
    from fileroom.api.requests import Query
    from fileroom.auth.access import Access
    from fileroom.deployment import Deployment

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUTHORIZATION_CODE: Final = "authorization_code"
BODY_BYTES_MAX: Final = 32 * 1024
SIGN_IN_PATH: Final = "/sign-in"
SIGNED_IN_PATH: Final = "/console/signed-in"
"""Where providers send people back to, and nowhere else."""
_FIELDS_MAX: Final = 20
_NEVER_KEPT: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_OPAQUE: Final = re.compile(r"[A-Za-z0-9_\-]{20,128}")


def exchange(access: Access, public_url: str, body: bytes) -> tuple[Answer, str]:
    """Answer a request for an access token, errors included, as OAuth 2.0 has it.

    With the answer comes the name of who got a token; an empty one where nobody did.
    """
    if len(body) > BODY_BYTES_MAX:
        return _error("invalid_request", f"a request has at most {BODY_BYTES_MAX} bytes")
    try:
        many = parse_qs(body.decode("ascii"), max_num_fields=_FIELDS_MAX, strict_parsing=bool(body))
    except ValueError:
        return _error("invalid_request", "the body must be application/x-www-form-urlencoded")
    fields = {name: values[0] for name, values in many.items() if len(values) == 1}
    try:
        match fields.get("grant_type"):
            case str(grant) if grant == JWT_BEARER and access.service_accounts is not None:
                token, seconds = access.service_accounts.exchange(fields["assertion"])
            case str(grant) if grant == AUTHORIZATION_CODE and access.oidc is not None:
                token = access.oidc.exchange_code(
                    fields["issuer"],
                    fields["code"],
                    fields["code_verifier"],
                    signed_in_url(public_url),
                )
                seconds = 0  # the provider's own say stands in the token
            case _:
                told = f"grant_type must be {JWT_BEARER}, where the setting auth lets such in"
                return _error("unsupported_grant_type", told)
        principal = access.authenticator.recognize(token)
    except KeyError as error:
        return _error("invalid_request", f"one {error.args[0]} is required")
    except (InvalidArgument, Unauthenticated) as error:
        return _error("invalid_grant", error.message)
    content: dict[str, object] = {"access_token": token, "token_type": "Bearer"}
    if seconds:
        content["expires_in"] = seconds
    answer = Answer(body=msgspec.json.encode(content), media_type=JSON, headers=_NEVER_KEPT)
    return answer, principal.name


def sign_in(deployment: Deployment, query: Query) -> Answer:
    """Send somebody to an OpenID provider, who sends them back to the console."""
    asked = dict(bind_query(query, ("issuer", "state", "codeChallenge")))
    if deployment.access.oidc is None:
        raise InvalidArgument("no OpenID provider is let in: see the setting oidc", "issuer")
    for name in ("state", "codeChallenge"):
        if not _OPAQUE.fullmatch(asked.get(name, "")):
            raise InvalidArgument(f"{name} is 20 to 128 letters and digits", name)
    url = deployment.access.oidc.sign_in_url(
        asked.get("issuer", ""),
        signed_in_url(deployment.settings.public_url),
        asked["state"],
        asked["codeChallenge"],
    )
    return Answer(status=302, media_type=None, headers={"Location": url, **_NEVER_KEPT})


def signed_in_url(public_url: str) -> str:
    """Give where providers send people back to: to be told to each of them."""
    return f"{public_url.rstrip('/')}{SIGNED_IN_PATH}"


def _error(code: str, told: str) -> tuple[Answer, str]:
    content = msgspec.json.encode({"error": code, "error_description": told})
    return Answer(status=400, body=content, media_type=JSON, headers=_NEVER_KEPT), ""
