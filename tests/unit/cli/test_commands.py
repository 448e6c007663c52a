from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner, Result

from fileroom.auth.token_file import TOKEN_FILE
from fileroom.cli import token_file
from fileroom.cli.connection import DEFAULT_SERVER
from fileroom.cli.dicom_stores import to_settings
from fileroom.cli.program import program
from fileroom.client.client import DEFAULT_URL
from tests.server import clean_environment
from tests.unit.client.scripted_server import Script, Scripted, scripted_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATASET = "projects/p/locations/us-central1/datasets/d"
STORE = f"{DATASET}/dicomStores/s"
OPERATION = f"{DATASET}/operations/7"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "FILEROOM_SERVER",
        "FILEROOM_TOKEN",
        "FILEROOM_PROJECT",
        "FILEROOM_LOCATION",
        "CLOUDSDK_CORE_PROJECT",
        "CLOUDSDK_HEALTHCARE_LOCATION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FILEROOM_DATA", str(tmp_path))


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(program, arguments)
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


def answer(body: object, status: int = 200) -> Scripted:
    return Scripted(status, json.dumps(body).encode())


def ended(failure: int = 0, code: int = 2) -> Scripted:
    body: dict[str, object] = {
        "name": OPERATION,
        "done": True,
        "metadata": {"counter": {"success": "3", "failure": str(failure)}},
    }
    if failure or code != 2:
        body["error"] = {"code": code, "message": "it went wrong"}
    return answer(body)


def leaves(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield ctx.command_path, command
        return
    for name in command.list_commands(ctx):
        if name in {"serve", "auth"}:
            continue
        inner = command.get_command(ctx, name)
        assert inner is not None
        yield from leaves(inner, click.Context(inner, parent=ctx, info_name=name))


def test_every_command_has_help_and_an_example_of_itself() -> None:
    found = dict(leaves(program, click.Context(program, info_name="fileroom")))
    assert len(found) == 62
    for path, command in found.items():
        assert command.help, path
        assert getattr(command, "example", "").startswith(path), path
        assert all(option.help for option in command.params if isinstance(option, click.Option)), (
            path
        )


def test_help_loads_neither_server_nor_http_nor_progress_bar() -> None:
    code = (
        "import sys; from fileroom.cli.program import program\n"
        "program.main(['--help'], standalone_mode=False)\n"
        "print([name for name in ('httpx2', 'rich', 'yaml', 'sqlalchemy', 'starlette', 'pydicom')"
        " if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert printed.stdout.endswith(b"[]\n")


def test_default_server_is_that_of_the_client() -> None:
    assert DEFAULT_SERVER == DEFAULT_URL


def test_program_tells_its_version() -> None:
    assert run("--version").output.startswith("fileroom ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "frobnicate",
            "ERROR: (fileroom) no command 'frobnicate'; there are: serve, import, export",
        ),
        ("--bogus", "ERROR: (fileroom) No such option '--bogus'"),
        ("datasets describe", "ERROR: (fileroom.datasets.describe) Missing argument 'DATASET'"),
        ("datasets describe d", "ERROR: (fileroom.datasets.describe) no project: give --project"),
        ("datasets describe a:b --project=p", "invalid dataset id 'a:b'"),
        ("datasets describe projects/p", "'projects/p' is not a resource name"),
        (f"datasets describe {STORE}", f"'{STORE}' is not the name of a dataset"),
        ("datasets list --project=a:b", "invalid project id 'a:b'"),
        ("dicom-stores describe s --project=p", "no dataset: give --dataset=DATASET"),
        ("dicom-stores import gcs s", "ERROR: (fileroom.dicom-stores.import.gcs) Missing option"),
        (f"dicom-stores update {STORE}", "nothing to change: give --pubsub-topic"),
        (f"datasets delete {DATASET}", "You are about to delete dataset [d]"),
        (f"datasets list --project=p --limit=0 {DATASET}", "Invalid value for '--limit'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(line: str, expected: str) -> None:
    result = run(*line.split())
    assert result.exit_code == 2
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1
    assert "--help'" in result.stderr


def test_error_of_the_server_is_one_line_with_its_code() -> None:
    body = {"error": {"code": 404, "status": "NOT_FOUND", "message": "no such\nstore"}}
    with scripted_server(answer(body, 404)) as script:
        result = run("dicom-stores", "describe", STORE, f"--server={script.url}")
    assert result.exit_code == 1
    assert result.stderr == ("ERROR: (fileroom.dicom-stores.describe) NOT_FOUND: no such store\n")


def test_refused_token_names_the_remedy() -> None:
    body = {"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "no token"}}
    with scripted_server(answer(body, 401)) as script:
        result = run("datasets", "describe", DATASET, f"--server={script.url}")
    assert result.exit_code == 1
    assert "FILEROOM_TOKEN" in result.stderr


def test_flag_goes_before_environment_and_the_commands_flag_before_the_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FILEROOM_SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("FILEROOM_TOKEN", "from-environment")
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", "sdk")
    with scripted_server(answer({"name": DATASET})) as script:
        run(f"--server={script.url}", "--project=a", "datasets", "describe", "d", "--project=b")
        run(f"--server={script.url}", "datasets", "describe", "d", "--location=europe-west2")
        monkeypatch.setenv("FILEROOM_PROJECT", "ours")
        run(f"--server={script.url}", "datasets", "describe", "d")
    assert [path for _, path, _ in script.requests] == [
        "/v1/projects/b/locations/us-central1/datasets/d",
        "/v1/projects/sdk/locations/europe-west2/datasets/d",
        "/v1/projects/ours/locations/us-central1/datasets/d",
    ]
    assert script.headers[0]["authorization"] == "Bearer from-environment"


def test_token_file_of_the_data_directory_is_used_for_this_machine_only(tmp_path: Path) -> None:
    (tmp_path / TOKEN_FILE).write_text("of-the-owner\n")
    assert token_file.find_token("http://127.0.0.1:8080") == "of-the-owner"
    assert token_file.find_token("http://localhost") == "of-the-owner"
    assert token_file.find_token("https://pacs.example.org") is None
    assert token_file.find_token("http://127.0.0.1.example.org") is None


def test_full_name_stands_for_id_dataset_and_project() -> None:
    with scripted_server(answer({"name": STORE})) as script:
        run("dicom-stores", "describe", STORE, f"--server={script.url}", "--dataset=other")
        run("dicom-stores", "describe", "s", f"--dataset={DATASET}", f"--server={script.url}")
    assert [path for _, path, _ in script.requests] == [f"/v1/{STORE}"] * 2


def test_delete_with_quiet_asks_nothing() -> None:
    with scripted_server(Scripted(200)) as script:
        result = run("dicom-stores", "delete", STORE, f"--server={script.url}", "--quiet")
    assert result.exit_code == 0
    assert script.requests == [("DELETE", f"/v1/{STORE}", b"")]
    assert result.stderr == "Deleted dicomStore [s].\n"


def test_store_settings_are_sent_with_the_mask_that_names_them() -> None:
    assert to_settings("projects/p/topics/t", None, None) == (
        {"notificationConfig": {"pubsubTopic": "projects/p/topics/t"}},
        ["notificationConfig.pubsubTopic"],
    )
    settings, mask = to_settings(None, False, "bq://a.b.c, bq://d.e.f")
    assert settings == {
        "notificationConfig": {"sendForBulkImport": False},
        "streamConfigs": [
            {"bigqueryDestination": {"tableUri": "bq://a.b.c"}},
            {"bigqueryDestination": {"tableUri": "bq://d.e.f"}},
        ],
    }
    assert mask == ["notificationConfig.sendForBulkImport", "streamConfigs"]


def test_async_import_prints_the_operation_and_does_not_wait() -> None:
    with scripted_server(answer({"name": OPERATION})) as script:
        result = run(*import_line(script), "--async")
    assert result.exit_code == 0
    assert result.stdout == f"name: {OPERATION}\n"
    assert script.requests == [
        ("POST", f"/v1/{STORE}:import", b'{"gcsSource":{"uri":"gs://b/**"}}')
    ]


def test_import_that_went_well_exits_0_with_its_account() -> None:
    with scripted_server(answer({"name": OPERATION}), ended()) as script:
        result = run(*import_line(script))
    assert result.exit_code == 0
    assert result.stdout == f"name: {OPERATION}\n3 objects: 3 succeeded\n"
    assert "Working: 3" in result.stderr


def test_import_with_failed_objects_exits_3_and_tells_them() -> None:
    failures = {
        "failures": [
            {
                "source": "gs://b/x",
                "reason": "EMPTY",
                "error": {"code": 3, "message": "empty DICOM instance found"},
            }
        ]
    }
    with scripted_server(answer({"name": OPERATION}), ended(1), answer(failures)) as script:
        result = run(*import_line(script))
    assert result.exit_code == 3
    assert result.stdout.splitlines()[1:] == [
        "4 objects: 3 succeeded, 1 failed",
        "  EMPTY  gs://b/x: empty DICOM instance found",
    ]


def test_import_that_was_stopped_exits_1_with_the_reason() -> None:
    with scripted_server(answer({"name": OPERATION}), ended(code=7)) as script:
        result = run(*import_line(script))
    assert result.exit_code == 1
    assert result.stderr.endswith(
        "ERROR: (fileroom.dicom-stores.import.gcs) PERMISSION_DENIED: it went wrong\n"
    )


def test_result_in_json_is_the_ended_operation_alone() -> None:
    with scripted_server(answer({"name": OPERATION}), ended()) as script:
        result = run(*import_line(script), "--format=json")
    assert json.loads(result.stdout)["name"] == OPERATION
    assert f"name: {OPERATION}" in result.stderr


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """Let a command that a test starts hear ctrl-c, which a suite in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_detaches_and_tells_how_to_follow_again() -> None:
    running = answer({"name": OPERATION, "metadata": {"counter": {"pending": "9"}}})
    with (
        scripted_server(running) as script,
        subprocess.Popen(
            [sys.executable, "-m", "fileroom", *import_line(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 20
            while len(script.requests) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert stdout == f"name: {OPERATION}\n"
    assert "the operation goes on" in stderr
    assert f"fileroom operations wait {OPERATION} --server={script.url}\n" in stderr
    assert f"fileroom operations cancel {OPERATION} --server={script.url}\n" in stderr


def test_failures_as_csv_have_a_line_for_each_object_of_every_page() -> None:
    failure = {
        "source": "gs://b/x,y",
        "reason": "TRUNCATED",
        "error": {"code": 3, "message": "cut short"},
        "tag": "7FE00010",
        "byteOffset": "132",
    }
    pages = ({"failures": [failure], "nextPageToken": "2"}, {"failures": [failure]})
    with scripted_server(*map(answer, pages)) as script:
        result = run("operations", "failures", OPERATION, f"--server={script.url}", "--format=csv")
    line = '"gs://b/x,y",TRUNCATED,3,cut short,7FE00010,132'
    assert result.stdout.splitlines() == [
        "source,reason,code,message,tag,byteOffset",
        line,
        line,
    ]


def import_line(script: Script) -> list[str]:
    return [
        "dicom-stores",
        "import",
        "gcs",
        STORE,
        "--gcs-uri=gs://b/**",
        f"--server={script.url}",
        "--token=t",
    ]
