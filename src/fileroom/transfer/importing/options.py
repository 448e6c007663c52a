"""What an import was asked for besides its source, as its operation keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.database.values.instances import DuplicatePolicy

if TYPE_CHECKING:
    from fileroom.database.values.operations import Json

REFERENCE: Final = "REFERENCE"


def is_by_reference(request: Json) -> bool:
    """Whether an import leaves the objects where they lie."""
    return _option(request, "mode") == REFERENCE


def duplicate_policy(request: Json) -> DuplicatePolicy:
    """Give what becomes of an instance that is stored with other bytes."""
    return DuplicatePolicy(_option(request, "duplicatePolicy") or DuplicatePolicy.FAIL_IF_DIFFERENT)


def _option(request: Json, name: str) -> str:
    options = request.get("fileroomOptions")
    return str(options.get(name, "")) if isinstance(options, dict) else ""


def storage_class(request: Json) -> str:
    """Give the storage class of what is imported."""
    settings = request.get("blobStorageSettings")
    return str(settings["blobStorageClass"]) if isinstance(settings, dict) else "STANDARD"
