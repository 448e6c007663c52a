"""What workers read of a batch of an export: its instances in turn, and their stored bytes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from fileroom.archive.references import find_reference, open_bytes
from fileroom.database.values.instances import PlaceKind
from fileroom.errors import Code, FailedPrecondition, PermissionDenied, Reason, Unavailable
from fileroom.objectstore.buckets import is_same_object
from fileroom.objectstore.contract import BUCKET_SETTINGS
from fileroom.objectstore.uri import split_uri
from fileroom.transfer.executors import begin_item
from fileroom.transfer.exporting.outcomes import OutOfReach, Unreadable
from fileroom.transfer.pipeline import LARGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fileroom.database.values.instances import Place
    from fileroom.objectstore.blobs.contract import BlobBucket
    from fileroom.objectstore.buckets import Buckets, BucketSettings
    from fileroom.transfer.exporting.outcomes import InstanceToExport, Outcomes
    from fileroom.transfer.pipeline import Blame

PIECE_BYTES: Final = 8 << 20


class Exporting(Protocol):
    """What the tasks of all forms of an export have."""

    @property
    def instances(self) -> Sequence[InstanceToExport]:
        """The instances of the batch."""

    @property
    def destination(self) -> BucketSettings:
        """Where their files are written."""

    @property
    def buckets(self) -> Buckets:
        """Where the objects are that are kept by reference."""

    @property
    def blame(self) -> Blame:
        """What ended workers before."""

    @property
    def alone(self) -> bool:
        """Whether it is the deferred lane, which takes an instance of any size."""


def begun(task: Exporting, outcomes: Outcomes) -> Iterator[int]:
    """Give the indices of the instances to work on, each as the one that is begun.

    Those to blame for a lost worker, and large ones unless it is ``alone``, are put off. One whose
    file would be written over the very object that it is read from fails.
    """
    blamed = dict(task.blame.reasons)
    for index, instance in enumerate(task.instances):
        if index in blamed:
            outcomes.put_off(instance, blamed[index])
        elif _is_source(instance, task):
            message = (
                "the instance is kept by reference in the very object that its file would be"
                " written to; export it to another place, or promote it before"
            )
            code = Code.FAILED_PRECONDITION
            outcomes.fail(instance, code, Reason.DESTINATION_EXISTS, message)
        elif instance.size > LARGE_BYTES and not task.alone:
            outcomes.put_off(instance, "LARGE")
        else:
            begin_item(index)
            yield index
    begin_item(None)  # what follows makes all of them durable together


def _is_source(instance: InstanceToExport, task: Exporting) -> bool:
    """Whether an instance is kept in the object that its file would be written to."""
    if instance.place.kind is not PlaceKind.REFERENCE:
        return False
    name, key = split_uri(instance.place.key, task.buckets.roots)
    source = task.buckets.find(name)
    return source is not None and is_same_object(source, key, task.destination, instance.key)


def stored_pieces(blobs: BlobBucket, place: Place, buckets: Buckets) -> Iterator[bytes]:
    """Give the stored bytes of an instance in pieces of at most 8 MB.

    Raises
    ------
    NotFound, Aborted, DataLoss
        If they are not, or no longer, where the row says.
    Unreadable
        If the disk or bucket does not give them, though it gives others.
    OutOfReach
        If the bucket of a reference gives this server none.
    Unavailable
        If it gives none.
    """
    with _blaming(blobs, place, buckets), open_bytes(blobs, place, buckets) as content:
        for offset in range(0, place.size, PIECE_BYTES):
            yield content.read_at(offset, PIECE_BYTES)


def check_readable(blobs: BlobBucket, place: Place, buckets: Buckets) -> None:
    """Read as little of the stored bytes as shows that they are there; raises the same."""
    with _blaming(blobs, place, buckets), open_bytes(blobs, place, buckets) as content:
        content.read_at(0, 1)


@contextmanager
def _blaming(blobs: BlobBucket, place: Place, buckets: Buckets) -> Iterator[None]:
    """Tell what one instance alone cannot have from what is no instance's fault."""
    try:
        yield
    except (FailedPrecondition, PermissionDenied, Unavailable) as error:
        if place.kind is not PlaceKind.REFERENCE:
            if error.detail in {"buckets", BUCKET_SETTINGS}:
                raise  # a cloud that gives us none of ours: no instance is to blame
            blobs.is_directory("")  # raises if all of it is gone
        elif isinstance(error, Unavailable):
            _check_answers(buckets, place)
        else:
            raise OutOfReach(error) from error
        raise Unreadable from error


def _check_answers(buckets: Buckets, place: Place) -> None:
    """Raise Unavailable if the bucket of a reference does not answer at all."""
    try:
        find_reference(buckets, place.key)[0].is_directory("")
    except (FailedPrecondition, PermissionDenied) as error:
        raise OutOfReach(error) from error
