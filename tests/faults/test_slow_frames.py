"""Frames of a large reference that a slow bucket holds, and that no offset table tells."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Final

import httpx2
import pytest

from fileroom.archive.frame_tables import READ_ONCE_BYTES
from fileroom.errors import ResourceExhausted
from tests import fault_tools as tools
from tests.frames import encapsulated
from tests.hostile_storage import HostileStorage, Rule, after

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import Client
    from tests.hostile_dialects import Asked

JPEG_2000: Final = "1.2.840.10008.1.2.4.90"
FRAMES: Final = [random.Random(number).randbytes(READ_ONCE_BYTES // 2) for number in (1, 2)]
INSTANCE: Final = "studies/{StudyInstanceUID}/series/{SeriesInstanceUID}/instances/{SOPInstanceUID}"
ENCODED: Final = 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'
IMPATIENT_SECONDS: Final = 1.0


@pytest.mark.clause(
    "Fileroom import by reference",
    "while the frames of an object over 64 MB are looked for, who asks for them is answered 429"
    " with Retry-After; they are found though the first who asked has gone, and only once",
    holds="own rule",
)
def test_who_asks_meanwhile_is_told_to_ask_again(tmp_path: Path) -> None:
    config = tmp_path / "fileroom.toml"
    may_answer = threading.Event()
    with HostileStorage("gs") as storage:
        hostile = storage.bucket("large")
        hostile.put("frames.dcm", encapsulated([[each] for each in FRAMES], JPEG_2000, "none"))
        given = hostile.settings()
        config.write_text(
            f'[buckets."{given.name}"]\nendpoint = "{given.endpoint}"\n'
            'credentials = "anonymous"\nallow = ["read"]\n'
        )
        with tools.served(tmp_path / "data", f"--config={config}") as (server, client):
            store = tools.make_store(client, "s")
            started = client.import_(store, f"{given.name}/**", mode="REFERENCE")
            assert client.wait(started, poll_seconds=0.05).counters.success == 1
            path = INSTANCE.format_map(next(iter(client.search_instances(store).rows())))
            url = f"{server.url}/v1/{store}/dicomWeb/{path}"
            hostile.obey(Rule(operation="get", fault=after(lambda: may_answer.wait(30))))

            with pytest.raises(httpx2.ReadTimeout):
                _ask(f"{url}/frames/1")
            refused = _ask(f"{url}/frames/1")
            assert refused.status_code == 429
            assert refused.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
            assert int(refused.headers["Retry-After"]) > 0
            with pytest.raises(ResourceExhausted, match="ask again"):
                client.retrieval(store).frames(path, [2], transfer_syntax="*")
            assert client.retrieval(store).metadata(path)  # the rest is as quick as ever

            may_answer.set()
            tools.wait_until(lambda: _are_found(client, store, path), "the frames are found")
            before = len(hostile.asked("get"))
            for number, frame in enumerate(FRAMES, 1):
                (found,) = client.retrieval(store).frames(path, [number], transfer_syntax="*")
                assert found == frame
            read = _fetched(hostile.asked("get")[before:])
            assert read < sum(map(len, FRAMES)) + (1 << 20)


def _ask(url: str) -> httpx2.Response:
    return httpx2.get(url, headers={"Accept": ENCODED}, timeout=IMPATIENT_SECONDS)


def _are_found(client: Client, store: str, path: str) -> bool:
    try:
        client.retrieval(store).frames(path, [1], transfer_syntax="*")
    except ResourceExhausted:
        return False
    return True


def _fetched(asked: list[Asked]) -> int:
    return sum(one.span[1] - one.span[0] + 1 for one in asked if one.span is not None)
