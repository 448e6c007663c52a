"""What S3 answers: errors as faults, and the checksums in its headers."""

from __future__ import annotations

import base64
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from fileroom.objectstore.cloud.faults import Fault, Kind, answered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse

MD5: Final = re.compile(r"[0-9a-f]{32}")
_UNKNOWN_CREDENTIALS: Final = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)


@contextmanager
def faults() -> Iterator[None]:
    """Raise what botocore raises as Faults."""
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        about = error.response.get("ResponseMetadata", {})
        code, status = str(told.get("Code", "")), int(about.get("HTTPStatusCode", 0))
        message = str(told.get("Message", ""))
        raise answered(status, code, message, about.get("HTTPHeaders")) from error
    except _UNKNOWN_CREDENTIALS as error:
        raise Fault(Kind.CREDENTIALS, str(error)) from error
    except RecursionError as error:  # botocore follows an endpoint's redirect to itself
        raise Fault(Kind.ELSEWHERE, "the endpoint leads on to another") from error
    except BotoCoreError as error:
        raise Fault(Kind.PASSING, f"{type(error).__name__}: {error}") from error


def plain(etag: str) -> str:
    """Give an ETag without its quotes."""
    return etag.removeprefix("W/").strip('"')


def md5_of(etag: str, response: BaseHTTPResponse) -> bytes | None:
    """Give the MD5 that an ETag is, unless the object came in parts or is encrypted by a key.

    References
    ----------
    Amazon S3 API, ``Object``: ETag.
    """
    keyed = response.headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    keyed |= "x-amz-server-side-encryption-customer-algorithm" in response.headers
    return None if keyed or not MD5.fullmatch(etag) else bytes.fromhex(etag)


def crc32c_of(response: BaseHTTPResponse) -> bytes | None:
    """Give the CRC-32C of all of an object; one of the sums of its parts is none."""
    text = response.headers.get("x-amz-checksum-crc32c", "")
    composite = response.headers.get("x-amz-checksum-type") == "COMPOSITE" or "-" in text
    return base64.b64decode(text) if text and not composite else None
