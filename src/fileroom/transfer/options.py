"""What an import or an export may be asked for beyond Google's API, as its operation keeps it.

The messages of the API hold these very structs: an option has its name, its values and its default
here and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeVar, cast

import msgspec

from fileroom.database.values.instances import DuplicatePolicy

if TYPE_CHECKING:
    from fileroom.database.values.operations import Json

_KEY: Final = "fileroomOptions"
"""Of the request that is kept."""
Mode = Literal["", "COPY", "REFERENCE"]
IfExists = Literal["", "OVERWRITE", "SKIP_IDENTICAL", "FAIL"]
ManifestFormat = Literal["", "NDJSON", "CSV", "PARQUET"]
_PRIORITIES: Final = {"LOW": -1, "": 0, "NORMAL": 0, "HIGH": 1}
_WEIGHTS: Final = {-1: 1, 0: 2, 1: 8}


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What any transfer may be asked for."""

    priority: Literal["", "LOW", "NORMAL", "HIGH"] = ""
    manifest_uri_prefix: str = ""
    """Below which the ledger is written at the end, in a directory named as the operation."""
    manifest_format: ManifestFormat = ""

    @property
    def rank(self) -> int:
        """Whom it goes before: of two operations that wait, the higher one begins first."""
        return _PRIORITIES[self.priority]

    @property
    def weight(self) -> int:
        """How many batches it may give to the workers before it is another operation's turn."""
        return _WEIGHTS[self.rank]


class ImportOptions(Options, frozen=True, kw_only=True):
    """What an import may be asked for."""

    mode: Mode = ""
    duplicate_policy: Literal["", "FAIL_IF_DIFFERENT", "KEEP_FIRST", "REPLACE"] = ""

    retry_of: str = ""
    """The operation of which only what failed is imported."""

    validate_only: bool = False
    """Whether it is only told what would become of each object: nothing is stored."""

    @property
    def by_reference(self) -> bool:
        """Whether the objects stay where they lie."""
        return self.mode == "REFERENCE"

    @property
    def only_headers(self) -> bool:
        """Whether only the headers of the objects are read."""
        return self.by_reference or self.validate_only

    @property
    def policy(self) -> DuplicatePolicy:
        """What becomes of an instance that is stored with other bytes."""
        return DuplicatePolicy(self.duplicate_policy or DuplicatePolicy.FAIL_IF_DIFFERENT)


class ExportOptions(Options, frozen=True, kw_only=True):
    """What an export may be asked for."""

    since: str = ""
    """The export since which only what changed is exported."""
    if_exists: IfExists = ""
    """What becomes of an object that has the name of a file."""
    verify: Literal["", "SIZE", "CONTENT"] = ""
    """How the manifest's ``_SUCCESS`` is earned: each object is found, or read again whole."""
    write_metadata: bool = False
    """Whether the metadata of all that was exported are written beside the ledger."""


OptionsT = TypeVar("OptionsT", bound=Options)


def read_options(request: Json, kind: type[OptionsT]) -> OptionsT:
    """Give what the request of an operation says."""
    return msgspec.convert(request.get(_KEY) or {}, kind)


def find_storage_class(request: Json) -> str:
    """Give the storage class that an import was asked for; empty where it was not."""
    settings = request.get("blobStorageSettings")
    return str(settings["blobStorageClass"]) if isinstance(settings, dict) else ""


def keep_options(options: Options) -> Json:
    """Give what a request keeps of options; nothing where all are left to their defaults."""
    kept = cast("Json", msgspec.to_builtins(options))
    return {_KEY: kept} if kept else {}
