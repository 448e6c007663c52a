"""Instances that are kept by reference are copied into the archive: their sources may then go.

The sources are only read. An instance that meanwhile was replaced, or promoted before, stays as it
is; one whose source is gone or changed fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fileroom.archive.promoting import promoted_file
from fileroom.database import operations
from fileroom.database.instances import current_change_seq
from fileroom.database.operations import Kind
from fileroom.transfer.asking import ask_for
from fileroom.transfer.changing.rewriting import run_rewriting
from fileroom.transfer.selection import read_selection

if TYPE_CHECKING:
    from fileroom.database.engine import Connection
    from fileroom.database.operations import Operation
    from fileroom.names import DicomStoreName, InstancePath, OperationName
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities
    from fileroom.transfer.selection import Selection


def request_promotion(
    facilities: Facilities,
    name: DicomStoreName,
    path: InstancePath | None,
    *,
    api_version: str,
    principal: str = "",
    permission: str,
) -> OperationName:
    """Ask for the instances of a DICOM store, or those below a path, to be copied in.

    Raises
    ------
    NotFound
        If there is nothing at the path.
    """
    return ask_for(
        facilities,
        name,
        Kind.PROMOTE,
        {},
        path=path,
        api_version=api_version,
        principal=principal,
        permission=permission,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteJob:
    """The job that copies instances in."""

    facilities: Facilities

    def __call__(self, run: Run) -> bool:
        """Copy what was kept by reference when the operation began, from its cursor on."""
        progress = run.read()
        if progress.start_seq is None:
            selection = read_selection(self.facilities, progress)
            self.facilities.database.write(partial(_begin, operation=progress, selection=selection))
        return run_rewriting(self.facilities, run, partial(promoted_file, check=run.check))


def _begin(transaction: Connection, *, operation: Operation, selection: Selection) -> None:
    """Note the horizon, and how many instances there are, so that progress has an end."""
    assert operation.store_id is not None
    horizon = current_change_seq(transaction, operation.store_id)
    total = selection.count(transaction, operation.store_id, horizon=horizon)
    operations.begin_operation(transaction, operation, start_seq=horizon, total=total)
