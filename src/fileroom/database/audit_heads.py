"""How far each audit log goes, noted beside it: one that was cut is found out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.database.meta import find_meta, meta_below, put_meta

if TYPE_CHECKING:
    from fileroom.database.engine import Connection

_PREFIX: Final = "audit:"


def find_audit_head(connection: Connection, chain: str) -> tuple[int, str] | None:
    """Give the number and the hash of the last line that was noted of a chain."""
    value = find_meta(connection, f"{_PREFIX}{chain}")
    return None if value is None else _head(value)


def keep_audit_head(transaction: Connection, chain: str, sequence: int, digest: str) -> None:
    """Note how far a chain goes."""
    put_meta(transaction, f"{_PREFIX}{chain}", f"{sequence} {digest}")


def audit_heads(connection: Connection) -> dict[str, tuple[int, str]]:
    """Give what is noted of every chain, by its id."""
    return {
        key.removeprefix(_PREFIX): _head(value)
        for key, value in meta_below(connection, _PREFIX).items()
    }


def _head(value: str) -> tuple[int, str]:
    sequence, _, digest = value.partition(" ")
    return int(sequence), digest
