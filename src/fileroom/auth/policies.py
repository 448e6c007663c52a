"""IAM policies as values: who has which role, read strictly and held without conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fileroom.auth.roles import ROLES
from fileroom.database.stores import new_etag
from fileroom.errors import Aborted, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

BINDINGS_MAX: Final = 250
MEMBERS_MAX: Final = 1500
"""Of all bindings together; Google allows as many."""
NO_ETAG: Final = "ACAB"
"""Google's etag of a policy that was never set."""
_MEMBER_LENGTH_MAX: Final = 320
_MEMBER: Final = re.compile(r"(user|serviceAccount|group|domain):([^\s:,]+)")
_ADDRESS: Final = {"user": False, "serviceAccount": True, "group": False, "domain": False}
"""Whether a member of a kind is an address; providers may call users and groups otherwise."""
_EVERYBODY: Final = frozenset({"allUsers", "allAuthenticatedUsers"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A role, and who has it."""

    role: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who has which role on a resource and all that is below it."""

    bindings: tuple[Binding, ...] = ()
    etag: str = NO_ETAG

    def permissions(self, members: Collection[str]) -> frozenset[str]:
        """Give what somebody may do who goes by these member names."""
        held = (
            ROLES.get(binding.role, frozenset())
            for binding in self.bindings
            if not _apart(members, binding.members)
        )
        return frozenset[str]().union(*held)

    def to_json(self) -> dict[str, Any]:
        """Give what the database keeps."""
        return {
            "bindings": [
                {"role": binding.role, "members": list(binding.members)}
                for binding in self.bindings
            ],
            "etag": self.etag,
        }


def _apart(first: Collection[str], second: Iterable[str]) -> bool:
    return not any(each in first for each in second)


def policy_of(kept: Mapping[str, Any] | None) -> Policy:
    """Give the policy that the database keeps; an empty one where it keeps none."""
    if kept is None:
        return Policy()
    return Policy(
        bindings=tuple(
            Binding(role=each["role"], members=tuple(each["members"])) for each in kept["bindings"]
        ),
        etag=kept["etag"],
    )


def replaced(kept: Policy, bindings: tuple[Binding, ...] | None, etag: str) -> Policy:
    """Give a policy with other bindings, and an etag of its own; None leaves them.

    Raises
    ------
    Aborted
        If ``etag`` is not empty and not that of the policy: somebody changed it meanwhile.
    """
    if etag and etag != kept.etag:
        raise Aborted(
            "There were concurrent policy changes. Please retry the whole read-modify-write with"
            " exponential backoff: read the policy again, change it, and write it with its etag.",
            "etag",
        )
    return Policy(bindings=kept.bindings if bindings is None else bindings, etag=new_etag())


def checked_bindings(
    bindings: Sequence[tuple[str, Sequence[str]]], grantable: Collection[str], where: str
) -> tuple[Binding, ...]:
    """Give bindings whose roles and members can be granted ``where``, one for each role.

    Raises
    ------
    InvalidArgument
        If there are too many; if a role is not known, or not one for such a resource; if a member
        is none, or stands for everybody.
    """
    merged: dict[str, dict[str, None]] = {}
    if len(bindings) > BINDINGS_MAX:
        raise InvalidArgument(f"a policy has at most {BINDINGS_MAX} bindings", "policy.bindings")
    for role, members in bindings:
        if role not in grantable:
            known = ", ".join(sorted(grantable))
            raise InvalidArgument(
                f"Role {role[:100]!r} is not supported for {where}; what can be granted is {known}",
                "policy.bindings.role",
            )
        merged.setdefault(role, {}).update(dict.fromkeys(map(checked_member, members)))
    if sum(map(len, merged.values())) > MEMBERS_MAX:
        raise InvalidArgument(f"a policy has at most {MEMBERS_MAX} members", "policy.bindings")
    return tuple(
        Binding(role=role, members=tuple(members)) for role, members in merged.items() if members
    )


def checked_member(text: str) -> str:
    """Give a member as policies hold it, its address in lower case.

    Raises
    ------
    InvalidArgument
        If it is of no kind that there is, or stands for everybody.
    """
    if text in _EVERYBODY:
        raise InvalidArgument(
            f"{text} is refused: name who may, as user:, serviceAccount:, group: or domain:",
            "policy.bindings.members",
        )
    found = _MEMBER.fullmatch(text)
    if found is None or ("@" in found[2]) < _ADDRESS[found[1]] or len(text) > _MEMBER_LENGTH_MAX:
        raise InvalidArgument(
            f"{text[:100]!r} is no member; one is as in user:ada@example.org,"
            " serviceAccount:importer@PROJECT.iam.gserviceaccount.com, group:readers@example.org or"
            " domain:example.org",
            "policy.bindings.members",
        )
    return f"{found[1]}:{found[2].lower()}"
