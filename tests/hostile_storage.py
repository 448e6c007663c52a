"""A cloud that misbehaves on demand: objects in memory, served as one of the clouds serves them.

It speaks what Fileroom uses of S3, of Cloud Storage's JSON API and of Azure Blob Storage, on a
loopback port, and notes each request. A *rule* says which requests meet which *fault*; a fault may
answer in the cloud's stead, or change the question, or what is sent of the true answer.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, Self, overload

from fileroom.objectstore.buckets import BucketSettings
from tests.hostile_dialects import DIALECTS, REFUSALS, Asked, Refusal, Reply, Scheme, Stored

if TYPE_CHECKING:
    from email.message import Message
    from pathlib import Path

ACCOUNT: Final = "hostile"
ALWAYS: Final = 1 << 60
_SILENCE_SECONDS: Final = 60.0

Answer = Callable[[Asked], Reply]
Fault = Callable[[Asked, Answer], Reply]


# Faults


def refused(
    status: int, code: str = "", *, retry_after: str = "", headers: Mapping[str, str] | None = None
) -> Fault:
    """Answer with an error in the cloud's words, and do nothing."""
    more = {**(headers or {}), **({"Retry-After": retry_after} if retry_after else {})}

    def fault(asked: Asked, answer: Answer) -> Reply:
        del answer
        reply = DIALECTS[asked.scheme].refusal(status, code, "as the test has it")
        return replace(reply, headers={**reply.headers, **more})

    return fault


def refused_as(case: str) -> Fault:
    """Answer with this cloud's error for a case of ``REFUSALS``."""

    def fault(asked: Asked, answer: Answer) -> Reply:
        status, code = REFUSALS[case][asked.scheme]
        return refused(status, code)(asked, answer)

    return fault


def ended(ending: Literal["closed", "reset", "silent"], *, sent: int = -1) -> Fault:
    """Do what is asked, and end the connection after so many bytes of the body."""

    def fault(asked: Asked, answer: Answer) -> Reply:
        return replace(answer(asked), ending=ending, sent=sent)

    return fault


def dripping(seconds: float) -> Fault:
    """Send the body byte by byte, so far apart."""

    def fault(asked: Asked, answer: Answer) -> Reply:
        return replace(answer(asked), ending="dripping", drip_seconds=seconds)

    return fault


def shortened(length: int) -> Fault:
    """Send the beginning of the body as if it were all."""

    def fault(asked: Asked, answer: Answer) -> Reply:
        reply = answer(asked)
        return replace(reply, body=reply.body[:length])

    return fault


def halved(asked: Asked, answer: Answer) -> Reply:
    """Send the first half of the body as if it were all."""
    reply = answer(asked)
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def lengthened(extra: bytes) -> Fault:
    """Send more than was asked for."""

    def fault(asked: Asked, answer: Answer) -> Reply:
        reply = answer(asked)
        return replace(reply, body=reply.body + extra)

    return fault


def flipped(at: int) -> Fault:
    """Flip a bit of one byte of the body."""

    def fault(asked: Asked, answer: Answer) -> Reply:
        reply = answer(asked)
        body = bytearray(reply.body)
        body[at] ^= 1
        return replace(reply, body=bytes(body))

    return fault


def after(act: Callable[[], object]) -> Fault:
    """Let something happen in the cloud just before it answers."""

    def fault(asked: Asked, answer: Answer) -> Reply:
        act()
        return answer(asked)

    return fault


def asked_otherwise(change: Callable[[Asked], Asked]) -> Fault:
    """Answer another question than was asked."""

    def fault(asked: Asked, answer: Answer) -> Reply:
        return answer(change(asked))

    return fault


@dataclass(kw_only=True)
class Rule:
    """Which requests meet a fault."""

    fault: Fault
    operation: str = ""
    """Empty for all."""
    key: str = ""
    when: Callable[[Asked], bool] | None = None
    skip: int = 0
    """How many pass before the first that does not."""
    times: int = ALWAYS
    share: float = 1.0
    draw: random.Random = field(default_factory=lambda: random.Random(1))

    def takes(self, asked: Asked) -> bool:
        """Whether this request meets it; each that does counts."""
        if self.operation not in {"", asked.operation} or self.key not in {"", asked.key}:
            return False
        if self.when is not None and not self.when(asked):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if not self.times or self.draw.random() >= self.share:
            return False
        self.times -= 1
        return True


# What it holds


class ManyKeys(Sequence[str]):
    """Keys in order that nobody holds in memory."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [f"many/{each:09}" for each in range(*index.indices(self._number))]
        if index >= self._number:
            raise IndexError(index)
        return f"many/{index:09}"


class HostileBucket:
    """A bucket, what shall go wrong with it, and what it was asked."""

    def __init__(self, scheme: Scheme, name: str, url: str) -> None:
        self.scheme: Scheme = scheme
        self.name = name
        self.dialect = DIALECTS[scheme]
        self.requests: list[Asked] = []
        self.page_keys = 1000
        """How many keys a page holds at most."""
        self.many = 0
        """How many keys it lists that are no objects, in the place of those that are."""
        self._url = url
        self._objects: dict[str, Stored] = {}
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._ended: dict[str, Stored] = {}
        self._rules: list[Rule] = []
        self._numbers = count(1001)
        self._lock = threading.RLock()

    def settings(self, credentials: str = "anonymous") -> BucketSettings:
        """Give how Fileroom reaches it."""
        return BucketSettings(
            name=f"{self.scheme}://{self.name}",
            endpoint=f"{self._url}/{ACCOUNT}" if self.scheme == "az" else self._url,
            region="us-east-1" if self.scheme == "s3" else "",
            credentials=credentials,
        )

    def obey(self, rule: Rule) -> Rule:
        """Have requests meet a fault; of several rules the first that takes a request counts."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def mend(self) -> None:
        """Have nothing go wrong any more."""
        with self._lock:
            self._rules.clear()

    def asked(self, operation: str = "", key: str = "") -> list[Asked]:
        """Give the requests of this kind, in the order they came."""
        with self._lock:
            return [
                one
                for one in self.requests
                if operation in {"", one.operation} and key in {"", one.key}
            ]

    def put(self, key: str, content: bytes) -> Stored:
        """Write an object as somebody else would."""
        with self._lock:
            version = self.dialect.version(content, next(self._numbers))
            self._objects[key] = stored = Stored(
                content=content, version=version, size=len(content)
            )
            return stored

    def remove(self, key: str) -> None:
        """Delete an object, if it is there."""
        with self._lock:
            self._objects.pop(key, None)

    def content(self, key: str) -> bytes:
        """Give the bytes of an object."""
        return self._objects[key].content

    @property
    def is_filled(self) -> bool:
        """Whether it holds an object."""
        return bool(self._objects)

    # ---------------------------------------------------------------- as the dialects ask

    def answer(self, asked: Asked) -> Reply:
        """Answer a request as the rules have it."""
        with self._lock:
            self.requests.append(asked)
            rule = next((one for one in self._rules if one.takes(asked)), None)
        return self._plainly(asked) if rule is None else rule.fault(asked, self._plainly)

    def _plainly(self, asked: Asked) -> Reply:
        try:
            return self.dialect.answer(self, asked)
        except Refusal as refusal:
            return self.dialect.refusal(refusal.status, refusal.code, "no")

    def find(self, asked: Asked) -> Stored:
        """Give the object that is asked for, at its version."""
        stored = self._objects.get(asked.key)
        if stored is None:
            raise Refusal(*REFUSALS["absent"][self.scheme])
        if asked.version not in {"", stored.version}:
            code = "ConditionNotMet" if asked.scheme == "az" else "PreconditionFailed"
            raise Refusal(asked.changed_status, code)
        return stored

    def accept(self, asked: Asked) -> Stored:
        """Write an object as a request asks."""
        with self._lock:
            self._check_absent(asked)
            return self.put(asked.key, asked.content)

    def _check_absent(self, asked: Asked) -> None:
        if asked.if_absent and asked.key in self._objects:
            raise Refusal(*REFUSALS["exists"][self.scheme])

    def page(self, asked: Asked) -> tuple[list[tuple[str, Stored]], str]:
        """Give what a page holds, and the token of the next."""
        some = Stored(content=b"", version=self.dialect.version(b"", 1), size=1000)
        with self._lock:
            keys = ManyKeys(self.many) if self.many else sorted(self._objects)
            last = bytes.fromhex(asked.token).decode() if asked.token else asked.start_after
            first = max(bisect_right(keys, last), bisect_left(keys, asked.start_from))
            wanted = min(asked.at_most, self.page_keys)
            found = [key for key in keys[first : first + wanted] if key.startswith(asked.prefix)]
            entries = [(key, self._objects.get(key, some)) for key in found]
        token = found[-1].encode().hex() if first + wanted < len(keys) and found else ""
        if asked.next_token is not None:
            token = asked.next_token
        return entries[:: -1 if asked.backwards else 1], token

    def begin(self) -> str:
        """Begin an upload, and give its name."""
        with self._lock:
            upload = f"upload{next(self._numbers)}"
            self._uploads[upload] = {}
            return upload

    def add(self, asked: Asked) -> dict[int, bytes]:
        """Take a part of an upload, and give all of them."""
        parts = self._uploads.setdefault(asked.upload, {})
        parts[asked.number] = asked.content
        return parts

    def finish(self, asked: Asked, *, last: bool = False) -> Stored:
        """Make an object of an upload, of which the ``last`` part may come with the request.

        A session of Cloud Storage that has ended tells what it made; others are gone.
        """
        ended = self._ended.get(asked.upload)
        if ended is not None and last:
            return ended
        parts = self._uploads.pop(asked.upload, None)
        if parts is None:
            self._check_absent(asked)
            raise Refusal(404, "NoSuchUpload")
        if last:
            parts[asked.number] = asked.content
        self._check_absent(asked)
        made = self.put(asked.key, b"".join(parts[number] for number in sorted(parts)))
        self._ended[asked.upload] = made
        return made

    def abort(self, asked: Asked) -> None:
        """Forget an upload."""
        self._uploads.pop(asked.upload, None)


# On the wire


class HostileStorage:
    """A server of one cloud's kind; a context manager that ends it."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme: Scheme = scheme
        self.buckets: dict[str, HostileBucket] = {}
        self.errors: list[BaseException | None] = []
        self.closing = threading.Event()
        self._under_way = 0
        self._lock = threading.Lock()
        self._listener = _Listener(self)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,))
        self._thread.start()

    def bucket(self, name: str = "scans") -> HostileBucket:
        """Give a bucket, which is made when it is first asked for."""
        if name not in self.buckets:
            self.buckets[name] = HostileBucket(self.scheme, name, self.url)
        return self.buckets[name]

    def answer(self, method: str, url: str, headers: Message, body: bytes) -> Reply:
        """Answer a request."""
        with self._lock:
            self._under_way += 1
            under_way = self._under_way
        try:
            asked = DIALECTS[self.scheme].parse(method, url, headers, body)
            asked = replace(asked, at=time.monotonic(), under_way=under_way)
            return self.bucket(asked.bucket).answer(asked)
        finally:
            with self._lock:
                self._under_way -= 1

    def close(self) -> None:
        """End it, and what still waits for an answer."""
        self.closing.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
        assert self.errors == []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, storage: HostileStorage) -> None:
        self.storage = storage
        super().__init__(("127.0.0.1", 0), _Handler)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """End a connection without a word of farewell, so that a reset is one."""
        self.close_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that the other side ended; the rest is a fault of ours."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.storage.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def do_GET(self) -> None:
        storage = self.server.storage
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._send(storage.answer(self.command, self.path, self.headers, body))

    do_DELETE = do_HEAD = do_POST = do_PUT = do_GET

    def _send(self, reply: Reply) -> None:
        has_body = self.command != "HEAD" and reply.status not in {204, 304}
        headers = {**reply.headers, "Content-Length": str(len(reply.body))}
        lines = [f"HTTP/1.1 {reply.status} told", *(f"{k}: {v}" for k, v in headers.items())]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        body = reply.body if has_body else b""
        if reply.ending == "dripping":
            self._drip(head, body, reply.drip_seconds)
        elif reply.sent is None or reply.sent >= 0:
            self.wfile.write(head + body[: reply.sent])
        if reply.ending == "silent":
            self.server.storage.closing.wait(_SILENCE_SECONDS)
        if reply.ending == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = reply.ending != "kept"

    def _drip(self, head: bytes, body: bytes, seconds: float) -> None:
        self.wfile.write(head)
        for number in range(len(body)):
            if self.server.storage.closing.wait(seconds):
                return
            self.wfile.write(body[number : number + 1])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Trap:
    """A place that nobody may ever connect to; a context manager."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.02)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.connections = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
                self.connections += 1
            except TimeoutError:
                if self._ended.is_set():
                    return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()


def write_credentials(path: Path, scheme: Scheme, name: str) -> str:
    """Write a file of credentials that bear a name, and give its path."""
    if scheme == "s3":
        text = f"[default]\naws_access_key_id = {name}\naws_secret_access_key = secret-of-{name}\n"
    else:
        text = f"sv=2024-01-01&sp=rl&sig={name}"
    path.write_text(text)
    return str(path)
