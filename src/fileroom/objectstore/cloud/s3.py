"""S3 and what speaks its protocol, by ``botocore``.

References
----------
Amazon S3 API: ListObjectsV2, HeadObject, GetObject, PutObject, multipart uploads, DeleteObject.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import botocore.session
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from fileroom.objectstore.cloud.faults import Fault, Kind, answered
from fileroom.objectstore.cloud.http import body_of, connections, error_body, get, range_of
from fileroom.objectstore.cloud.provider import (
    ANONYMOUS,
    CONNECT_SECONDS,
    CONNECTIONS_MAX,
    DEFAULT,
    IDLE_SECONDS,
    Content,
    Page,
    microseconds,
)
from fileroom.objectstore.cloud.s3_answers import MD5, crc32c_of, faults, md5_of, plain
from fileroom.objectstore.contract import ObjectEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.credentials import Credentials
    from urllib3 import BaseHTTPResponse

    from fileroom.objectstore.cloud.provider import CloudAddress

    WhereAbsent = Callable[[str, Callable[[dict[str, str]], dict[str, Any]]], dict[str, Any]]

_GIVEN: Final = {200, 206}
_TOLD: Final = re.compile(r"<(Code|Message)>([^<]*)</")
_COPY_BYTES_MAX: Final = 5 << 30
_PROFILE: Final = "profile:"


def connect(address: CloudAddress) -> S3:
    """Give the bucket of an address."""
    session = botocore.session.Session()
    credentials = address.credentials
    if credentials.startswith(_PROFILE):
        session.set_config_variable("profile", credentials.removeprefix(_PROFILE))
    elif credentials not in {DEFAULT, ANONYMOUS}:
        # A file of its own: neither the environment nor a metadata address is asked.
        session.set_config_variable("credentials_file", credentials)
        session.set_config_variable("profile", "default")
    try:
        return _connected(session, address)
    except BotoCoreError as error:
        raise Fault(Kind.CREDENTIALS, str(error)) from error


def _connected(session: botocore.session.Session, address: CloudAddress) -> S3:
    credentials = address.credentials
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=IDLE_SECONDS,
        max_pool_connections=CONNECTIONS_MAX,
        retries={"total_max_attempts": 1},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if address.endpoint else "auto"},
        **({"signature_version": UNSIGNED} if credentials == ANONYMOUS else {}),
    )
    client = session.create_client(
        "s3",
        region_name=address.region or None,
        endpoint_url=address.endpoint or None,
        config=config,
    )
    known = session.get_credentials() if credentials != ANONYMOUS else None
    if known is None and credentials != ANONYMOUS:
        raise Fault(Kind.CREDENTIALS, "no credentials were found")
    return S3(client, known, address.bucket)


def _bucket_url(client: Any, bucket: str) -> str:  # noqa: ANN401 - made at run time
    """Give the address of a bucket as botocore makes it, whatever its region and form."""
    asked = {"Bucket": bucket, "Key": "k"}
    url = str(client.generate_presigned_url("get_object", Params=asked))
    return url.partition("?")[0].removesuffix("/k")


class S3:
    """One bucket of S3; a version is an ETag."""

    def __init__(self, client: Any, credentials: Credentials | None, bucket: str) -> None:  # noqa: ANN401 - made at run time
        self._client = client
        self._credentials = credentials
        self._bucket = bucket
        self._region = client.meta.region_name
        self._url = _bucket_url(client, bucket)
        self._http = connections(self._url)
        self._server = ""
        self._knows_absence = True

    @property
    def is_ordered(self) -> bool:
        """Whether the server lists as S3 does; SeaweedFS walks its directories."""
        self.list_page("", "", "", at_most=1)
        return not self._server.startswith("SeaweedFS")

    def list_page(
        self, prefix: str, start_after: str, token: str, *, delimiter: str = "", at_most: int = 1000
    ) -> Page:
        """Give a page; see ``Provider.list_page``."""
        asked = {
            "Prefix": prefix,
            "StartAfter": "" if token else start_after,
            "ContinuationToken": token,
            "Delimiter": delimiter,
        }
        with faults():
            page = self._client.list_objects_v2(
                Bucket=self._bucket,
                MaxKeys=at_most,
                **{name: value for name, value in asked.items() if value},
            )
        if "IsTruncated" not in page:
            raise Fault(Kind.PASSING, "the answer is no listing")
        self._server = page["ResponseMetadata"]["HTTPHeaders"].get("server", "")
        return Page(
            entries=[
                ObjectEntry(
                    key=each["Key"],
                    size=each["Size"],
                    version=plain(each.get("ETag", "")),
                    changed=microseconds(each.get("LastModified")),
                )
                for each in page.get("Contents", ())
            ],
            directories=[each["Prefix"] for each in page.get("CommonPrefixes", ())],
            next_token=page.get("NextContinuationToken", "") if page.get("IsTruncated") else "",
        )

    def find(self, key: str) -> ObjectEntry:
        """Give an object's entry."""
        try:
            with faults():
                found = self._client.head_object(Bucket=self._bucket, Key=key)
        except Fault as fault:
            if fault.kind in {Kind.DENIED, Kind.REFUSED}:
                # An answer to HEAD has no body: one that has tells more of the credentials.
                self.list_page(key, "", "", at_most=1)
            raise
        return ObjectEntry(
            key=key,
            size=found["ContentLength"],
            version=plain(found.get("ETag", "")),
            changed=microseconds(found.get("LastModified")),
        )

    def get(self, key: str, version: str, *, offset: int, length: int, whole: bool) -> Content:
        """Give bytes of the object with one ETag.

        Signed by botocore and sent without it: most of what an import asks for are these, and its
        client takes longer (``benchmarks.clouds``).
        """
        if not version:
            raise Fault(Kind.REFUSED, "the server tells no ETag, by which a version is known")
        headers = {"If-Match": f'"{version}"'}
        if whole:
            headers["x-amz-checksum-mode"] = "ENABLED"  # S3 tells one of all of an object only
        else:
            headers["Range"] = f"bytes={offset}-{offset + length - 1}"
        response = self._ask(f"/{quote(key, safe='/~')}", headers)
        data = body_of(response, length) if whole else range_of(response, offset, length)
        if plain(response.headers.get("ETag", version)) != version:
            raise Fault(Kind.CHANGED, "an object with another ETag came")
        return Content(data=data, crc32c=crc32c_of(response), md5=md5_of(version, response))

    def _ask(self, path: str, headers: dict[str, str]) -> BaseHTTPResponse:
        request = AWSRequest("GET", f"{self._url}{path}", headers=headers)
        with faults():
            if self._credentials is not None:
                frozen = self._credentials.get_frozen_credentials()
                S3SigV4Auth(frozen, "s3", self._region).add_auth(request)
        response = get(self._http, self._url, path, dict(request.headers.items()))
        if response.status not in _GIVEN:
            told = dict(_TOLD.findall(error_body(response)[:4000].decode("utf-8", "replace")))
            message = told.get("Message", response.reason or "")
            if region := response.headers.get("x-amz-bucket-region"):
                message = f"{message} (the bucket is in region {region})"
            raise answered(response.status, told.get("Code", ""), message, response.headers)
        return response

    def put(
        self, key: str, content: bytes, *, replacing: str = "", if_absent: bool = False
    ) -> ObjectEntry:
        """Write an object; S3 compares its checksum before it shows it."""
        place = {"Bucket": self._bucket, "Key": key}
        sent = {**place, "Body": content, "ContentMD5": _md5(content)}

        def put(condition: dict[str, str]) -> dict[str, Any]:
            with faults():
                made: dict[str, Any] = self._client.put_object(**sent, **condition)
            return made

        if if_absent:
            made = self.where_absent(key, put)
        else:
            made = put({"IfMatch": f'"{replacing}"'} if replacing else {})
        return ObjectEntry(key=key, size=len(content), version=plain(made["ETag"]))

    def where_absent(
        self, key: str, send: Callable[[dict[str, str]], dict[str, Any]]
    ) -> dict[str, Any]:
        """Send what makes an object where nothing has its key; else the fault is ``CHANGED``.

        A server that says it does not know the condition is asked what is there just before.
        """
        if self._knows_absence:
            try:
                return send({"IfNoneMatch": "*"})
            except Fault as fault:
                if fault.kind is not Kind.UNKNOWN:
                    raise
            self._knows_absence = False
        try:
            self.find(key)
        except Fault as fault:
            if fault.kind is not Kind.ABSENT:
                raise
            return send({})
        raise Fault(Kind.CHANGED, "something has the key")

    @property
    def copies_at_most(self) -> int:
        """The bytes of the largest object that is copied at one go."""
        return _COPY_BYTES_MAX

    def locator(self, key: str) -> str:
        """Give bucket and key."""
        return f"{self._bucket}/{key}"

    def copy(self, locator: str, version: str, size: int, key: str) -> ObjectEntry:
        """Have an object copied at one go."""
        bucket, _, source_key = locator.partition("/")
        with faults():
            made = self._client.copy_object(
                Bucket=self._bucket,
                Key=key,
                CopySource={"Bucket": bucket, "Key": source_key},
                CopySourceIfMatch=f'"{version}"',
            )
        etag = plain(made.get("CopyObjectResult", {}).get("ETag", ""))
        if not etag:
            raise Fault(Kind.REFUSED, "the answer tells of no copy")
        if MD5.fullmatch(etag) and MD5.fullmatch(version) and etag != version:
            self.delete(key)  # the server does not know the condition, and copied what is there now
            raise Fault(Kind.CHANGED, f"the copy has ETag {etag}, not {version}")
        return ObjectEntry(key=key, size=size, version=etag)

    def begin(self, key: str, *, if_absent: bool = False) -> S3Upload:
        """Begin a multipart upload."""
        with faults():
            begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=key)
        if "UploadId" not in begun:
            raise Fault(Kind.PASSING, "the answer names no upload")
        place = {"Bucket": self._bucket, "Key": key, "UploadId": begun["UploadId"]}
        return S3Upload(self._client, place, self.where_absent if if_absent else None)

    def delete(self, key: str) -> None:
        """Delete an object."""
        with faults():
            self._client.delete_object(Bucket=self._bucket, Key=key)


class S3Upload:
    """A multipart upload."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - as above
        place: dict[str, str],
        where_absent: WhereAbsent | None,
    ) -> None:
        self._client = client
        self._place = place
        self._where_absent = where_absent
        self._parts: dict[int, str] = {}
        self._sizes: dict[int, int] = {}

    def add(self, number: int, piece: bytes) -> None:
        """Send a part."""
        with faults():
            sent = self._client.upload_part(
                **self._place, PartNumber=number + 1, Body=piece, ContentMD5=_md5(piece)
            )
        self._parts[number] = sent["ETag"]
        self._sizes[number] = len(piece)

    def finish(self) -> ObjectEntry:
        """Make an object of the parts."""
        size = sum(self._sizes.values())
        try:
            if self._where_absent is None:
                made = self._complete({})
            else:
                made = self._where_absent(self._place["Key"], self._complete)
        except Fault as fault:
            if fault.kind is not Kind.ABSENT:
                raise
            # The answer to an earlier attempt was lost, if the object is there.
            made = self._find_made(size)
        return ObjectEntry(key=self._place["Key"], size=size, version=plain(made["ETag"]))

    def _complete(self, condition: dict[str, str]) -> dict[str, Any]:
        parts = [{"PartNumber": n + 1, "ETag": tag} for n, tag in sorted(self._parts.items())]
        with faults():
            made: dict[str, Any] = self._client.complete_multipart_upload(
                **self._place, MultipartUpload={"Parts": parts}, **condition
            )
        return made

    def _find_made(self, size: int) -> dict[str, Any]:
        """Give the object of these parts; Fault without one."""
        with faults():
            place = {name: self._place[name] for name in ("Bucket", "Key")}
            found: dict[str, Any] = self._client.head_object(**place)
        sums = b"".join(bytes.fromhex(plain(tag)) for _, tag in sorted(self._parts.items()))
        md5 = hashlib.md5(sums, usedforsecurity=False).hexdigest()
        if found["ContentLength"] != size or plain(found["ETag"]) != f"{md5}-{len(self._parts)}":
            kind = Kind.ABSENT if self._where_absent is None else Kind.CHANGED
            raise Fault(kind, "the upload is not known any more")
        return found

    def abort(self) -> None:
        """Have the parts forgotten."""
        with faults():
            self._client.abort_multipart_upload(**self._place)


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
