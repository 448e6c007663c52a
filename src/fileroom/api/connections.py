"""HTTP/1.1 as uvicorn speaks it, with limits on what comes before a request is whole.

uvicorn takes headers of any size and waits for them for ever; clients that open connections and say
little would fill the server with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fileroom.api.errors import status_answer
from fileroom.errors import Code

if TYPE_CHECKING:
    from asyncio import Transport
    from asyncio.events import TimerHandle

HEAD_BYTES_MAX: Final = 32 * 1024
"""Request line and headers together."""
HEADERS_MAX: Final = 200
HEAD_SECONDS: Final = 30.0
"""How long a request's headers may take."""


class _HeadTooLarge(Exception):
    """The headers are over a limit; the parser hands it on as a fault of its own."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection whose request heads are bounded in bytes, number and time."""

    _in_head = False
    _head_bytes = 0
    _unparsed_bytes = 0
    _too_large = False
    _head_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # uvicorn's access lines hold query strings, and with them tokens and patients' names.
        self.access_log = False
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and cut off a head that does not end.

        The parser keeps a header to itself until it is whole, so what it was fed counts as well.
        """
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head and not self.transport.is_closing():
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > HEAD_BYTES_MAX:
                self._too_large = True
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """Count anew for each request of the connection."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._unparsed_bytes = 0
        self._start_head_timer()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one header."""
        self._count(len(name) + len(value) + 4)
        if len(self.headers) >= HEADERS_MAX:
            self._too_large = True
            raise _HeadTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request on."""
        self._in_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or one with too large a head, and close."""
        answer = status_answer(400, Code.INVALID_ARGUMENT.name, msg)
        reason = "Bad Request"
        if self._too_large:
            limits = f"{HEAD_BYTES_MAX} bytes or {HEADERS_MAX} in number"
            message = f"The request's headers are over {limits}."
            answer = status_answer(431, Code.INVALID_ARGUMENT.name, message)
            reason = "Request Header Fields Too Large"
        assert isinstance(answer.body, bytes)
        head = (
            f"HTTP/1.1 {answer.status} {reason}\r\n"
            f"content-type: {answer.media_type}\r\n"
            f"content-length: {len(answer.body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + answer.body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAX:
            self._too_large = True
            raise _HeadTooLarge

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
