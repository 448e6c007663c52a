"""Errors as answers: ``google.rpc.Status`` in JSON, with the HTTP status that belongs to its code.

References
----------
``google/rpc/code.proto`` gives the HTTP mapping of each code.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fileroom.api.calls import Answer
from fileroom.api.routing import STORAGE_ROOTS, VERSIONS
from fileroom.errors import (
    Code,
    DataLoss,
    FailedPrecondition,
    FileroomError,
    Internal,
    InvalidArgument,
    Reason,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

HTTP_STATUS: Final = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

NO_SPACE_STATUS: Final = 507
"""A full disk is no quota that a client has used up (RFC 4918 11.5)."""
UNMET_CONDITION_STATUS: Final = 412
"""What a client asked in a condition of its own does not hold (RFC 9110 15.5.13)."""
NO_TOKEN: Final = "Authorization"  # noqa: S105 - a header's name
"""What an error of who brought no token names as its detail."""
CONDITIONS: Final = frozenset({"ifGenerationMatch"})
RETRY_AFTER_SECONDS: Final = 5
_SHOWN_CHARACTERS: Final = 200
"""Of a path that means nothing."""
_BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"
_INTERNAL: Final = (
    "Internal error encountered. The server's log tells more under the request id in the"
    " X-Request-Id header of this answer."
)


def error_answer(error: FileroomError) -> Answer:
    """Give the answer that an error becomes."""
    headers: dict[str, str] = {}
    details: list[dict[str, Any]] = []
    message = error.message
    match error:
        case Unauthenticated(detail=detail):
            # Where there was a token, it is said that it does not count (RFC 6750 3).
            wrong = "" if detail == NO_TOKEN else ', error="invalid_token"'
            headers["WWW-Authenticate"] = f'Bearer realm="fileroom"{wrong}'
        case Internal():
            # Its text is about the server's inside: for the log, not for the caller.
            message = _INTERNAL
        case InvalidArgument(detail=str(field)):
            details.append({"@type": _BAD_REQUEST, "fieldViolations": _violations(field, message)})
        case _ if error.code in {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED}:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    status = HTTP_STATUS[error.code]
    if error.code is Code.RESOURCE_EXHAUSTED and error.detail == Reason.NO_SPACE:
        status = NO_SPACE_STATUS
    if isinstance(error, FailedPrecondition) and error.detail in CONDITIONS:
        status = UNMET_CONDITION_STATUS
    return status_answer(status, error.code.name, message, details=details, headers=headers)


def log_error(error: FileroomError) -> None:
    """Tell the log of an error that its reader can do something about."""
    if isinstance(error, Internal | DataLoss | Unknown):
        logger.error("a request failed", exc_info=error)
    elif isinstance(error, Unavailable | ResourceExhausted):
        logger.warning("a request was put off", extra={"cause": error.message})


def status_answer(
    http_status: int,
    status: str,
    message: str,
    *,
    details: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Give an error body; for statuses that no ``google.rpc.Code`` has, such as 405, 406, 413."""
    error: dict[str, Any] = {"code": http_status, "message": message, "status": status}
    if details:
        error["details"] = details
    return Answer(
        status=http_status,
        body=msgspec.json.encode({"error": error}),
        headers=headers or {},
        pretty=True,
    )


def unknown_path_answer(path: str) -> Answer:
    """Say that a path means nothing; most often the name of a DICOM store in it is not whole."""
    remedy = "the full name of a DICOM store is projects/P/locations/L/datasets/D/dicomStores/S"
    if not path.startswith(tuple(f"/{version}/" for version in VERSIONS)):
        remedy = "paths begin with /v1/projects/, and /openapi.json tells them all"
    if path.startswith(tuple(f"/{root}/" for root in STORAGE_ROOTS)):
        remedy = "a '/' in the name of an object is to be written %2F, and /openapi.json tells all"
    message = f"Method not found. This API has no path {path[:_SHOWN_CHARACTERS]!r}; {remedy}"
    return status_answer(404, Code.NOT_FOUND.name, message)


def internal_error_answer() -> Answer:
    """Give the answer to a fault of ours; it tells nothing about the inside."""
    return status_answer(500, Code.INTERNAL.name, _INTERNAL)


def _violations(field: str, message: str) -> list[dict[str, str]]:
    """One violation for each line of the message."""
    return [
        {"field": field, "description": line} if field else {"description": line}
        for line in message.split("\n")
    ]
