"""A key file, and Google's clients that are given nothing else."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from google.auth import default
from google.auth.exceptions import RefreshError
from googleapiclient import discovery
from googleapiclient.errors import HttpError

from fileroom.api.token import JWT_BEARER
from tests.end_to_end.conftest import slices
from tests.server import clean_environment, run_fileroom

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.conftest import Place
    from tests.server import RunningServer

PROJECT = "p1"
EDITOR = "roles/healthcare.dicomEditor"


def fileroom(server: RunningServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"FILEROOM_SERVER": server.url, "FILEROOM_TOKEN": server.token}
    done = run_fileroom(*arguments, "--quiet", environment=environment)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def key_file(server: RunningServer, place: Place, tmp_path: Path) -> Path:
    """A key file of an account that may edit the place's DICOM store."""
    file = tmp_path / "key.json"
    account = f"robot-{abs(hash(place.dicom_store)) % 10**8:08}"
    owner = f"--iam-account={account}"
    fileroom(server, "service-accounts", "create", account, f"--project={PROJECT}")
    fileroom(server, "service-accounts", "keys", "create", str(file), owner, f"--project={PROJECT}")
    member = f"--member=serviceAccount:{account}@{PROJECT}.iam.gserviceaccount.com"
    fileroom(
        server,
        "dicom-stores",
        "add-iam-policy-binding",
        place.dicom_store,
        member,
        f"--role={EDITOR}",
    )
    return file


def healthcare(server: RunningServer, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """google-api-python-client with the credentials that it finds by itself."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
    credentials, project = default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    assert project == PROJECT
    return discovery.build(
        "healthcare",
        "v1",
        credentials=credentials,
        client_options={"api_endpoint": server.url},
        static_discovery=True,
        cache_discovery=False,
    )


@pytest.mark.clause(
    "google-auth",
    "application default credentials with a key file made here drive google-api-python-client",
)
def test_default_credentials_import_follow_and_are_bounded(
    server: RunningServer, place: Place, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("0.dcm", next(iter(slices(1))))
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    with healthcare(server, key_file, monkeypatch) as service:
        datasets = service.projects().locations().datasets()
        stores = datasets.dicomStores()
        body = {"gcsSource": {"uri": f"gs://{place.bucket_id}/*.dcm"}}
        name = stores.import_(name=place.dicom_store, body=body).execute()["name"]
        done = None
        while not done:
            operation = datasets.operations().get(name=name).execute()
            done = operation.get("done")
        found = stores.searchForStudies(parent=place.dicom_store, dicomWebPath="studies").execute()
        with pytest.raises(HttpError) as refused:
            datasets.get(name=place.dataset).execute()

    assert operation["metadata"]["counter"] == {"success": "1"}
    assert len(found if isinstance(found, list) else json.loads(found)) == 1
    assert refused.value.resp.status == 403


def test_a_key_that_was_deleted_signs_nothing_any_more(
    server: RunningServer, key_file: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    content = json.loads(key_file.read_text())
    fileroom(
        server,
        "service-accounts",
        "keys",
        "delete",
        content["private_key_id"],
        f"--iam-account={content['client_email']}",
    )

    with (
        healthcare(server, key_file, monkeypatch) as service,
        pytest.raises(RefreshError, match="invalid_grant"),
    ):
        service.projects().locations().datasets().dicomStores().get(
            name=place.dicom_store
        ).execute()


def exchanges(server: RunningServer) -> list[tuple[str, int]]:
    """Give whom the audit log says that a token was given to, or refused, with the code of that."""
    asked = "--filter=protoPayload.methodName=fileroom.accessTokens.create"
    listed = run_fileroom("audit", "list", f"--data={server.data}", asked, "--format=json")
    payloads = [entry["protoPayload"] for entry in json.loads(listed.stdout)]
    return [
        (each["authenticationInfo"]["principalEmail"], each["status"].get("code", 0))
        for each in payloads
    ]


def test_the_audit_log_tells_who_got_a_token(
    server: RunningServer, key_file: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    email = json.loads(key_file.read_text())["client_email"]
    before = len(exchanges(server))
    with healthcare(server, key_file, monkeypatch) as service:
        stores = service.projects().locations().datasets().dicomStores()
        assert stores.get(name=place.dicom_store).execute()["name"] == place.dicom_store
    refused = httpx2.post(f"{server.url}/token", data={"grant_type": JWT_BEARER, "assertion": "x"})
    assert refused.status_code == 400
    deadline = time.monotonic() + 10  # a line that changes nothing waits a moment
    while len(told := exchanges(server)[before:]) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [code for _, code in told] == [0, 16]
    assert [name.endswith(email) for name, _ in told] == [True, False]


def test_a_token_that_the_client_signs_itself(
    server: RunningServer, place: Place, key_file: Path
) -> None:
    """As gRPC clients and Node's do: no token is asked for at all."""
    script = (
        "import sys, httpx2\n"
        "from google.oauth2 import service_account\n"
        "made = service_account.Credentials.from_service_account_file(sys.argv[1])\n"
        "made = made.with_always_use_jwt_access(True)\n"
        "made._create_self_signed_jwt(sys.argv[2] + '/')\n"
        "made.refresh(None)\n"
        "answer = httpx2.get(sys.argv[2] + '/v1/' + sys.argv[3],"
        " headers={'Authorization': 'Bearer ' + made.token})\n"
        "print(answer.status_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(key_file), server.url, place.dicom_store],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
        timeout=60,
    )

    assert done.stdout == "200\n", done.stderr


def test_commands_tell_what_there_is(server: RunningServer, tmp_path: Path) -> None:
    project = "--project=cli-accounts"
    fileroom(server, "service-accounts", "create", "importer", "--display-name=Night", project)
    email = "importer@cli-accounts.iam.gserviceaccount.com"

    listed = fileroom(server, "service-accounts", "list", project).stdout.splitlines()
    assert listed[0].split() == ["DISPLAY_NAME", "EMAIL", "DISABLED"]
    assert listed[1].split() == ["Night", email, "no"]
    fileroom(server, "service-accounts", "disable", email)
    assert "disabled: true" in fileroom(server, "service-accounts", "describe", email).stdout
    fileroom(server, "service-accounts", "enable", email)
    file = tmp_path / "key.json"
    made = fileroom(
        server, "service-accounts", "keys", "create", str(file), f"--iam-account={email}"
    )
    key_id = json.loads(file.read_text())["private_key_id"]
    assert f"created key [{key_id}] as [{file}] for [{email}]" in made.stderr
    owned = fileroom(server, "service-accounts", "keys", "list", f"--iam-account={email}")
    assert key_id in owned.stdout
    fileroom(server, "service-accounts", "delete", email)
    empty = fileroom(server, "service-accounts", "list", project)
    assert "Listed 0 items." in empty.stderr + empty.stdout


def test_a_key_is_never_written_over_a_file(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text("mine")
    environment = {"FILEROOM_SERVER": server.url, "FILEROOM_TOKEN": server.token}
    refused = run_fileroom(
        "service-accounts",
        "keys",
        "create",
        str(file),
        "--iam-account=nobody@p1.iam.gserviceaccount.com",
        environment=environment,
    )

    assert refused.returncode == 1
    assert "exists already" in refused.stderr
    assert file.read_text() == "mine"
    absent = run_fileroom(
        "service-accounts",
        "keys",
        "create",
        str(tmp_path / "other.json"),
        "--iam-account=nobody-here@p1.iam.gserviceaccount.com",
        environment=environment,
    )
    assert absent.returncode == 1
    assert not (tmp_path / "other.json").exists()
