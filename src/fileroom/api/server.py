"""uvicorn in this process: it says when it answers, and ends in an orderly way."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from fileroom.api.app import create_app
from fileroom.api.connections import BoundedHttpProtocol
from fileroom.errors import Internal

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from starlette.types import ASGIApp

    from fileroom.deployment import Deployment

DRAIN_SECONDS: Final = 10
"""For requests under way when the end is asked for; the operations' drain comes after."""
KEEP_ALIVE_SECONDS: Final = 60
BACKLOG: Final = 512
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy, authenticated encryption. Those of TLS 1.3 are no other."""
START_LOOK_SECONDS: Final = 0.1
"""How often it is looked whether a server that starts in a thread has ended instead."""


class Server(uvicorn.Server):
    """One HTTP server over an application whose deployment somebody else opens and closes."""

    def __init__(
        self, app: ASGIApp, on_started: Callable[[], None], tls: tuple[Path, Path] | None = None
    ) -> None:
        cert, key = tls or (None, None)
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttpProtocol,
                loop="uvloop",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                ssl_certfile=cert,
                ssl_keyfile=key,
                ssl_ciphers=CIPHERS,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    def stop(self) -> None:
        """Have the server drain and end; from any thread."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Turn SIGTERM and SIGINT into an orderly end.

        uvicorn's own way raises the signal again after the drain, which would end the process
        before the operations are given up.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def end(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_server(
    deployment: Deployment,
    listener: socket.socket,
    on_started: Callable[[], None],
    files: Mapping[str, tuple[str, bytes]],
) -> None:
    """Serve a deployment, and the console's files, until SIGTERM or SIGINT; then drain."""
    tls = deployment.settings.tls
    Server(create_app(deployment, files=files), on_started, tls).run(sockets=[listener])


@contextmanager
def serving(deployment: Deployment, listener: socket.socket) -> Iterator[None]:
    """Serve a deployment beside the caller's own work, from the first answer to the last.

    Raises
    ------
    Internal
        If the server ended before it answered.
    """
    answers = threading.Event()
    server = Server(create_app(deployment), answers.set)
    thread = threading.Thread(target=server.run, args=([listener],), name="server", daemon=True)
    thread.start()
    try:
        while not answers.wait(START_LOOK_SECONDS):
            if not thread.is_alive():
                raise Internal("the server in this process ended before it answered")
        yield
    finally:
        server.stop()
        thread.join()
