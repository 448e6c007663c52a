"""Azure Blob Storage, by ``azure-storage-blob``; a bucket is a container.

References
----------
Azure Blob service REST API: List Blobs, Get Blob Properties, Get Blob, Put Blob, Put Block, Put
Block List, Delete Blob.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobBlock, BlobPrefix, ContainerClient, ContentSettings

from fileroom.objectstore.cloud.faults import Fault, Kind, answered
from fileroom.objectstore.cloud.provider import (
    ANONYMOUS,
    CONNECT_SECONDS,
    DEFAULT,
    IDLE_SECONDS,
    Content,
    Page,
    microseconds,
)
from fileroom.objectstore.contract import ObjectEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.core.credentials import TokenCredential
    from azure.storage.blob import BlobClient

    from fileroom.objectstore.cloud.provider import CloudAddress

_GET_BYTES_MAX: Final = 256 << 20
"""Larger pieces are never asked for, so that a read is one request; a pack has over 64 MB."""


def connect(address: CloudAddress) -> Az:
    """Give the container of an address.

    Raises
    ------
    Fault
        If there are no credentials.
    """
    options: dict[str, Any] = {
        "retry_total": 0,
        "permit_redirects": False,
        "connection_timeout": CONNECT_SECONDS,
        "read_timeout": IDLE_SECONDS,
        "max_single_get_size": _GET_BYTES_MAX,
        "max_chunk_get_size": _GET_BYTES_MAX,
        "max_single_put_size": _GET_BYTES_MAX,
    }
    given = _given(address)
    try:
        if "AccountKey=" in given or "SharedAccessSignature=" in given:
            client = ContainerClient.from_connection_string(given, address.bucket, **options)
        else:
            client = ContainerClient(
                _url(address), address.bucket, _credential(address, given), **options
            )
    except (AzureError, ImportError, ValueError) as error:
        raise Fault(Kind.CREDENTIALS, f"no credentials: {error}") from error
    return Az(client)


def _given(address: CloudAddress) -> str:
    """Give the connection string, key or signature of a file or of the environment, if any."""
    if address.credentials == ANONYMOUS:
        return ""
    if address.credentials == DEFAULT:
        names = ["CONNECTION_STRING", "SAS_TOKEN", "KEY"]
        if address.account or address.endpoint:
            names.remove("CONNECTION_STRING")  # it names an account of its own
        values = (os.environ.get(f"AZURE_STORAGE_{name}", "") for name in names)
        return next((value for value in values if value), "")
    try:
        return Path(address.credentials).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(Kind.CREDENTIALS, f"no credentials: {error}") from error


def _url(address: CloudAddress) -> str:
    if address.endpoint:
        return address.endpoint
    account = address.account or os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    if not account:
        raise ValueError("neither account nor endpoint is set")
    return f"https://{account}.blob.core.windows.net"


def _credential(address: CloudAddress, given: str) -> str | TokenCredential | None:
    if address.credentials == ANONYMOUS:
        return None
    if given:
        return given.removeprefix("?")
    # It takes half a second to import, and asks metadata addresses: only who means it does so.
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


_COPY_SECONDS: Final = 600.0
"""How long Azure may take to copy a blob within the account."""
_LOOK_SECONDS: Final = 0.5


class Az:
    """One container; a version is an ETag."""

    def __init__(self, client: ContainerClient) -> None:
        self._client = client
        self._starts_anywhere = True

    @property
    def is_ordered(self) -> bool:
        """Whether the account keeps no tree of directories; unknown to some signatures."""
        try:
            return not self._client.get_account_information().get("is_hns_enabled", False)
        except AzureError:
            return True

    def list_page(
        self, prefix: str, start_after: str, token: str, *, delimiter: str = "", at_most: int = 1000
    ) -> Page:
        """Give a page; a server that knows no first key to begin at is asked from its own on.

        Such servers pass over ``startFrom``, as those before the version 2026-02-06 of the API do,
        or refuse it, which costs one request more, once.
        """
        start_from = _start_from(prefix, start_after, delimiter) if self._starts_anywhere else ""
        try:
            return self._list_page(prefix, start_from, token, delimiter, at_most)
        except Fault as fault:
            if token or not start_from or fault.kind is not Kind.REFUSED:
                raise
        page = self._list_page(prefix, "", "", delimiter, at_most)
        self._starts_anywhere = False
        return page

    def _list_page(
        self, prefix: str, start_from: str, token: str, delimiter: str, at_most: int
    ) -> Page:
        asked: dict[str, Any] = {"name_starts_with": prefix, "results_per_page": at_most}
        if start_from:
            asked["start_from"] = start_from
        with _faults():
            found = (
                self._client.walk_blobs(**asked, delimiter=delimiter)
                if delimiter
                else self._client.list_blobs(**asked)
            )
            pages = found.by_page(token or None)
            page = list(next(pages))
            next_token = pages.continuation_token or ""  # type: ignore[attr-defined]
        directories = [each.name for each in page if isinstance(each, BlobPrefix)]
        entries = [
            ObjectEntry(
                key=each.name,
                size=each.size,
                version=_plain(each.etag),
                changed=microseconds(each.last_modified),
            )
            for each in page
            if not isinstance(each, BlobPrefix)
        ]
        return Page(entries=entries, directories=directories, next_token=next_token)

    def find(self, key: str) -> ObjectEntry:
        """Give an object's entry."""
        with _faults():
            found = self._blob(key).get_blob_properties()
        return ObjectEntry(
            key=key,
            size=found.size,
            version=_plain(found.etag),
            changed=microseconds(found.last_modified),
        )

    def get(self, key: str, version: str, *, offset: int, length: int, whole: bool) -> Content:
        """Give bytes of the object with one ETag."""
        del whole
        told: list[str] = []
        with _faults():
            found = self._blob(key).download_blob(
                offset=offset,
                length=length,
                etag=f'"{version}"',
                match_condition=MatchConditions.IfNotModified,
                decompress=False,  # what is kept packed comes as it is kept
                raw_response_hook=lambda answer: told.append(
                    answer.http_response.headers.get("Content-Range", "")
                ),
            )
            data = found.readall()
        wanted = f"bytes {offset}-{offset + length - 1}/"
        if any(one and not one.startswith(wanted) for one in told):
            raise Fault(Kind.PASSING, f"{told} came for {wanted}")
        if _plain(found.properties.etag) != version:
            raise Fault(Kind.CHANGED, "an object with another ETag came")
        md5 = found.properties.content_settings.content_md5
        return Content(data=data, md5=bytes(md5) if md5 else None)

    def put(
        self, key: str, content: bytes, *, replacing: str = "", if_absent: bool = False
    ) -> ObjectEntry:
        """Write an object; Azure compares its checksum before it shows it, and keeps it."""
        md5 = bytearray(hashlib.md5(content, usedforsecurity=False).digest())
        condition = _condition(if_absent)
        if replacing:
            condition["etag"] = f'"{replacing}"'
            condition["match_condition"] = MatchConditions.IfNotModified
        with _faults():
            made = self._blob(key).upload_blob(
                content,
                overwrite=True,
                validate_content=True,
                content_settings=ContentSettings(content_md5=md5),
                **condition,
            )
        return ObjectEntry(key=key, size=len(content), version=_plain(made["etag"]))

    @property
    def copies_at_most(self) -> int:
        """The bytes of the largest object that is copied by the cloud."""
        return sys.maxsize

    def locator(self, key: str) -> str:
        """Give the URL of a blob, with the signature that it is asked by, if any."""
        return str(self._blob(key).url)

    def copy(self, locator: str, version: str, size: int, key: str) -> ObjectEntry:
        """Have a blob copied, within the account; waits until it is done."""
        blob = self._blob(key)
        with _faults():
            begun = blob.start_copy_from_url(
                locator,
                source_etag=f'"{version}"',
                source_match_condition=MatchConditions.IfNotModified,
            )
            status, deadline = str(begun["copy_status"]), time.monotonic() + _COPY_SECONDS
            while status == "pending" and time.monotonic() < deadline:
                time.sleep(_LOOK_SECONDS)
                status = str(blob.get_blob_properties().copy.status)
            if status == "pending":
                blob.abort_copy(str(begun["copy_id"]))
        if status != "success":
            raise Fault(Kind.REFUSED, f"the copy is {status}")
        entry = self.find(key)
        if entry.size != size:
            raise Fault(Kind.CHANGED, f"the copy has {entry.size} bytes, not {size}")
        return entry

    def begin(self, key: str, *, if_absent: bool = False) -> AzUpload:
        """Begin an object of blocks."""
        return AzUpload(self._blob(key), key, _condition(if_absent))

    def delete(self, key: str) -> None:
        """Delete an object."""
        with _faults():
            self._blob(key).delete_blob()

    def _blob(self, key: str) -> BlobClient:
        return self._client.get_blob_client(key)


class AzUpload:
    """Blocks that no list names yet; Azure forgets them after a week."""

    def __init__(self, blob: BlobClient, key: str, condition: dict[str, Any]) -> None:
        self._blob = blob
        self._key = key
        self._condition = condition
        self._sizes: dict[str, int] = {}
        self._md5 = hashlib.md5(usedforsecurity=False)

    def add(self, number: int, piece: bytes) -> None:
        """Send a block."""
        block = base64.b64encode(f"{number:08}".encode()).decode()
        with _faults():
            self._blob.stage_block(block, piece, length=len(piece), validate_content=True)
        if block not in self._sizes:
            self._md5.update(piece)
        self._sizes[block] = len(piece)

    def finish(self) -> ObjectEntry:
        """Make an object of the blocks."""
        settings = ContentSettings(content_md5=bytearray(self._md5.digest()))
        with _faults():
            made = self._blob.commit_block_list(
                [BlobBlock(block) for block in self._sizes],
                content_settings=settings,
                **self._condition,
            )
        size = sum(self._sizes.values())
        return ObjectEntry(key=self._key, size=size, version=_plain(made["etag"]))

    def abort(self) -> None:
        """Do nothing: there is no request that has blocks forgotten."""


@contextmanager
def _faults() -> Iterator[None]:
    """Raise what Azure's library raises as Faults."""
    try:
        yield
    except ClientAuthenticationError as error:
        status = error.status_code or 401
        raise answered(status, _code(error), error.message, _headers(error)) from error
    except HttpResponseError as error:
        if error.status_code is None or error.status_code < 300:
            raise Fault(Kind.PASSING, error.message) from error
        message = error.message.partition("\n")[0]
        raise answered(error.status_code, _code(error), message, _headers(error)) from error
    except AzureError as error:
        raise Fault(Kind.PASSING, f"{type(error).__name__}: {error.message}") from error
    except (AttributeError, ValueError) as error:  # of an answer that cannot be
        raise Fault(Kind.PASSING, f"the answer cannot be read: {error}") from error


def _condition(if_absent: bool) -> dict[str, Any]:
    return {"match_condition": MatchConditions.IfMissing} if if_absent else {}


def _start_from(prefix: str, start_after: str, delimiter: str) -> str:
    """Give the first key of a listing that goes on behind a key, which it may begin with.

    Of a listing by levels it lies on the level itself, as Azure asks of it: the directory in which
    the key lies.
    """
    if not start_after.startswith(prefix):
        return ""
    below = start_after.removeprefix(prefix)
    return prefix + (below.partition(delimiter)[0] if delimiter else below)


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _headers(error: HttpResponseError) -> dict[str, str]:
    return dict(getattr(error.response, "headers", {}))


def _plain(etag: object) -> str:
    return str(etag).strip('"')
