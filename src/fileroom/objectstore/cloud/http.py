"""Connections to a cloud, for the requests that are sent without its library in between.

The proxy variables of the environment hold as they do for those libraries; no redirect is followed,
and nothing is repeated here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from fileroom.objectstore.cloud.faults import Fault, Kind
from fileroom.objectstore.cloud.provider import CONNECT_SECONDS, CONNECTIONS_MAX, IDLE_SECONDS

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_PIECE_BYTES: Final = 1 << 20
_ERROR_BYTES_MAX: Final = 64 << 10
_PARTIAL: Final = 206


def connections(url: str) -> urllib3.PoolManager:
    """Give the connections to the server of a URL."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=IDLE_SECONDS)
    if proxy is None or proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager(
            1, maxsize=CONNECTIONS_MAX, block=True, retries=False, timeout=timeout
        )
    return urllib3.ProxyManager(
        proxy, 1, maxsize=CONNECTIONS_MAX, block=True, retries=False, timeout=timeout
    )


def get(
    http: urllib3.PoolManager, origin: str, path: str, headers: dict[str, str]
) -> BaseHTTPResponse:
    """Ask for a path below an origin; the body of the answer is left to be read.

    Raises
    ------
    Fault
        If there is no answer.
    """
    parts = urlsplit(origin)
    try:
        if http.proxy is not None and parts.scheme == "http":
            return http.urlopen(
                "GET", f"{origin}{path}", headers=headers, redirect=False, preload_content=False
            )
        # The pool sends a path as it is, where the manager would resolve ``..`` in it.
        return http.connection_from_url(origin).urlopen(
            "GET", f"{parts.path}{path}", headers=headers, redirect=False, preload_content=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise Fault(Kind.PASSING, f"{type(error).__name__}: {error}") from error


def body_of(response: BaseHTTPResponse, length: int) -> bytes:
    """Give the body as it was sent; of one that is longer than asked for, too much to be taken.

    Raises
    ------
    Fault
        If it breaks off.
    """
    pieces, size = [], 0
    try:
        while size <= length and (piece := response.read(_PIECE_BYTES, decode_content=False)):
            pieces.append(piece)
            size += len(piece)
    except urllib3.exceptions.HTTPError as error:
        raise Fault(Kind.PASSING, f"{type(error).__name__}: {error}") from error
    finally:
        _give_back(response, is_spent=size <= length)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def range_of(response: BaseHTTPResponse, offset: int, length: int) -> bytes:
    """Give the body of an answer that should hold a range.

    Raises
    ------
    Fault
        If it breaks off, or is another range.
    """
    data = body_of(response, length)
    told = response.headers.get("Content-Range", "")
    if response.status != _PARTIAL or not told.startswith(f"bytes {offset}-{offset + length - 1}/"):
        raise Fault(Kind.PASSING, f"another range than bytes {offset} to {offset + length} came")
    return data


def error_body(response: BaseHTTPResponse) -> bytes:
    """Give what an answer tells of its error, as far as it is short."""
    try:
        body = response.read(_ERROR_BYTES_MAX, decode_content=True)
    except urllib3.exceptions.HTTPError:
        body = b""
    _give_back(response, is_spent=False)
    return body


def _give_back(response: BaseHTTPResponse, *, is_spent: bool) -> None:
    """Give a connection back to its pool, closed unless its answer is read to the end."""
    if not is_spent:
        response.close()
    response.release_conn()
