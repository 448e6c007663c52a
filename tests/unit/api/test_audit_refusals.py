"""While the audit log cannot be written nothing is changed, and whoever asks is told so."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from fileroom.api.rates import FAILURES_AT_ONCE
from fileroom.audit import entries_of
from fileroom.settings import Settings
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.api.conftest import ServedDeployment

DATASETS = "projects/p1/locations/us-central1/datasets"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServedDeployment]:
    """Give a server of each test's own, since a disk that failed stays so."""
    with served(Settings(data=tmp_path / "data", workers=1)) as running:
        yield running


@pytest.fixture
def full(server: ServedDeployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the disk take nothing more of the audit log."""
    (segment,) = _directory(server).iterdir()
    numbers = [int(each) for each in os.listdir("/proc/self/fd") if _is(each, segment)]
    real = os.write

    def write(file: int, data: bytes) -> int:
        if file in numbers:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        yield


def _directory(server: ServedDeployment) -> Path:
    return server.deployment.settings.audit_directory


def _is(number: str, path: Path) -> bool:
    try:
        return os.path.samefile(f"/proc/self/fd/{number}", path)
    except FileNotFoundError:
        return False


def _names(server: ServedDeployment) -> set[str]:
    return {each["name"].rpartition("/")[2] for each in server.get(DATASETS).get("datasets", [])}


@pytest.mark.usefixtures("full")
def test_a_full_disk_refuses_writes_and_not_reads(server: ServedDeployment) -> None:
    assert server.call("POST", DATASETS, {}, datasetId="first").status_code == 507
    for _ in range(2):
        refused = server.call("POST", DATASETS, {}, datasetId="later")
        assert refused.status_code == 507
        assert "the audit log cannot be written" in refused.json()["error"]["message"]
    assert "later" not in _names(server)


def test_a_failed_sync_refuses_writes_until_a_restart(
    server: ServedDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", fail)
        assert server.call("POST", DATASETS, {}, datasetId="first").status_code == 503
    refused = server.call("POST", DATASETS, {}, datasetId="later")
    assert refused.status_code == 503
    assert "nothing is changed" in refused.json()["error"]["message"]
    assert "later" not in _names(server)
    assert server.client.get("/readyz").status_code == 503


def test_as_many_entries_as_requests(server: ServedDeployment) -> None:
    before = len(list(entries_of(_directory(server))))
    asked = 0
    for _ in range(20):
        server.get(DATASETS)
        server.call("DELETE", f"{DATASETS}/none")
        server.client.get("/v1/nothing")  # reaches no route
        asked += 2
    assert len(list(entries_of(_directory(server)))) == before + asked


def test_guesses_beyond_the_limit_leave_no_lines(server: ServedDeployment) -> None:
    """Whoever floods the server with them is not to fill its disk."""
    before = len(list(entries_of(_directory(server))))
    headers = {"Authorization": "Bearer guess"}
    statuses = [
        server.client.get(f"/v1/{DATASETS}", headers=headers).status_code
        for _ in range(FAILURES_AT_ONCE + 20)
    ]
    assert statuses.count(429) > 10
    server.call("DELETE", f"{DATASETS}/none")  # whose line comes after all that wait
    assert len(list(entries_of(_directory(server)))) == before + statuses.count(401) + 1
