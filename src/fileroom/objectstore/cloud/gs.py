"""Cloud Storage, by its JSON API and the credentials of ``google-auth``.

References
----------
Cloud Storage JSON API v1: ``objects`` list, get, insert, delete; resumable uploads.
"""

from __future__ import annotations

import base64
import os
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import google.auth
import msgspec
import urllib3
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.urllib3 import Request
from google.oauth2 import service_account

from fileroom.objectstore.cloud.checksums import Crc32c
from fileroom.objectstore.cloud.faults import Fault, Kind, answered
from fileroom.objectstore.cloud.gs_answers import (
    Listing,
    Resource,
    Rewritten,
    arrived_bytes,
    hashes,
)
from fileroom.objectstore.cloud.http import body_of, connections, error_body, range_of
from fileroom.objectstore.cloud.provider import (
    ANONYMOUS,
    DEFAULT,
    Content,
    Page,
)

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from urllib3 import BaseHTTPResponse

    from fileroom.objectstore.cloud.provider import CloudAddress
    from fileroom.objectstore.contract import ObjectEntry

_ENDPOINT: Final = "https://storage.googleapis.com"
_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)
_FIELDS: Final = "name,size,generation,updated"
_LIST_FIELDS: Final = f"items({_FIELDS}),prefixes,nextPageToken"
_UNAUTHORIZED: Final = 401
_RESUME_INCOMPLETE: Final = 308


def connect(address: CloudAddress) -> Gs:
    """Give the bucket of an address; ``STORAGE_EMULATOR_HOST`` counts where no endpoint is given.

    Raises
    ------
    Fault
        If there are no credentials.
    """
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if emulator and "://" not in emulator:
        emulator = f"http://{emulator}"
    endpoint = (address.endpoint or emulator or _ENDPOINT).rstrip("/")
    is_emulator = not address.endpoint and bool(emulator)
    credentials = _credentials(address, is_emulator=is_emulator)
    return Gs(connections(endpoint), credentials, endpoint, address.bucket)


def _credentials(address: CloudAddress, *, is_emulator: bool) -> Credentials:
    if address.credentials == ANONYMOUS or (is_emulator and address.credentials == DEFAULT):
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    found: Credentials
    try:
        if address.credentials == DEFAULT:
            found, _ = google.auth.default(scopes=_SCOPES)
        else:
            read = service_account.Credentials.from_service_account_file
            found = read(address.credentials, scopes=_SCOPES)  # type: ignore[no-untyped-call]
    except (GoogleAuthError, OSError, ValueError) as error:
        raise Fault(Kind.CREDENTIALS, f"no credentials: {error}") from error
    return found


class Gs:
    """One bucket of Cloud Storage; a version is a generation."""

    is_ordered = True

    def __init__(
        self, http: urllib3.PoolManager, credentials: Credentials, endpoint: str, bucket: str
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._objects = f"{endpoint}/storage/v1/b/{bucket}/o"
        self._media = f"{endpoint}/download/storage/v1/b/{bucket}/o"
        self._uploads = f"{endpoint}/upload/storage/v1/b/{bucket}/o"

    def list_page(
        self, prefix: str, start_after: str, token: str, *, delimiter: str = "", at_most: int = 1000
    ) -> Page:
        """Give a page; see ``Provider.list_page``."""
        parameters = {
            "prefix": prefix,
            "startOffset": start_after,
            "pageToken": token,
            "delimiter": delimiter,
            "maxResults": str(at_most),
            "fields": _LIST_FIELDS,
        }
        response = self.ask(
            "GET", self._objects, parameters={k: v for k, v in parameters.items() if v}
        )
        page = Listing.of(response)
        return Page(
            entries=[resource.entry for resource in page.items],
            directories=page.prefixes,
            next_token=page.next_page_token,
        )

    def find(self, key: str) -> ObjectEntry:
        """Give an object's entry."""
        response = self.ask("GET", self._url(self._objects, key), parameters={"fields": _FIELDS})
        return Resource.of(response).entry

    def get(self, key: str, version: str, *, offset: int, length: int, whole: bool) -> Content:
        """Give bytes of one generation."""
        headers = {"Accept-Encoding": "gzip"}  # what is kept packed comes as it is kept
        if not whole:
            headers["Range"] = f"bytes={offset}-{offset + length - 1}"
        parameters = {"alt": "media", "generation": version}
        url = self._url(self._media, key)
        try:
            response = self.ask("GET", url, parameters=parameters, headers=headers)
        except Fault as fault:
            if fault.kind is Kind.ABSENT:
                self.find(key)  # absent too, or it has another generation now
                raise Fault(Kind.CHANGED, fault.message) from fault
            raise
        data = body_of(response, length) if whole else range_of(response, offset, length)
        if response.headers.get("x-goog-generation", version) != version:
            raise Fault(Kind.CHANGED, "another generation came")
        sums = hashes(response.headers.get("x-goog-hash", ""))
        return Content(data=data, crc32c=sums.get("crc32c"), md5=sums.get("md5"))

    def put(
        self, key: str, content: bytes, *, replacing: str = "", if_absent: bool = False
    ) -> ObjectEntry:
        """Write an object; Cloud Storage compares its checksum before it shows it."""
        crc32c = base64.b64encode(Crc32c(content).digest()).decode()
        metadata = msgspec.json.encode({"name": key, "crc32c": crc32c})
        boundary = f"fileroom-{crc32c}".encode().hex().encode()
        body = b"".join(
            (
                b"--" + boundary + b"\r\nContent-Type: application/json\r\n\r\n" + metadata,
                b"\r\n--" + boundary + b"\r\nContent-Type: application/octet-stream\r\n\r\n",
                content,
                b"\r\n--" + boundary + b"--\r\n",
            )
        )
        condition = {"ifGenerationMatch": replacing} if replacing else _condition(if_absent)
        response = self.ask(
            "POST",
            self._uploads,
            parameters={"uploadType": "multipart", "fields": f"{_FIELDS},crc32c"} | condition,
            headers={"Content-Type": f"multipart/related; boundary={boundary.decode()}"},
            body=body,
        )
        return Resource.of(response).entry

    @property
    def copies_at_most(self) -> int:
        """The bytes of the largest object that is copied by the cloud."""
        return sys.maxsize

    def locator(self, key: str) -> str:
        """Give the URL of an object."""
        return self._url(self._objects, key)

    def copy(self, locator: str, version: str, size: int, key: str) -> ObjectEntry:
        """Have an object rewritten, by as many calls as that takes."""
        del size
        target = self._url(self._objects, key).partition("/storage/v1/")[2]
        parameters = {"ifSourceGenerationMatch": version, "sourceGeneration": version}
        while True:
            response = self.ask(
                "POST", f"{locator}/rewriteTo/{target}", parameters=parameters, body=b""
            )
            told = Rewritten.of(response)
            if told.done and told.resource is not None:
                return told.resource.entry
            if not told.rewrite_token:
                raise Fault(Kind.PASSING, "the copy is neither done nor to be gone on with")
            parameters["rewriteToken"] = told.rewrite_token

    def begin(self, key: str, *, if_absent: bool = False) -> GsUpload:
        """Begin a resumable upload; its condition is kept by the session till its end."""
        response = self.ask(
            "POST",
            self._uploads,
            parameters={"uploadType": "resumable", "fields": f"{_FIELDS},crc32c"}
            | _condition(if_absent),
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode({"name": key}),
        )
        response.drain_conn()
        session_url = response.headers.get("Location", "")
        if not session_url.startswith(f"{self._uploads}?"):
            raise Fault(Kind.REFUSED, "the upload would go to another address")
        return GsUpload(self, session_url, key)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.ask("DELETE", self._url(self._objects, key)).drain_conn()

    def ask(
        self,
        method: str,
        url: str,
        *,
        parameters: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        may_go_on: bool = False,
    ) -> BaseHTTPResponse:
        """Send a request; Fault unless it succeeds, or as it ``may_go_on``, is to be resumed.

        The body of the answer is left to be read.
        """
        message = ""
        asked = f"{url}?{urlencode(parameters)}" if parameters else url
        try:
            response = self._send(method, asked, headers, body)
            if response.status == _UNAUTHORIZED:
                message = _message(error_body(response))
                self._credentials.refresh(_renewal)  # type: ignore[no-untyped-call]
                response = self._send(method, asked, headers, body)
        except TransportError as error:
            raise Fault(Kind.PASSING, f"credentials were not renewed: {error}") from error
        except GoogleAuthError as error:
            raise Fault(Kind.CREDENTIALS, f"{message} {error}".strip()) from error
        except urllib3.exceptions.HTTPError as error:
            raise Fault(Kind.PASSING, f"{type(error).__name__}: {error}") from error
        status = response.status
        goes_on = may_go_on and status == _RESUME_INCOMPLETE
        if not goes_on and status // 100 != 2:
            message = _message(error_body(response)) or (response.reason or "")
            raise answered(status, "", message, response.headers)
        return response

    def _send(
        self, method: str, url: str, headers: dict[str, str] | None, body: bytes | None
    ) -> BaseHTTPResponse:
        signed = dict(headers or {})
        self._credentials.before_request(_renewal, method, url, signed)  # type: ignore[no-untyped-call]
        return self._http.urlopen(
            method, url, body=body, headers=signed, redirect=False, preload_content=False
        )

    @staticmethod
    def _url(collection: str, key: str) -> str:
        return f"{collection}/{quote(key, safe='')}"


def _renewal(url: str, **asked: object) -> object:
    """Send a request for a token: by the proxy that holds for its own address, if one does."""
    return Request(connections(url))(url, **asked)  # type: ignore[no-untyped-call]


class GsUpload:
    """A resumable upload: pieces follow one another, and what has arrived is asked for."""

    def __init__(self, bucket: Gs, session_url: str, key: str) -> None:
        self._bucket = bucket
        self._session_url = session_url
        self._key = key
        self._crc32c = Crc32c()
        self._last: tuple[int, bytes] = (-1, b"")
        self._start = 0

    def add(self, number: int, piece: bytes) -> None:
        """Hold a piece, and send the one before: only with the last the size is known."""
        if number == self._last[0]:
            return
        self._send(self._last[1], total=None)
        self._start += len(self._last[1])
        self._last = (number, piece)
        self._crc32c.update(piece)

    def finish(self) -> ObjectEntry:
        """Send the last piece, with which the object appears."""
        piece = self._last[1]
        resource = self._send(piece, total=self._start + len(piece))
        if resource is None:
            raise Fault(Kind.PASSING, "the upload did not end with its last piece")
        if resource.crc32c and base64.b64decode(resource.crc32c) != self._crc32c.digest():
            self._bucket.delete(self._key)
            raise Fault(Kind.DAMAGED, "what arrived is not what was sent")
        return resource.entry

    def abort(self) -> None:
        """Have the session forgotten."""
        try:
            self._bucket.ask("DELETE", self._session_url).drain_conn()
        except Fault as fault:
            # 499 is how Cloud Storage says that it is.
            if fault.kind not in {Kind.REFUSED, Kind.ABSENT}:
                raise

    def _send(self, piece: bytes, *, total: int | None) -> Resource | None:
        """Send a piece from where the server has it; the object, once that is whole."""
        end = self._start + len(piece)
        if not piece and total is None:
            return None
        arrived, resource = self._start, None
        for _ in range(2):
            rest = piece[arrived - self._start :]
            span = f"{arrived}-{end - 1}" if rest else "*"
            response = self._bucket.ask(
                "PUT",
                self._session_url,
                headers={"Content-Range": f"bytes {span}/{'*' if total is None else total}"},
                body=rest,
                may_go_on=True,
            )
            if response.status != _RESUME_INCOMPLETE:
                return Resource.of(response)
            arrived = arrived_bytes(response)
            if arrived == end and total is None:
                return resource
            if not self._start <= arrived <= end:
                break
        raise Fault(Kind.PASSING, f"{arrived} bytes of {end} arrived")


def _condition(if_absent: bool) -> dict[str, str]:
    return {"ifGenerationMatch": "0"} if if_absent else {}


def _message(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return ""
