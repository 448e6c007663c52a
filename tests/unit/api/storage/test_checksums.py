from __future__ import annotations

import base64
import hashlib

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.api.storage.checksums import Checksums


def checksums(*pieces: bytes) -> Checksums:
    found = Checksums()
    for piece in pieces:
        found.write(piece)
    return found


@pytest.mark.clause("RFC 3720 B.4", "CRC-32C of the examples is as given there")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bytes(32), "8a9136aa"),
        (b"\xff" * 32, "62a8ab43"),
        (bytes(range(32)), "46dd794e"),
        (b"123456789", "e3069283"),
        (b"", "00000000"),
    ],
)
def test_published_examples(content: bytes, expected: str) -> None:
    assert base64.b64decode(checksums(content).crc32c).hex() == expected


@settings(deadline=None)
@given(
    seed=st.binary(min_size=1, max_size=50),
    size=st.sampled_from([1, 16_383, 16_384, 16_385, 1 << 20, (1 << 20) + 20_000, 5 << 19]),
    cut=st.integers(0, 5 << 19),
)
def test_any_pieces_have_the_checksums_of_the_whole(seed: bytes, size: int, cut: int) -> None:
    content = (seed * (size // len(seed) + 1))[:size]
    found = checksums(content[:cut], content[cut:])

    whole: int = google_crc32c.value(content)
    assert found.crc32c == base64.b64encode(whole.to_bytes(4, "big")).decode()
    assert found.md5_hash == base64.b64encode(hashlib.md5(content).digest()).decode()
