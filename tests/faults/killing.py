"""A server that is killed at drawn moments of running operations, and started again each time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fileroom.client import Client
from tests import fault_tools as tools
from tests.fault_tools import Disk, Standing

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fileroom.client import Operation
    from fileroom.names import OperationName
    from tests.server import RunningServer

    Start = Callable[[Client], Operation]

KILLS: Final = 20
RESUME_SECONDS: Final = 5.0
"""Within which a server that is started again has taken up what a killed one left."""
BUSY_STARTS: Final = 3.0
"""On a busy machine: within how many times what the start of a server takes that finds nothing."""


@dataclass(slots=True)
class Killings:
    """Kills until enough kills met a running operation; one that ends before is followed by more.

    A kill counts if the operation was claimed and not done when its server was dead. Some more
    meet a server that is just starting.
    """

    data: Path
    draw: random.Random
    start: Start
    """Start one more operation."""
    environment: dict[str, str]
    hits: int = 0
    started: list[OperationName] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)
    """How many objects were committed at each kill."""
    start_seconds: float = 0.0
    """How long the first server took to start."""
    resumed_seconds: list[float] = field(default_factory=list)
    """From each start of a server to its claim of the operation."""
    outlived_seconds: list[float] = field(default_factory=list)
    """How long workers lived on after each kill."""

    @contextmanager
    def survived(self) -> Iterator[tuple[Client, list[Operation]]]:
        """Do all kills, then give a client of the last server, and the operations at their end."""
        began = time.monotonic()
        server = self._spawn()
        try:
            tools.wait_ready(server)
            self.start_seconds = time.monotonic() - began
            server = self._kill_often(server)
            tools.wait_ready(server)
            with Client(server.url) as client:
                yield client, [client.wait(name, poll_seconds=0.05) for name in self.started]
        finally:
            tools.end(server)

    def check_quick(self) -> None:
        """What a killed server left is taken up at once, not when a lease has run out."""
        allowed = max(RESUME_SECONDS, BUSY_STARTS * self.start_seconds)
        assert max(self.resumed_seconds) <= allowed

    def __str__(self) -> str:
        return (
            f"{self.hits} kills in {len(self.started)} operations, at {self.committed} objects; "
            f"started in {self.start_seconds:.2f} s, "
            f"resumed within {max(self.resumed_seconds):.2f} s, "
            f"workers gone within {max(self.outlived_seconds):.2f} s"
        )

    def _kill_often(self, server: RunningServer) -> RunningServer:
        name = self._begin(server)
        fence, spawned = 0, None
        while True:
            if spawned is not None and self.draw.random() < 0.1:
                time.sleep(self.draw.uniform(0.0, 1.0))
                self.outlived_seconds.append(tools.kill(server))
                server, spawned = self._spawn(), time.monotonic()
            self._wait_claimed(name, fence)
            if spawned is not None:
                self.resumed_seconds.append(time.monotonic() - spawned)
            if self.hits == KILLS:
                return server
            self._wait_for_moment(name)
            self.outlived_seconds.append(tools.kill(server))
            standing = self._disk.standing(name)
            server, spawned = self._spawn(), time.monotonic()
            fence = standing.fence
            if standing.state == "DONE":
                name, fence, spawned = self._begin(server), 0, None
            else:
                self.hits += 1
                self.committed.append(standing.next_ordinal)

    @property
    def _disk(self) -> Disk:
        return Disk(self.data)

    def _spawn(self) -> RunningServer:
        return tools.spawn_server(self.data, environment=self.environment)

    def _begin(self, server: RunningServer) -> OperationName:
        tools.wait_ready(server)
        with Client(server.url) as client:
            name = self.start(client).name
        self.started.append(name)
        return name

    def _wait_claimed(self, name: OperationName, fence: int) -> None:
        def claimed() -> bool:
            return self._disk.standing(name).fence > fence

        tools.wait_until(claimed, "nobody takes the operation up")

    def _wait_for_moment(self, name: OperationName) -> None:
        """Wait some tens of milliseconds, half of the times from the next progress on."""
        if self.draw.random() < 0.5:
            time.sleep(self.draw.uniform(0.0, 0.6))
            return
        before = self._disk.standing(name)
        tools.wait_until(
            lambda: _is_further(self._disk.standing(name), before), "no progress", pause=0.005
        )
        time.sleep(self.draw.uniform(0.0, 0.06))


def _is_further(standing: Standing, before: Standing) -> bool:
    return standing.next_ordinal > before.next_ordinal or standing.state == "DONE"
