"""A disk that does not keep what was written ends a server's right to write (F6)."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from fileroom.client import Client
from fileroom.errors import Internal
from fileroom.objectstore.local import durable
from fileroom.settings import Settings
from tests.corpus import UID_ROOT, minimal_instance
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def right_to_write() -> Iterator[None]:
    """Give the right to write back to the process of the tests."""
    yield
    durable._right_to_write.lost = None


@pytest.mark.clause(
    "Fileroom faults",
    "a server whose disk failed one sync (F6) stores nothing any more and is not ready, though the "
    "disk says yes again; what it had stored it still gives",
    holds="own rule",
)
def test_a_server_whose_disk_failed_once_is_not_ready_and_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fdatasync

    def fails(descriptor: int) -> None:
        # The audit log, on a disk of its own here, has a test of its own.
        if "/audit/" not in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    root = f"{UID_ROOT}.26"
    files = [
        minimal_instance(
            study_instance_uid=root,
            series_instance_uid=f"{root}.1",
            sop_instance_uid=f"{root}.1.{number}",
        )
        for number in range(3)
    ]
    with (
        served(Settings(data=tmp_path / "data", workers=1, auth=("none",))) as server,
        Client(server.url) as client,
    ):
        store = server.make_store(server.make_dataset("d"), "s")
        assert client.store_instances(store, files[:1]).stored
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fails)
            assert server.client.get("/readyz").status_code == 200
            with pytest.raises(Internal):
                client.store_instances(store, files[1:2])
        assert server.client.get("/healthz").status_code == 200
        assert server.client.get("/readyz").status_code == 503
        with pytest.raises(Internal):
            client.store_instances(store, files[2:])
        assert client.get_dicom_store_metrics(store).instance_count == 1
        path = f"studies/{root}/series/{root}.1/instances/{root}.1.0"
        assert client.retrieve_instance(store, path) == files[0]
