"""Uploads that come in several requests, between those requests.

Bounded in number and in the time without a word from their client, for each holds a file open.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from fileroom.errors import FileroomError, NotFound, ResourceExhausted, Unavailable

if TYPE_CHECKING:
    from fileroom.api.storage.incoming import IncomingObject
    from fileroom.api.streaming import InThread
    from fileroom.api.wire import JsonObject
    from fileroom.objectstore.contract import Bucket

logger = logging.getLogger(__name__)

SESSIONS_MAX: Final = 100
IDLE_SECONDS: Final = 3600.0
EXPIRY_SECONDS: Final = 60.0
"""Between two looks for uploads without a word."""
WAITING_SECONDS: Final = 120.0
"""After so long without a word an upload gives way to a new one, where there are too many."""


@dataclass(slots=True, kw_only=True)
class UploadSession:
    """One upload, of which some bytes may be there."""

    bucket: str
    incoming: IncomingObject
    total_bytes: int | None
    """How many will come, where the client has said so."""
    resource: JsonObject | None = None
    """The object, once it is whole."""
    is_taken: bool = False
    """Whether a request is at it."""
    spoken_at: float = field(default_factory=time.monotonic)


async def expire_uploads(sessions: UploadSessions, in_thread: InThread) -> None:
    """Give up, from time to time, what clients have left."""
    while True:
        await anyio.sleep(EXPIRY_SECONDS)
        await in_thread(sessions.expire)


class UploadSessions:
    """The uploads under way, by an identifier that nobody can guess."""

    def __init__(
        self,
        *,
        sessions_max: int = SESSIONS_MAX,
        idle_seconds: float = IDLE_SECONDS,
        waiting_seconds: float = WAITING_SECONDS,
        began_at: float | None = None,
    ) -> None:
        self._sessions_max = sessions_max
        self._idle_seconds = idle_seconds
        self._waiting_seconds = waiting_seconds
        self._began_at = time.time() if began_at is None else began_at
        self._swept: set[str] = set()
        self._sweeping = threading.Lock()
        self._sessions: dict[str, UploadSession] = {}
        self._lock = threading.Lock()

    def add(self, session: UploadSession) -> str:
        """Give the identifier of a new upload.

        Raises
        ------
        ResourceExhausted
            If there are too many under way.
        """
        with self._lock:
            self._drop_idle()
            self._drop_oldest_done()
            if self._under_way() >= self._sessions_max:
                self._drop_longest_waiting()
            if self._under_way() >= self._sessions_max:
                raise ResourceExhausted(
                    f"{self._sessions_max} resumable uploads are under way, which is the most this"
                    " server takes; finish some, or send the object in one request"
                )
            identifier = secrets.token_urlsafe(24)
            self._sessions[identifier] = session
        return identifier

    def take(self, identifier: str, bucket: str) -> UploadSession:
        """Give an upload to one request, which gives it back.

        Raises
        ------
        NotFound
            If there is none, or its client said nothing for too long.
        Unavailable
            If another request is at it, which may be one whose connection broke.
        """
        with self._lock:
            self._drop_idle()
            session = self._sessions.get(identifier)
            if session is None or session.bucket != bucket:
                raise NotFound(
                    "this resumable upload does not exist, or its client said nothing for"
                    f" {self._idle_seconds:.0f} s; begin it again",
                    "upload_id",
                )
            if session.is_taken:
                raise Unavailable("another request of this upload is not over yet", "upload_id")
            session.is_taken = True
        return session

    def give_back(self, session: UploadSession) -> None:
        """Let the next request have it."""
        with self._lock:
            session.is_taken = False
            session.spoken_at = time.monotonic()

    def drop(self, session: UploadSession) -> None:
        """Forget an upload and throw away what is not an object yet."""
        with self._lock:
            kept = {name: each for name, each in self._sessions.items() if each is not session}
            self._sessions = kept
        session.incoming.close()

    def close(self) -> None:
        """Throw away all that is under way."""
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.incoming.close()

    def expire(self) -> None:
        """Give up what a client said nothing about for too long."""
        with self._lock:
            self._drop_idle()

    def sweep_once(self, place: str, bucket: Bucket) -> None:
        """Have what a server that was killed left in a bucket deleted, beside all else.

        A thread of its own walks the bucket, which may take minutes, and one bucket at a time.
        """
        with self._lock:
            if place in self._swept:
                return
            self._swept.add(place)
        threading.Thread(target=self._sweep, args=(bucket,), name="sweep", daemon=True).start()

    def _sweep(self, bucket: Bucket) -> None:
        with self._sweeping:
            try:
                bucket.sweep_temporaries(older_than_seconds=time.time() - self._began_at)
            except (FileroomError, OSError, RecursionError) as error:
                logger.warning("a bucket was not swept", extra={"cause": type(error).__name__})

    def _under_way(self) -> int:
        return sum(each.resource is None for each in self._sessions.values())

    def _drop_longest_waiting(self) -> None:
        """Give up the upload whose client said nothing for longest, if for long enough."""
        waiting = [
            (session.spoken_at, identifier)
            for identifier, session in self._sessions.items()
            if session.resource is None and not session.is_taken
        ]
        spoken_at, identifier = min(waiting, default=(time.monotonic(), ""))
        if spoken_at <= time.monotonic() - self._waiting_seconds and identifier:
            self._sessions.pop(identifier).incoming.close()

    def _drop_oldest_done(self) -> None:
        """Keep as many that are whole as may be under way, for clients that saw no answer."""
        done = [
            identifier
            for identifier, session in self._sessions.items()
            if session.resource is not None and not session.is_taken
        ]
        for identifier in done[: -self._sessions_max]:
            del self._sessions[identifier]

    def _drop_idle(self) -> None:
        limit = time.monotonic() - self._idle_seconds
        for identifier, session in list(self._sessions.items()):
            if session.spoken_at < limit and not session.is_taken:
                del self._sessions[identifier]
                session.incoming.close()
