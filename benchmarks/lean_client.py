"""A client of HTTP/1.1 that does next to nothing, so that what is measured is the server.

``http.client`` takes 0.3 ms of the two cores for each answer, as much as a server
has to do for one.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, NamedTuple

from fileroom.closing import Closing

if TYPE_CHECKING:
    from collections.abc import Mapping

_BUFFER_BYTES: Final = 4 << 20
_HEAD_ENDS: Final = b"\r\n\r\n"
_CHUNKS_END: Final = b"\r\n0\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


class Answer(NamedTuple):
    """How an answer came; its body is not kept."""

    status: int
    size: int
    """Of the body, in bytes as sent: with the sizes of its chunks, if it came in chunks."""


class LeanClient(Closing):
    """One connection that is kept.

    Parameters
    ----------
    host, port
        Of the server.

    Raises
    ------
    ConnectionError
        If the server ends the connection within an answer.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = f"{host}:{port}"
        self._socket = socket.create_connection((host, port), timeout=300)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Ask for a path and read all of the answer."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n{fields}\r\n".encode())
        held = 0
        while (end := self._buffer.find(_HEAD_ENDS, 0, held)) < 0:
            held += self._receive(held)
        head = bytes(self._view[:end]).lower()
        start = end + len(_HEAD_ENDS)
        _, found, length = head.partition(_LENGTH)
        status = int(head.split(maxsplit=2)[1])
        if found:
            return Answer(status, self._drop(int(length.split(b"\r", 1)[0]), held - start))
        return Answer(status, self._drop_chunks(start, held))

    def _drop(self, size: int, held: int) -> int:
        while held < size:
            held += self._receive(0)
        return held

    def _drop_chunks(self, start: int, held: int) -> int:
        """Read to what ends the last chunk, or to the end of the connection."""
        size, tail = held - start, bytes(self._view[max(start, held - len(_CHUNKS_END)) : held])
        while tail != _CHUNKS_END:
            if not (count := self._socket.recv_into(self._view)):
                break  # an answer that is ended by the end of its connection
            size += count
            tail = tail + bytes(self._view[max(0, count - len(_CHUNKS_END)) : count])
            tail = tail[-len(_CHUNKS_END) :]
        return size

    def _receive(self, at: int) -> int:
        count = self._socket.recv_into(self._view[at:])
        if not count:
            raise ConnectionError("the server ended the connection within an answer")
        return count

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
