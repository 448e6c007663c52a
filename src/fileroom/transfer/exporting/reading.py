"""What workers read of a batch of an export: its instances in turn, and their stored bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.archive.packs import open_place
from fileroom.errors import PermissionDenied, Unavailable
from fileroom.transfer.executors import begin_item
from fileroom.transfer.exporting.outcomes import Unreadable
from fileroom.transfer.pipeline import LARGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fileroom.database.values.instances import Place
    from fileroom.objectstore.local import LocalBucket
    from fileroom.transfer.exporting.outcomes import InstanceToExport, Outcomes
    from fileroom.transfer.pipeline import Blame

PIECE_BYTES: Final = 8 << 20


def begun(
    instances: Sequence[InstanceToExport], blame: Blame, outcomes: Outcomes, *, alone: bool
) -> Iterator[int]:
    """Give the indices of the instances to work on, each as the one that is begun.

    Those to blame for a lost worker, and large ones unless ``alone``, are put off.
    """
    blamed = dict(blame.reasons)
    for index, instance in enumerate(instances):
        if index in blamed:
            outcomes.put_off(instance, blamed[index])
        elif instance.size > LARGE_BYTES and not alone:
            outcomes.put_off(instance, "LARGE")
        else:
            begin_item(index)
            yield index
    begin_item(None)  # what follows makes all of them durable together


def stored_pieces(blobs: LocalBucket, place: Place) -> Iterator[bytes]:
    """Give the stored bytes of an instance in pieces of at most 8 MB.

    Raises
    ------
    NotFound, Aborted, DataLoss
        If they are not, or no longer, where the row says.
    Unreadable
        If the disk does not give them, though it gives others.
    Unavailable
        If it gives none.
    """
    try:
        with open_place(blobs, place) as blob:
            for offset in range(0, place.size, PIECE_BYTES):
                yield blob.read_at(offset, PIECE_BYTES)
    except (PermissionDenied, Unavailable) as error:
        blobs.is_directory("")  # raises if all of it is gone: no instance's fault
        raise Unreadable from error
