"""Structured logs: one JSON object a line, with the request or operation it belongs to.

What is logged never holds an attribute value, a query string or a token: a log line carries a
constant message, resource names down to the DICOM store, and figures.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from fileroom.errors import FileroomError

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request in whose service this code runs."""

operation_name: ContextVar[str | None] = ContextVar("operation_name", default=None)
"""The full name of the operation in whose service this code runs, inside worker processes too."""

# uvicorn's color_message is its message once more, with a terminal's colours.
_LEFT_OUT = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


class JsonFormatter(logging.Formatter):
    """One JSON object for each record; what came as ``extra`` is a field of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the record as one line."""
        entry: dict[str, object] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request := request_id.get()) is not None:
            entry["requestId"] = request
        if (operation := operation_name.get()) is not None:
            entry["operation"] = operation
        entry |= {key: value for key, value in vars(record).items() if key not in _LEFT_OUT}
        if record.exc_info:
            entry["exception"] = _describe(record.exc_info[1])
        return json.dumps(entry, ensure_ascii=False, default=str)


def _describe(error: BaseException | None) -> list[str]:
    """Give an error and its causes: classes and places, and the messages that are ours.

    A foreign message may quote what was being worked on, and with it a patient.
    """
    lines: list[str] = []
    while error is not None:
        ours = f": {error}" if isinstance(error, FileroomError) else ""
        lines += [f"{type(error).__module__}.{type(error).__qualname__}{ours}"]
        lines += [
            f"  {frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines


def set_up_logging(level: str, *, stream: TextIO | None = None) -> None:
    """Send every log record of this process to ``stream`` (standard error) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Access lines of theirs hold query strings, ours do not; migrations tell each step.
    for name in ("uvicorn.access", "httpx2", "httpcore2", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
