"""Stands before a PostgreSQL server and cuts its connections when a test says so."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SOCKET: Final = ".s.PGSQL.5432"
_COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""A simple query, as psycopg sends it: type, length, text."""
_READ_BYTES: Final = 1 << 16


@dataclass(slots=True)
class PostgresqlProxy:
    """Passes bytes on between clients and the server of a directory, until it cuts them off."""

    behind: Path
    """The directory of the server's socket."""
    _pairs: set[tuple[socket.socket, socket.socket]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _commits_left: int | None = None
    cuts: int = 0
    """How many COMMITs were carried out whose answer nobody got."""

    def cut_all(self) -> None:
        """Drop every connection, whatever is under way on it."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            _shut(*pair)

    def cut_after_commit(self, number: int) -> None:
        """Have the answer to the ``number``-th COMMIT from now on get lost, with its connection."""
        with self._lock:
            self._commits_left = number

    def serve(self, listening: socket.socket) -> None:
        """Take connections until the socket is closed."""
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self.behind / _SOCKET))
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            lost = threading.Event()
            for function in (self._pass_to_server, self._pass_to_client):
                threading.Thread(target=function, args=(*pair, lost), daemon=True).start()

    def _is_to_be_cut(self, sent: bytes) -> bool:
        if _COMMIT not in sent:
            return False
        with self._lock:
            if self._commits_left is None:
                return False
            self._commits_left -= 1
            if self._commits_left:
                return False
            self._commits_left = None
            self.cuts += 1
            return True

    def _pass_to_server(
        self, client: socket.socket, server: socket.socket, lost: threading.Event
    ) -> None:
        with suppress(OSError):
            while sent := client.recv(_READ_BYTES):
                if self._is_to_be_cut(sent):
                    lost.set()
                server.sendall(sent)
        self._end(client, server)

    def _pass_to_client(
        self, client: socket.socket, server: socket.socket, lost: threading.Event
    ) -> None:
        with suppress(OSError):
            while answered := server.recv(_READ_BYTES):
                if lost.is_set():
                    break  # the server has done it; nobody is told
                client.sendall(answered)
        self._end(client, server)

    def _end(self, client: socket.socket, server: socket.socket) -> None:
        _shut(client, server)
        with self._lock:
            self._pairs.discard((client, server))


def _shut(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextmanager
def proxied(behind: Path, directory: Path) -> Iterator[PostgresqlProxy]:
    """Stand before the server of a directory, with a socket of the same name in another one."""
    proxy = PostgresqlProxy(behind)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(directory / _SOCKET))
    listening.listen(64)
    thread = threading.Thread(target=proxy.serve, args=(listening,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        _shut(listening)
        proxy.cut_all()
        thread.join(10)
