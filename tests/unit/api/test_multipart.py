from __future__ import annotations

from email import message_from_bytes
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.api.multipart import (
    BOUNDARY_BYTES_MAX,
    PART_HEADER_BYTES_MAX,
    PART_HEADERS_MAX,
    PREAMBLE_BYTES_MAX,
    BodyPart,
    MultipartReader,
    multipart_related,
)
from fileroom.closing import close_pieces
from fileroom.dicom.media_types import find_media_type
from fileroom.errors import InvalidArgument
from tests.multipart_bodies import BOUNDARY, DICOM_PARTS, multipart_body

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fileroom.api.calls import Answer

SHORT = "x"
HARD = b"\r\n--x-\r\n--\r\n--y\r\n-\r\r\n\n"
"""Almost a boundary, again and again."""


class Parts:
    """Parts as they were handed on."""

    def __init__(self) -> None:
        self.headers: list[Mapping[str, str]] = []
        self.contents: list[bytes] = []
        self.ended = 0

    def begin_part(self, headers: Mapping[str, str], /) -> None:
        assert self.ended == len(self.contents)
        self.headers.append(headers)
        self.contents.append(b"")

    def write_part(self, piece: bytes, /) -> None:
        self.contents[-1] += piece

    def end_part(self) -> None:
        self.ended += 1


def read(pieces: Iterable[bytes], content_type: str) -> Parts:
    """Give what a body's pieces hold."""
    parts = Parts()
    media_type = find_media_type(content_type)
    assert media_type is not None
    reader = MultipartReader(media_type, parts)
    for piece in pieces:
        reader.write(piece)
    reader.finish()
    assert parts.ended == len(parts.contents)
    return parts


def split(body: bytes, at: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for end in sorted(at):
        yield body[start:end]
        start = end
    yield body[start:]


@pytest.mark.clause("PS3.18 8.7.1", "a multipart body is the same however the network cuts it")
def test_a_body_may_be_cut_anywhere() -> None:
    contents = [b"one", HARD, b"", b"\r\n"]
    body = multipart_body(contents, boundary=SHORT)
    for at in range(len(body) + 1):
        parts = read(split(body, [at]), f"multipart/related; boundary={SHORT}")
        assert parts.contents == contents
        assert parts.headers == [{"content-type": "application/dicom"}] * len(contents)
    singly = (body[at : at + 1] for at in range(len(body)))
    assert read(singly, f"multipart/related; boundary={SHORT}").contents == contents


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_parts_come_back_from_any_pieces(data: st.DataObject) -> None:
    boundary = data.draw(st.text("ab-", min_size=1, max_size=5), label="boundary")
    near = st.sampled_from([b"\r\n", b"--", b"-", b"\r", boundary.encode(), b"\r\n--", b"z"])
    delimiter = f"\r\n--{boundary}".encode()
    contents = data.draw(
        st.lists(
            st.lists(near, max_size=12)
            .map(b"".join)
            # A part may not hold a line that begins with the boundary (RFC 2046 5.1.1).
            .filter(lambda content: delimiter not in b"\r\n" + content + delimiter[:-1]),
            min_size=1,
            max_size=4,
        ),
        label="contents",
    )
    body = multipart_body(contents, boundary=boundary)
    at = data.draw(st.lists(st.integers(0, len(body)), max_size=8), label="cuts")
    parts = read(split(body, at), f'multipart/related; boundary="{boundary}"')
    assert parts.contents == contents


@pytest.mark.clause("RFC 2046 5.1.1", "what stands before the first boundary and after the last")
def test_preamble_and_epilogue_are_passed_over() -> None:
    body = b"For readers\r\nof old -- mail\r\n" + multipart_body([b"one"]) + b"and so on"
    for at in range(len(body)):
        assert read(split(body, [at]), DICOM_PARTS).contents == [b"one"]


@pytest.mark.parametrize(
    "content_type",
    [
        f"multipart/related; type=application/dicom; boundary={BOUNDARY}",
        f'multipart/related;boundary="{BOUNDARY}";type="application/dicom"',
        f"Multipart/Related; Boundary={BOUNDARY}; charset=utf-8",
    ],
)
def test_content_type_is_read_as_clients_write_it(content_type: str) -> None:
    assert read([multipart_body([b"one", b"two"])], content_type).contents == [b"one", b"two"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"x" * (PREAMBLE_BYTES_MAX + 1),
        multipart_body([b"one"])[:-4],
        multipart_body([b"one"])[:60],
        multipart_body([b"one"], headers=["no colon"]),
        multipart_body([b"one"], headers=[f"X-Long: {'x' * PART_HEADER_BYTES_MAX}"]),
        multipart_body([b"one"], headers=[f"X-{n}: y" for n in range(PART_HEADERS_MAX + 1)]),
        multipart_body([b"b25l"], headers=["Content-Transfer-Encoding: base64"]),
        multipart_body([b"one"], boundary="another"),
    ],
)
def test_what_is_no_whole_body_is_refused(body: bytes) -> None:
    for pieces in ([body], [body[at : at + 7] for at in range(0, len(body), 7)]):
        with pytest.raises(InvalidArgument):
            read(pieces, DICOM_PARTS)


@pytest.mark.parametrize("boundary", ["", "b" * (BOUNDARY_BYTES_MAX + 1)])
def test_a_boundary_that_cannot_be_one_is_refused(boundary: str) -> None:
    with pytest.raises(InvalidArgument, match="boundary"):
        read([], f'multipart/related; boundary="{boundary}"')


# Answers


class Pieces:
    """Pieces that know whether they were closed."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)
        self.is_closed = False

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self.is_closed = True


def part(pieces: Pieces, size: int | None = None) -> BodyPart:
    return BodyPart(
        headers=(("Content-Type", "application/dicom"), ("Content-Location", "a/b")),
        pieces=pieces,
        size=size,
    )


def whole(answer: Answer) -> bytes:
    assert not isinstance(answer.body, bytes)
    return b"".join(answer.body)


def test_an_answer_of_parts_is_what_the_reader_takes() -> None:
    first, second = Pieces(b"ab", b"c"), Pieces(b"", b"defg")
    answer = multipart_related((part(first, 3), part(second, 4)), root="application/dicom")
    body = whole(answer)

    assert answer.headers == {"Content-Length": str(len(body))}
    assert first.is_closed
    assert second.is_closed
    parts = read([body], str(answer.media_type))
    assert parts.contents == [b"abc", b"defg"]
    assert parts.headers[0]["content-location"] == "a/b"
    message = message_from_bytes(f"Content-Type: {answer.media_type}\r\n\r\n".encode() + body)
    assert [one.get_payload(decode=True) for one in message.get_payload()] == [b"abc", b"defg"]  # type: ignore[union-attr]


def test_parts_are_drawn_one_at_a_time_and_let_go_of_when_the_client_leaves() -> None:
    first, second = Pieces(b"ab"), Pieces(b"cd")
    drawn = []

    def parts() -> Iterator[BodyPart]:
        for pieces in (first, second):
            drawn.append(pieces)
            yield part(pieces)

    answer = multipart_related(parts(), root="application/dicom")
    assert not isinstance(answer.body, bytes | tuple)
    assert not answer.headers
    next(answer.body)
    assert drawn == [first]
    close_pieces(answer.body)
    assert first.is_closed
    assert drawn == [first]
