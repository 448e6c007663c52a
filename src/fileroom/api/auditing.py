"""What the audit log tells of a request: one entry for each that reached a route."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

import anyio
import msgspec

from fileroom.api import wire
from fileroom.api.calls import Answer
from fileroom.api.errors import HTTP_STATUS, NO_SPACE_STATUS, error_answer, log_error
from fileroom.api.requests import logged_resource, resource_name
from fileroom.audit import Access, Entry
from fileroom.auth.authorize import UNCONDITIONAL
from fileroom.closing import close_pieces
from fileroom.database.operations import Kind
from fileroom.errors import Code, FileroomError, InvalidArgument
from fileroom.names import DatasetName, DicomStoreName, OperationName, parse_uid
from fileroom.operations.auditing import METHOD_NAMES, SERVICE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fileroom.api.routing import Route
    from fileroom.audit import AuditLog
    from fileroom.names import ResourceName

    InThread = Callable[[Callable[[], None]], Awaitable[None]]

    class Exchange(Protocol):
        """What is known of a request."""

        asked: Asked | None
        headers: Mapping[str, str]
        principal: str
        caller: str


ADMIN_READ, ADMIN_WRITE = Access.ADMIN_READ, Access.ADMIN_WRITE
DATA_READ, DATA_WRITE = Access.DATA_READ, Access.DATA_WRITE

ACCESS: Final[Mapping[str, Access]] = {
    UNCONDITIONAL: ADMIN_READ,
    "healthcare.locations.get": ADMIN_READ,
    "healthcare.locations.list": ADMIN_READ,
    "healthcare.datasets.create": ADMIN_WRITE,
    "healthcare.datasets.deidentify": DATA_WRITE,
    "healthcare.datasets.delete": ADMIN_WRITE,
    "healthcare.datasets.get": ADMIN_READ,
    "healthcare.datasets.getIamPolicy": ADMIN_READ,
    "healthcare.datasets.list": ADMIN_READ,
    "healthcare.datasets.setIamPolicy": ADMIN_WRITE,
    "healthcare.datasets.update": ADMIN_WRITE,
    "healthcare.dicomStores.create": ADMIN_WRITE,
    "healthcare.dicomStores.deidentify": DATA_WRITE,
    "healthcare.dicomStores.delete": ADMIN_WRITE,
    "healthcare.dicomStores.dicomWebDelete": DATA_WRITE,
    "healthcare.dicomStores.dicomWebRead": DATA_READ,
    "healthcare.dicomStores.dicomWebUpdate": DATA_WRITE,
    "healthcare.dicomStores.dicomWebWrite": DATA_WRITE,
    "healthcare.dicomStores.export": DATA_READ,
    "healthcare.dicomStores.get": ADMIN_READ,
    "healthcare.dicomStores.getIamPolicy": ADMIN_READ,
    "healthcare.dicomStores.import": DATA_WRITE,
    "healthcare.dicomStores.list": ADMIN_READ,
    "healthcare.dicomStores.setIamPolicy": ADMIN_WRITE,
    "healthcare.dicomStores.update": ADMIN_WRITE,
    "healthcare.operations.cancel": ADMIN_WRITE,
    "healthcare.operations.get": ADMIN_READ,
    "healthcare.operations.list": ADMIN_READ,
    "iam.serviceAccountKeys.create": ADMIN_WRITE,
    "iam.serviceAccountKeys.delete": ADMIN_WRITE,
    "iam.serviceAccountKeys.get": ADMIN_READ,
    "iam.serviceAccountKeys.list": ADMIN_READ,
    "iam.serviceAccounts.create": ADMIN_WRITE,
    "iam.serviceAccounts.delete": ADMIN_WRITE,
    "iam.serviceAccounts.disable": ADMIN_WRITE,
    "iam.serviceAccounts.enable": ADMIN_WRITE,
    "iam.serviceAccounts.get": ADMIN_READ,
    "iam.serviceAccounts.list": ADMIN_READ,
    "logging.logEntries.list": DATA_READ,
    "resourcemanager.projects.list": ADMIN_READ,
    "storage.buckets.create": ADMIN_WRITE,
    "storage.buckets.get": ADMIN_READ,
    "storage.buckets.list": ADMIN_READ,
    "storage.objects.create": DATA_WRITE,
    "storage.objects.get": DATA_READ,
    "storage.objects.list": DATA_READ,
}
"""Google's type of each permission that a route asks for."""

_CODES: Final = {
    **{status: code for code, status in reversed(HTTP_STATUS.items())},
    HTTPStatus.REQUEST_TIMEOUT: Code.DEADLINE_EXCEEDED,
    HTTPStatus.PRECONDITION_FAILED: Code.FAILED_PRECONDITION,
    NO_SPACE_STATUS: Code.RESOURCE_EXHAUSTED,
}
"""What a status means; of several codes with one status the lowest."""
_CLIENT_GONE: Final = 499
_TOO_MANY: Final = HTTP_STATUS[Code.RESOURCE_EXHAUSTED]
_DONE_AT_ONCE: Final = "datasets.create"
"""What answers an operation that no runner runs: it has ended when it is named."""
_OF_LOCATIONS: Final = {"get": "GetLocation", "list": "ListLocations"}
_NOUNS: Final = {
    "datasets": "Dataset",
    "datasets.dicomStores": "DicomStore",
    "datasets.operations": "Operation",
    "datasets.dicomStores.studies": "Study",
    "datasets.dicomStores.studies.series": "Series",
    "datasets.dicomStores.studies.series.instances": "Instance",
    "datasets.dicomStores.studies.series.instances.frames": "Frames",
}
_OWN: Final = {
    "fileroom.dicomStores.promote": METHOD_NAMES[Kind.PROMOTE],
    "fileroom.operations.undo": METHOD_NAMES[Kind.UNDO_IMPORT],
}
"""What begins an operation that Google has not: named as in the entry of its end."""
_LISTS: Final = {"Dataset": "Datasets", "DicomStore": "DicomStores", "Operation": "Operations"}
_SIGNED_IN: Final = "fileroom.accessTokens.create"
_OF_DICOM: Final = "dicom.DicomService"
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9@._-]{1,200}")
_BELOW: Final = (("study", "studies"), ("series", "series"), ("instance", "instances"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The method that a request asked for, and of what."""

    route: Route
    version: str
    path: Mapping[str, str]

    def entry(self, *, principal: str, caller: str, user_agent: str, answer: Answer) -> Entry:
        """Give what the audit log tells of it."""
        name = _named(self.path)
        kind, labels = _monitored(name)
        operation, is_done = self._begun(answer)
        return Entry(
            access=access_of(self.route),
            service=service_of(self.route),
            method=method_name(self.route, self.version),
            resource=_resource(self.path, name),
            project=self.path.get("project", ""),
            kind=kind,
            labels=labels or {"service": service_of(self.route)},
            principal=principal,
            permission=self.route.permission,
            caller=caller,
            user_agent=user_agent,
            code=_CODES.get(answer.status, Code.OK if answer.status < 400 else Code.UNKNOWN),
            operation=operation,
            is_first=bool(operation),
            is_last=is_done,
        )

    def _begun(self, answer: Answer) -> tuple[str, bool]:
        if not begins_operation(self.route) or answer.status != HTTPStatus.OK:
            return "", False
        assert isinstance(answer.body, bytes), "an operation is told at once"
        name = msgspec.json.decode(answer.body)["name"]
        return name, self.route.method_id == _DONE_AT_ONCE


def access_of(route: Route) -> Access:
    """Give Google's type of what a route does; of one that has none, the strictest."""
    return ACCESS.get(route.permission, DATA_WRITE)


def begins_operation(route: Route) -> bool:
    """Whether what a route answers is an operation that it began."""
    return route.response is wire.Operation and route.verb != "GET"


def is_durable(route: Route) -> bool:
    """Whether the entry of a request is on the disk before it is answered."""
    return access_of(route).is_write or begins_operation(route)


def service_of(route: Route) -> str:
    """Give the service that a route is of: Google's of that name, or ours."""
    return "storage.googleapis.com" if route.method_id.startswith("storage.") else SERVICE


def method_name(route: Route, version: str) -> str:
    """Give Google's full name of a method, as audit logs of Google Cloud show it.

    Methods that Google does not have keep the name by which we know them.
    """
    method_id = route.method_id
    if method_id in _OF_LOCATIONS:
        return f"google.cloud.location.Locations.{_OF_LOCATIONS[method_id]}"
    if method_id in _OWN:
        return f"google.cloud.healthcare.{version}.{_OWN[method_id]}"
    owner, _, verb = method_id.replace("dicomWeb.", "").rpartition(".")
    noun = _NOUNS.get(owner)
    if noun is None:
        return method_id
    if owner == "datasets.operations":
        name = verb.capitalize() + ("Operations" if verb == "list" else "Operation")
        return f"google.longrunning.Operations.{name}"
    service = "dataset.DatasetService" if owner == "datasets" else _OF_DICOM
    return f"google.cloud.healthcare.{version}.{service}.{_call_name(verb, noun)}"


def _call_name(verb: str, noun: str) -> str:
    match verb:
        case "list":
            return f"List{_LISTS[noun]}"
        case "patch":
            return f"Update{noun}"
        case "create" | "get" | "delete" | "deidentify":
            return f"{verb.capitalize()}{noun}"
        case "import" | "export":
            return f"{verb.capitalize()}DicomData"
        case "retrieveMetadata" | "retrieveRendered" | "updateMetadata":
            done = verb.removesuffix("Metadata").removesuffix("Rendered")
            return f"{done.capitalize()}{noun}{verb.removeprefix(done)}"
    return verb[0].upper() + verb[1:]


def _named(path: Mapping[str, str]) -> ResourceName | None:
    """Give the resource of a path; None where one of its names cannot be one."""
    try:
        return resource_name(path)
    except InvalidArgument:
        return None


def _resource(path: Mapping[str, str], name: ResourceName | None) -> str:
    """Give the name of what a path is about, as far as it is one: values of others stay out."""
    if name is None and "location" in path:
        return "-"
    shown = logged_resource(path, name)
    if _ACCOUNT.fullmatch(path.get("account", "")):
        return f"{shown}/serviceAccounts/{path['account']}"
    below = "".join(_uids(path))
    if not below:
        return shown
    return f"{shown}/dicomWeb{below}"


def _uids(path: Mapping[str, str]) -> list[str]:
    told: list[str] = []
    for variable, collection in _BELOW:
        if variable not in path:
            break
        try:
            told.append(f"/{collection}/{parse_uid(path[variable], variable)}")
        except InvalidArgument:
            break
    return told


def _monitored(name: ResourceName | None) -> tuple[str, dict[str, str]]:
    match name:
        case DicomStoreName():
            return "healthcare_dicom_store", {
                **_labels(name.parent),
                "dicom_store_id": name.dicom_store_id,
            }
        case OperationName():
            return "healthcare_dataset", _labels(name.parent)
        case DatasetName():
            return "healthcare_dataset", _labels(name)
    return "audited_resource", {}


def _labels(dataset: DatasetName) -> dict[str, str]:
    return {
        "project_id": dataset.parent.project,
        "location": dataset.parent.location,
        "dataset_id": dataset.dataset_id,
    }


class Auditor:
    """Writes the entries of a server's requests."""

    def __init__(self, log: AuditLog, in_thread: InThread) -> None:
        self._log = log
        self._in_thread = in_thread

    def admit(self, route: Route) -> None:
        """Let pass what may be done: nothing is changed while no entry can be written."""
        if is_durable(route):
            self._log.check()

    async def answered(self, exchange: Exchange, answer: Answer) -> Answer:
        """Give an answer once its entry is written; of a write, an error where that failed."""
        asked = exchange.asked
        if asked is None or (answer.status == _TOO_MANY and not exchange.principal):
            return answer  # whoever floods the server is not to flood the log
        exchange.asked = None  # once is enough, whatever comes after
        entry = asked.entry(
            principal=exchange.principal,
            caller=exchange.caller,
            user_agent=exchange.headers.get("user-agent", ""),
            answer=answer,
        )
        if not is_durable(asked.route):
            self._log.record(entry)
            return answer
        try:
            await self._in_thread(partial(self._log.record_durably, entry))
        except FileroomError as error:
            if not isinstance(answer.body, bytes | tuple):
                close_pieces(answer.body)
            log_error(error)
            return error_answer(error)
        return answer

    def signed_in(self, exchange: Exchange, principal: str) -> None:
        """Note that somebody got an access token for a proof; nobody, where it did not count."""
        self._log.record(
            Entry(
                access=ADMIN_READ,
                service=SERVICE,
                method=_SIGNED_IN,
                resource="-",
                project="",
                kind="audited_resource",
                labels={"service": SERVICE},
                principal=principal,
                caller=exchange.caller,
                user_agent=exchange.headers.get("user-agent", ""),
                code=Code.OK if principal else Code.UNAUTHENTICATED,
            )
        )

    async def left(self, exchange: Exchange) -> None:
        """Note that a client has gone before it was answered."""
        with anyio.CancelScope(shield=True):
            await self.answered(exchange, Answer(status=_CLIENT_GONE))
