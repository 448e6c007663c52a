"""Import, export and download on a data directory without a server, by the program itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.conftest import slices
from tests.server import PROGRAM, clean_environment, run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 12_000
START_SECONDS = 30


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a directory of three slices and a text."""
    directory = tmp_path / "CT scans"
    fill(directory / "deep" / "er", 3)
    (directory / "notes.txt").write_text("no image")
    return directory


def fill(directory: Path, count: int) -> None:
    directory.mkdir(parents=True)
    for number, content in enumerate(slices(count)):
        (directory / f"{number}.dcm").write_bytes(content)


def files(directory: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in directory.rglob("*.dcm"))


def run(*arguments: object, data: Path) -> subprocess.CompletedProcess[str]:
    return run_fileroom(*map(str, arguments), f"--data={data}")


def operation_of(data: Path) -> str:
    """Give the number of the only import that a data directory has seen."""
    with running_server(data) as server, server.client() as client:
        dataset = "projects/local/locations/us-central1/datasets/default"
        (name,) = (
            operation.name.operation_id
            for operation in client.list_operations(dataset)
            if operation.api_method_name.endswith("ImportDicomData")
        )
    return name


def test_a_directory_is_imported_and_exported_without_a_server(
    source: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    first = run("import", source, data=data)
    assert first.returncode == 3
    account, failure = first.stdout.splitlines()
    assert account.endswith(": 3 imported, 1 failed")
    assert failure.startswith(f"  NOT_DICOM  {source}/notes.txt: ")
    listed = run_fileroom("failures", operation_of(data), f"--data={data}", "--format=csv(reason)")
    assert listed.stdout == "reason\nNOT_DICOM\n", listed.stderr
    again = run("import", source / "deep", data=data)
    assert (again.returncode, again.stdout.split(": ")[1]) == (0, "3 there already\n")

    exported = run("export", out, data=data)
    assert exported.returncode == 0, exported.stderr
    assert exported.stdout.endswith(": 3 exported\n")
    assert files(out) == files(source)

    pictures = run("export", tmp_path / "png", "--mime-type=image/png", data=data)
    assert pictures.returncode == 0, pictures.stderr
    assert len(list((tmp_path / "png").rglob("*.png"))) == 3


def test_files_and_buckets_are_imported_in_turn(source: Path, tmp_path: Path) -> None:
    data, one = tmp_path / "data", source / "deep" / "er" / "0.dcm"
    result = run(
        "import", one, "gs://all/deep/**", "--format=json", f"--bucket=all={source}", data=data
    )
    assert result.returncode == 0, result.stderr
    assert '"imported": 1' in result.stdout
    assert '"imported": 2' in result.stdout


def test_every_source_that_failed_is_told(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("empty", "void"):
        (tmp_path / name).mkdir()
    result = run("import", source, tmp_path / "empty", tmp_path / "void", data=data)
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR: ")]
    assert [line.split("no object matches gs://")[1].split("-")[0] for line in errors] == [
        "empty",
        "void",
    ]
    assert result.stdout.splitlines()[0].endswith(": 3 imported, 1 failed")


def test_what_is_no_data_directory_is_not_made_one(tmp_path: Path) -> None:
    data = tmp_path / "typo"
    for line in (("failures", "17"), ("download", "1.2.3"), ("export", tmp_path / "out")):
        result = run(*line, data=data)
        assert (result.returncode, "is no data directory" in result.stderr) == (2, True), line
    assert not data.exists()


def test_the_filter_of_an_export_is_a_file_of_this_machine(source: Path, tmp_path: Path) -> None:
    data, out, chosen = tmp_path / "data", tmp_path / "out", tmp_path / "chosen.txt"
    run("import", source / "deep", data=data)
    chosen.write_text("/studies/1.2.3\n")
    nothing = run("export", out, f"--filter-file={chosen}", data=data)
    assert (nothing.returncode, files(out)) == (0, []), nothing.stderr
    assert nothing.stdout.startswith("0 objects")
    run("export", out, data=data)
    (study,) = out.iterdir()
    chosen.write_text(f"/studies/{study.name}\n")
    whole = run("export", tmp_path / "again", f"--filter-file={chosen}", data=data)
    assert whole.stdout.endswith(": 3 exported\n")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory that takes a while to import."""
    directory = tmp_path_factory.mktemp("source") / "many"
    fill(directory, MANY)
    return directory


def packs(data: Path) -> list[Path]:
    """Give the blobs of a data directory that have their names."""
    found = (data / "blobs").glob("*/[0-9a-f][0-9a-f]/**/*")
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


@pytest.fixture
def under_way(many: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Begin to import many files, and give the process once it has stored some."""
    process = subprocess.Popen(
        [PROGRAM, "import", str(many), f"--data={tmp_path / 'data'}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | {"FILEROOM_WORKERS": "1"},
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        assert " into " in process.stderr.readline()
        deadline = time.monotonic() + START_SECONDS
        while not packs(tmp_path / "data"):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_killed_import_goes_on_when_it_is_given_again(
    under_way: subprocess.Popen[str], many: Path, tmp_path: Path
) -> None:
    under_way.kill()
    under_way.wait()
    again = run("import", many, data=tmp_path / "data")
    assert again.returncode == 0, again.stderr
    assert "goes on where it was" in again.stderr
    # One operation, before and after: nothing is there already, nothing is counted twice.
    assert again.stdout.startswith(f"{MANY:,} objects in ")
    assert again.stdout.endswith(f": {MANY:,} imported\n")


def test_ctrl_c_ends_an_import_in_good_order(
    under_way: subprocess.Popen[str], many: Path, tmp_path: Path
) -> None:
    # As a terminal does: to the workers too.
    os.killpg(under_way.pid, signal.SIGINT)
    stdout, stderr = under_way.communicate(timeout=60)
    assert under_way.returncode == 130, stderr
    assert "what was done stays" in stderr
    assert " imported" in stdout
    again = run("import", many, data=tmp_path / "data")
    assert again.returncode == 0, again.stderr
    assert " there already" in again.stdout


def test_a_server_that_runs_on_the_directory_is_named(source: Path, tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        result = run("import", source, data=server.data)
    assert result.returncode == 1
    assert result.stderr.startswith("ERROR: (fileroom.import) FAILED_PRECONDITION: a server ")
    assert len(result.stderr.splitlines()) == 1


def test_what_is_no_source_or_destination_is_told_before_anything_is_made(
    source: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for arguments, says in (
        (("import", tmp_path / "absent"), "neither a directory nor a file"),
        (("import", tmp_path), "lie in one another"),
        (("import", "~nosuch/x"), "cannot be a place on this machine"),
        (("export", tmp_path / "out", "--filter-file=absent"), "neither a directory nor a file"),
    ):
        result = run(*arguments, data=data)
        assert (result.returncode, result.stdout) == (2, ""), arguments
        assert says in result.stderr
        assert len(result.stderr.splitlines()) == 1
    named = run_fileroom(
        "import", str(source), environment={"FILEROOM_SERVER": "http://127.0.0.1:9"}
    )
    assert (named.returncode, "unset FILEROOM_SERVER" in named.stderr) == (2, True)
    assert not data.exists()


def test_a_download_is_whole_and_is_not_repeated(source: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    run("import", source / "deep", data=data)
    run("export", out, data=data)
    (study,) = out.iterdir()
    (series,) = study.iterdir()
    instance = min(series.iterdir()).stem

    one = run("download", instance, f"--to={tmp_path / 'one'}", data=data)
    assert one.stdout == "1 instance: 1 written\n"
    (file,) = (path for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert (file.name, file.stat().st_mode & 0o777) == (f"{instance}.dcm", 0o600)
    for number, uid in enumerate((series.name, f"studies/{study.name}/series/{series.name}")):
        whole = run("download", uid, f"--to={tmp_path / str(number)}", data=data)
        assert whole.stdout == "3 instances: 3 written\n", whole.stderr
    to = tmp_path / "one"
    rest = run("download", study.name, f"--to={to}", data=data)
    assert rest.stdout == "3 instances: 2 written, 1 there already\n"
    assert files(to) == files(out) == files(source)
    assert sorted(p.relative_to(to) for p in to.rglob("*")) == sorted(
        p.relative_to(out) for p in out.rglob("*")
    )
    anew = run("download", study.name, f"--to={to}", "--overwrite", data=data)
    assert anew.stdout == "3 instances: 3 written\n"


def test_what_cannot_be_downloaded_is_told(source: Path, tmp_path: Path) -> None:
    data, to = tmp_path / "data", tmp_path / "to"
    run("import", source / "deep", data=data)
    absent = run("download", "1.2.3", f"--to={to}", data=data)
    assert (absent.returncode, absent.stderr.count("\n")) == (1, 1)
    assert "has no study, series or instance 1.2.3" in absent.stderr
    wrong = run("download", "1.2.x", f"--to={to}", data=data)
    assert (wrong.returncode, "is not a UID" in wrong.stderr) == (2, True)
    run("export", tmp_path / "out", data=data)
    (study,) = (tmp_path / "out").iterdir()
    form = "--transfer-syntax=1.2.840.10008.1.2.4.100"
    refused = run("download", study.name, form, f"--to={to}", data=data)
    assert refused.returncode == 3
    assert refused.stdout.splitlines()[0] == "3 instances: 0 written, 3 failed"
    assert not [path for path in to.rglob("*") if path.is_file()]
