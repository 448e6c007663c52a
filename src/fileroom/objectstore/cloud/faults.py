"""What one request to a cloud met, and what may be done about it."""

from __future__ import annotations

import email.utils
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(Enum):
    """What a fault means for the request that met it."""

    ABSENT = auto()
    """No such object, or no such bucket where the answer does not tell which."""
    NO_BUCKET = auto()
    """No such bucket."""
    CHANGED = auto()
    """Another version is there, or the one asked for is not."""
    EXISTS = auto()
    """Something has the key of what was to be written where nothing has it."""
    DENIED = auto()
    """The credentials do not allow it."""
    CREDENTIALS = auto()
    """There are no credentials, or they are not valid (any more)."""
    ELSEWHERE = auto()
    """The bucket is in another region, or the endpoint leads on to another."""
    BUSY = auto()
    """Too many requests: wait, and ask less often."""
    PASSING = auto()
    """The same request may succeed at once: after a reset, a stalled body, an error of theirs."""
    FULL = auto()
    """A quota of the cloud is used up."""
    DAMAGED = auto()
    """The bytes that came differ from the checksum that came with them."""
    REFUSED = auto()
    """The request is wrong, and will be."""
    UNKNOWN = auto()
    """The server does not know what it is asked for."""


class Fault(Exception):
    """One request failed; never leaves ``objectstore.cloud``."""

    def __init__(self, kind: Kind, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(kind, message, retry_after_seconds)
        self.kind = kind
        self.message = message
        self.retry_after_seconds = retry_after_seconds


_OF_STATUS: Final[dict[int, Kind]] = {
    301: Kind.ELSEWHERE,
    302: Kind.ELSEWHERE,
    303: Kind.ELSEWHERE,
    304: Kind.CHANGED,
    307: Kind.ELSEWHERE,
    308: Kind.ELSEWHERE,
    401: Kind.CREDENTIALS,
    403: Kind.DENIED,
    404: Kind.ABSENT,
    408: Kind.PASSING,
    409: Kind.PASSING,
    412: Kind.CHANGED,
    429: Kind.BUSY,
    501: Kind.UNKNOWN,
    503: Kind.BUSY,
    507: Kind.FULL,
}
_OF_CODE: Final[dict[str, Kind]] = {
    # S3
    "AccountProblem": Kind.CREDENTIALS,
    "AuthorizationHeaderMalformed": Kind.ELSEWHERE,
    "ExpiredToken": Kind.CREDENTIALS,
    "InvalidAccessKeyId": Kind.CREDENTIALS,
    "InvalidToken": Kind.CREDENTIALS,
    "NoSuchBucket": Kind.NO_BUCKET,
    "QuotaExceeded": Kind.FULL,
    "RequestTimeTooSkewed": Kind.CREDENTIALS,
    "RequestTimeout": Kind.PASSING,
    "SignatureDoesNotMatch": Kind.CREDENTIALS,
    "SlowDown": Kind.BUSY,
    "TokenRefreshRequired": Kind.CREDENTIALS,
    # Azure
    "AuthenticationFailed": Kind.CREDENTIALS,
    "BlobAlreadyExists": Kind.CHANGED,
    "ContainerNotFound": Kind.NO_BUCKET,
    "InvalidAuthenticationInfo": Kind.CREDENTIALS,
    "NoAuthenticationInformation": Kind.CREDENTIALS,
    "ServerBusy": Kind.BUSY,
}
"""Codes in the body of an answer that tell more than its status."""
_NO_BUCKET: Final = "The specified bucket does not exist"
"""How Cloud Storage tells it, whose answers have no code of their own for it."""


def answered(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Fault:
    """Give the fault of an answer that is no success."""
    kind = _OF_CODE.get(code)
    if kind is None and status == 404 and message.startswith(_NO_BUCKET):
        kind = Kind.NO_BUCKET
    if kind is None:
        kind = _OF_STATUS.get(status)
    if kind is None:
        kind = Kind.PASSING if status >= 500 else Kind.REFUSED
    told = " ".join(f"{status} {code} {message}".split())[:500]
    return Fault(kind, told, retry_after(headers or {}))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Give how long the server asks to wait, in seconds, if it does.

    References
    ----------
    RFC 9110 10.2.3.
    """
    text = {name.lower(): value for name, value in headers.items()}.get("retry-after", "").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
