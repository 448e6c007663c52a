"""Frames through the codecs: in worker processes, or in this one.

A worker is told where a frame lies and gives back bytes. Results come in the order of the frames, a
bounded number of which is under way at a time. A frame that ends its worker is tried once more and
then fails whoever asked for it; nobody else's does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from fileroom.archive.frames import Frame
from fileroom.archive.workers import refusal, result_of
from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.pixels.frames import reencode_frame
from fileroom.dicom.pixels.render import render_frame
from fileroom.errors import WorkerLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from fileroom.archive.workers import RequestWorkers
    from fileroom.dicom.pixels.description import PixelDescription
    from fileroom.dicom.pixels.presentation import Presentation
    from fileroom.dicom.pixels.rendering_options import PictureType, RenderingOptions

WINDOW_BYTES: Final = 64 << 20
"""Of frames under way for one answer, as decoded; one alone may have more."""


LIGHT_BYTES: Final = 1 << 20
"""Of a native frame, and of its picture, that is made where it is asked for."""


class FrameBytes(Protocol):
    """Where the bytes of a stored frame come from."""

    def read(self) -> bytes:
        """Give them at one go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reencoding:
    """A stored frame that is wanted in another transfer syntax."""

    number: int
    frame: FrameBytes
    description: PixelDescription
    stored: str
    asked: str

    @property
    def weight_bytes(self) -> int:
        """About what its result takes in memory."""
        return self.description.decoded_frame_bytes

    @property
    def is_light(self) -> bool:
        """Never: a codec reads what was stored, and may crash or hang on it."""
        return False

    def run(self) -> bytes:
        """Give the frame; raises as ``reencode_frame`` does."""
        return reencode_frame(self.frame.read(), self.description, self.stored, self.asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A stored frame that is wanted as a picture."""

    number: int
    frame: FrameBytes
    presentation: Presentation
    media_type: PictureType
    options: RenderingOptions

    @property
    def weight_bytes(self) -> int:
        """About what its result takes in memory."""
        return self.presentation.description.decoded_frame_bytes

    @property
    def is_light(self) -> bool:
        """Whether no codec reads what was stored, and little time and memory is needed.

        To hand such a frame to another process takes as long as to make the picture.
        """
        viewport = self.options.viewport
        picture_bytes = 0 if viewport is None else 3 * viewport.width * viewport.height
        return (
            self.presentation.transfer_syntax_uid in NATIVE_TRANSFER_SYNTAXES
            and self.presentation.palette is None  # which may be written as segments
            and max(self.weight_bytes, picture_bytes) <= LIGHT_BYTES
        )

    def run(self) -> bytes:
        """Give the picture; raises as ``render_frame`` does."""
        return render_frame(self.frame.read(), self.presentation, self.media_type, self.options)


FrameTask = Reencoding | Rendering


class Codecs(Protocol):
    """Who does what is to be done with frames."""

    def run(self, tasks: Iterable[FrameTask], what: str) -> Iterator[bytes]:
        """Give the results in order; ``what`` names the instance in an error.

        Raises
        ------
        PixelError
            If a frame cannot be had as asked.
        DataLoss, ResourceExhausted, Unavailable
            If the process that was at a frame ended; see ``workers.refusal``.
        """


class OwnCodecs:
    """Runs the codecs in this very process: for one that is itself confined."""

    def __init__(self, begin_frame: Callable[[], None]) -> None:
        self._begin_frame = begin_frame

    def run(self, tasks: Iterable[FrameTask], what: str) -> Iterator[bytes]:
        """Give the results in order; the time that a frame may take begins with each."""
        del what  # who runs the process names its objects
        for task in tasks:
            self._begin_frame()
            yield task.run()


class PoolCodecs:
    """Runs the codecs in worker processes, and here what is light."""

    def __init__(self, workers: RequestWorkers) -> None:
        self._workers = workers

    def run(self, tasks: Iterable[FrameTask], what: str) -> Iterator[bytes]:
        """Give the results in order, drawing few frames ahead of the one that is given."""
        begun: deque[_Begun] = deque()
        weight = 0
        try:
            for task in tasks:
                if not begun and task.is_light:
                    yield task.run()
                    continue
                full = weight + task.weight_bytes > WINDOW_BYTES
                while begun and (full or len(begun) > self._workers.count):
                    weight -= begun[0].task.weight_bytes
                    yield self._result(begun.popleft(), what)
                    full = weight + task.weight_bytes > WINDOW_BYTES
                begun.append(_Begun(task, self._submit(task)))
                weight += task.weight_bytes
            while begun:
                yield self._result(begun.popleft(), what)
        finally:
            for left in begun:
                left.future.cancel()

    def _submit(self, task: FrameTask) -> Future[bytes]:
        frame = task.frame.detached() if isinstance(task.frame, Frame) else task.frame
        detached = replace(task, frame=frame)
        return self._workers.submit(_run, _Confined(detached, self._workers.begin_item))

    def _result(self, begun: _Begun, what: str) -> bytes:
        number = begun.task.number
        try:
            try:
                return result_of(begun.future)
            except WorkerLost:
                pass
            return result_of(self._submit(begun.task))
        except WorkerLost as error:
            raise refusal(error, f"frame {number} of {what}") from error
        finally:
            del begun  # as in ``result_of``


@dataclass(frozen=True, slots=True)
class _Begun:
    task: FrameTask
    future: Future[bytes]


@dataclass(frozen=True, slots=True)
class _Confined:
    """A task as a worker is given it."""

    task: FrameTask
    begin_item: Callable[[int | None], None]


def _run(confined: _Confined) -> bytes:
    confined.begin_item(0)
    return confined.task.run()
