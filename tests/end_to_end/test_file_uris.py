"""Files of the server named by ``file://``: below the roots that the operator opened."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import httpx2
import pytest

from fileroom.errors import Code, DataLoss, FailedPrecondition, InvalidArgument, PermissionDenied
from tests import corpus
from tests.end_to_end.conftest import Place, slices
from tests.end_to_end.test_archives import write
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.client import Client, Operation
    from tests.server import RunningServer

PARENT: Final = "projects/p1/locations/us-central1/datasets/d"
SERIES: Final = f"studies/{corpus.UID_ROOT}.2.1/series/{corpus.UID_ROOT}.5.1"
NUMBER: Final = 3000
"""Of files whose import takes a while."""
_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooted:
    """An empty DICOM store, and a server that has roots in a directory."""

    server: RunningServer
    client: Client
    directory: Path
    """Holds the roots ``scans``, ``scans/new``, ``locked``, ``absent``; and what is beside them."""
    dicom_store: str

    def uri(self, path: str) -> str:
        return f"file://{self.directory}/{path}"

    def put(self, path: str, content: bytes) -> None:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def import_(self, path: str, mode: str = "") -> Operation:
        started = self.client.import_(self.dicom_store, self.uri(path), mode=mode)
        return self.client.wait(started, poll_seconds=0.1)

    def export(self, path: str, **options: Any) -> Operation:
        started = self.client.export(self.dicom_store, self.uri(path), **options)
        return self.client.wait(started, poll_seconds=0.1)

    def outcome(self, path: str) -> str:
        """Give how an import is refused, without the path; or the code it ends with."""
        try:
            operation = self.import_(path)
        except (InvalidArgument, PermissionDenied) as error:
            return f"{type(error).__name__} {error.message.replace(self.uri(path), 'URI')}"
        return "" if operation.error is None else operation.error.code.name


def configuration(directory: Path) -> str:
    """Give settings with four roots, of which one is for reading by other stores."""
    return f"""
        file_roots = ["{directory}/scans", "{directory}/scans/new", "{directory}/locked",
            "{directory}/readable", "{directory}/absent"]
        [buckets."file://{directory}/locked"]
        stores = ["projects/p2/*"]
        [buckets."file://{directory}/readable"]
        allow = ["read"]
        """


@pytest.fixture(scope="module")
def rooted_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Give a server that has roots, beside its data directory."""
    directory = tmp_path_factory.mktemp("rooted")
    for name in ("scans/new", "locked", "readable", "outside"):
        (directory / "files" / name).mkdir(parents=True)
    config = directory / "fileroom.toml"
    config.write_text(configuration(directory / "files"))
    with running_server(directory / "data", f"--config={config}") as started:
        with started.client() as client:
            client.wait(client.create_dataset(PARENT), poll_seconds=0.1)
        yield started


@pytest.fixture
def rooted(rooted_server: RunningServer) -> Iterator[Rooted]:
    """Give an empty store on the server that has roots."""
    name = f"{PARENT}/dicomStores/s{next(_numbers)}"
    with rooted_server.client() as client:
        client.create_dicom_store(name)
        yield Rooted(
            server=rooted_server,
            client=client,
            directory=rooted_server.data.parent / "files",
            dicom_store=name,
        )


@pytest.mark.clause(
    "Cloud Healthcare v1 GcsSource.uri",
    "file:///path is taken below the directories of the setting file_roots, with the same"
    " wildcards, archives and account",
    holds="own rule",
)
def test_files_below_a_root_are_imported_as_objects_are(rooted: Rooted) -> None:
    files = list(slices(9))
    for number, file in enumerate(files[:6]):
        rooted.put(f"scans/all/{number % 2}/{number} #é%.dcm", file)
    rooted.put("scans/all/notes.txt", b"no image")
    write(rooted.directory / "scans/new/a.zip", {f"d/{n}.dcm": files[n] for n in (6, 7, 8)})

    assert rooted.import_("scans/all/0/*.dcm").account["imported"] == 3
    assert rooted.import_("scans/all/1/1 #é%.dcm").account["imported"] == 1
    everything = rooted.import_("scans/all/**")
    assert [everything.account[term] for term in ("imported", "identical", "failed")] == [2, 4, 1]
    (failure,) = rooted.client.failures(everything.name)
    assert failure.source == rooted.uri("scans/all/notes.txt")
    assert rooted.import_("scans/new/a.zip!/d/*.dcm").account["imported"] == 3
    assert rooted.import_("scans/none/**").error.code is Code.NOT_FOUND  # type: ignore[union-attr]
    directory = rooted.import_("scans/all")
    assert directory.error is not None
    assert f"use {rooted.uri('scans/all')}/** for all in it" in directory.error.message


def test_a_preview_tells_files_by_their_uris(rooted: Rooted) -> None:
    rooted.put("scans/preview/1.dcm", next(slices(1)))
    told = {}
    for path in ("scans/preview/**", "outside/**", "scans/preview//1"):
        answer = httpx2.post(
            f"{rooted.server.url}/v1/{rooted.dicom_store}:previewImport",
            json={"gcsSource": {"uri": rooted.uri(path)}},
            headers={"Authorization": f"Bearer {rooted.server.token}"},
        )
        told[path] = (answer.status_code, answer.json())
    assert told["scans/preview/**"][1]["samples"] == [rooted.uri("scans/preview/1.dcm")]
    assert told["outside/**"][0] == 403
    assert "'//'" in told["scans/preview//1"][1]["explanation"]


def test_what_is_kept_by_reference_is_found_again(rooted: Rooted) -> None:
    client, store = rooted.client, rooted.dicom_store
    files = list(slices(3))
    for number, file in enumerate(files, 1):
        rooted.put(f"scans/new/referred/{number}.dcm", file)
    # The root above reaches them too; the innermost one answers for them.
    assert rooted.import_("scans/n*/referred/*.dcm", mode="REFERENCE").account["imported"] == 3

    name = f"{SERIES}/instances/{corpus.UID_ROOT}.5.1"
    assert client.retrieve_instance(store, f"{name}.2") == files[1]
    assert rooted.import_("scans/new/referred/2.dcm").account["identical"] == 1
    (rooted.directory / "scans/new/referred/2.dcm").unlink()
    with pytest.raises(DataLoss, match="gone") as error:
        client.retrieve_instance(store, f"{name}.2")
    assert error.value.message.startswith(rooted.uri("scans/new/referred/2.dcm"))
    promoted = client.wait(client.promote(store), poll_seconds=0.1)
    assert (promoted.account["updated"], promoted.account["failed"]) == (2, 1)


@pytest.mark.clause(
    "Cloud Healthcare v1 GcsDestination.uriPrefix",
    "file:///path is written to below the directories of the setting file_roots that allow it",
    holds="own rule",
)
def test_files_are_exported_below_a_root(rooted: Rooted) -> None:
    files = list(slices(3))
    for number, file in enumerate(files):
        rooted.put(f"scans/whole/{number}.dcm", file)
    rooted.import_("scans/whole/**")
    rooted.put("readable/wanted.txt", f"{SERIES}/instances/{corpus.UID_ROOT}.5.1.2".encode())

    assert rooted.export("scans/new/out").counters.success == 3
    written = sorted((rooted.directory / "scans/new/out").rglob("*"))
    assert sorted(path.read_bytes() for path in written if path.is_file()) == sorted(files)
    wanted = rooted.uri("readable/wanted.txt")
    assert rooted.export("scans/one/", filter_config_gcs_uri=wanted).counters.success == 1
    (only,) = (path for path in (rooted.directory / "scans/one").rglob("*") if path.is_file())
    assert only.read_bytes() == files[1]
    with pytest.raises(FailedPrecondition, match="names an object"):
        rooted.export("scans/whole/1.dcm")


@pytest.mark.clause(
    "Cloud Healthcare v1 GcsSource.uri",
    "a file:// path below no root that the DICOM store may use answers 403, the same whether it"
    " exists or not",
    holds="own rule",
)
def test_a_path_below_no_root_is_denied_alike_whatever_is_there(rooted: Rooted) -> None:
    file = next(slices(1))
    for path in ("outside/1.dcm", "scans2/1.dcm", "locked/1.dcm"):
        rooted.put(path, file)
    outcomes = {
        path: rooted.outcome(path)
        for path in (
            "outside/1.dcm",
            "outside/none.dcm",
            "outside/none/none/**",
            "scans2/1.dcm",
            "scan*/1.dcm",
            "scans?/1.dcm",
            "**",
            "locked/1.dcm",
            "locked/none.dcm",
            "locked/a.zip!/1.dcm",
        )
    }
    (message,) = set(outcomes.values())
    assert message.startswith("PermissionDenied service-agent@fileroom.local does not have")
    assert "file_roots" in message
    for uri in ("file:///etc/passwd", "file:///proc/self/environ", "file:///**"):
        with pytest.raises(PermissionDenied):
            rooted.client.import_(rooted.dicom_store, uri)
    with pytest.raises(PermissionDenied):
        rooted.export("scans/out", filter_config_gcs_uri=rooted.uri("outside/1.dcm"))


@pytest.mark.parametrize(
    "path",
    [
        "scans/../outside/1.dcm",
        "scans/%2e%2e/outside/1.dcm",
        "scans/..%2Foutside/1.dcm",
        "scans/./1.dcm",
        "scans//1.dcm",
        "/scans/1.dcm",
        "scans/1.dcm\0",
        "scans/1.dcm%00",
        "scans/*/../../outside/**",
    ],
)
def test_a_path_in_a_doubtful_spelling_is_refused(rooted: Rooted, path: str) -> None:
    assert rooted.outcome(path).startswith("InvalidArgument")
    with pytest.raises(InvalidArgument):
        rooted.export(path)


@pytest.mark.parametrize("host", ["localhost", "example.org", "user@127.0.0.1:80", "[::1]", ".."])
def test_a_host_is_refused(rooted: Rooted, host: str) -> None:
    with pytest.raises(InvalidArgument, match="it names a host"):
        rooted.client.import_(rooted.dicom_store, f"file://{host}{rooted.directory}/scans/**")


@pytest.mark.clause(
    "Cloud Healthcare v1 GcsSource.uri",
    "below a root, symbolic links, FIFOs, sockets and devices are passed over, and never opened",
    holds="own rule",
)
def test_only_regular_files_below_a_root_are_read(rooted: Rooted) -> None:
    good, secret = slices(2)
    rooted.put("outside/secret.dcm", secret)
    rooted.put("scans/odd/good.dcm", good)
    odd = rooted.directory / "scans/odd"
    (odd / "link.dcm").symlink_to("../../outside/secret.dcm")
    (odd / "absolute.dcm").symlink_to(rooted.directory / "outside/secret.dcm")
    (odd / "up").symlink_to("../../outside")
    (odd / "device.dcm").symlink_to("/dev/zero")
    os.mkfifo(odd / "fifo.dcm")
    os.mkfifo(odd / "fifo.zip")
    os.mknod(odd / "socket.dcm", 0o600 | stat.S_IFSOCK)

    assert rooted.import_("scans/odd/**").account["imported"] == 1
    for name in (
        "link.dcm",
        "absolute.dcm",
        "up/secret.dcm",
        "up/*",
        "up/**",
        "device.dcm",
        "fifo.dcm",
        "socket.dcm",
        "fifo.zip!/**",
    ):
        assert rooted.outcome(f"scans/odd/{name}") == "NOT_FOUND", name
    assert len(list(rooted.client.search_instances(rooted.dicom_store))) == 1


def test_an_export_leaves_its_root_by_no_link(rooted: Rooted) -> None:
    rooted.put("scans/few/1.dcm", next(slices(1)))
    rooted.import_("scans/few/**")
    before = sorted((rooted.directory / "outside").rglob("*"))
    (rooted.directory / "scans/way-out").symlink_to("../outside")

    exported = rooted.export("scans/way-out/copy")

    assert exported.counters.success == 0
    assert sorted((rooted.directory / "outside").rglob("*")) == before


@pytest.mark.parametrize("path", ["readable/out", "locked/out", "outside/out", "scans2", "."])
def test_an_export_to_where_it_is_not_allowed_is_denied(rooted: Rooted, path: str) -> None:
    before = sorted(rooted.directory.rglob("*"))
    with pytest.raises((PermissionDenied, InvalidArgument)):
        rooted.export(path)
    assert sorted(rooted.directory.rglob("*")) == before


def test_a_root_that_is_missing_is_waited_for_and_found_after_a_restart(tmp_path: Path) -> None:
    config, files = tmp_path / "fileroom.toml", tmp_path / "files"
    config.write_text(configuration(files))
    data, store = tmp_path / "data", f"{PARENT}/dicomStores/s"
    with running_server(data, f"--config={config}") as server, server.client() as client:
        client.wait(client.create_dataset(PARENT), poll_seconds=0.1)
        client.create_dicom_store(store)
        started = client.import_(store, f"file://{files}/absent/**.dcm", mode="REFERENCE")
        until = time.monotonic() + 30
        while "is its volume mounted?" not in str(client.get_operation(started.name).body):
            assert time.monotonic() < until, client.get_operation(started.name).body
            time.sleep(0.1)
    (files / "absent" / "d").mkdir(parents=True)
    (files / "absent" / "d" / "1.dcm").write_bytes(next(slices(1)))
    with running_server(data, f"--config={config}") as server, server.client() as client:
        assert client.wait(started, poll_seconds=0.1).account["imported"] == 1

    checking = run_fileroom("check", f"--data={data}", f"--config={config}")
    assert checking.returncode == 0, checking.stdout + checking.stderr
    (files / "absent" / "d" / "1.dcm").unlink()
    checking = run_fileroom("check", f"--data={data}", f"--config={config}")
    assert "SOURCE_GONE" in checking.stdout
    assert f"file://{files}/absent/d/1.dcm" in checking.stdout
    without = run_fileroom("check", f"--data={data}")
    assert "SOURCE_UNREACHABLE" in without.stdout


@pytest.mark.parametrize("then", ["opened", "closed"])
def test_an_import_goes_on_where_it_was_though_a_root_within_was_opened_or_closed(
    tmp_path: Path, then: str
) -> None:
    files = tmp_path / "files" / "new" / "d"
    files.mkdir(parents=True)
    for number, file in enumerate(slices(NUMBER)):
        (files / f"{number:04}.dcm").write_bytes(file)
    outer = f"{tmp_path}/files"
    before, after = outer, f"{outer},{outer}/new"
    if then == "closed":
        before, after = after, before
    data, store = tmp_path / "data", f"{PARENT}/dicomStores/s"
    with (
        running_server(data, environment={"FILEROOM_FILE_ROOTS": before}) as server,
        server.client() as client,
    ):
        client.wait(client.create_dataset(PARENT), poll_seconds=0.1)
        client.create_dicom_store(store)
        started = client.import_(store, f"file://{outer}/new/**")
        while not client.get_operation(started.name).counters.success:
            time.sleep(0.01)
        server.kill()
    with (
        running_server(data, environment={"FILEROOM_FILE_ROOTS": after}) as server,
        server.client() as client,
    ):
        ended = client.wait(started, poll_seconds=0.1)
    assert ended.account["imported"] == NUMBER
    assert ended.account["listed"] == NUMBER


def test_roots_are_listed_among_the_buckets(rooted: Rooted) -> None:
    config = rooted.directory.with_name("fileroom.toml")
    listed = run_fileroom("buckets", "list", f"--data={rooted.server.data}", f"--config={config}")
    assert rooted.uri("scans/new") in listed.stdout
    name = rooted.uri("readable")
    checked = run_fileroom(
        "buckets", "check", name, f"--data={rooted.server.data}", f"--config={config}"
    )
    assert checked.returncode == 0
    assert checked.stdout.count("not opened") == 2


def test_without_roots_the_refusal_names_the_setting(place: Place) -> None:
    with pytest.raises(InvalidArgument, match="setting file_roots"):
        place.client.import_(place.dicom_store, "file:///etc/**")
    with pytest.raises(InvalidArgument, match="setting file_roots"):
        place.client.export(place.dicom_store, "file:///tmp")
