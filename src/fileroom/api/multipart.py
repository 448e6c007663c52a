"""multipart/related, as it comes in and as it goes out (PS3.18 8.7.1, RFC 2046 5.1, RFC 2387).

Neither way is a body ever held: what comes in is handed on piece by piece, what goes out is drawn
part by part.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol, Self

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState

from fileroom.api.calls import Answer
from fileroom.closing import close_pieces
from fileroom.dicom.media_types import MULTIPART_RELATED, MediaType
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from python_multipart.multipart import MultipartCallbacks

PART_HEADERS_MAX: Final = 32
PART_HEADER_BYTES_MAX: Final = 4096
"""Name and value of one header of a part."""
BOUNDARY_BYTES_MAX: Final = 256
"""RFC 2046 says 70; some clients write more."""
PREAMBLE_BYTES_MAX: Final = 64 << 10
"""What may stand before the first boundary, for readers that know no MIME (RFC 2046 5.1.1)."""
_IDENTITY_ENCODINGS: Final = frozenset({"", "binary", "8bit", "7bit"})


class PartTaker(Protocol):
    """Whoever is given the parts of a body, one after another, piece by piece."""

    def begin_part(self, headers: Mapping[str, str], /) -> None:
        """Take the headers of the next part, names in lower case."""

    def write_part(self, piece: bytes, /) -> None:
        """Take some bytes of it."""

    def end_part(self) -> None:
        """Take note that it is whole."""


class MultipartReader:
    """Takes a multipart body apart as it comes."""

    def __init__(self, media_type: MediaType, taker: PartTaker) -> None:
        boundary = (media_type.parameter("boundary") or "").encode("latin-1", "replace")
        if not boundary or len(boundary) > BOUNDARY_BYTES_MAX:
            raise InvalidArgument(
                f"Content-Type needs a boundary of 1 to {BOUNDARY_BYTES_MAX} characters",
                "Content-Type",
            )
        self._taker = taker
        self._delimiter = b"\r\n--" + boundary
        self._preamble: bytes | None = b"\r\n"
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        self._parser = MultipartParser(
            boundary,
            self._callbacks(),
            max_header_count=PART_HEADERS_MAX,
            max_header_size=PART_HEADER_BYTES_MAX,
        )

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body.

        Raises
        ------
        InvalidArgument
            If it is no multipart body, or over a limit.
        """
        if self._preamble is not None:
            piece = self._after_preamble(self._preamble + piece)
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise InvalidArgument(f"the multipart body is malformed: {error}", "body") from error

    def finish(self) -> None:
        """Make sure that the body is whole.

        Raises
        ------
        InvalidArgument
            If its closing boundary did not come.
        """
        if self._parser.state is not MultipartState.END:
            raise InvalidArgument(
                "the multipart body ends before its closing boundary, so that parts of it may be"
                " missing; nothing of it is stored",
                "body",
            )

    def _after_preamble(self, begun: bytes) -> bytes:
        """Give what follows the preamble, nothing while that may still go on."""
        at = begun.find(self._delimiter)
        if at < 0:
            if len(begun) > PREAMBLE_BYTES_MAX:
                raise InvalidArgument(
                    f"the multipart body does not begin with the boundary that Content-Type names"
                    f" within {PREAMBLE_BYTES_MAX} bytes",
                    "body",
                )
            self._preamble = begun
            return b""
        self._preamble = None
        return begun[at + 2 :]

    def _callbacks(self) -> MultipartCallbacks:
        def name(data: bytes, start: int, end: int) -> None:
            self._name += data[start:end]

        def value(data: bytes, start: int, end: int) -> None:
            self._value += data[start:end]

        def part_data(data: bytes, start: int, end: int) -> None:
            self._taker.write_part(data[start:end])

        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": name,
            "on_header_value": value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": part_data,
            "on_part_end": self._taker.end_part,
        }

    def _end_header(self) -> None:
        name = self._name.decode("latin-1").strip().lower()
        self._headers[name] = self._value.decode("latin-1").strip()
        self._name = self._value = b""

    def _end_headers(self) -> None:
        encoding = self._headers.get("content-transfer-encoding", "").lower()
        if encoding not in _IDENTITY_ENCODINGS:
            raise InvalidArgument(
                f"a part's Content-Transfer-Encoding {encoding[:40]!r} is not read: HTTP carries"
                " the bytes as they are (RFC 9110 8.4)",
                "Content-Transfer-Encoding",
            )
        self._taker.begin_part(dict(self._headers))


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPart:
    """One part of an answer."""

    headers: tuple[tuple[str, str], ...]
    pieces: Iterator[bytes]
    """Closed when the part was sent, or the client has gone."""
    size: int | None = None
    """In bytes, where it is known beforehand."""


def multipart_related(
    parts: tuple[BodyPart, ...] | Iterator[BodyPart],
    *,
    root: str,
    parameters: Sequence[tuple[str, str]] = (),
    announced: Sequence[BodyPart] | None = None,
) -> Answer:
    """Give parts as an answer; with its length, where they are all there and of known sizes.

    ``root`` is the media type of the first part, and ``parameters`` go with it into Content-Type.
    ``announced`` are headers and sizes of the parts that will come, where they are known already.
    """
    # Drawn by lot, so that no instance can hold it.
    boundary = secrets.token_hex(16)
    headers = {}
    known = parts if isinstance(parts, tuple) else announced
    if known is not None:
        sizes = [part.size for part in known if part.size is not None]
        if len(sizes) == len(known):
            framing = sum(len(_head(boundary, part)) + 2 for part in known) + len(_tail(boundary))
            headers["Content-Length"] = str(framing + sum(sizes))
    media_type = MediaType(
        name=MULTIPART_RELATED,
        parameters=(("type", root), *parameters, ("boundary", boundary)),
    )
    body = _MultipartBody(boundary, parts)
    return Answer(media_type=str(media_type), body=body, headers=headers)


class _MultipartBody:
    """The pieces of a multipart body; closed, it closes the part it is at and what gives them."""

    def __init__(self, boundary: str, parts: tuple[BodyPart, ...] | Iterator[BodyPart]) -> None:
        self._boundary = boundary
        self._parts = parts
        self._current: Iterator[bytes] = iter(())
        self._pieces = chain.from_iterable(self._each_part())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Let go of the parts."""
        close_pieces(self._current)
        if isinstance(self._parts, tuple):
            for part in self._parts:
                close_pieces(part.pieces)
        else:
            close_pieces(self._parts)

    def _each_part(self) -> Iterator[Iterable[bytes]]:
        before = b""
        for part in self._parts:
            self._current = part.pieces
            yield (before + _head(self._boundary, part),)
            yield part.pieces
            close_pieces(part.pieces)
            before = b"\r\n"
        yield (before + _tail(self._boundary),)


def _head(boundary: str, part: BodyPart) -> bytes:
    lines = [f"--{boundary}", *(f"{name}: {value}" for name, value in part.headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _tail(boundary: str) -> bytes:
    return f"--{boundary}--\r\n".encode()
