"""IAM policies of datasets and DICOM stores: who has which role on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from fileroom.client.values import JsonObject, objects
from fileroom.errors import NotFound
from fileroom.names import DatasetName, DicomStoreName, parse_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.client.transport import Transport

Condition: TypeAlias = JsonObject | None
"""An IAM ``Expr``; ``None`` is a binding without a condition."""

_CONDITIONAL_VERSION: Final = 3
"""The least version of a policy that may hold conditions."""


class Policies:
    """The IAM policies of one server.

    A policy is the API's ``Policy``, as JSON. To change one, read it, change it with
    ``with_binding`` or ``without_binding``, and write it back: its ``etag`` has the server refuse
    what would undo a change of somebody else.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, name: DatasetName | DicomStoreName | str) -> JsonObject:
        """Give the policy of a dataset or DICOM store, with its conditions."""
        query = [("options.requestedPolicyVersion", str(_CONDITIONAL_VERSION))]
        return self._transport.call("GET", f"{_path(name)}:getIamPolicy", query=query)

    def set(
        self,
        name: DatasetName | DicomStoreName | str,
        policy: JsonObject,
        *,
        update_mask: Sequence[str] = (),
    ) -> JsonObject:
        """Replace the policy, or what ``update_mask`` names of it, and give it as it is then."""
        body: JsonObject = {"policy": policy}
        if update_mask:
            body["updateMask"] = ",".join(update_mask)
        return self._transport.call("POST", f"{_path(name)}:setIamPolicy", body=body)


def has_conditions(policy: JsonObject) -> bool:
    """Tell whether any binding of a policy holds under a condition only."""
    return any("condition" in binding for binding in objects(policy, "bindings"))


def with_binding(
    policy: JsonObject, role: str, member: str, condition: Condition = None
) -> JsonObject:
    """Give a policy in which a member has a role, perhaps under a condition."""
    bindings = objects(policy, "bindings")
    for index, binding in enumerate(bindings):
        if _is_of(binding, role, condition):
            others = [each for each in _members(binding) if each != member]
            bindings[index] = binding | {"members": [*others, member]}
            break
    else:
        added: JsonObject = {"role": role, "members": [member]}
        bindings.append(added if condition is None else added | {"condition": condition})
    return _replaced(policy, bindings)


def without_binding(
    policy: JsonObject, role: str, member: str, condition: Condition | Literal["any"] = None
) -> JsonObject:
    """Give a policy in which a member has a role no longer, under a condition or under any.

    Raises
    ------
    NotFound
        If the member did not have it.
    """
    kept: list[JsonObject] = []
    is_found = False
    for binding in objects(policy, "bindings"):
        members = _members(binding)
        if member not in members or not _is_of(binding, role, condition):
            kept.append(binding)
            continue
        is_found = True
        members.remove(member)
        if members:
            kept.append(binding | {"members": [*members]})
    if not is_found:
        under = " under this condition" if isinstance(condition, dict) else ""
        raise NotFound(f"the policy gives {member} no {role}{under}", "bindings")
    return _replaced(policy, kept)


def _is_of(binding: JsonObject, role: str, condition: Condition | Literal["any"]) -> bool:
    return binding.get("role") == role and (
        condition == "any" or binding.get("condition") == condition
    )


def _members(binding: JsonObject) -> list[str]:
    members = binding.get("members")
    return [str(member) for member in members] if isinstance(members, list) else []


def _replaced(policy: JsonObject, bindings: list[JsonObject]) -> JsonObject:
    replaced = policy | {"bindings": [*bindings]}
    return replaced | {"version": _CONDITIONAL_VERSION} if has_conditions(replaced) else replaced


def _path(name: DatasetName | DicomStoreName | str) -> str:
    return str(parse_name(name) if isinstance(name, str) else name)
