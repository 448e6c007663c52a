"""What a log line holds, and what it never holds."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from fileroom.errors import Unavailable
from fileroom.telemetry import operation_name, request_id, set_up_logging

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    set_up_logging("INFO", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_line_is_json_with_extras_and_context(stream: io.StringIO) -> None:
    request = request_id.set("r1")
    operation = operation_name.set("projects/p/…/operations/1")
    try:
        logging.getLogger("fileroom.x").info("batch stored", extra={"objects": 250, "odd": {1}})
    finally:
        request_id.reset(request)
        operation_name.reset(operation)
    logging.getLogger("fileroom.x").warning("later")

    first, second = lines(stream)
    assert first["message"] == "batch stored"
    assert (first["severity"], first["logger"]) == ("INFO", "fileroom.x")
    assert (first["objects"], first["odd"]) == (250, "{1}")
    assert first["requestId"] == "r1"
    assert first["operation"] == "projects/p/…/operations/1"
    assert first["timestamp"].endswith("+00:00")
    assert not {"requestId", "operation", "exception"} & set(second)


def test_line_breaks_and_controls_cannot_forge_a_line(stream: io.StringIO) -> None:
    logging.getLogger("fileroom.x").info("one", extra={"name_of_it": "a\nb\r{}\x1b"})

    (line,) = lines(stream)
    assert line["name_of_it"] == "a\nb\r{}\x1b"


def test_line_says_nothing_twice(stream: io.StringIO) -> None:
    painted = "Started server process [\x1b[36m%d\x1b[0m]"
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": painted})

    (line,) = lines(stream)
    assert "color_message" not in line


def test_foreign_message_of_an_error_is_left_out(stream: io.StringIO) -> None:
    error = Unavailable("the disk does not answer")
    try:
        int("Doe^John")
    except ValueError as cause:
        error.__cause__ = cause
    logging.getLogger("fileroom.x").error("failed", exc_info=error)

    (line,) = lines(stream)
    text = "\n".join(line["exception"])
    assert "Unavailable: the disk does not answer" in text
    assert "builtins.ValueError" in text
    assert "test_telemetry.py" in text
    assert "Doe" not in text
