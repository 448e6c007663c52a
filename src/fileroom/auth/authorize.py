"""What a caller may do: ``Authorizer.require``, through which every route goes.

Policies of projects are in the settings, those of datasets and DICOM stores in the database. What a
policy grants holds for all that is below: nothing takes it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.auth.policies import Policy, policy_of
from fileroom.database.policies import policies_over, projects_with_policies
from fileroom.database.stores import denied
from fileroom.errors import PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.database.engine import Database
    from fileroom.names import DatasetName, DicomStoreName, OperationName

ANY_PROJECT: Final = "*"
"""In the settings: the policy of every project, and of what is of none."""
UNCONDITIONAL: Final = ""
"""The permission of a route that answers every caller, each according to what they hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls."""

    name: str
    """As it stands in logs: ``token:owner``, ``anonymous``, ``serviceAccount:…`` or ``user:…``."""
    holds_all: bool = False
    """Whether every permission on every resource is theirs."""
    members: frozenset[str] = frozenset()
    """The names by which policies may mean them, as ``user:``, ``group:`` or ``domain:``."""


OWNER: Final = Principal(name="token:owner", holds_all=True)
ANYONE: Final = Principal(name="anonymous", holds_all=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What a request is about, as far as policies are concerned."""

    shown: str
    """Its name in errors and logs."""
    project: str = ""
    """Whose policy holds for it; empty for what is of no project."""
    name: DatasetName | DicomStoreName | OperationName | None = None
    """What has policies of its own, or is below what has."""


class Authorizer:
    """Tells what callers may do."""

    def __init__(self, database: Database, of_projects: Mapping[str, Policy]) -> None:
        self._database = database
        self._of_projects = of_projects

    def require(self, principal: Principal, permission: str, resource: Resource) -> None:
        """Let pass who holds ``permission`` on ``resource``; every route goes through here.

        Raises
        ------
        PermissionDenied
            If the principal does not hold it. What is absent and what is another's are told in the
            same words, after the same statements.
        """
        if principal.holds_all or permission == UNCONDITIONAL:
            return
        if permission in self.held(principal, resource):
            return
        if resource.name is None:
            raise PermissionDenied(
                f"Permission '{permission}' denied on resource '{resource.shown}' (or it may not"
                " exist). An operator grants a role that holds it under policies in the settings.",
                permission,
            )
        raise denied(permission, resource.shown)

    def held(self, principal: Principal, resource: Resource) -> frozenset[str]:
        """Give what a principal who does not hold all may do to a resource."""
        of_project = self._project_permissions(principal, resource.project)
        if resource.name is None:
            return of_project
        with self._database.read() as connection:
            policies = policies_over(connection, resource.name)
        return of_project.union(
            *(policy_of(each).permissions(principal.members) for each in policies)
        )

    def is_seen(self, principal: Principal, permission: str, project: str) -> bool:
        """Tell whether a principal holds a permission on a project itself."""
        return principal.holds_all or permission in self._project_permissions(principal, project)

    def projects_below(self, principal: Principal) -> frozenset[str]:
        """Give the projects in which some dataset or DICOM store is open to a principal."""
        with self._database.read() as connection:
            policies = projects_with_policies(connection)
        return frozenset(
            project for project, kept in policies if policy_of(kept).permissions(principal.members)
        )

    def _project_permissions(self, principal: Principal, project: str) -> frozenset[str]:
        names = (ANY_PROJECT, project) if project else (ANY_PROJECT,)
        policies = (self._of_projects.get(name, Policy()) for name in names)
        return frozenset[str]().union(*(each.permissions(principal.members) for each in policies))
