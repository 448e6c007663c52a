"""What ``fileroom doctor`` finds, on machines that are fit and that are not."""

from __future__ import annotations

import resource
import sqlite3
import time
from typing import TYPE_CHECKING

import imagecodecs
import pytest

from fileroom import diagnosis
from fileroom.database.probing import probe_database
from fileroom.diagnosis import State, diagnose
from fileroom.errors import Unavailable
from fileroom.settings import load_settings
from fileroom.transfer.executors import probe_executor
from tests.dask_cluster import dask_cluster
from tests.databases import dialect, new_database, server, shared
from tests.server import run_fileroom

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.diagnosis import Sign
    from tests.dask_cluster import DaskCluster
    from tests.postgresql import PostgresqlServer

__all__ = ["dialect", "server", "shared"]


def signs(data: Path, **environment: str) -> dict[str, Sign]:
    settings = load_settings({"data": data}, environment, None)
    return {sign.of: sign for sign in diagnose(settings)}


def test_machine_that_is_fit_has_no_fault(shared: PostgresqlServer | None, tmp_path: Path) -> None:
    place = new_database(tmp_path, shared)
    environment = {"FILEROOM_DATABASE": place} if isinstance(place, str) else {}
    found = signs(tmp_path, **environment)
    # The server of the tests keeps nothing through a power cut.
    lax = {"durability"} if shared is not None and not shared.durable else set()
    assert {sign.of for sign in found.values() if sign.state is State.FAIL} == lax
    assert {"database", "durability", "database clock", "sync of data", "codecs"} <= found.keys()
    assert found["database"].state is State.OK


def test_database_of_another_version_is_told(tmp_path: Path) -> None:
    place = new_database(tmp_path)
    for revision, state in (("0001", State.WARN), ("9999", State.FAIL)):
        with sqlite3.connect(place) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.close()
        sign = signs(tmp_path)["database"]
        assert (sign.state, bool(sign.remedy)) == (state, True)


def test_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    place = tmp_path / "fileroom.db"
    place.write_bytes(b"no database at all" * 300)
    with pytest.raises(Unavailable):
        probe_database(place)
    assert signs(tmp_path)["database"].state is State.FAIL


def test_bucket_that_is_not_there_is_told(tmp_path: Path) -> None:
    told = run_fileroom("doctor", f"--data={tmp_path}", f"--bucket=scans={tmp_path / 'none'}")
    assert told.returncode == 3
    assert "fail read in gs://scans" in told.stdout
    assert "make or mount" in told.stdout


def test_codec_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise imagecodecs.Jpeg2kError("jpeg2k_encode", "of another version")

    monkeypatch.setattr(imagecodecs, "jpeg2k_encode", broken)
    sign = signs(tmp_path)["codecs"]
    assert sign.state is State.FAIL
    assert "1.2.840.10008.1.2.4.90" in sign.message


def test_few_open_files_and_a_jumping_clock_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    times = iter((1000.0, 4600.0))
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: next(times))
        assert diagnosis._clock().state is State.WARN
    assert signs(tmp_path)["open files"].state is State.WARN


def executor_sign(cluster: DaskCluster, workers: int) -> Sign:
    """Give what is told of a cluster once its scheduler knows of so many workers."""
    deadline = time.monotonic() + 30
    while (probed := probe_executor(cluster.executor, None)) is None or probed.workers != workers:
        assert time.monotonic() < deadline, cluster.log()
        time.sleep(0.05)
    (sign,) = (
        sign
        for sign in diagnosis._workers(load_settings({}, executor_of(cluster), None))
        if sign.of == "executor"
    )
    return sign


def executor_of(cluster: DaskCluster) -> dict[str, str]:
    return {"FILEROOM_EXECUTOR": cluster.executor}


def test_cluster_is_told_with_its_workers(tmp_path: Path) -> None:
    with dask_cluster(tmp_path / "dask", workers=2) as cluster:
        sign = executor_sign(cluster, 2)
        assert (sign.state, sign.message) == (State.OK, "a Dask cluster of 2 workers, 2 threads")
        for worker in list(cluster.workers):
            cluster.kill_worker(worker)
        sign = executor_sign(cluster, 0)
        assert (sign.state, bool(sign.remedy)) == (State.WARN, True)
        cluster.kill_scheduler()
        sign = signs(tmp_path, **executor_of(cluster))["executor"]
        assert sign.state is State.FAIL
        assert cluster.address in sign.message


def test_worker_of_another_version_is_told(tmp_path: Path) -> None:
    metadata = tmp_path / "other" / "fileroom-0.0.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: fileroom\nVersion: 0.0.1\n")
    path = {"PYTHONPATH": str(tmp_path / "other")}
    with dask_cluster(tmp_path / "dask", workers=1, environment=path) as cluster:
        sign = executor_sign(cluster, 1)
    assert sign.state is State.WARN
    assert "it runs Fileroom 0.0.1" in sign.message
