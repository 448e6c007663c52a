"""The tables of docs/reference/access.md; tests/security ask a server for each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.routes import ROUTES
from fileroom.auth.authorize import UNCONDITIONAL
from fileroom.auth.roles import DATASET_ROLES, ROLES, STORE_ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator


def role_rows() -> Iterator[tuple[str, ...]]:
    """Give where each role may be granted."""
    for role in sorted(ROLES):
        on_dataset = "yes" if role in DATASET_ROLES else ""
        yield f"`{role}`", "yes", on_dataset, "yes" if role in STORE_ROLES else ""


def method_rows() -> Iterator[tuple[str, ...]]:
    """Give the permission of each method, and who holds it."""
    for method_id, permission in dict.fromkeys((r.method_id, r.permission) for r in ROUTES):
        if permission == UNCONDITIONAL:
            yield f"`{method_id}`", "none", "whoever is let in"
            continue
        roles = sorted(role for role, held in ROLES.items() if permission in held)
        shown = ", ".join(f"`{role.removeprefix('roles/')}`" for role in roles)
        yield f"`{method_id}`", f"`{permission}`", shown
