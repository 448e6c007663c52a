"""A batch of an export in another form than the stored one, in a worker of the pool for pixels.

All files of a batch are made before the first of them is begun at the destination: what a codec
does not survive leaves nothing there, and an instance that fails has none of its files (I13). They
wait in memory, or on the disk of the blobs in a file without a name, which ends with its worker; of
each frame one number is held, and 250 files are open at most, however many frames an instance has.

The stored bytes are compared with their checksum first: damage at rest becomes no picture.
"""

from __future__ import annotations

import hashlib
import logging
import time
from array import array
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, cast

from fileroom.archive.codecs import OwnCodecs
from fileroom.archive.frames import open_frames
from fileroom.archive.reading import WithoutRows
from fileroom.archive.representations import frame_data, open_file, pictures
from fileroom.dicom.frames import NoPixelData
from fileroom.dicom.media_types import NotAcceptable
from fileroom.dicom.pixels.failure import PixelError
from fileroom.errors import (
    Aborted,
    AlreadyExists,
    Code,
    DataLoss,
    FailedPrecondition,
    FileroomError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Reason,
    Unimplemented,
)
from fileroom.objectstore.buckets import open_bucket
from fileroom.transfer.executors import begin_item
from fileroom.transfer.exporting.outcomes import (
    MISSING,
    Exported,
    Outcomes,
    OutOfReach,
    Unreadable,
    damaged,
)
from fileroom.transfer.exporting.reading import begun, check_readable, stored_pieces
from fileroom.transfer.exporting.spool import Spool
from fileroom.transfer.exporting.standing import Standing, Verdict
from fileroom.transfer.pipeline import BATCH_BYTES_MAX, NO_BLAME, Blame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fileroom.archive.codecs import Codecs
    from fileroom.database.values.stored import StoredInstance
    from fileroom.dicom.pixels.rendering_options import PictureType
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.buckets import Buckets, BucketSettings
    from fileroom.objectstore.contract import Bucket
    from fileroom.transfer.exporting.forms import Form
    from fileroom.transfer.exporting.outcomes import ExportOutcome, InstanceToExport
    from fileroom.transfer.options import IfExists

logger = logging.getLogger(__name__)

FILES_TOGETHER: Final = 250
"""Files that are made durable together, each of them open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodeTask(WithoutRows):
    """Instances for a worker to write in another form."""

    blobs: Blobs
    blob_prefix: str
    buckets: Buckets
    """Where the objects are that are kept by reference."""
    destination: BucketSettings
    writer: tuple[str, int]
    """By which name and number what is left unfinished there is known."""
    form: Form
    instances: tuple[InstanceToExport, ...]
    rows: tuple[StoredInstance | None, ...]
    """Of the instances, in their order; ``None`` for what is gone since it was listed."""
    blame: Blame = NO_BLAME
    if_exists: IfExists = ""
    begun_at: int = 0
    """When the export was asked for, in microseconds since 1970."""
    alone: bool = False
    """In the deferred lane: an instance of any size is finished or fails."""

    def find_again(self, stored: StoredInstance) -> StoredInstance:
        """Give the instance up: a worker reads no rows, and it is looked up again."""
        raise NotFound(f"the blob of {stored.path} is not where it was", "blob")


def transcode_batch(task: TranscodeTask) -> ExportOutcome:
    """Write instances in the form that is asked for, each with all its files or with none."""
    return _Worker(task).work()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """The files of one instance, made and not yet written."""

    instance: InstanceToExport
    offset: int
    """Where the first of them begins in the spool."""
    lengths: array[int]
    numbered: bool
    """Whether they are the frames of a multi-frame instance."""
    sha256: bytes
    standing: bytearray
    """Of each file, whether it is there already."""


class _Worker:
    """One batch in a worker process."""

    def __init__(self, task: TranscodeTask) -> None:
        self._task = task
        self._bucket: Bucket = open_bucket(task.destination).as_writer(*task.writer)
        self._blobs = task.blobs.bucket(task.blob_prefix)
        self._standing = Standing(self._bucket, task.if_exists, task.begun_at)
        self._outcomes = Outcomes()

    def work(self) -> ExportOutcome:
        began = time.monotonic()
        with Spool(self._blobs.scratch) as self._spool:
            made = list(self._make_all())
            self._write(made)
        return self._outcomes.freeze(time.monotonic() - began)

    # ------------------------------------------------------------------ making

    def _make_all(self) -> Iterator[_Made]:
        task = self._task
        for index in begun(task, self._outcomes):
            instance, row, offset = task.instances[index], task.rows[index], self._spool.size
            if row is None:
                self._outcomes.put_off(instance, MISSING)
                continue
            try:
                self._check(row, index)
            except (NotFound, Aborted, DataLoss, OutOfReach, Unreadable) as error:
                self._outcomes.unreadable(instance, error)
                continue
            made = self._try_to_make(instance, row, partial(begin_item, index))
            if made is None:
                self._spool.truncate(offset)
            else:
                yield made

    def _try_to_make(
        self, instance: InstanceToExport, row: StoredInstance, progress: Callable[[], None]
    ) -> _Made | None:
        try:
            return self._make(instance, row, progress)
        except (NotFound, Aborted) as error:
            self._outcomes.unreadable(instance, error)
        except (DataLoss, InvalidArgument, Unimplemented) as error:
            self._outcomes.fail(instance, error.code, _reason(error), error.message)
        except (FileroomError, MemoryError):
            raise  # of the environment, or of the worker as a whole
        except Exception as error:  # one instance's affair, whatever it is
            logger.exception("an instance met a fault of the codecs")
            message = f"the codecs failed ({type(error).__name__}); please report it"
            self._outcomes.fail(instance, Code.INTERNAL, Reason.INTERNAL, message)
        return None

    def _check(self, row: StoredInstance, index: int) -> None:
        """Compare the stored bytes with their checksum, where there is one."""
        buckets = self._task.buckets
        if row.place.sha256 is None:
            check_readable(self._blobs, row.place, buckets)
            return
        digest = hashlib.sha256()
        for piece in stored_pieces(self._blobs, row.place, buckets):
            begin_item(index)
            digest.update(piece)
        if digest.digest() != row.place.sha256:
            raise damaged()

    def _make(
        self, instance: InstanceToExport, row: StoredInstance, progress: Callable[[], None]
    ) -> _Made:
        with ExitStack() as stack:
            numbered, files = self._files(row, OwnCodecs(progress), stack)
            offset, lengths, digest = self._spool.size, array("Q"), hashlib.sha256()
            for pieces in files:
                length = 0
                for piece in pieces:
                    progress()  # the limits of time hold for each piece
                    digest.update(piece)
                    self._spool.append(piece)
                    length += len(piece)
                lengths.append(length)
        return _Made(
            instance=instance,
            offset=offset,
            lengths=lengths,
            numbered=numbered,
            sha256=digest.digest(),
            standing=bytearray(len(lengths)),
        )

    def _files(
        self, row: StoredInstance, codecs: Codecs, stack: ExitStack
    ) -> tuple[bool, Iterator[Iterable[bytes]]]:
        """Give whether the files are numbered, and the pieces of each."""
        task, media_type = self._task, self._task.form.media_type
        if task.form.is_whole:
            asked = media_type.transfer_syntax
            assert asked is not None
            file = open_file(task, row, asked, codecs, partial(open_frames, task))
            stack.callback(file.pieces.close)
            return False, iter((file.pieces,))
        frames = stack.enter_context(open_frames(task, row))
        numbered = frames.number_of_frames > 1
        if media_type.name == "application/octet-stream":
            asked = media_type.transfer_syntax
            assert asked is not None
            return numbered, (each.pieces for each in frame_data(frames, asked, codecs))
        picture_type = cast("PictureType", media_type.name)
        return numbered, ((each,) for each in pictures(task, frames, picture_type, codecs))

    # ------------------------------------------------------------------ writing

    def _write(self, made: list[_Made]) -> None:
        made = [each for each in made if not self._is_taken(each)]
        try:
            self._write_files(chain.from_iterable(map(self._left, made)))
        except (AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied):
            # Some file of the batch cannot be written; find out whose, one by one.
            for each in made:
                self._write_alone(each)
        else:
            for each in made:
                self._outcomes.export(self._exported(each))

    def _is_taken(self, made: _Made) -> bool:
        """Look for what lies at the destination; tell whether it keeps the instance from it."""
        is_unchanged = True
        for number, (key, offset, length) in enumerate(self._placed(made)):
            match self._standing.judge(key, length, partial(self._spool.pieces, offset, length)):
                case Verdict.TAKEN:
                    self._outcomes.taken(made.instance, key)
                    return True
                case Verdict.WRITE:
                    is_unchanged = False
                case verdict:
                    made.standing[number] = True
                    is_unchanged &= verdict is Verdict.UNCHANGED
        if is_unchanged:
            self._outcomes.export(self._exported(made, is_unchanged=True))
        return is_unchanged

    def _write_alone(self, made: _Made) -> None:
        left = list(self._left(made))
        try:
            # What the batch has written of it before it met an error stands there.
            if self._standing.if_absent and self._is_taken(made):
                self._take_back(left)
                return
            self._write_files(self._left(made))
        except AlreadyExists:
            self._take_back(left)
            self._outcomes.taken(made.instance, self._exported(made).key)
        except (FailedPrecondition, InvalidArgument, PermissionDenied) as error:
            self._take_back(left)
            self._outcomes.fail(made.instance, error.code, Reason.DESTINATION_DENIED, error.message)
        else:
            self._outcomes.export(self._exported(made))

    def _write_files(self, files: Iterator[tuple[str, int, int]]) -> None:
        while some := list(islice(files, FILES_TOGETHER)):
            self._bucket.write_many(
                self._contents(some),
                if_absent=self._standing.if_absent,
                alive=partial(begin_item, None),
            )

    def _contents(self, files: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, bytes]]:
        for key, offset, length in files:
            begin_item(None)  # no instance is to blame for the disk, and each file is progress
            if length <= BATCH_BYTES_MAX:
                yield key, b"".join(self._spool.pieces(offset, length))
                continue
            with self._bucket.writer(key, if_absent=self._standing.if_absent) as writer:
                for piece in self._spool.pieces(offset, length):
                    begin_item(None)
                    writer.write(piece)
                writer.commit()

    def _placed(self, made: _Made) -> Iterator[tuple[str, int, int]]:
        """Give the key of each file of an instance, and where it lies in the spool."""
        form, offset = self._task.form, made.offset
        for number, length in enumerate(made.lengths, 1):
            yield (
                form.key(made.instance.instance, number if made.numbered else None),
                offset,
                length,
            )
            offset += length

    def _left(self, made: _Made) -> Iterator[tuple[str, int, int]]:
        """Give the files of an instance that are not there already."""
        for is_there, placed in zip(made.standing, self._placed(made), strict=True):
            if not is_there:
                yield placed

    def _take_back(self, files: Iterable[tuple[str, int, int]]) -> None:
        """Delete what was written of an instance that fails, of files that were not there before.

        What somebody else has made of their names meanwhile is left alone, where that is asked.
        """
        for key, offset, length in files:
            begin_item(None)
            pieces = partial(self._spool.pieces, offset, length)
            with suppress(FailedPrecondition, InvalidArgument, PermissionDenied):
                # What is refused here could not be written either.
                if not self._standing.if_absent or self._standing.is_written(key, length, pieces):
                    self._bucket.delete(key)

    def _exported(self, made: _Made, *, is_unchanged: bool = False) -> Exported:
        form, instance = self._task.form, made.instance
        return Exported(
            instance=instance,
            size=sum(made.lengths),
            sha256=None if made.numbered else made.sha256,
            key=form.directory(instance.instance) if made.numbered else instance.key,
            is_unchanged=is_unchanged,
        )


def _reason(error: DataLoss | InvalidArgument | Unimplemented) -> Reason:
    """Give why an instance whose stored bytes are sound cannot be had in the form."""
    match error:
        case PixelError():
            return error.reason
        case NoPixelData():
            return Reason.NO_PIXEL_DATA
        case NotAcceptable() | Unimplemented():
            return Reason.UNSUPPORTED_TRANSCODING
        case _:
            return Reason.MALFORMED
