"""What one line tells, in the shape of Google's ``LogEntry`` with an ``AuditLog`` in it.

A line holds names of resources, UIDs among them; never a value of another attribute, a query string
or a token.

References: Cloud Logging v2 ``LogEntry``, ``google.cloud.audit.AuditLog``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from fileroom.errors import Code

if TYPE_CHECKING:
    from collections.abc import Mapping

JsonObject = dict[str, object]

_TYPE: Final = "type.googleapis.com/google.cloud.audit.AuditLog"
_ACTIVITY: Final = "cloudaudit.googleapis.com%2Factivity"
_DATA_ACCESS: Final = "cloudaudit.googleapis.com%2Fdata_access"
_OWN_SERVICE: Final = "fileroom"
_USER_AGENT_CHARACTERS: Final = 200


class Access(StrEnum):
    """Google's types of permissions."""

    ADMIN_READ = "ADMIN_READ"
    ADMIN_WRITE = "ADMIN_WRITE"
    DATA_READ = "DATA_READ"
    DATA_WRITE = "DATA_WRITE"

    @property
    def is_write(self) -> bool:
        """Whether something may be changed by it."""
        return self in {Access.ADMIN_WRITE, Access.DATA_WRITE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One access: a request, or the end of an operation."""

    access: Access
    service: str
    method: str
    """Google's full name of the method."""
    resource: str
    project: str
    """Empty for what is of no project."""
    kind: str
    """Google's type of a monitored resource."""
    labels: Mapping[str, str] = field(default_factory=dict)
    principal: str = ""
    """Empty where nobody proved who they are."""
    permission: str = ""
    caller: str = ""
    """The address it came from."""
    user_agent: str = ""
    code: Code = Code.OK
    is_granted: bool | None = None
    """Whether they held the permission; None where the code tells."""
    operation: str = ""
    """The full name of the operation that began or ended."""
    is_first: bool = False
    is_last: bool = False

    def to_json(self) -> JsonObject:
        """Give it as it stands in a line, without time and chain."""
        log = _ACTIVITY if self.access is Access.ADMIN_WRITE else _DATA_ACCESS
        told: JsonObject = {
            "logName": f"projects/{self.project or '-'}/logs/{log}",
            "resource": {"type": self.kind, "labels": dict(self.labels)},
            "severity": "NOTICE" if self.code is Code.OK else "ERROR",
            "protoPayload": self._payload(),
        }
        if self.operation:
            operation: JsonObject = {"id": self.operation, "producer": self.service}
            if self.is_first:
                operation["first"] = True
            if self.is_last:
                operation["last"] = True
            told["operation"] = operation
        return told

    def _payload(self) -> JsonObject:
        granted = self.is_granted
        if granted is None:
            granted = self.code not in {Code.UNAUTHENTICATED, Code.PERMISSION_DENIED}
        status = {} if self.code is Code.OK else {"code": int(self.code), "message": self.code.name}
        authorization: JsonObject = {
            "resource": self.resource,
            "permission": self.permission,
            "permissionType": self.access.value,
            "granted": granted,
        }
        return {
            "@type": _TYPE,
            "serviceName": self.service,
            "methodName": self.method,
            "resourceName": self.resource,
            "authenticationInfo": {"principalEmail": self.principal},
            "authorizationInfo": [authorization],
            "requestMetadata": {
                "callerIp": self.caller,
                "callerSuppliedUserAgent": self.user_agent[:_USER_AGENT_CHARACTERS],
            },
            "status": status,
        }


class Note(StrEnum):
    """What the log tells of itself."""

    OPENED = "fileroom.audit.Opened"
    """A server began to write; where its predecessor broke off, of how much of a line."""
    CLOSED = "fileroom.audit.Closed"
    """A server came to its end in good order."""
    MISSED = "fileroom.audit.Missed"
    """So many accesses before have no line: the disk took none."""
    DROPPED = "fileroom.audit.Dropped"
    """All lines up to one were older than they are kept, and are deleted."""
    SHORTENED = "fileroom.audit.Shortened"
    """The log ended before a line that had been written durably."""

    def to_json(self, metadata: Mapping[str, object]) -> JsonObject:
        """Give it as it stands in a line, without time and chain."""
        return {
            "logName": f"projects/-/logs/{_ACTIVITY}",
            "resource": {"type": "audited_resource", "labels": {"service": _OWN_SERVICE}},
            "severity": "NOTICE" if self in _ORDINARY else "WARNING",
            "protoPayload": {
                "@type": _TYPE,
                "serviceName": _OWN_SERVICE,
                "methodName": self.value,
                "metadata": dict(metadata),
            },
        }


_ORDINARY: Final = frozenset({Note.OPENED, Note.CLOSED, Note.DROPPED})


def timestamp(seconds: float) -> str:
    """Give a time as in ``2026-11-26T12:00:00.123456Z``."""
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return f"{moment.isoformat(timespec='microseconds')}Z"
