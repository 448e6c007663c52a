"""What is deleted disappears at once; its bytes are collected after a grace.

The grace lets a download that is under way end whole.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

from fileroom.archive.marks import mark_if_possible
from fileroom.archive.reading import InstanceReader
from fileroom.archive.references import scan_reference
from fileroom.database.instances import deleting
from fileroom.database.instances.describing import Describer, Undescribed
from fileroom.database.stored import find_stored_instances
from fileroom.database.values.instances import PlaceKind
from fileroom.dicom.part10 import Refused, scan
from fileroom.errors import Aborted, DataLoss, FailedPrecondition, FileroomError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fileroom.archive.retrieve import StoreContent
    from fileroom.database.engine import Connection
    from fileroom.database.instances.describing import Descriptions
    from fileroom.dicom.part10 import IndexedAttributes
    from fileroom.names import InstancePath

logger = logging.getLogger(__name__)

ATTEMPTS_MAX: Final = 10
T = TypeVar("T")


def delete_instance(content: StoreContent, path: InstancePath, *, grace_seconds: float) -> None:
    """Delete one instance, and its series and study if they hold no other.

    It is told beside the blobs on return; where that fails, the collector does it later.

    Raises
    ------
    NotFound
        If there is none.
    """
    grace = int(grace_seconds * 1_000_000)
    with_descriptions(
        content,
        lambda transaction, known: deleting.delete_instance(
            transaction, content.store_id, path, grace_microseconds=grace, known=known
        ),
    )
    mark_if_possible(content.database, content.blobs, content.store_id)


def with_descriptions(content: StoreContent, change: Callable[[Connection, Descriptions], T]) -> T:
    """Run a change that takes instances from a study or series with what describes it afterwards.

    Raises
    ------
    Aborted
        If others change the same study so often that it does not come to it.
    """
    known: dict[Describer, IndexedAttributes | None] = {}
    for _ in range(ATTEMPTS_MAX):
        try:
            return content.database.write(lambda transaction: change(transaction, known))
        except Undescribed as undescribed:
            known.update(_read(content, undescribed.describers))
    raise Aborted("the study is changed by others at the same time; delete again")


def _read(
    content: StoreContent, describers: Sequence[Describer]
) -> dict[Describer, IndexedAttributes | None]:
    """Give the attributes of instances, as an import of their bytes would index them."""
    with content.database.read() as connection:
        rows = find_stored_instances(connection, [each.instance_id for each in describers])
    told: dict[Describer, IndexedAttributes | None] = {}
    for describer, stored in zip(describers, rows, strict=True):
        if stored is None:
            continue
        with InstanceReader(content, stored) as reader:
            try:
                attributes = _attributes(reader)
            except NotFound:
                continue
            except (DataLoss, FailedPrecondition, Refused) as error:
                # A damaged neighbour must not keep anybody from deleting; `check` tells of it.
                logger.warning("a study keeps its attributes", extra={"cause": str(error)})
                told[describer] = None
                continue
            place = reader.stored.place
        told[Describer(reader.stored.id, place.key, place.offset)] = attributes
    return told


def _attributes(reader: InstanceReader) -> IndexedAttributes:
    """Give the attributes of an instance from its bytes.

    Raises
    ------
    FailedPrecondition
        If it is kept by reference, and its bucket does not answer: that keeps nobody waiting.
    """
    if reader.stored.place.kind is not PlaceKind.REFERENCE:
        return scan(reader.source).attributes
    try:
        return scan_reference(reader.source).attributes
    except (DataLoss, NotFound, Refused):
        raise
    except FileroomError as error:
        raise FailedPrecondition(error.message) from error
