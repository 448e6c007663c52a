"""Lines written: bound together as they come, and durable before a write is answered.

A line of a write is on the disk before its caller goes on; many that come at once share one sync.
Lines of reads wait for up to half a second and are written and synced together, so that no read
waits for the disk; a crash may take those with it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections import deque
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from fileroom.audit.chain import Head, digest_of, find_line, segment_path, segments_of
from fileroom.audit.entries import Note, timestamp
from fileroom.audit.reading import whole_lines
from fileroom.closing import Closing
from fileroom.crashpoints import crashpoint
from fileroom.errors import FileroomError, ResourceExhausted, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fileroom.audit.chain import Segment
    from fileroom.audit.entries import Entry, JsonObject

    FindAnchor = Callable[[str], Head | None]
    KeepAnchor = Callable[[Head], None]

logger = logging.getLogger(__name__)

SYNC_SECONDS: Final = 0.5
WAITING_MAX: Final = 10_000
"""Who brings one more entry of a read writes all of them."""
BATCH_LINES: Final = 500
ANCHOR_LINES: Final = 1000
ANCHOR_SECONDS: Final = 60.0
_DAY_SECONDS: Final = 86_400.0
_TAIL_BYTES: Final = 1 << 20
"""No line comes near it."""


class AuditLog(Closing):
    """The one writer of a directory of segments.

    ``find_anchor`` and ``keep_anchor`` reach a second place, which knows how far the chain went:
    lines that are cut off its end are missed there.
    """

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int,
        retention_days: int,
        find_anchor: FindAnchor = lambda _: None,
        keep_anchor: KeepAnchor = lambda _: None,
    ) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._retention_days = retention_days
        self._keep_anchor = keep_anchor
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._stop = threading.Event()
        self._waiting: deque[tuple[float, Entry]] = deque()
        self._missed = 0
        self._lost: str | None = None
        self._synced = 0
        self._anchored, self._anchored_at = 0, time.monotonic()
        self._swept_at = float("-inf")
        self._file = -1
        self._size = 0
        self._head = Head(chain=uuid.uuid4().hex)
        self._open(find_anchor)
        self._thread = threading.Thread(target=self._tend, name="audit-sync", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> str | None:
        """Why nothing durable is written any more; None while it is."""
        return self._lost

    def check(self) -> None:
        """Let pass what is going to change something.

        Raises
        ------
        Unavailable
            If the disk did not keep an earlier line.
        ResourceExhausted
            If the disk took none of the last lines, and takes none now.
        """
        if self._lost is not None:
            raise Unavailable(
                f"nothing is changed, since the audit log cannot be written: {self._lost}; check"
                " the disk, then restart the server",
                "audit",
            )
        if self._missed:
            with self._lock:
                self._tell_missed()

    def record(self, entry: Entry) -> None:
        """Have a line written soon, which a crash within the next second may take.

        Where the disk takes none, how many are missed is told once it does.
        """
        self._waiting.append((time.time(), entry))
        if len(self._waiting) > WAITING_MAX:
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait, without bringing them to the disk."""
        with self._lock:
            self._drain()

    def record_durably(self, entry: Entry) -> None:
        """Write a line, and come back once it is on the disk.

        Raises
        ------
        Unavailable, ResourceExhausted
            If it is not.
        """
        try:
            self.check()
        except FileroomError:
            self.record(entry)  # as far as that goes
            raise
        with self._lock:
            self._drain()
            try:
                self._append(entry.to_json())
            except FileroomError:
                self._missed += 1
                raise
            sequence = self._head.sequence
        self._sync(sequence)
        self._rotate_if_due()

    def close(self) -> None:
        """Bring all lines to the disk, and tell the second place; a second call does nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        try:
            with self._lock:
                self._drain()
                self._append(Note.CLOSED.to_json({}))
            self._sync(self._head.sequence)
            self._anchor()
        except FileroomError:
            logger.exception("the audit log was not closed")
        with self._lock, self._sync_lock:  # whoever comes late writes into no other file
            closed, self._file = self._file, -1
            os.close(closed)

    # ------------------------------------------------------------------ opening

    def _open(self, find_anchor: FindAnchor) -> None:
        made = not self._directory.exists()
        self._directory.mkdir(mode=0o700, exist_ok=True)
        if made:
            _sync_directory(self._directory.parent)
            crashpoint("audit.made")
        segments = segments_of(self._directory)
        self._begin_file(segments[-1].first if segments else 1)
        told: dict[str, object] = {}
        if segments:
            told = self._go_on(segments)
        anchor = find_anchor(self._head.chain)
        self._synced = self._head.sequence
        if anchor is not None and anchor.sequence > self._head.sequence:
            logger.error("the audit log has lost lines at its end")
            lost = {"found": self._head.sequence, "written": anchor.sequence}
            self._append(Note.SHORTENED.to_json(lost))
        self._append(Note.OPENED.to_json(told))
        self._sync(self._head.sequence)
        self._rotate_if_due()
        self._sweep()
        self._anchor()

    def _go_on(self, segments: list[Segment]) -> dict[str, object]:
        """Take up the chain at its last whole line; give how much of another was cut off."""
        size = os.fstat(self._file).st_size
        begin = max(0, size - _TAIL_BYTES)
        tail = os.pread(self._file, size - begin, begin)
        end = len(tail)
        while end:
            end = tail.rfind(b"\n", 0, end) + 1
            line = tail[tail.rfind(b"\n", 0, max(end - 1, 0)) + 1 : max(end - 1, 0)]
            found = find_line(line)
            if found is not None:
                link = found[1]
                self._head = Head(chain=link.chain, sequence=link.sequence, digest=digest_of(line))
                break
            end = max(end - 1, 0)
        else:
            self._go_on_before(segments)
        kept = begin + end
        self._size = kept
        if kept == size:
            return {}
        os.ftruncate(self._file, kept)
        crashpoint("audit.cut")
        logger.warning("the last line of the audit log was cut short", extra={"bytes": size - kept})
        return {"cutBytes": size - kept}

    def _go_on_before(self, segments: list[Segment]) -> None:
        """Take up the chain at the end of the last segment but one: the last has no line yet."""
        for segment in segments[-2:-1]:
            for line in whole_lines(segment.path):
                found = find_line(line)
                if found is not None:
                    link = found[1]
                    self._head = Head(
                        chain=link.chain, sequence=link.sequence, digest=digest_of(line)
                    )

    def _begin_file(self, first: int) -> None:
        """Open the segment that begins with a line; its name is durable before any line is."""
        path = segment_path(self._directory, first)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, flags, 0o600)
        self._size = os.fstat(self._file).st_size
        _sync_directory(self._directory)
        crashpoint("audit.begun")

    # ------------------------------------------------------------------ writing

    def _tell_missed(self) -> None:
        missed, self._missed = self._missed, 0
        try:
            self._append(Note.MISSED.to_json({"accesses": missed}))
        except FileroomError:
            self._missed = missed
            raise

    def _drain(self) -> None:
        """Write the lines that wait; those that the disk does not take are counted as missed."""
        while self._waiting:
            count = min(len(self._waiting), BATCH_LINES)
            batch = [self._waiting.popleft() for _ in range(count)]
            try:
                self._append_all([(entry.to_json(), at) for at, entry in batch])
            except FileroomError:
                if not self._missed:
                    logger.exception("the audit log cannot be written")
                self._missed += count

    def _append(self, told: JsonObject) -> None:
        self._append_all([(told, time.time())])

    def _append_all(self, entries: list[tuple[JsonObject, float]]) -> None:
        """Write lines; either all of them are in the file or none."""
        if self._missed:
            self._tell_missed()
        head, lines = self._head, []
        for told, at in entries:
            head, line = head.next_line(told, timestamp(at))
            lines.append(line)
        data = b"".join(lines)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self._take_back(error)
            raise ResourceExhausted(
                f"the audit log cannot be written: {error.strerror}; free some space on its disk",
                "NO_SPACE",
            ) from error
        crashpoint("audit.written")
        self._head, self._size = head, self._size + len(data)

    def _take_back(self, why: OSError) -> None:
        """Cut off what there is of a line that the disk did not take."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._lost = why.strerror or "the disk failed"

    def _sync(self, sequence: int) -> None:
        """Come back once a line is on the disk; who waits here is served by the one before."""
        with self._sync_lock:
            if self._synced >= sequence:
                return
            self.check_kept()
            reached = self._head.sequence
            try:
                os.fdatasync(self._file)
            except OSError as error:
                # The kernel drops what it could not write: asked again, it would say all is well.
                self._lost = error.strerror or "the disk failed"
            self.check_kept()
            crashpoint("audit.synced")
            self._synced = reached

    def check_kept(self) -> None:
        """Raise Unavailable if the disk did not keep an earlier line."""
        if self._lost is not None:
            raise Unavailable(
                f"the audit log cannot be written: {self._lost}; check the disk, then restart the"
                " server",
                "audit",
            )

    def _rotate_if_due(self) -> None:
        if self._size < self._segment_bytes:
            return
        self._sync(self._head.sequence)  # most of it, while others still write
        with self._lock, self._sync_lock:
            if self._size < self._segment_bytes or self._lost is not None:
                return
            old = self._file
            try:
                os.fdatasync(old)
                self._synced = self._head.sequence
                self._begin_file(self._head.sequence + 1)
            except OSError:
                self._file = old
                logger.exception("the audit log got no new file")
                return
            os.close(old)

    # ------------------------------------------------------------------ upkeep

    def _tend(self) -> None:
        while not self._stop.wait(SYNC_SECONDS):
            try:
                self.flush()
                self._sync(self._head.sequence)
                self._rotate_if_due()
                since = time.monotonic() - self._anchored_at
                if self._synced - self._anchored >= ANCHOR_LINES or since >= ANCHOR_SECONDS:
                    self._anchor()
                if time.monotonic() - self._swept_at >= _DAY_SECONDS:
                    self._sweep()
            except (FileroomError, OSError):
                logger.exception("the audit log is not tended")

    def _anchor(self) -> None:
        """Tell the second place how far the chain is on the disk."""
        with self._lock:
            head = self._head
        self._anchored_at = time.monotonic()
        if head.sequence == self._anchored:
            return
        self._sync(head.sequence)
        try:
            self._keep_anchor(head)
        except (Unavailable, ResourceExhausted) as error:
            logger.warning("the audit log's end is not noted", extra={"cause": str(error)})
            return
        self._anchored = head.sequence

    def _sweep(self) -> None:
        """Delete segments whose last line is older than lines are kept; a line says so before."""
        self._swept_at = time.monotonic()
        if not self._retention_days:
            return
        oldest = time.time() - self._retention_days * _DAY_SECONDS
        segments = segments_of(self._directory)
        for segment, following in pairwise(segments):
            # What begins the next one is no older than what ends this one.
            if _begun_at(following) >= oldest:
                return
            with self._lock:
                self._append(Note.DROPPED.to_json({"through": following.first - 1}))
            self._sync(self._head.sequence)
            segment.path.unlink()
            crashpoint("audit.dropped")


def _begun_at(segment: Segment) -> float:
    for line in whole_lines(segment.path):
        found = find_line(line)
        if found is not None:
            return datetime.fromisoformat(str(found[0]["timestamp"])).timestamp()
    return time.time()


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
