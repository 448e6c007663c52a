"""A request taken apart: query, body; every limit of what may come in."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import anyio

from fileroom.api.content_encoding import find_unpacker
from fileroom.errors import InvalidArgument
from fileroom.names import DatasetName, DicomStoreName, LocationName, OperationName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from starlette.types import Receive, Scope

    from fileroom.names import ResourceName

BODY_BYTES_MAX: Final = 10 * 1024 * 1024
"""Google's limit for every method but the storing of instances."""
BODY_IDLE_SECONDS: Final = 60.0
BODY_SECONDS: Final = 3600.0
"""Google's limit for a request; a body that trickles in would hold its place for ever."""
QUERY_PARAMETERS_MAX: Final = 1000

GLOBAL_PARAMETERS: Final = frozenset(
    {
        "access_token",
        "alt",
        "callback",
        "fields",
        "key",
        "oauth_token",
        "prettyPrint",
        "quotaUser",
        "upload_protocol",
        "uploadType",
        "xgafv",
    }
)
"""Accepted on every method, DICOMweb included; also written ``$key`` and ``$.xgafv``."""

REPEATED_PARAMETERS: Final = frozenset({"extraLocationTypes", "permissions"})
"""Those that may be given more than once."""

_SNAKE: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")


class BodyTooLarge(Exception):
    """More bytes came, or were announced, than a body may have."""


class BodyTooSlow(Exception):
    """No byte of the body came for too long, or all of them took too long."""


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The parameters of a request, Google's global ones apart."""

    own: tuple[tuple[str, str], ...]
    everywhere: Mapping[str, str]

    @property
    def access_token(self) -> str | None:
        """The token, for clients that cannot set a header."""
        return self.everywhere.get("access_token") or self.everywhere.get("oauth_token")

    @property
    def pretty(self) -> bool:
        """Whether JSON is to be indented."""
        return self.everywhere.get("prettyPrint", "true").lower() not in {"false", "0"}


def headers_of(scope: Scope) -> dict[str, str]:
    """Give the headers by lower-case name; a repeated one is joined with commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def parse_query(query_string: bytes) -> Query:
    """Give the parameters of a query.

    Raises
    ------
    InvalidArgument
        If it is not UTF-8, has too many parameters, or asks for JSONP or protobuf.
    """
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=QUERY_PARAMETERS_MAX,
        )
    except UnicodeDecodeError as error:
        raise InvalidArgument("the query is not UTF-8 after percent-decoding", "query") from error
    except ValueError as error:
        raise InvalidArgument(
            f"the query has over {QUERY_PARAMETERS_MAX} parameters", "query"
        ) from error
    own: list[tuple[str, str]] = []
    everywhere: dict[str, str] = {}
    for name, value in pairs:
        plain = name.removeprefix("$").removeprefix(".")
        if plain in GLOBAL_PARAMETERS:
            everywhere[plain] = value
        else:
            own.append((name, value))
    if everywhere.get("callback"):
        raise InvalidArgument(
            "callback: this server does not answer JSONP; allow the page's origin with the setting"
            " cors_origins instead",
            "callback",
        )
    if everywhere.get("alt", "json").partition(";")[0] not in {"", "json", "media"}:
        raise InvalidArgument("alt: this server answers alt=json and alt=media only", "alt")
    return Query(own=tuple(own), everywhere=everywhere)


def bind_query(query: Query, known: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Give a method's own parameters in camelCase; ``None`` as ``known`` takes all as they are.

    Raises
    ------
    InvalidArgument
        In Google's words if the method has no such parameter; if one value of two would be lost.
    """
    if known is None:
        return query.own
    spellings = {snake(name): name for name in known} | {name: name for name in known}
    for name, _ in query.own:
        if name not in spellings:
            shown = name[:100]
            raise InvalidArgument(
                f'Invalid JSON payload received. Unknown name "{shown}": Cannot bind query'
                f" parameter. Field '{shown}' could not be found in request message.",
                "",
            )
    bound = tuple((spellings[name], value) for name, value in query.own)
    for name, count in Counter(name for name, _ in bound).items():
        if count > 1 and name not in REPEATED_PARAMETERS:
            raise InvalidArgument(f"'{name}' is given more than once", name)
    return bound


def snake(name: str) -> str:
    """Give a camelCase name in snake_case."""
    return _SNAKE.sub(lambda match: "_" + match[1].lower(), name)


async def read_body(receive: Receive, headers: Mapping[str, str]) -> bytes:
    """Give the whole body, unpacked and counted while it comes.

    Raises
    ------
    InvalidArgument
        If it is not in the ``Content-Encoding`` that it names.
    BodyTooLarge
        If it is, or says it will be, over the limit.
    BodyTooSlow
        If it stalls.
    ClientGone
        If the client left.
    """
    announced = headers.get("content-length", "")
    # A fast refusal only; what counts is what comes.
    if announced.isdecimal() and int(announced[:19]) > BODY_BYTES_MAX:
        raise BodyTooLarge
    pieces: list[bytes] = []
    size = 0
    async for piece in body_pieces(receive, headers):
        size += len(piece)
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge
        pieces.append(piece)
    return b"".join(pieces)


async def body_pieces(receive: Receive, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Give a body as it comes, unpacked where it is compressed.

    The server reads on from the client only as pieces are taken.

    Raises
    ------
    InvalidArgument
        If it is not in the ``Content-Encoding`` that it names.
    BodyTooSlow
        If it stalls.
    ClientGone
        If the client left.
    """
    unpacker = find_unpacker(headers.get("content-encoding", ""))
    async for piece in _sent_pieces(receive):
        if unpacker is None:
            yield piece
        else:
            for unpacked in unpacker.unpack(piece):
                yield unpacked
    if unpacker is not None:
        for unpacked in unpacker.finish():
            yield unpacked


async def _sent_pieces(receive: Receive) -> AsyncIterator[bytes]:
    """Give a body as it was sent.

    Raises
    ------
    BodyTooSlow
        If it stalls.
    ClientGone
        If the client left.
    """
    more = True
    end = anyio.current_time() + BODY_SECONDS
    while more:
        try:
            with anyio.fail_after(min(BODY_IDLE_SECONDS, end - anyio.current_time())):
                message = await receive()
        except TimeoutError as error:
            raise BodyTooSlow from error
        if message["type"] == "http.disconnect":
            raise ClientGone
        if piece := message.get("body", b""):
            yield piece
        more = message.get("more_body", False)


def logged_resource(path: Mapping[str, str], name: ResourceName | None) -> str:
    """Give what a request is about as logs may name it: of an object just its bucket."""
    if name is not None:
        return str(name)
    if "bucket" in path:
        return f"projects/_/buckets/{path['bucket']}"
    return f"projects/{path['project']}" if "project" in path else "projects"


def resource_name(path: Mapping[str, str]) -> ResourceName | None:
    """Give the Google resource that a path's variables name."""
    if "location" not in path:
        return None
    location = LocationName(path["project"], path["location"])
    if "dataset" not in path:
        return location
    dataset = DatasetName(location, path["dataset"])
    if "dicomStore" in path:
        return DicomStoreName(dataset, path["dicomStore"])
    if "operation" in path:
        return OperationName(dataset, path["operation"])
    return dataset
