"""The same attributes of all instances of a study or series are replaced."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.archive.patching import patched_file
from fileroom.database import operations
from fileroom.database.instances import current_change_seq
from fileroom.database.instances.deleting import count_below
from fileroom.database.operations import Kind
from fileroom.database.values.operations import PATCH
from fileroom.dicom.patching import check_patch_of_many, parse_patch
from fileroom.errors import InvalidArgument
from fileroom.names import OperationName, parse_instance_path
from fileroom.transfer.asking import ask_for
from fileroom.transfer.changing.rewriting import run_rewriting

if TYPE_CHECKING:
    from fileroom.database.engine import Connection
    from fileroom.database.operations import Operation
    from fileroom.names import DicomStoreName, InstancePath
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities

PATCH_BYTES_MAX: Final = 64 << 10
"""It stays in the operation's row, which every look at the operation reads."""
_STUDY_INSTANCE_UID: Final = 0x0020000D
_SERIES_INSTANCE_UID: Final = 0x0020000E


def request_patch(
    facilities: Facilities,
    name: DicomStoreName,
    path: InstancePath,
    document: bytes,
    *,
    api_version: str,
    principal: str = "",
    permission: str,
) -> OperationName:
    """Ask for attributes to be replaced in all instances that a study or series has now.

    Raises
    ------
    InvalidArgument
        If the document is no DICOM JSON, names what may not change, or is too large.
    NotFound
        If there is no such study or series.
    """
    if len(document) > PATCH_BYTES_MAX:
        raise InvalidArgument(
            f"a patch of a study or series has at most {PATCH_BYTES_MAX} bytes; patch its instances"
            " one by one",
            "body",
        )
    uids = {_STUDY_INSTANCE_UID: str(path.study_instance_uid)}
    if path.series_instance_uid is not None:
        uids[_SERIES_INSTANCE_UID] = str(path.series_instance_uid)
    check_patch_of_many(parse_patch(document), uids)

    of_study = path.series_instance_uid is None
    return ask_for(
        facilities,
        name,
        Kind.UPDATE_STUDY if of_study else Kind.UPDATE_SERIES,
        {PATCH: document.decode()},
        path=path,
        api_version=api_version,
        principal=principal,
        permission=permission,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchJob:
    """The job that patches studies and series."""

    facilities: Facilities

    def __call__(self, run: Run) -> bool:
        """Patch the instances that there were when the operation began, from its cursor on."""
        progress = run.read()
        if progress.start_seq is None:
            self.facilities.database.write(partial(_begin, operation=progress))
            progress = run.read()
        model = parse_patch(str(progress.request[PATCH]).encode())
        return run_rewriting(self.facilities, run, partial(patched_file, model=model))


def _begin(transaction: Connection, *, operation: Operation) -> None:
    """Note the horizon, and how many instances there are, so that progress has an end."""
    assert operation.store_id is not None
    path = parse_instance_path(str(operation.request["path"]))
    horizon = current_change_seq(transaction, operation.store_id)
    operations.begin_operation(
        transaction,
        operation,
        start_seq=horizon,
        total=count_below(transaction, operation.store_id, path),
    )
