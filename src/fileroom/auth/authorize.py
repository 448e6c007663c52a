"""What a caller may do: ``require(permission, resource)``, through which every route goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fileroom.database.stores import denied


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls."""

    name: str
    """As it stands in logs: ``token:owner`` or ``anonymous``."""
    holds_all: bool
    """Whether every permission on every resource is theirs."""


OWNER: Final = Principal(name="token:owner", holds_all=True)
ANYONE: Final = Principal(name="anonymous", holds_all=True)


def require(principal: Principal, permission: str, resource: object) -> None:
    """Let pass who holds ``permission`` on ``resource``; every route goes through here.

    Raises
    ------
    PermissionDenied
        If the principal does not hold it.
    """
    if not principal.holds_all:
        raise denied(permission, resource)
