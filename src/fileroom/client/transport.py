"""HTTP to one server: requests, pages, and Google's error bodies as errors."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

from fileroom.client.values import Json, JsonObject, Status, child, objects, text
from fileroom.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DataLoss,
    FailedPrecondition,
    FileroomError,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Unknown,
)

Query = Sequence[tuple[str, str]]

CONNECT_TIMEOUT_SECONDS = 10.0
CHUNK_BYTES = 1 << 20
MATCHES_OF_PAGE = 1000
"""A search is asked for so many at a time: all of them are in memory at once."""
_EXCERPT_CHARACTERS = 300

_BY_STATUS_NAME: Mapping[str, type[FileroomError]] = {
    "CANCELLED": Cancelled,
    "UNKNOWN": Unknown,
    "INVALID_ARGUMENT": InvalidArgument,
    "DEADLINE_EXCEEDED": Unavailable,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "PERMISSION_DENIED": PermissionDenied,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "FAILED_PRECONDITION": FailedPrecondition,
    "ABORTED": Aborted,
    "OUT_OF_RANGE": InvalidArgument,
    "UNIMPLEMENTED": Unimplemented,
    "INTERNAL": Internal,
    "UNAVAILABLE": Unavailable,
    "DATA_LOSS": DataLoss,
    "UNAUTHENTICATED": Unauthenticated,
}

# For answers without Google's body: DICOMweb's own errors, and whatever stands before the server.
_BY_HTTP_STATUS: Mapping[int, type[FileroomError]] = {
    400: InvalidArgument,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    406: InvalidArgument,
    409: Aborted,
    413: ResourceExhausted,
    415: InvalidArgument,
    429: ResourceExhausted,
    499: Cancelled,
    500: Internal,
    501: Unimplemented,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What is unlike most requests: a body that is no JSON, another version, more answers."""

    content: Iterable[bytes] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    expected: Sequence[int] = ()
    """Statuses beyond 2xx that have an answer of their own."""
    api_version: str = "v1"


class Transport:
    """One server, one token, one pool of connections."""

    def __init__(self, url: str, token: str | None, *, timeout_seconds: float) -> None:
        self.url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        try:
            parsed = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise InvalidArgument(f"{url!r} is not a URL: {error}", "url") from error
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise InvalidArgument(
                f"{url!r} is not the URL of a server; it looks like http://127.0.0.1:8080", "url"
            )
        if token is not None and not _is_header_safe(token):
            raise InvalidArgument("the token holds a space, a line break or a non-ASCII character")
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
            # To load the certificates, those of SSL_CERT_FILE if it is set, takes 0.1 s, which
            # plain HTTP has no use for.
            verify=httpx2.create_ssl_context() if parsed.scheme == "https" else False,
            # A proxy from the environment cannot reach the caller's own machine.
            trust_env=not is_loopback(parsed.host),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(
        self,
        verb: str,
        path: str,
        *,
        query: Query = (),
        body: JsonObject | None = None,
        sending: Sending | None = None,
    ) -> JsonObject:
        """Give the JSON object that a REST method answers."""
        with self.open(verb, path, query=query, body=body, sending=sending) as response:
            answer = _decode(_read(response))
        if not isinstance(answer, dict):
            raise Unknown(f"{self.url} answered no JSON object; is it a Fileroom server?")
        return answer

    def search(
        self, path: str, *, query: Query, limit: int | None, offset: int
    ) -> Iterator[JsonObject]:
        """Give the matches of a DICOMweb search, one request for each page as it is reached."""
        before: list[JsonObject] = []
        while limit != 0:
            size = MATCHES_OF_PAGE if limit is None else min(limit, MATCHES_OF_PAGE)
            page = [("limit", str(size)), *([("offset", str(offset))] if offset else [])]
            found, total = self.data_sets(path, query=[*query, *page])
            if found and found == before:
                raise Unknown(f"{self.url} gave one page of a search twice; does it know offset?")
            before = found
            yield from found[:size]
            # A page comes short also where results are deleted while it is sent: only the total,
            # or an empty page, is the end.
            offset += len(found)
            if not found or (total is not None and offset >= total):
                return
            if limit is not None:
                limit = max(0, limit - len(found))

    def data_sets(self, path: str, *, query: Query = ()) -> tuple[list[JsonObject], int | None]:
        """Give a DICOM JSON array, and of how many matches it is a part, where that is told.

        An empty body is an empty array (PS3.18 10.6.3.3).
        """
        with self.open("GET", path, query=query, accept="application/dicom+json") as response:
            content = _read(response)
            total = response.headers.get("X-Total-Count", "")
        found = _decode(content)
        if content and not isinstance(found, list):
            raise Unknown(f"{self.url} answered no DICOM JSON; is it a Fileroom server?")
        return objects({"found": found}, "found"), int(total) if total.isdecimal() else None

    def pages(self, path: str, key: str, *, query: Query) -> Iterator[JsonObject]:
        """Give the items of a list method, one request for each page as it is reached."""
        token = ""
        while True:
            page = self.call(
                "GET", path, query=[*query, *([("pageToken", token)] if token else [])]
            )
            yield from objects(page, key)
            token = text(page, "nextPageToken")
            if not token:
                return

    @contextmanager
    def open(
        self,
        verb: str,
        path: str,
        *,
        query: Query = (),
        body: JsonObject | None = None,
        sending: Sending | None = None,
        accept: str = "application/json",
    ) -> Iterator[httpx2.Response]:
        """Send one request and give the answer with its body unread.

        Raises
        ------
        FileroomError
            Of the class that the server's status names; ``Unavailable`` if no answer came.
        """
        sending = sending or Sending()
        try:
            with self._http.stream(
                verb,
                f"/{sending.api_version}/{path}",
                params=list(query),
                json=body,
                content=sending.content,
                headers={"Accept": accept, **sending.headers},
            ) as response:
                if not response.is_success and response.status_code not in sending.expected:
                    raise to_error(response.status_code, _read(response), self.url)
                yield response
        except httpx2.TimeoutException as error:
            raise Unavailable(
                f"the server at {self.url} did not answer within {self._timeout_seconds:g} s"
            ) from error
        except httpx2.ConnectError as error:
            raise Unavailable(
                f"no server answers at {self.url} ({error}); is 'fileroom serve' running there?",
                "url",
            ) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise Unavailable(f"the connection to {self.url} broke: {error}") from error


def is_loopback(host: str) -> bool:
    """Tell whether a host is the caller's own machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_header_safe(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def to_status_error(status: Status) -> FileroomError:
    """Give the error that an operation ended with."""
    return _BY_STATUS_NAME.get(status.code.name, Unknown)(status.message)


def to_error(status_code: int, content: bytes, url: str) -> FileroomError:
    """Give the error that an answer stands for, by Google's status name, else by HTTP status."""
    body = _decode(content)
    error = child(body, "error") if isinstance(body, dict) else {}
    kind = _BY_STATUS_NAME.get(text(error, "status")) or _BY_HTTP_STATUS.get(status_code, Unknown)
    message = text(error, "message")
    if not message:
        excerpt = content.decode(errors="replace").strip()[:_EXCERPT_CHARACTERS]
        message = f"{url} answered HTTP {status_code}" + (f": {excerpt}" if excerpt else "")
    return kind(message, _field(error))


def _field(error: JsonObject) -> str | None:
    """Give the field that the first violation names, if there is one."""
    for detail in objects(error, "details"):
        for violation in objects(detail, "fieldViolations"):
            return text(violation, "field") or None
    return None


def _read(response: httpx2.Response) -> bytes:
    content: bytes = response.read()
    return content


def _decode(content: bytes) -> Json:
    if not content:
        return None
    try:
        decoded: Json = json.loads(content)
    except ValueError:
        return None
    return decoded
