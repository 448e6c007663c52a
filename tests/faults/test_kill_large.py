"""A server that is killed while it copies a very large object goes on where it was."""

from __future__ import annotations

import hashlib
import random
import time
from typing import TYPE_CHECKING

import pytest

from fileroom.objectstore.local.parts import NOTED_SECONDS
from fileroom.transfer.pipeline import LARGE_BYTES
from tests import fault_tools as tools
from tests.corpus import mr_instance
from tests.hostile_storage import HostileStorage, Rule, after, ended

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hostile_dialects import Asked

PIXELS_BYTES = 265 << 20
"""More than the line takes: such a file is copied in the second lane."""
STALLED_FROM = 200 << 20
SLOW_SECONDS = 2 * NOTED_SECONDS / (STALLED_FROM >> 23)
"""For each of the pieces before: they take twice as long as is fetched again at most."""
KEY = "very-large.dcm"


@pytest.mark.clause(
    "Fileroom faults",
    "a server that is killed while it copies a very large object does not fetch again what it had",
    holds="own rule",
)
@pytest.mark.parametrize("changed", [False, True], ids=["same version", "changed meanwhile"])
def test_what_came_of_a_large_object_is_not_fetched_again(tmp_path: Path, *, changed: bool) -> None:
    content = large_file()
    config = tmp_path / "fileroom.toml"
    with HostileStorage("gs") as storage:
        hostile = storage.bucket("large")
        hostile.put(KEY, content)
        given = hostile.settings()
        config.write_text(
            f'[buckets."{given.name}"]\nendpoint = "{given.endpoint}"\n'
            'credentials = "anonymous"\nallow = ["read"]\n'
        )
        hostile.obey(Rule(operation="get", when=_is_late, fault=ended("silent", sent=0)))
        hostile.obey(Rule(operation="get", fault=after(lambda: time.sleep(SLOW_SECONDS))))
        data = tmp_path / "data"
        with tools.served(data, f"--config={config}") as (server, client):
            store = tools.make_store(client, "s")
            operation = client.import_(store, f"{given.name}/**")
            tools.wait_until(lambda: _fetched(hostile.asked("get")) >= STALLED_FROM, "it stalls")
            tools.kill(server)
        (log,) = (data / "blobs").rglob(".fileroom-part-*.log")
        noted = max(int(line.split()[0]) for line in log.read_text().splitlines()[1:])
        assert noted >= STALLED_FROM // 2
        if changed:
            hostile.put(KEY, content)
        hostile.mend()
        before = len(hostile.asked("get"))
        with tools.served(data, f"--config={config}") as (_, client):
            ended_well = client.wait(operation.name, poll_seconds=0.05)
            assert ended_well.error is None
            assert ended_well.counters.success == 1
            (row,) = client.search_instances(store).rows()
            path = (
                "studies/{StudyInstanceUID}/series/{SeriesInstanceUID}/instances/{SOPInstanceUID}"
            )
            retrieved = client.retrieve_instance(store, path.format_map(row))
            assert hashlib.sha256(retrieved).digest() == hashlib.sha256(content).digest()
        again = _fetched(hostile.asked("get")[before:])
        # Headers are read once more, to scan it.
        assert (again < len(content) - noted + (1 << 20)) is not changed
        assert list((data / "blobs").rglob(".fileroom-part-*")) == []


def large_file() -> bytes:
    """Make a file whose Pixel Data are far longer than its rows are."""
    small = mr_instance(rows=16)
    head = small[: -16 * 16 * 2 - 4]
    megabyte = random.Random(1).randbytes(1 << 20)
    content = head + PIXELS_BYTES.to_bytes(4, "little") + megabyte * (PIXELS_BYTES >> 20)
    assert len(content) > LARGE_BYTES
    return content


def _is_late(asked: Asked) -> bool:
    return asked.span is not None and asked.span[0] >= STALLED_FROM


def _fetched(asked: list[Asked]) -> int:
    return sum(one.span[1] - one.span[0] + 1 for one in asked if one.span is not None)
