"""Instances that stay where they lie: told and retrieved as if copied, and never written to."""

from __future__ import annotations

import hashlib
import os
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx2
import pytest

from fileroom.archive.layout import MARKS
from fileroom.errors import Code, DataLoss, FailedPrecondition, Reason
from tests import corpus
from tests.dicom_files import wheel_files
from tests.emulators import emulators as emulators
from tests.end_to_end.conftest import Place, slices
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.client import Client, Operation
    from tests.emulators import Emulators

STUDY: Final = f"studies/{corpus.UID_ROOT}.2.1"
SERIES: Final = f"{STUDY}/series/{corpus.UID_ROOT}.5.1"
FORMS: Final = (
    ("", 'application/dicom; transfer-syntax="*"'),
    ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"),
    ("/metadata", "application/dicom+json"),
    ("/frames/1", 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'),
    ("/frames/2", 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'),
    ("/rendered", "image/png"),
)
"""What an instance is asked for, below its path."""
_numbers = count(1)


def instance(number: int) -> str:
    return f"{SERIES}/instances/{corpus.UID_ROOT}.5.1.{number}"


def uids(number: int) -> dict[str, str]:
    """Give the UIDs of the slice of that number."""
    return {
        "series_instance_uid": f"{corpus.UID_ROOT}.5.1",
        "sop_instance_uid": f"{corpus.UID_ROOT}.5.1.{number}",
    }


def another_store(place: Place) -> str:
    name = f"{place.dataset}/dicomStores/by-reference-{next(_numbers)}"
    place.client.create_dicom_store(name)
    return name


def refer(place: Place, *, pattern: str = "**", store: str | None = None) -> Operation:
    """Import what matches by reference, to the end."""
    started = place.client.import_(
        store or place.dicom_store, f"gs://{place.bucket_id}/{pattern}", mode="REFERENCE"
    )
    return place.client.wait(started, poll_seconds=0.1)


def state(directory: Path) -> str:
    """Give a checksum of all that a directory holds: names, bytes, rights and times of change."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        status = path.stat()
        digest.update(f"{path} {status.st_mode} {status.st_mtime_ns} {status.st_ino}".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def answers(asking: httpx2.Client, store: str, path: str) -> Iterator[tuple[int, bytes]]:
    """Give the answers to requests for every form, without what names the store."""
    for below, accept in FORMS:
        url = f"/v1/{store}/dicomWeb/{path}{below}"
        answer = asking.get(url, headers={"Accept": accept}, timeout=60)
        boundary = answer.headers.get("content-type", "").partition("boundary=")[2].encode()
        body = answer.content.replace(store.encode(), b"STORE")
        yield answer.status_code, body.replace(boundary, b"") if boundary else body


def paths(client: Client, store: str) -> list[str]:
    return sorted(
        "studies/{}/series/{}/instances/{}".format(
            *(found[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))  # type: ignore[index,call-overload]
        )
        for found in client.search_instances(store)
    )


@pytest.mark.clause(
    "Fileroom import by reference",
    "an instance kept by reference is told, retrieved, cut into frames and rendered as one that was"
    " copied, byte for byte",
)
def test_what_is_kept_by_reference_is_answered_as_what_was_copied(place: Place) -> None:
    for number, file in enumerate(wheel_files()):
        place.put(f"{number:03}-{file.name}", file.read_bytes())
    before = state(place.bucket)
    copied, referred = place.dicom_store, another_store(place)

    by_copy = place.import_all()
    by_reference = refer(place, store=referred)

    unlike = [
        (one.source, one.reason)
        for one in place.client.failures(by_reference.name)
        if one.reason is Reason.UNSUPPORTED_REFERENCE
    ]
    assert [source.rpartition("-")[2] for source, _ in unlike] == ["image_dfl.dcm"]
    assert by_reference.account == by_copy.account | {
        "imported": by_copy.account["imported"] - 1,
        "failed": by_copy.account["failed"] + 1,
    }
    kept = paths(place.client, referred)
    assert set(kept) < set(paths(place.client, copied))
    assert len(kept) > 100
    headers = {"Authorization": f"Bearer {place.server.token}"}
    with httpx2.Client(base_url=place.server.url, headers=headers) as asking:
        for path in kept:
            of_source, of_copy = (list(answers(asking, s, path)) for s in (referred, copied))
            assert of_source == of_copy, path
    assert state(place.bucket) == before


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give a place on a server that collects at once what no row names any more."""
    environment = {
        "FILEROOM_COLLECTION_INTERVAL_SECONDS": "1",
        "FILEROOM_COLLECTION_GRACE_SECONDS": "0",
    }
    data = tmp_path_factory.mktemp("eager") / "data"
    with running_server(data, environment=environment) as server, server.client() as client:
        made = Place(
            server=server,
            client=client,
            bucket_id="sources",
            bucket=server.make_bucket("sources"),
            dataset_id="d",
            dicom_store_id="s",
        )
        client.wait(client.create_dataset(made.dataset), poll_seconds=0.1)
        client.create_dicom_store(made.dicom_store)
        for number, file in enumerate(slices(6)):
            made.put(f"{number + 1}.dcm", file)
        yield made


def files_of(blobs: Path) -> set[Path]:
    """Give the blobs; directories may go meanwhile, as the collector comes by."""
    return {
        Path(directory) / name
        for directory, _, names in os.walk(blobs)
        for name in names
        if "-" in name and Path(directory).name != MARKS
    }


def let_collect(place: Place) -> None:
    """Wait until the collector has come by: it takes a copy that was stored and deleted."""
    store = another_store(place)
    blobs = place.server.data / "blobs"
    before = files_of(blobs)
    assert not place.client.store_instances(store, [corpus.mr_instance(rows=16, **uids(9))]).refused
    (blob,) = files_of(blobs) - before
    place.client.delete_instance(store, instance(9))
    until = time.monotonic() + 30
    while blob.exists():
        assert time.monotonic() < until, "the collector did not come by"
        time.sleep(0.05)


@pytest.mark.clause(
    "Fileroom import by reference",
    "nothing writes to a source or deletes it: no deletion, replacement, patch, collection,"
    " promotion, cancellation or failed operation",
)
def test_nothing_ever_writes_to_a_source(eager: Place) -> None:
    client, store = eager.client, another_store(eager)
    before = state(eager.bucket)

    assert refer(eager, store=store).counters.success == 6
    client.delete_instance(store, instance(1))
    replaced = client.store_instances(
        store,
        [corpus.mr_instance(rows=16, **uids(2), instance_number="77")],
        replace=True,
    )
    assert not replaced.refused
    client.patch_instance(store, instance(3), {"00100010": {"vr": "PN"}})
    promoted = client.wait(client.promote(store, within=instance(4)), poll_seconds=0.1)
    assert promoted.account["updated"] == 1
    cancelled = client.import_(store, f"gs://{eager.bucket_id}/**", mode="REFERENCE")
    client.cancel_operation(cancelled.name)
    client.wait(cancelled, poll_seconds=0.1)
    failed = refer(eager, store=store)
    assert {one.source for one in client.failures(failed.name)} == {
        f"gs://sources/{number}.dcm" for number in (2, 3)
    }
    client.wait(client.delete_series(store, SERIES), poll_seconds=0.1)
    refer(eager, store=store)
    client.wait(client.delete_study(store, STUDY), poll_seconds=0.1)
    refer(eager, store=store)
    client.delete_dicom_store(store)
    let_collect(eager)

    assert state(eager.bucket) == before


@pytest.mark.clause(
    "Fileroom import by reference",
    "a source that is changed or gone answers DATA_LOSS, never other bytes",
)
@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_source_that_is_not_what_was_imported_answers_data_loss(
    place: Place, change: str
) -> None:
    client, store = place.client, place.dicom_store
    files = list(slices(3))
    for number, file in enumerate(files, 1):
        place.put(f"{number}.dcm", file)
    refer(place)
    source = place.bucket / "2.dcm"
    if change == "gone":
        source.unlink()
    else:
        source.write_bytes(files[0])  # as long, and another instance

    told = f"gs://{place.bucket_id}/2.dcm, which holds {instance(2)} by reference, "
    for ask in (
        lambda: client.retrieve_instance(store, instance(2)),
        lambda: client.retrieval(store).frames(instance(2), [1]),
        lambda: client.retrieval(store).rendered(instance(2)),
    ):
        with pytest.raises(DataLoss) as error:
            ask()
        assert error.value.message.startswith(told)
        assert "restore it as it was, import it again, or delete the instance" in str(error.value)
    assert len(client.retrieve_metadata(store, instance(2))) == 1
    assert client.retrieve_instance(store, instance(3)) == files[2]

    exported = client.wait(client.export(store, f"gs://{place.bucket_id}/out"), poll_seconds=0.1)
    (failure,) = client.failures(exported.name)
    assert (failure.code, failure.reason) == (Code.DATA_LOSS, Reason.DATA_LOSS)
    assert failure.message.startswith(told)
    promoted = client.wait(client.promote(store), poll_seconds=0.1)
    assert (promoted.account["updated"], promoted.account["failed"]) == (2, 1)

    source.write_bytes(files[1])
    assert refer(place, pattern="*.dcm").account["replaced"] == 1
    assert client.retrieve_instance(store, instance(2)) == files[1]


def test_what_is_imported_twice_is_told_by_its_bytes(place: Place) -> None:
    first, other = next(slices(1)), corpus.mr_instance(rows=16, **uids(1), instance_number="9")
    place.put("a.dcm", first)
    place.put("same.dcm", first)
    place.put("other.dcm", other)
    assert len(first) == len(other)

    operation = refer(place)

    assert [operation.account[term] for term in ("imported", "identical", "failed")] == [1, 1, 1]
    (failure,) = place.client.failures(operation.name)
    assert (failure.source, failure.reason) == (
        f"gs://{place.bucket_id}/other.dcm",
        Reason.DUPLICATE_DIFFERENT,
    )
    assert refer(place, pattern="a.dcm").account["identical"] == 1
    assert place.import_all("a.dcm").account["identical"] == 1
    assert place.import_all("same.dcm").account["identical"] == 1
    assert place.import_all("other.dcm").account["failed"] == 1

    stored = place.client.store_instances(place.dicom_store, [first])
    assert (len(stored.stored), len(stored.refused)) == (1, 0)
    stored = place.client.store_instances(place.dicom_store, [other])
    assert (len(stored.stored), len(stored.refused)) == (0, 1)


def test_what_was_copied_is_not_replaced_by_a_reference(place: Place) -> None:
    first, other = next(slices(1)), corpus.mr_instance(rows=16, **uids(1), instance_number="9")
    place.put("a.dcm", first)
    place.put("other.dcm", other)
    place.import_all("a.dcm")

    assert refer(place, pattern="a.dcm").account["identical"] == 1
    assert refer(place, pattern="other.dcm").account["failed"] == 1


def test_a_touched_source_is_taken_anew(place: Place) -> None:
    (file,) = slices(1)
    place.put("a.dcm", file)
    refer(place)
    os.utime(place.bucket / "a.dcm", (1, 1))
    with pytest.raises(DataLoss):
        place.client.retrieve_instance(place.dicom_store, instance(1))

    assert refer(place).account["replaced"] == 1
    assert place.client.retrieve_instance(place.dicom_store, instance(1)) == file


def test_exports_give_what_is_kept_by_reference(place: Place) -> None:
    files = list(slices(4))
    for number, file in enumerate(files, 1):
        place.put(f"in/{number}.dcm", file)
    refer(place)
    client, store, bucket = place.client, place.dicom_store, f"gs://{place.bucket_id}"

    client.wait(client.export(store, f"{bucket}/out"), poll_seconds=0.1)
    client.wait(client.export(store, f"{bucket}/png", mime_type="image/png"), poll_seconds=0.1)

    written = sorted((place.bucket / "out").rglob("*.dcm"))
    assert sorted(path.read_bytes() for path in written) == sorted(files)
    assert len(list((place.bucket / "png").rglob("*.png"))) == 4


def test_an_export_is_not_written_over_its_own_source(place: Place) -> None:
    client, copied, referred = place.client, place.dicom_store, another_store(place)
    place.put("in/1.dcm", next(slices(1)))
    place.import_all("in/**")
    client.wait(client.export(copied, f"gs://{place.bucket_id}/out"), poll_seconds=0.1)
    refer(place, pattern="out/**", store=referred)
    before = state(place.bucket)

    for mime_type in ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.5"):
        started = client.export(referred, f"gs://{place.bucket_id}/out", mime_type=mime_type)
        (failure,) = client.failures(client.wait(started, poll_seconds=0.1).name)
        assert failure.reason is Reason.DESTINATION_EXISTS

    assert state(place.bucket) == before


def test_promotion_copies_in_and_the_source_may_go(place: Place) -> None:
    files = list(slices(3))
    for number, file in enumerate(files, 1):
        place.put(f"{number}.dcm", file)
    refer(place)
    client, store = place.client, place.dicom_store

    one = client.wait(client.promote(store, within=f"/{instance(1)}"), poll_seconds=0.1)
    rest = client.wait(client.promote(store), poll_seconds=0.1)
    again = client.wait(client.promote(store), poll_seconds=0.1)

    assert one.error is rest.error is again.error is None
    assert [each.account["updated"] for each in (one, rest, again)] == [1, 2, 0]
    for path in place.bucket.iterdir():
        path.unlink()
    for number, file in enumerate(files, 1):
        assert client.retrieve_instance(store, instance(number)) == file


def test_check_names_what_drifted(tmp_path: Path) -> None:
    data, sources = tmp_path / "data", tmp_path / "sources"
    sources.mkdir()
    for number, file in enumerate(slices(4), 1):
        (sources / f"{number}.dcm").write_bytes(file)
    mark = f"--data={data}"
    imported = run_fileroom("import", str(sources), mark, "--mode=reference")
    assert imported.returncode == 0, imported.stderr
    bucket = imported.stderr.partition("--bucket=")[2].partition(", or they")[0]
    name = bucket.partition("=")[0]
    assert bucket.partition("=")[2] == str(sources)

    whole = run_fileroom("check", mark, f"--bucket={bucket}")
    assert (whole.returncode, whole.stdout) == (0, "all instances are there; 0 orphaned blobs\n")
    unknown = run_fileroom("check", mark)
    assert unknown.returncode == 3
    assert unknown.stdout.startswith(f"SOURCE_UNREACHABLE gs://{name}: ")
    assert "settings" in unknown.stdout.partition("\n")[0]

    os.utime(sources / "2.dcm", (1, 1))
    (sources / "3.dcm").unlink()
    drifted = run_fileroom("check", mark, f"--bucket={bucket}", "--deep")
    assert drifted.returncode == 3
    assert drifted.stdout.splitlines() == [
        f"SOURCE_CHANGED gs://{name}/2.dcm {instance(2)}",
        f"SOURCE_GONE gs://{name}/3.dcm {instance(3)}",
        "1 SOURCE_CHANGED, 1 SOURCE_GONE; 0 orphaned blobs",
    ]


def test_the_mode_is_one_of_two_and_is_told(place: Place) -> None:
    (file,) = slices(1)
    place.put("a.dcm", file)

    def ask(options: object) -> httpx2.Response:
        return httpx2.post(
            f"{place.server.url}/v1/{place.dicom_store}:import",
            headers={"Authorization": f"Bearer {place.server.token}"},
            json={"gcs_source": {"uri": f"gs://{place.bucket_id}/**"}, "fileroom_options": options},
        )

    assert ask({"mode": "LINK"}).status_code == 400
    assert ask({"made": "COPY"}).json()["error"]["message"] == (
        "Invalid JSON payload received. Unknown name \"made\" at 'fileroom_options': Cannot find"
        " field."
    )
    done = place.client.wait(ask({"mode": "REFERENCE"}).json()["name"], poll_seconds=0.1)
    told = done.body["metadata"]["fileroomRequest"]  # type: ignore[index,call-overload]
    assert told["fileroomOptions"] == {"mode": "REFERENCE"}  # type: ignore[index,call-overload]


def test_a_bucket_that_is_not_in_the_settings_is_asked_for(place: Place) -> None:
    (file,) = slices(1)
    place.put("a.dcm", file)
    refer(place)
    moved = place.bucket.with_name("moved-away")
    place.bucket.rename(moved)
    with pytest.raises(FailedPrecondition, match=f'buckets."gs://{place.bucket_id}"'):
        place.client.retrieve_instance(place.dicom_store, instance(1))
    (place.server.data / "buckets" / f"out-of-{place.bucket_id}").mkdir()
    for mime_type in ("", "image/png"):
        started = place.client.export(
            place.dicom_store, f"gs://out-of-{place.bucket_id}", mime_type=mime_type
        )
        (failure,) = place.client.failures(place.client.wait(started, poll_seconds=0.1).name)
        assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, Reason.SOURCE_DENIED)
    moved.rename(place.bucket)
    assert place.client.retrieve_instance(place.dicom_store, instance(1)) == file


def test_a_cloud_is_referred_to_as_well(emulators: Emulators, tmp_path: Path) -> None:
    moto = emulators.running("moto")
    bucket = moto.new_bucket()
    config = tmp_path / "fileroom.toml"
    config.write_text(
        f'[buckets."{bucket.name}"]\nendpoint = "{bucket.endpoint}"\nregion = "{bucket.region}"\n'
        f'credentials = "{bucket.credentials}"\n'
    )
    files = {f"{number}.dcm": file for number, file in enumerate(slices(4), 1)}
    files["large.dcm"] = corpus.mr_instance(rows=512, **uids(5))
    for key, file in files.items():
        moto.put(bucket, key, file)
    with (
        running_server(tmp_path / "data", f"--config={config}") as server,
        server.client() as client,
    ):
        dataset = "projects/p/locations/us-central1/datasets/d"
        client.wait(client.create_dataset(dataset), poll_seconds=0.1)
        store = f"{dataset}/dicomStores/s"
        client.create_dicom_store(store)
        started = client.import_(store, f"{bucket.name}/**", mode="REFERENCE")
        assert client.wait(started, poll_seconds=0.1).counters.success == 5

        for number, file in enumerate(files.values(), 1):
            assert client.retrieve_instance(store, instance(number)) == file
        assert client.retrieval(store).rendered(instance(5)).startswith(b"\xff\xd8")
        moto.put(bucket, "2.dcm", files["1.dcm"])
        for ask in (
            lambda: client.retrieve_instance(store, instance(2)),
            lambda: client.retrieval(store).frames(instance(2), [1]),
            lambda: client.retrieval(store).rendered(instance(2)),
        ):
            with pytest.raises(DataLoss, match="was changed since it was imported"):
                ask()
        promoted = client.wait(client.promote(store), poll_seconds=0.1)
        assert (promoted.account["updated"], promoted.account["failed"]) == (4, 1)
        client.wait(client.delete_study(store, STUDY), poll_seconds=0.1)
    assert {key: moto.get(bucket, key) for key in moto.keys(bucket)} == files | {
        "2.dcm": files["1.dcm"]
    }
