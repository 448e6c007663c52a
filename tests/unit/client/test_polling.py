from __future__ import annotations

import json
import time

import pytest

from fileroom.client import Client, Operation
from fileroom.errors import NotFound, Unavailable
from tests.unit.client.scripted_server import Scripted, scripted_server

NAME = "projects/p/locations/l/datasets/d/operations/7"


def reading(success: int, *, done: bool = False) -> Scripted:
    body = {"name": NAME, "done": done, "metadata": {"counter": {"success": str(success)}}}
    return Scripted(200, json.dumps(body).encode())


def test_wait_gives_every_reading_to_the_caller_and_the_last_as_result() -> None:
    seen: list[int] = []
    with (
        scripted_server(reading(0), reading(5), reading(9, done=True)) as script,
        Client(script.url) as client,
    ):
        ended = client.wait(
            NAME, poll_seconds=0.01, on_progress=lambda op: seen.append(op.counters.success)
        )
    assert ended.done
    assert seen == [0, 5, 9]


def test_wait_bears_a_server_that_is_gone_for_a_while() -> None:
    troubles: list[Unavailable] = []
    readings: list[Operation] = []
    away = (Scripted(503), Scripted(None))
    with (
        scripted_server(reading(1), *away, reading(2, done=True)) as script,
        Client(script.url) as client,
    ):
        ended = client.wait(
            NAME, poll_seconds=0.01, on_progress=readings.append, on_unavailable=troubles.append
        )
    assert ended.counters.success == 2
    assert len(troubles) == 2
    assert len(readings) == 2


def test_wait_gives_up_on_a_server_that_stays_away() -> None:
    started = time.monotonic()
    with scripted_server(Scripted(503)) as script, Client(script.url) as client:
        with pytest.raises(Unavailable):
            client.wait(NAME, poll_seconds=0.01, patience_seconds=0.4)
        assert 1 < len(script.requests) < 5
    assert time.monotonic() - started < 2


def test_wait_raises_any_other_error_at_once() -> None:
    body = json.dumps({"error": {"code": 404, "status": "NOT_FOUND", "message": "gone"}}).encode()
    with scripted_server(Scripted(404, body)) as script, Client(script.url) as client:
        with pytest.raises(NotFound, match="gone"):
            client.wait(NAME)
        assert len(script.requests) == 1
