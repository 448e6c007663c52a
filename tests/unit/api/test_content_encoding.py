"""Bodies that come as gzip: unpacked, counted as unpacked, refused where they are not."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.api.content_encoding import INFLATED_BYTES, Unpacker, find_unpacker
from fileroom.api.requests import BODY_BYTES_MAX
from fileroom.errors import InvalidArgument
from tests.corpus import minimal_instance

if TYPE_CHECKING:
    import httpx2

    from tests.unit.api.conftest import ServedDeployment


def send(server: ServedDeployment, path: str, body: bytes, **headers: str) -> httpx2.Response:
    return server.client.post(
        f"/v1/{path}",
        content=iter([body]),  # in chunks, as Google's Java client sends it
        headers={"Content-Encoding": "gzip"}
        | {name.replace("_", "-"): value for name, value in headers.items()},
    )


@pytest.mark.clause(
    "google-api-services-healthcare (Java)",
    "bodies of requests come as gzip unless the program switches that off",
)
def test_a_message_and_a_file_may_come_as_gzip(server: ServedDeployment) -> None:
    store = server.make_store(server.make_dataset("gzip"), "s")
    message = json.dumps({"gcsSource": {"uri": "gs://none/**"}}).encode()
    content = minimal_instance()

    refused = send(server, f"{store}:import", gzip.compress(message))
    # It was read: what it names is what is refused.
    assert (refused.status_code, "none" in refused.json()["error"]["message"]) == (403, True)
    stored = send(
        server,
        f"{store}/dicomWeb/studies",
        gzip.compress(content),
        Content_Type="application/dicom",
        Accept="application/dicom+json",
    )
    assert stored.status_code == 200, stored.text
    (study,) = server.get(f"{store}/dicomWeb/studies")
    uid = study["0020000D"]["Value"][0]
    kept = server.client.get(
        f"/v1/{store}/dicomWeb/studies/{uid}",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
    )
    assert content in kept.content


@pytest.mark.parametrize(
    ("body", "encoding", "status", "says"),
    [
        (b"{}", "gzip", 400, "not the gzip"),
        (gzip.compress(b"{}")[:-4], "gzip", 400, "cut short"),
        (b"", "gzip", 400, "cut short"),
        (b"{}", "br", 400, "'br' is not read"),
        (b"{}", "gzip, gzip", 400, "is not read"),
        (gzip.compress(bytes(BODY_BYTES_MAX + 1)), "gzip", 413, "exceeds the limit"),
    ],
    ids=["plain", "cut", "empty", "brotli", "twice", "bomb"],
)
def test_what_cannot_be_unpacked_is_refused(
    server: ServedDeployment, body: bytes, encoding: str, status: int, says: str
) -> None:
    dataset = "projects/p1/locations/us-central1/datasets"
    answer = send(server, dataset, body, Content_Encoding=encoding)
    assert (answer.status_code, says in answer.text) == (status, True), answer.text


@given(
    members=st.lists(st.binary(max_size=2000), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 3000), max_size=5),
)
def test_gzip_is_unpacked_however_it_is_cut(members: list[bytes], cuts: list[int]) -> None:
    packed = b"".join(map(gzip.compress, members))
    ends = [0, *sorted(cuts), len(packed)]
    unpacker = find_unpacker(" GZIP ")
    assert unpacker is not None
    found = [
        unpacked for start, end in pairwise(ends) for unpacked in unpacker.unpack(packed[start:end])
    ]
    assert b"".join([*found, *unpacker.finish()]) == b"".join(members)


def test_a_bomb_is_unpacked_in_small_pieces() -> None:
    unpacker = Unpacker()
    packed = gzip.compress(bytes(8 * INFLATED_BYTES))
    sizes = [len(piece) for piece in unpacker.unpack(packed)]
    sizes += [len(piece) for piece in unpacker.finish()]
    assert sum(sizes) == 8 * INFLATED_BYTES
    assert max(sizes) == INFLATED_BYTES


def test_gzip_that_holds_nothing_does_not_go_on_for_ever() -> None:
    stored_blocks = b"\x00\x00\x00\xff\xff" * 13_000
    unpacker = Unpacker()
    assert list(unpacker.unpack(gzip.compress(b"")[:10] + stored_blocks)) == []
    for _ in range(15):
        assert list(unpacker.unpack(stored_blocks)) == []
    with pytest.raises(InvalidArgument, match="less than it takes"):
        list(unpacker.unpack(stored_blocks))


def test_a_body_may_come_as_it_is() -> None:
    assert find_unpacker("") is find_unpacker("identity") is None
    with pytest.raises(InvalidArgument):
        find_unpacker("deflate")
