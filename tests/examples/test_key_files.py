"""The example clients with a key file and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.conftest import slices
from tests.examples.languages import LANGUAGES
from tests.server import run_fileroom

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.conftest import Place
    from tests.examples.languages import Language
    from tests.server import RunningServer

TAKING = [each for each in LANGUAGES if each.name.startswith(("Go", "Java", "Node", "Python"))]
ACCOUNT = "example-client"


@pytest.fixture
def key_file(server: RunningServer, place: Place, tmp_path: Path) -> Path:
    """A key file of an account that may edit the place's DICOM store."""
    file = tmp_path / "key.json"
    environment = {"FILEROOM_SERVER": server.url, "FILEROOM_TOKEN": server.token}
    account = f"{ACCOUNT}-{place.bucket_id[-8:]}"
    email = f"{account}@keys.iam.gserviceaccount.com"
    binding = "--role=roles/healthcare.dicomEditor", f"--member=serviceAccount:{email}"
    for arguments in (
        ("service-accounts", "create", account, "--project=keys"),
        ("service-accounts", "keys", "create", str(file), f"--iam-account={email}"),
        ("dicom-stores", "add-iam-policy-binding", place.dicom_store, *binding),
    ):
        done = run_fileroom(*arguments, environment=environment)
        assert done.returncode == 0, done.stderr
    return file


@pytest.mark.clause(
    "Google API clients",
    "a key file made here lets Go, Java and Python in as GOOGLE_APPLICATION_CREDENTIALS, and "
    "Node.js by the tokens that it signs with it",
)
@pytest.mark.parametrize("language", TAKING, ids=[each.name for each in TAKING])
def test_a_key_file_lets_a_client_in(
    server: RunningServer, place: Place, key_file: Path, tmp_path: Path, language: Language
) -> None:
    place.put("0.dcm", next(iter(slices(1))))
    home = tmp_path / "home"
    home.mkdir()

    run = language.run(
        server,
        home,
        "import",
        place.dicom_store,
        f"gs://{place.bucket_id}/*.dcm",
        key_file=key_file,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    other = place.dicom_store.replace("/dicomStores/", "/dicomStores/not-")
    refused = language.run(server, home, "search", other, key_file=key_file)
    assert refused.returncode == 1
    assert "dicomWebRead' denied on resource" in refused.stdout + refused.stderr
