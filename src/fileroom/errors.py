"""What can go wrong, one class for each ``google.rpc.Code``.

::

    FileroomError
    ├── Cancelled             1
    ├── Unknown               2
    ├── InvalidArgument       3
    ├── NotFound              5
    ├── AlreadyExists         6
    ├── PermissionDenied      7
    ├── ResourceExhausted     8
    ├── FailedPrecondition    9
    ├── Aborted              10
    ├── Unimplemented        12
    ├── Internal             13
    ├── Unavailable          14
    │   └── WorkerLost       14
    ├── DataLoss             15
    └── Unauthenticated      16

An error is raised. What became of one bad object among many is a value, ``ObjectFailure``.
Errors cross process borders, so each is made from positional arguments and pickles.
A message says what, which, why, and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar


class Code(IntEnum):
    """``google.rpc.Code``."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class FileroomError(Exception):
    """Root of every error Fileroom raises on purpose.

    ``detail`` names the field, header or setting at fault, where there is one.
    """

    code: ClassVar[Code] = Code.UNKNOWN

    def __init__(self, message: str, detail: str | None = None) -> None:
        super().__init__(message, detail)
        self.message = message
        self.detail = detail

    def __str__(self) -> str:
        return self.message


class Cancelled(FileroomError):
    """The caller asked for the work to end."""

    code = Code.CANCELLED


class Unknown(FileroomError):
    """A foreign service failed in a way it did not explain; also a partly failed operation."""

    code = Code.UNKNOWN


class InvalidArgument(FileroomError):
    """The request is wrong whatever the state of the server."""

    code = Code.INVALID_ARGUMENT


class NotFound(FileroomError):
    """What the request names does not exist."""

    code = Code.NOT_FOUND


class AlreadyExists(FileroomError):
    """What the request would create is there already."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(FileroomError):
    """The caller, or Fileroom's own service agent, may not do this."""

    code = Code.PERMISSION_DENIED


class ResourceExhausted(FileroomError):
    """A quota, a limit or the disk is used up."""

    code = Code.RESOURCE_EXHAUSTED


class FailedPrecondition(FileroomError):
    """The request is right but the state of the server does not allow it."""

    code = Code.FAILED_PRECONDITION


class Aborted(FileroomError):
    """Another change came first; read again and repeat."""

    code = Code.ABORTED


class Unimplemented(FileroomError):
    """Documented by the API, not offered by this server."""

    code = Code.UNIMPLEMENTED


class Internal(FileroomError):
    """An invariant of the server is broken."""

    code = Code.INTERNAL


class Unavailable(FileroomError):
    """A passing fault of the environment; the same request may succeed later.

    The one class that is ever retried.
    """

    code = Code.UNAVAILABLE


class DataLoss(FileroomError):
    """Bytes that were stored are missing or differ from their checksum."""

    code = Code.DATA_LOSS


class Unauthenticated(FileroomError):
    """No token, or one that is not valid."""

    code = Code.UNAUTHENTICATED


class Reason(StrEnum):
    """Why an object failed or came to a rare end; stable, shown in failures, ledger and metrics."""

    NOT_DICOM = "NOT_DICOM"
    EMPTY = "EMPTY"
    TRUNCATED = "TRUNCATED"
    MALFORMED = "MALFORMED"
    NESTING_LIMIT = "NESTING_LIMIT"
    ELEMENT_LIMIT = "ELEMENT_LIMIT"
    HEADER_LIMIT = "HEADER_LIMIT"
    MISSING_UID = "MISSING_UID"
    INVALID_UID = "INVALID_UID"
    INVALID_VALUE = "INVALID_VALUE"
    DICOMDIR = "DICOMDIR"
    DUPLICATE_DIFFERENT = "DUPLICATE_DIFFERENT"
    DELETED_MEANWHILE = "DELETED_MEANWHILE"
    HEALED = "HEALED"
    STUDY_DELETING = "STUDY_DELETING"
    SOURCE_NOT_FOUND = "SOURCE_NOT_FOUND"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    SOURCE_DENIED = "SOURCE_DENIED"
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    WORKER_CRASHED = "WORKER_CRASHED"
    TIME_LIMIT = "TIME_LIMIT"
    MEMORY_LIMIT = "MEMORY_LIMIT"
    NO_PIXEL_DATA = "NO_PIXEL_DATA"
    UNSUPPORTED_TRANSCODING = "UNSUPPORTED_TRANSCODING"
    UNSUPPORTED_REFERENCE = "UNSUPPORTED_REFERENCE"
    DESTINATION_DENIED = "DESTINATION_DENIED"
    DESTINATION_EXISTS = "DESTINATION_EXISTS"
    NO_SPACE = "NO_SPACE"
    DATA_LOSS = "DATA_LOSS"
    INTERNAL = "INTERNAL"


class WorkerLost(Unavailable):
    """The worker of this task was lost or ran out of memory; ``item`` is the object it was at.

    ``item`` is None where no object is to blame.
    """

    def __init__(
        self, message: str, reason: Reason = Reason.WORKER_CRASHED, item: int | None = None
    ) -> None:
        super().__init__(message, reason)
        self.args = (message, reason, item)
        self.reason = reason
        self.item = item


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFailure:
    """What became of one object that could not be imported or exported."""

    source: str
    """Its URI, or the DICOMweb path of an instance that could not be exported."""
    code: Code
    reason: Reason
    message: str
    """Free of attribute values: it is logged and shown to whoever may read the operation."""
    tag: str | None = None
    """The element at fault, eight upper-case hexadecimal digits."""
    byte_offset: int | None = None
    """Where in the object the fault lies, counted from 0."""
