"""The steps of docs/how-to/backup-and-restore.md, taken while instances are stored."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Final

from fileroom.auth.token_file import TOKEN_FILE
from fileroom.client import Client
from tests import corpus
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from pathlib import Path

DATASET: Final = "projects/p1/locations/us-central1/datasets/d"
STORE: Final = f"{DATASET}/dicomStores/s"
SERIES: Final = f"{corpus.UID_ROOT}.5.1"
STUDY: Final = f"{corpus.UID_ROOT}.2.1"
AT_LEAST: Final = 40


class Storing:
    """A client that stores one instance after another, and knows which were acknowledged."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ending = threading.Event()
        self._enough = threading.Event()
        self.acknowledged: dict[str, bytes] = {}
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def wait(self) -> None:
        """Wait until so many are acknowledged that it matters."""
        assert self._enough.wait(30)

    def end(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        with Client(self._url) as client:
            while not self._ending.is_set():
                uid = f"{SERIES}.{len(self.acknowledged) + 1}"
                content = corpus.mr_instance(
                    rows=64, series_instance_uid=SERIES, sop_instance_uid=uid
                )
                client.store_instances(STORE, [content])
                self.acknowledged[uid] = content
                if len(self.acknowledged) >= AT_LEAST:
                    self._enough.set()


def being_written(directory: str, names: list[str]) -> list[str]:
    """Leave out what is in the directories of what is being made, not these themselves."""
    return names if directory.endswith("/tmp") else []


def back_up(data: Path, backup: Path) -> None:
    """Copy the database, and only then the blobs."""
    backup.mkdir()
    with closing(sqlite3.connect(f"file:{data / 'fileroom.db'}?mode=ro", uri=True)) as database:
        database.execute("VACUUM INTO ?", (str(backup / "fileroom.db"),))
    shutil.copytree(data / "blobs", backup / "blobs", ignore=being_written)
    if (data / TOKEN_FILE).exists():
        shutil.copy2(data / TOKEN_FILE, backup)


def test_a_backup_is_opened_by_the_token_that_was_kept_with_it(tmp_path: Path) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    with running_server(data) as server, server.client() as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        client.create_dicom_store(STORE)
        token = (data / TOKEN_FILE).read_text()
        back_up(data, backup)
    with running_server(backup) as server, server.client() as client:
        assert [str(each.name) for each in client.list_dicom_stores(DATASET)] == [STORE]
        assert (backup / TOKEN_FILE).read_text() == token
        (backup / TOKEN_FILE).unlink()
        told = run_fileroom("auth", "print-access-token", f"--data={backup}")
        assert told.returncode == 1
        assert "copy the file access-token" in told.stderr


def test_every_instance_acknowledged_before_a_backup_is_in_it(tmp_path: Path) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    with running_server(data, "--auth=none") as server, Client(server.url) as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        client.create_dicom_store(STORE)
        storing = Storing(server.url)
        storing.start()
        try:
            storing.wait()
            before = dict(storing.acknowledged)
            back_up(data, backup)
        finally:
            storing.end()
    assert len(storing.acknowledged) > len(before) >= AT_LEAST

    checked = run_fileroom("check", "--deep", f"--data={backup}")
    assert checked.returncode == 0, checked.stdout
    assert "all instances are there" in checked.stdout
    with running_server(backup, "--auth=none") as server, Client(server.url) as client:
        for uid, content in before.items():
            path = f"studies/{STUDY}/series/{SERIES}/instances/{uid}"
            assert client.retrieve_instance(STORE, path) == content
        client.store_instances(STORE, [corpus.mr_instance(rows=16)])
