"""The servers that share a database: which of them live, and what those that died may not do.

A server's blobs without rows are its own affair while it lives. One that is silent for longer than
its lease is forgotten by the others, in one transaction; from then on it commits nothing that it
began before, should it only have been at a halt, so what it left may be collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select, update

from fileroom.database.dialects import clock_microseconds
from fileroom.database.schema import servers
from fileroom.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from fileroom.database.engine import Connection

LEASE_SECONDS: Final = 30.0
"""How long a server counts as living that is not heard of."""


def register_server(transaction: Connection, boot: str, host: str) -> None:
    """Add a server that has just started, by the name that it bears until it ends."""
    now = clock_microseconds(transaction)
    transaction.execute(
        insert(servers).values(boot=boot, host=host, started_at=now, lease_until=_lease(now))
    )


def prolong_server(transaction: Connection, boot: str) -> bool:
    """Say that a server lives; False if the others have forgotten it."""
    lease = _lease(clock_microseconds(transaction))
    changed = transaction.execute(
        update(servers).where(servers.c.boot == boot).values(lease_until=lease)
    )
    return changed.rowcount == 1


def hold_server(transaction: Connection, boot: str) -> None:
    """Keep a server from being forgotten until the transaction ends.

    Raises
    ------
    Unavailable
        If the others have forgotten it: what it wrote may be gone.
    """
    known = select(servers.c.boot).where(servers.c.boot == boot)
    if transaction.execute(known.with_for_update(read=True, key_share=True)).scalar() is None:
        raise Unavailable(
            "this server was not heard of for so long that the others took it for dead; repeat the"
            " request",
            "SERVER_FORGOTTEN",
        )


def forget_dead_servers(transaction: Connection) -> list[str]:
    """Forget the servers whose lease is over, and give their names."""
    now = clock_microseconds(transaction)
    return list(
        transaction.execute(
            delete(servers).where(servers.c.lease_until < now).returning(servers.c.boot)
        ).scalars()
    )


def forget_server(transaction: Connection, boot: str) -> None:
    """Forget a server that ends."""
    transaction.execute(delete(servers).where(servers.c.boot == boot))


def known_servers(connection: Connection) -> AbstractSet[str]:
    """Give the names of the servers that nobody has forgotten."""
    return set(connection.execute(select(servers.c.boot)).scalars())


def has_living_server(connection: Connection) -> bool:
    """Whether the lease of any server is not over yet."""
    now = clock_microseconds(connection)
    living = select(servers.c.boot).where(servers.c.lease_until >= now).limit(1)
    return connection.execute(living).scalar() is not None


def _lease(now: int) -> int:
    return now + int(LEASE_SECONDS * 1_000_000)
