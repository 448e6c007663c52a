from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.client.retrieval import parts
from fileroom.errors import DataLoss

BOUNDARY = "b"


def body(contents: list[bytes]) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: a/b\r\n\r\n".encode()
    return b"".join(head + each + b"\r\n" for each in contents) + f"--{BOUNDARY}--\r\n".encode()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(
    contents=st.lists(
        st.lists(st.sampled_from([b"\r", b"\n", b"-", b"x", b"\r\n--", b"\r\n\r\n"])).map(b"".join)
    ),
    size=st.integers(1, 40),
)
def test_parts_are_told_apart_however_the_body_comes(contents: list[bytes], size: int) -> None:
    assert list(parts(cut(body(contents), size), BOUNDARY)) == contents


def test_a_body_that_ends_early_is_never_taken_for_the_whole() -> None:
    whole = body([b"one", b"two"])
    for end in range(len(whole) - len("\r\n") - 1):
        with pytest.raises(DataLoss):
            list(parts([whole[:end]], BOUNDARY))
