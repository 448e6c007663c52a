"""What tells the servers that share a database of this one, and this one of those that died."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from typing import TYPE_CHECKING, Final

from fileroom.database import servers
from fileroom.errors import FileroomError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.archive.storing import StoringRequests
    from fileroom.database.engine import Database

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 5.0
STOP_SECONDS: Final = 5.0


class Presence:
    """A thread that prolongs this server's lease, and forgets servers whose lease is over.

    A server that was at a halt for longer than its lease goes on under another name: the requests
    that it had begun can commit nothing any more.
    """

    def __init__(
        self, database: Database, requests: StoringRequests, on_death: Callable[[], None]
    ) -> None:
        self._database = database
        self._requests = requests
        self._on_death = on_death
        self._boot = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Make this server known to the others; it is before the first request."""
        self._begin()
        self._thread.start()

    def stop(self, *, is_settled: bool) -> None:
        """End; nothing may be stored any more.

        Where it is not settled what this server left, it is for the others to find out.
        """
        self._stopping.set()
        self._thread.join(STOP_SECONDS)
        if not is_settled:
            return
        try:
            self._database.write(lambda tx: servers.forget_server(tx, self._boot))
        except FileroomError as error:
            logger.warning("the others will find out", extra={"cause": str(error)})

    def beat(self) -> None:
        """Prolong the lease, and look whose is over."""
        if not self._database.write(lambda tx: servers.prolong_server(tx, self._boot)):
            logger.warning("taken for dead by another server", extra={"boot": self._boot})
            self._begin()
        dead = self._database.write(servers.forget_dead_servers)
        if dead:
            logger.warning("servers are dead", extra={"boots": ", ".join(dead)})
            self._on_death()

    def _begin(self) -> None:
        boot = secrets.token_hex(6)
        self._database.write(lambda tx: servers.register_server(tx, boot, socket.gethostname()))
        self._boot = boot
        self._requests.bear(boot)

    def _run(self) -> None:
        while not self._stopping.wait(HEARTBEAT_SECONDS):
            try:
                self.beat()
            except FileroomError as error:
                logger.warning("heartbeat failed", extra={"cause": str(error)})
            except Exception:  # without it this server would be taken for dead
                logger.exception("heartbeat failed by a fault of Fileroom's own")
