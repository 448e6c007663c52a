"""What runs the operations of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.database.operations import Kind
from fileroom.transfer.changing.deletion import DeleteJob
from fileroom.transfer.changing.patching import PatchJob
from fileroom.transfer.changing.promoting import PromoteJob
from fileroom.transfer.changing.storage_class import StorageClassJob
from fileroom.transfer.changing.undoing import UndoJob
from fileroom.transfer.exporting.job import ExportJob
from fileroom.transfer.importing.job import ImportJob
from fileroom.transfer.manifest import WithManifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.operations.runner import Job
    from fileroom.transfer.facilities import Facilities


def jobs_of(facilities: Facilities) -> Mapping[Kind, Job]:
    """Give the jobs of a deployment, by the kind of operation."""
    deletion = DeleteJob(facilities=facilities)
    patching = PatchJob(facilities=facilities)
    importing = ImportJob(facilities=facilities)
    exporting = ExportJob(facilities=facilities)
    return {
        Kind.IMPORT: WithManifest(facilities=facilities, job=importing),
        Kind.EXPORT: WithManifest(facilities=facilities, job=exporting),
        Kind.DELETE_STUDY: deletion,
        Kind.DELETE_SERIES: deletion,
        Kind.SET_STORAGE_CLASS: StorageClassJob(facilities=facilities),
        Kind.UPDATE_STUDY: patching,
        Kind.UPDATE_SERIES: patching,
        Kind.PROMOTE: PromoteJob(facilities=facilities),
        Kind.UNDO_IMPORT: UndoJob(facilities=facilities),
    }
