"""The audit log of a data directory, looked at beside the server that writes it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from fileroom.audit import verify
from fileroom.database.engine import open_readers
from fileroom.operations.auditing import noted_heads

if TYPE_CHECKING:
    from fileroom.audit import Head, Verdict
    from fileroom.settings import Settings


def verify_audit(settings: Settings) -> Verdict:
    """Follow the chain, and compare its end with what the database has noted of it.

    Where there is no database that can be read, the chain is followed alone.
    """
    # What is noted is on the disk already: read before the lines, it is never ahead of them.
    heads = _heads(settings)
    return verify(settings.audit_directory, heads, is_only_one=settings.database is None)


def _heads(settings: Settings) -> list[Head]:
    if settings.database is None and not settings.database_path.exists():
        return []
    readers = open_readers(settings.database_place)
    if readers is None:
        return []
    with closing(readers) as database:
        return noted_heads(database)
