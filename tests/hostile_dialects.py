"""How Cloud Storage, S3 and Azure are asked and answer, as far as Fileroom uses them."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from fileroom.objectstore.cloud.checksums import Crc32c

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

    from tests.hostile_storage import HostileBucket

Scheme = Literal["gs", "s3", "az"]
SCHEMES: Final[tuple[Scheme, ...]] = ("gs", "s3", "az")
_MOMENT: Final = "Wed, 25 Nov 2026 00:00:00 GMT"

REFUSALS: Final[dict[str, dict[Scheme, tuple[int, str]]]] = {
    "absent": {"gs": (404, ""), "s3": (404, "NoSuchKey"), "az": (404, "BlobNotFound")},
    "busy": {"gs": (429, ""), "s3": (503, "SlowDown"), "az": (503, "ServerBusy")},
    "denied": {
        "gs": (403, ""),
        "s3": (403, "AccessDenied"),
        "az": (403, "AuthorizationPermissionMismatch"),
    },
    "expired": {"gs": (401, ""), "s3": (400, "ExpiredToken"), "az": (403, "AuthenticationFailed")},
    "exists": {
        "gs": (412, ""),
        "s3": (412, "PreconditionFailed"),
        "az": (409, "BlobAlreadyExists"),
    },
    "page gone": {"gs": (400, ""), "s3": (400, "InvalidArgument"), "az": (400, "OutOfRangeInput")},
}
"""What each cloud answers in a case that all of them know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, whatever cloud's words it was in."""

    scheme: Scheme
    operation: str
    """``list``, ``look`` (which lists one key), ``about`` (which asks what server it is), ``find``,
    ``get``, ``put``, ``begin``, ``part``, ``finish``, ``abort``, ``delete``, or ``unknown``."""
    bucket: str
    key: str = ""
    version: str = ""
    """The only one that is wanted."""
    if_absent: bool = False
    """Whether nothing may have the key."""
    changed_status: int = 412
    """How this cloud says that another version is there."""
    span: tuple[int, int] | None = None
    """First byte and last."""
    prefix: str = ""
    start_after: str = ""
    start_from: str = ""
    """As ``start_after``, and may itself be listed."""
    token: str = ""
    at_most: int = 1000
    upload: str = ""
    number: int = 0
    content: bytes = b""
    identity: str = ""
    """Access key, bearer token or signature."""
    at: float = 0.0
    under_way: int = 1
    """Requests that were being answered when it came, itself included."""
    backwards: bool = False
    """A fault has the page's keys come in falling order."""
    next_token: str | None = None
    """A fault has the page name this page as the next."""

    def as_listing(self) -> Asked:
        """Give it as a listing, or a look at the first key."""
        return replace(self, operation="look" if self.at_most == 1 else "list")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, and how much of it is sent before the connection ends."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    ending: Literal["kept", "closed", "reset", "silent", "dripping"] = "kept"
    sent: int | None = None
    """Bytes of the body before the ending; None for all, less than nothing for no header either."""
    drip_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One version of an object."""

    content: bytes
    version: str
    size: int


class Refusal(Exception):
    """The cloud itself refuses."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code


class Dialect(Protocol):
    """How a cloud is asked, and how it answers."""

    def version(self, content: bytes, number: int) -> str:
        """Give the version of what was written."""

    def parse(self, method: str, url: str, headers: Message, body: bytes) -> Asked:
        """Give what a request asks."""

    def answer(self, bucket: HostileBucket, asked: Asked) -> Reply:
        """Do what is asked; raises Refusal."""

    def refusal(self, status: int, code: str, message: str) -> Reply:
        """Say no."""


def _xml_refusal(status: int, code: str, message: str) -> Reply:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    headers = {"Content-Type": "application/xml"}
    return Reply(status=status, headers=headers, body=body.encode())


def _span(header: str | None) -> tuple[int, int] | None:
    first, _, last = (header or "").removeprefix("bytes=").partition("-")
    return (int(first), int(last)) if first and last else None


def _bytes(stored: Stored, asked: Asked, headers: Mapping[str, str]) -> Reply:
    if asked.span is None:
        return Reply(headers=headers, body=stored.content)
    first, last = asked.span
    body = stored.content[first : last + 1]
    span = f"bytes {first}-{first + len(body) - 1}/{stored.size}"
    return Reply(status=206, headers={**headers, "Content-Range": span}, body=body)


class _S3:
    def version(self, content: bytes, number: int) -> str:
        del number
        return hashlib.md5(content).hexdigest()

    def parse(self, method: str, url: str, headers: Message, body: bytes) -> Asked:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        _, bucket, *rest = parts.path.split("/", 2)
        authorization = headers.get("Authorization", "")
        asked = Asked(
            scheme="s3",
            operation="unknown",
            bucket=bucket,
            key=unquote(rest[0]) if rest else "",
            version=headers.get("If-Match", "").strip('"'),
            if_absent=headers.get("If-None-Match", "") == "*",
            span=_span(headers.get("Range")),
            upload=query.get("uploadId", ""),
            number=int(query.get("partNumber", "0")),
            content=body,
            identity=authorization.partition("Credential=")[2].partition("/")[0],
        )
        if not asked.key:
            listing = replace(
                asked,
                prefix=query.get("prefix", ""),
                start_after=query.get("start-after", ""),
                token=query.get("continuation-token", ""),
                at_most=int(query.get("max-keys", "1000")),
            )
            return listing.as_listing() if "list-type" in query else listing
        plain = {"HEAD": "find", "GET": "get", "PUT": "put", "DELETE": "delete"}
        sent = {"PUT": "part", "POST": "finish", "DELETE": "abort"}
        operations = sent if asked.upload else {**plain, "POST": "begin"}
        return replace(asked, operation=operations.get(method, "unknown"))

    def answer(self, bucket: HostileBucket, asked: Asked) -> Reply:
        match asked.operation:
            case "list" | "look":
                return self._page(*bucket.page(asked))
            case "find":
                return _bytes(found := bucket.find(asked), asked, self._headers(found.version))
            case "get":
                return _bytes(found := bucket.find(asked), asked, self._headers(found.version))
            case "put":
                return Reply(headers=self._headers(bucket.accept(asked).version))
            case "begin":
                body = f"<R><UploadId>{bucket.begin()}</UploadId></R>"
                return Reply(body=body.encode())
            case "part":
                bucket.add(asked)
                return Reply(headers=self._headers(self.version(asked.content, 0)))
            case "finish":
                body = f'<R><ETag>"{bucket.finish(asked).version}"</ETag></R>'
                return Reply(body=body.encode())
            case "abort":
                bucket.abort(asked)
                return Reply(status=204)
            case "delete":
                bucket.remove(asked.key)
                return Reply(status=204)
            case _:
                raise Refusal(501, "NotImplemented")

    def refusal(self, status: int, code: str, message: str) -> Reply:
        return _xml_refusal(status, code, message)

    def _headers(self, version: str) -> dict[str, str]:
        return {"ETag": f'"{version}"', "Last-Modified": _MOMENT}

    def _page(self, entries: list[tuple[str, Stored]], token: str) -> Reply:
        contents = "".join(
            f"<Contents><Key>{escape(quote(key))}</Key><Size>{one.size}</Size>"
            f"<ETag>&quot;{one.version}&quot;</ETag></Contents>"
            for key, one in entries
        )
        more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
        body = (
            "<?xml version='1.0'?><ListBucketResult><EncodingType>url</EncodingType>"
            f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{more}{contents}"
            "</ListBucketResult>"
        )
        return Reply(headers={"Content-Type": "application/xml"}, body=body.encode())


class _Gs:
    def version(self, content: bytes, number: int) -> str:
        del content
        return str(number)

    def parse(self, method: str, url: str, headers: Message, body: bytes) -> Asked:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        place, _, rest = parts.path.partition("/storage/v1/b/")
        bucket, _, key = rest.partition("/o")
        asked = Asked(
            scheme="gs",
            operation="unknown",
            bucket=bucket,
            key=unquote(key.removeprefix("/")),
            version=query.get("generation", "") or query.get("ifGenerationMatch", ""),
            if_absent=query.get("ifGenerationMatch") == "0" or query.get("absent") == "1",
            # Cloud Storage knows one generation only, unless versions are kept.
            changed_status=404 if "generation" in query else 412,
            span=_span(headers.get("Range")),
            upload=query.get("upload_id", ""),
            identity=headers.get("Authorization", "").removeprefix("Bearer "),
        )
        if place == "/upload":
            return self._parse_upload(asked, method, query, headers, body)
        if not asked.key and method == "GET":
            listing = replace(
                asked,
                prefix=query.get("prefix", ""),
                start_after=query.get("startOffset", ""),
                token=query.get("pageToken", ""),
                at_most=int(query.get("maxResults", "1000")),
            )
            return listing.as_listing()
        reading = "get" if place == "/download" or query.get("alt") == "media" else "find"
        operations = {"GET": reading, "DELETE": "delete"}
        return replace(asked, operation=operations.get(method, "unknown"))

    def _parse_upload(
        self, asked: Asked, method: str, query: dict[str, str], headers: Message, body: bytes
    ) -> Asked:
        if method == "DELETE":
            return replace(asked, operation="abort")
        if method == "PUT":
            span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            return replace(
                asked,
                operation="part" if total == "*" else "finish",
                key=query["name"],
                number=int(span.partition("-")[0]) if "-" in span else 1 << 50,
                content=body,
            )
        if query.get("uploadType") == "resumable":
            return replace(asked, operation="begin", key=json.loads(body)["name"])
        boundary = headers.get("Content-Type", "").partition("boundary=")[2].encode()
        _, about, content, _ = body.split(b"--" + boundary)
        return replace(
            asked,
            operation="put",
            key=json.loads(about.partition(b"\r\n\r\n")[2])["name"],
            content=content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"),
        )

    def answer(self, bucket: HostileBucket, asked: Asked) -> Reply:
        match asked.operation:
            case "list" | "look":
                entries, token = bucket.page(asked)
                items = [self._resource(key, one, brief=True) for key, one in entries]
                return self._json({"items": items, **({"nextPageToken": token} if token else {})})
            case "find":
                return self._json(self._resource(asked.key, bucket.find(asked)))
            case "get":
                found = bucket.find(asked)
                sum_ = base64.b64encode(Crc32c(found.content).digest()).decode()
                headers = {"x-goog-generation": found.version, "x-goog-hash": f"crc32c={sum_}"}
                return _bytes(found, asked, headers)
            case "put":
                return self._json(self._resource(asked.key, bucket.accept(asked)))
            case "begin":
                place = f"{bucket.settings().endpoint}/upload/storage/v1/b/{asked.bucket}/o"
                name = quote(asked.key, safe="")
                location = f"{place}?uploadType=resumable&name={name}&upload_id={bucket.begin()}"
                location += "&absent=1" if asked.if_absent else ""
                return Reply(headers={"Location": location})
            case "part":
                arrived = sum(map(len, bucket.add(asked).values()))
                return Reply(status=308, headers={"Range": f"bytes=0-{arrived - 1}"})
            case "finish":
                return self._json(self._resource(asked.key, bucket.finish(asked, last=True)))
            case "abort":
                bucket.abort(asked)
                return Reply(status=499)
            case "delete":
                bucket.find(asked)
                bucket.remove(asked.key)
                return Reply(status=204)
            case _:
                raise Refusal(501, "")

    def refusal(self, status: int, code: str, message: str) -> Reply:
        del code
        return self._json({"error": {"code": status, "message": message}}, status)

    def _json(self, value: object, status: int = 200) -> Reply:
        headers = {"Content-Type": "application/json"}
        return Reply(status=status, headers=headers, body=json.dumps(value).encode())

    def _resource(self, key: str, one: Stored, *, brief: bool = False) -> dict[str, str]:
        resource = {"name": key, "size": str(one.size), "generation": one.version}
        if not brief:
            resource["crc32c"] = base64.b64encode(Crc32c(one.content).digest()).decode()
        return resource


class _Az:
    def version(self, content: bytes, number: int) -> str:
        del content
        return f"0x{number:015X}"

    def parse(self, method: str, url: str, headers: Message, body: bytes) -> Asked:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        _, _, bucket, *rest = parts.path.split("/", 3)
        block = base64.b64decode(base64.b64decode(query.get("blockid", "")))
        asked = Asked(
            scheme="az",
            operation="unknown",
            bucket=bucket,
            key=unquote(rest[0]) if rest else "",
            version=headers.get("If-Match", "").strip('"'),
            if_absent=headers.get("If-None-Match", "") == "*",
            span=_span(headers.get("x-ms-range") or headers.get("Range")),
            prefix=query.get("prefix", ""),
            start_from=query.get("startFrom", ""),
            token=query.get("marker", ""),
            at_most=int(query.get("maxresults", "5000")),
            number=int(block) if block else 0,
            content=body,
            identity=query.get("sig", ""),
        )
        asked = replace(asked, upload=asked.key)
        if query.get("comp") == "list":
            return asked.as_listing()
        if query.get("restype") == "account":
            return replace(asked, operation="about")
        plain = {"HEAD": "find", "GET": "get", "PUT": "put", "DELETE": "delete"}
        sent = {"block": "part", "blocklist": "finish"}.get(query.get("comp", ""))
        return replace(asked, operation=sent or plain.get(method, "unknown"))

    def answer(self, bucket: HostileBucket, asked: Asked) -> Reply:
        match asked.operation:
            case "list" | "look":
                return self._page(*bucket.page(asked))
            case "about":
                return Reply(headers={"x-ms-is-hns-enabled": "false", "x-ms-version": "2024-01-01"})
            case "find" | "get":
                found = bucket.find(asked)
                md5 = base64.b64encode(hashlib.md5(found.content).digest()).decode()
                headers = {
                    **self._headers(found.version),
                    "x-ms-blob-type": "BlockBlob",
                    "x-ms-blob-content-md5": md5,
                }
                return _bytes(found, asked, headers)
            case "put":
                made = bucket.accept(asked)
                return Reply(status=201, headers=self._headers(made.version))
            case "part":
                bucket.add(asked)
                return Reply(status=201)
            case "finish":
                made = bucket.finish(asked)
                return Reply(status=201, headers=self._headers(made.version))
            case "delete":
                bucket.find(asked)
                bucket.remove(asked.key)
                return Reply(status=202)
            case _:
                raise Refusal(501, "NotImplemented")

    def refusal(self, status: int, code: str, message: str) -> Reply:
        reply = _xml_refusal(status, code, message)
        return replace(reply, headers={**reply.headers, "x-ms-error-code": code})

    def _headers(self, version: str) -> dict[str, str]:
        return {"ETag": f'"{version}"', "Last-Modified": _MOMENT, "x-ms-version": "2024-01-01"}

    def _page(self, entries: list[tuple[str, Stored]], token: str) -> Reply:
        blobs = "".join(
            f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>{_MOMENT}</Last-Modified>"
            f"<Etag>{one.version}</Etag><Content-Length>{one.size}</Content-Length>"
            "<BlobType>BlockBlob</BlobType></Properties></Blob>"
            for key, one in entries
        )
        body = (
            "<?xml version='1.0' encoding='utf-8'?><EnumerationResults>"
            f"<Blobs>{blobs}</Blobs><NextMarker>{token}</NextMarker></EnumerationResults>"
        )
        return Reply(headers={"Content-Type": "application/xml"}, body=body.encode())


DIALECTS: Final[dict[Scheme, Dialect]] = {"gs": _Gs(), "s3": _S3(), "az": _Az()}
