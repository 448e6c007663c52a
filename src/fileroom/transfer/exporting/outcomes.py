"""What workers make of the instances of a batch of an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.database.values.operations import DeferredObject
from fileroom.errors import Aborted, Code, DataLoss, NotFound, ObjectFailure, Reason

if TYPE_CHECKING:
    from fileroom.database.values.instances import Place
    from fileroom.errors import FailedPrecondition, PermissionDenied

MISSING: Final = "MISSING"
"""Why an instance is put off whose blob was not where its row said."""
UNREADABLE: Final = "UNREADABLE"
"""Why an instance is put off whose blob the disk does not give, though it gives others."""


class Unreadable(Exception):
    """The disk does not give a blob's bytes; it may do so later."""


class OutOfReach(Exception):
    """The bucket of a reference is not in the settings, or does not let the server read it."""

    def __init__(self, error: FailedPrecondition | PermissionDenied) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceToExport:
    """An instance, its place in the order of the export, and where its bytes go."""

    ordinal: int
    id: int
    instance: tuple[str, str, str]
    """Study, Series and SOP Instance UID."""
    place: Place
    key: str
    """Of its only file."""

    @property
    def size(self) -> int:
        """Its length in bytes, as stored."""
        return self.place.size

    @property
    def source(self) -> str:
        """The DICOMweb path of the instance."""
        study, series, instance = self.instance
        return f"studies/{study}/series/{series}/instances/{instance}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An instance all of whose files are durable."""

    instance: InstanceToExport
    size: int
    """Bytes of all its files."""
    sha256: bytes | None
    """Of its only file."""
    key: str
    """Of its only file, or what the keys of all of them begin with, a slash at its end."""
    is_unchanged: bool = False
    """Whether all its files were there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOutcome:
    """What became of the instances of a batch: each is in exactly one of the three."""

    exported: tuple[Exported, ...]
    failures: tuple[tuple[int, ObjectFailure], ...]
    missing: tuple[DeferredObject, ...]
    """Instances that leave the line to be looked up again."""
    seconds: float

    @property
    def weight_bytes(self) -> int:
        """About what it takes in memory."""
        return 1024 * len(self.exported)


class Outcomes:
    """What became of the instances of a batch, noted one by one."""

    def __init__(self) -> None:
        self._exported: list[Exported] = []
        self._failures: list[tuple[int, ObjectFailure]] = []
        self._missing: list[DeferredObject] = []

    def export(self, exported: Exported) -> None:
        """Note an instance whose files are durable, or will be at the end of the batch."""
        self._exported.append(exported)

    def fail(self, instance: InstanceToExport, code: Code, reason: Reason, message: str) -> None:
        """Note an instance that cannot be exported."""
        failure = ObjectFailure(source=instance.source, code=code, reason=reason, message=message)
        self._failures.append((instance.ordinal, failure))

    def taken(self, instance: InstanceToExport, key: str) -> None:
        """Note an instance of which another object has the name, and keeps it."""
        message = f"{key} is there already; export to another place, or delete it before"
        self.fail(instance, Code.ALREADY_EXISTS, Reason.DESTINATION_EXISTS, message)

    def put_off(self, instance: InstanceToExport, why: str) -> None:
        """Note an instance that is to be looked up again."""
        self._missing.append(
            DeferredObject(
                ordinal=instance.ordinal,
                source=instance.source,
                version=None,
                size=instance.size,
                why=why,
            )
        )

    def unreadable(
        self,
        instance: InstanceToExport,
        error: Aborted | DataLoss | NotFound | OutOfReach | Unreadable,
    ) -> None:
        """Note an instance whose stored bytes cannot be had."""
        match error:
            case NotFound() | Aborted():
                # Deleted or replaced, perhaps just while it was read: its row says which.
                self.put_off(instance, MISSING)
            case Unreadable():
                self.put_off(instance, UNREADABLE)
            case OutOfReach():
                denied = error.error
                self.fail(instance, denied.code, Reason.SOURCE_DENIED, denied.message)
            case _:
                self.fail(instance, Code.DATA_LOSS, Reason.DATA_LOSS, error.message)

    def clear(self) -> None:
        """Forget everything: the batch is worked on in another way."""
        self._exported.clear()
        self._failures.clear()
        self._missing.clear()

    def freeze(self, seconds: float) -> ExportOutcome:
        """Give what was noted."""
        return ExportOutcome(
            exported=tuple(self._exported),
            failures=tuple(self._failures),
            missing=tuple(self._missing),
            seconds=seconds,
        )


def as_stored(instance: InstanceToExport, *, is_unchanged: bool = False) -> Exported:
    """Give what is noted of an instance whose file has the very bytes that were stored."""
    return Exported(
        instance=instance,
        size=instance.size,
        sha256=instance.place.sha256,
        key=instance.key,
        is_unchanged=is_unchanged,
    )


def damaged() -> DataLoss:
    """Give the error that says that stored bytes are not those that were stored."""
    return DataLoss("the stored bytes differ from their checksum; store the same file again")
