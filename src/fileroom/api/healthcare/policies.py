"""``:getIamPolicy``, ``:setIamPolicy`` and ``:testIamPermissions`` of datasets and DICOM stores.

References
----------
IAM v1 Policy; Cloud Healthcare v1 datasets.setIamPolicy
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fileroom.api.authorizing import resource_of
from fileroom.api.wire import Message, json_answer
from fileroom.auth.policies import Policy as HeldPolicy
from fileroom.auth.policies import checked_bindings, policy_of, replaced
from fileroom.auth.roles import DATASET_ROLES, PERMISSIONS, STORE_ROLES
from fileroom.database import policies, stores
from fileroom.errors import InvalidArgument
from fileroom.names import DatasetName, DicomStoreName

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call
    from fileroom.database.engine import Connection

REQUESTED_VERSION: Final = "options.requestedPolicyVersion"
PERMISSIONS_MAX: Final = 100
"""Asked for at once; Google takes as many."""
_VERSIONS: Final = frozenset({0, 1, 3})
_MASKS: Final = frozenset({"bindings", "etag", "version", "auditConfigs", "audit_configs"})


class Expr(Message):
    """``Expr``."""

    expression: str = ""
    title: str = ""
    description: str = ""
    location: str = ""


class Binding(Message):
    """``Binding``."""

    role: str = ""
    members: tuple[str, ...] = ()
    condition: Expr | None = None


class AuditLogConfig(Message):
    """``AuditLogConfig``."""

    log_type: str = ""
    exempted_members: tuple[str, ...] = ()


class AuditConfig(Message):
    """``AuditConfig``."""

    service: str = ""
    audit_log_configs: tuple[AuditLogConfig, ...] = ()


class Policy(Message):
    """``Policy``."""

    version: int = 0
    bindings: tuple[Binding, ...] = ()
    audit_configs: tuple[AuditConfig, ...] = ()
    etag: str = ""


class SetIamPolicyRequest(Message):
    """``SetIamPolicyRequest``."""

    policy: Policy | None = None
    update_mask: str = ""


class TestIamPermissionsRequest(Message):
    """``TestIamPermissionsRequest``."""

    __test__ = False

    permissions: tuple[str, ...] = ()


class TestIamPermissionsResponse(Message):
    """``TestIamPermissionsResponse``."""

    __test__ = False

    permissions: tuple[str, ...] = ()


def get(call: Call) -> Answer:
    """Give the policy of a dataset or DICOM store: who has which role on it."""
    text = call.parameter(REQUESTED_VERSION) or "0"
    if not text.isdecimal() or int(text[:9]) not in _VERSIONS:
        raise InvalidArgument(f"{REQUESTED_VERSION} is 0, 1 or 3", REQUESTED_VERSION)
    with call.deployment.database.read() as connection:
        return json_answer(_to_wire(policy_of(policies.find_policy(connection, _name(call)))))


def set_(call: Call) -> Answer:
    """Replace the policy of a dataset or DICOM store, unless its `etag` is of an older one."""
    request = call.request_as(SetIamPolicyRequest)
    wanted = request.policy
    if wanted is None:
        raise InvalidArgument("policy is required", "policy")
    name = _name(call)
    masks = {part.strip().removeprefix("policy.") for part in request.update_mask.split(",")} - {""}
    if unknown := sorted(masks - _MASKS):
        raise InvalidArgument(
            f"update_mask knows bindings and etag, not {unknown[0][:40]!r}", "update_mask"
        )
    _refuse_what_is_not_kept(wanted)
    is_store = isinstance(name, DicomStoreName)
    bindings = checked_bindings(
        [(binding.role, binding.members) for binding in wanted.bindings],
        STORE_ROLES if is_store else DATASET_ROLES,
        "a DICOM store" if is_store else "a dataset",
    )
    changed = bindings if not masks or "bindings" in masks else None

    def change(transaction: Connection) -> HeldPolicy:
        def replace(kept: dict[str, Any] | None) -> dict[str, Any]:
            return replaced(policy_of(kept), changed, wanted.etag).to_json()

        return policy_of(policies.change_policy(transaction, name, replace))

    return json_answer(_to_wire(call.deployment.database.write(change)))


def test(call: Call) -> Answer:
    """Give those of some permissions that the caller holds; none on what does not exist."""
    asked = call.request_as(TestIamPermissionsRequest).permissions
    if not 0 < len(asked) <= PERMISSIONS_MAX:
        raise InvalidArgument(f"permissions: name 1 to {PERMISSIONS_MAX}", "permissions")
    if any("*" in each for each in asked):
        raise InvalidArgument("permissions are named singly, without *", "permissions")
    name = _name(call)
    held = PERMISSIONS
    if not call.principal.holds_all:
        resource = resource_of(call.path, name, call.deployment.buckets)
        held = call.deployment.access.authorizer.held(call.principal, resource)
    found = tuple(dict.fromkeys(each for each in asked if each in held))
    # Who holds nothing is not told whether it exists, nor by how long the answer takes.
    if found and not _exists(call, name):
        found = ()
    return json_answer(TestIamPermissionsResponse(permissions=found))


def _exists(call: Call, name: DatasetName | DicomStoreName) -> bool:
    with call.deployment.database.read() as connection:
        if isinstance(name, DatasetName):
            return stores.find_dataset(connection, name) is not None
        return stores.find_dicom_store(connection, name) is not None


def _name(call: Call) -> DatasetName | DicomStoreName:
    assert isinstance(call.name, DatasetName | DicomStoreName)
    return call.name


def _refuse_what_is_not_kept(wanted: Policy) -> None:
    if wanted.version not in _VERSIONS:
        raise InvalidArgument("policy.version is 0, 1 or 3", "policy.version")
    if any(binding.condition is not None for binding in wanted.bindings):
        raise InvalidArgument(
            "policy.bindings.condition: this server holds no conditions, and ignores none: grant"
            " the role on the one dataset or DICOM store instead",
            "policy.bindings.condition",
        )
    if wanted.audit_configs:
        raise InvalidArgument(
            "policy.audit_configs: every access is audited here, and nobody is exempt; leave it"
            " out",
            "policy.audit_configs",
        )


def _to_wire(policy: HeldPolicy) -> Policy:
    return Policy(
        version=1 if policy.bindings else 0,
        bindings=tuple(Binding(role=each.role, members=each.members) for each in policy.bindings),
        etag=policy.etag,
    )
