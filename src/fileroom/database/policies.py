"""IAM policies of datasets and DICOM stores, as JSON beside what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, select, update

from fileroom.database.dialects import lock
from fileroom.database.prepared import Prepared
from fileroom.database.schema import datasets, dicom_stores, operations
from fileroom.database.stores import get_dataset, get_dicom_store
from fileroom.names import DatasetName, DicomStoreName, OperationName

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.database.engine import Connection

    PolicyJson = dict[str, Any]

_LIVING: Final = and_(
    datasets.c.project == bindparam("in_project"),
    datasets.c.location == bindparam("in_location"),
    datasets.c.dataset_id == bindparam("in_dataset"),
    datasets.c.deleted_at.is_(None),
)
_BOTH: Final = select(
    datasets.c.policy.label("of_dataset"), dicom_stores.c.policy.label("of_store")
)
_OF_DATASET: Final = Prepared(select(datasets.c.policy.label("of_dataset")).where(_LIVING))
_OF_STORE: Final = Prepared(
    _BOTH.select_from(datasets)
    .outerjoin(
        dicom_stores,
        and_(
            dicom_stores.c.dataset_id == datasets.c.id,
            dicom_stores.c.dicom_store_id == bindparam("named"),
            dicom_stores.c.deleted_at.is_(None),
        ),
    )
    .where(_LIVING)
)
_OF_OPERATION: Final = Prepared(
    _BOTH.select_from(datasets)
    .outerjoin(
        operations,
        and_(
            operations.c.dataset_id == datasets.c.id,
            operations.c.operation_id == bindparam("named"),
        ),
    )
    .outerjoin(
        dicom_stores,
        and_(
            dicom_stores.c.id == operations.c.store_id,
            dicom_stores.c.deleted_at.is_(None),
        ),
    )
    .where(_LIVING)
)


def policies_over(
    connection: Connection, name: DatasetName | DicomStoreName | OperationName
) -> tuple[PolicyJson, ...]:
    """Give the policies that hold for a resource: its dataset's, and its DICOM store's.

    An operation is of the DICOM store that it is about. One statement, whatever is there.
    """
    dataset = name if isinstance(name, DatasetName) else name.parent
    values = {
        "in_project": dataset.parent.project,
        "in_location": dataset.parent.location,
        "in_dataset": dataset.dataset_id,
    }
    match name:
        case DatasetName():
            rows = _OF_DATASET.rows(connection, values)
        case DicomStoreName():
            rows = _OF_STORE.rows(connection, values | {"named": name.dicom_store_id})
        case OperationName():
            rows = _OF_OPERATION.rows(connection, values | {"named": name.operation_id})
    return tuple(policy for row in rows for policy in row if policy is not None)


def find_policy(connection: Connection, name: DatasetName | DicomStoreName) -> PolicyJson | None:
    """Give the policy of a dataset or DICOM store; None where none was ever set.

    Raises
    ------
    PermissionDenied
        If there is no such dataset.
    NotFound
        If its dataset has no such DICOM store.
    """
    table, row_id = _row(connection, name, "getIamPolicy")
    policy: PolicyJson | None = connection.execute(
        select(table.c.policy).where(table.c.id == row_id)
    ).scalar_one()
    return policy


def change_policy(
    transaction: Connection,
    name: DatasetName | DicomStoreName,
    change: Callable[[PolicyJson | None], PolicyJson],
) -> PolicyJson:
    """Put what ``change`` makes of a policy in its place, and give it; errors as ``find_policy``'s.

    Nobody else changes it between the two.
    """
    lock(transaction)
    table, row_id = _row(transaction, name, "setIamPolicy")
    held = transaction.execute(
        select(table.c.policy).where(table.c.id == row_id).with_for_update()
    ).scalar_one()
    policy = change(held)
    transaction.execute(update(table).where(table.c.id == row_id).values(policy=policy))
    return policy


def projects_with_policies(connection: Connection) -> tuple[tuple[str, PolicyJson], ...]:
    """Give every policy of a living dataset or DICOM store, with its project."""
    of_datasets = select(datasets.c.project, datasets.c.policy).where(
        datasets.c.deleted_at.is_(None), datasets.c.policy.is_not(None)
    )
    of_stores = (
        select(datasets.c.project, dicom_stores.c.policy)
        .join_from(dicom_stores, datasets)
        .where(
            datasets.c.deleted_at.is_(None),
            dicom_stores.c.deleted_at.is_(None),
            dicom_stores.c.policy.is_not(None),
        )
    )
    rows = [*connection.execute(of_datasets), *connection.execute(of_stores)]
    return tuple((row.project, row.policy) for row in rows)


def _row(connection: Connection, name: DatasetName | DicomStoreName, right: str) -> tuple[Any, int]:
    if isinstance(name, DatasetName):
        permission = f"healthcare.datasets.{right}"
        return datasets, get_dataset(connection, name, permission=permission).id
    permission = f"healthcare.dicomStores.{right}"
    return dicom_stores, get_dicom_store(connection, name, permission=permission).id
