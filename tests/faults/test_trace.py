"""The system calls of a real import, in their order: nothing is named before it is durable (I1)."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from fileroom.client import Client
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, Disk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CALLS: Final = "fsync,fdatasync,rename,renameat,renameat2,pwrite64,write"
_CALL: Final = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<rest>.*)")
_RESUMED: Final = re.compile(r"(?P<pid>\d+) +<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)")
_FILE: Final = re.compile(r"^\d+<(?P<path>[^>]*)>")
_RENAME: Final = re.compile(r'^\d+<([^>]*)>, "([^"]*)", \d+<([^>]*)>, "([^"]*)"')


@dataclass(slots=True)
class Order:
    """What of a blob has come to pass, by the calls so far."""

    synced: set[str] = field(default_factory=set)
    """Files, under the names at which they were synced."""
    named: dict[str, str] = field(default_factory=dict)
    """Directory of each blob, once the blob has its name."""
    durable: set[str] = field(default_factory=set)
    """Blobs whose name is durable too."""
    committed: set[str] = field(default_factory=set)
    """Blobs that the log of the database names."""
    faults: list[str] = field(default_factory=list)

    def begun(self, name: str, rest: str, keys: frozenset[str]) -> None:
        """A call has begun: what it writes may be on disk from here on."""
        if name not in {"pwrite64", "write"} or "fileroom.db-wal" not in rest.partition(",")[0]:
            return
        for key in keys - self.committed:
            if key in rest:
                self.committed.add(key)
                if key not in self.durable:
                    self.faults.append(f"{key} is in the log before it is durable")

    def ended(self, name: str, rest: str) -> None:
        """A call has ended: what it promises holds from here on."""
        if name in {"fsync", "fdatasync"} and (found := _FILE.match(rest)):
            path = found["path"]
            self.synced.add(path)
            self.durable |= {key for key, directory in self.named.items() if directory == path}
        elif name.startswith("rename") and (found := _RENAME.match(rest)):
            source, old, target, new = found.groups()
            if f"{source}/{old}" not in self.synced:
                self.faults.append(f"{new} has its name before its bytes are durable")
            self.named[new] = target


def check_order(lines: Iterable[str], keys: frozenset[str]) -> Order:
    """Follow a trace; ``keys`` are the names of the blobs."""
    order = Order()
    begun: dict[str, str] = {}
    for line in lines:
        if resumed := _RESUMED.match(line):
            order.ended(resumed["name"], begun.pop(resumed["pid"], ""))
        elif call := _CALL.match(line):
            order.begun(call["name"], call["rest"], keys)
            if "<unfinished ...>" in call["rest"]:
                begun[call["pid"]] = call["rest"]
            elif " = -1 " not in call["rest"]:
                order.ended(call["name"], call["rest"])
    return order


def traced_import(data: Path, trace: Path) -> frozenset[str]:
    """Import under strace, and give the names of the blobs."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not on PATH (Debian package strace)")
    if subprocess.run([strace, "-f", "-e", "trace=fsync", "true"], capture_output=True).returncode:
        pytest.skip("strace may not trace processes here")
    sources = tools.make_sources(60, random.Random(tools.draw_seed()), bytes_max=5000)
    sources.write(data / "buckets" / BUCKET)
    # Of each page that is written all bytes are shown, for the names of blobs are looked for.
    under = [strace, "-f", "-y", "-s", "5000", "-e", f"trace={CALLS}", "-o", str(trace)]
    server = tools.spawn_server(data, under=under)
    try:
        tools.wait_ready(server)
        with Client(server.url) as client:
            store = tools.make_store(client, "s")
            operation = client.wait(client.import_(store, f"gs://{BUCKET}/**"), poll_seconds=0.1)
        tools.check_account(operation, sources.expected)
        for child in psutil.Process(server.process.pid).children():
            child.terminate()
        server.process.wait(40)
    finally:
        tools.end(server)
    return frozenset(one.lying.file.name for one in Disk(data).stored(store).values())


@pytest.mark.timeout(200)
@pytest.mark.clause(
    "Fileroom faults",
    "a blob's bytes are durable before it has its name, and its name before the database's log "
    "mentions it",
    holds="own rule",
)
def test_nothing_is_committed_before_it_is_durable(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    keys = traced_import(tmp_path / "data", trace)
    lines = trace.read_text(errors="replace").splitlines()

    order = check_order(lines, keys)

    assert order.faults == []
    assert order.committed == keys
    # The check is not blind: without one kind of sync in the trace it finds fault.
    without_files = [line for line in lines if "fdatasync(" not in line or "/tmp/" not in line]
    without_directories = [line for line in lines if " fsync(" not in line]
    assert check_order(without_files, keys).faults
    assert check_order(without_directories, keys).faults
