"""The server and the stores that the examples are run against."""

from __future__ import annotations

from tests.end_to_end.conftest import client, place, server

__all__ = ["client", "place", "server"]
