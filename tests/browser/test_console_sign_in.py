"""Signing in to the console: by a key file, and by an OpenID provider."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.oidc_provider import served_provider
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.oidc_provider import Provider
    from tests.server import RunningServer

DATASET = "projects/demo/locations/us-central1/datasets/radiology"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with served_provider() as served:
        yield served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("sign-in")
    environment = {
        "FILEROOM_AUTH": "token,service-account,oidc",
        "FILEROOM_OIDC": json.dumps({provider.url: {"audience": "fileroom"}}),
        "FILEROOM_POLICIES": json.dumps(
            {"demo": {"roles/healthcare.datasetViewer": ["user:ada@example.org"]}}
        ),
    }
    with running_server(directory / "data", environment=environment) as running:
        with running.client() as client:
            client.wait(client.create_dataset(DATASET))
        yield running


@pytest.fixture
def page(chromium: Browser, server: RunningServer) -> Iterator[Page]:
    context = chromium.new_context(base_url=server.url, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()


@pytest.fixture
def key_file(server: RunningServer, tmp_path: Path) -> Path:
    file = tmp_path / "key.json"
    environment = {"FILEROOM_SERVER": server.url, "FILEROOM_TOKEN": server.token}
    name = f"reader-{tmp_path.name[-8:].strip('_').replace('_', '-').lower()}"
    for arguments in (
        ("create", name),
        ("keys", "create", str(file), f"--iam-account={name}"),
    ):
        made = run_fileroom(
            "service-accounts", *arguments, "--project=demo", environment=environment
        )
        assert made.returncode == 0, made.stderr
    return file


def test_a_key_file_signs_in_and_is_not_sent(page: Page, key_file: Path) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    page.goto("/console")

    page.get_by_label("Or the key file of a service account").set_input_files(key_file)

    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert any("assertion=" in body for body in sent)
    assert not any("PRIVATE" in body for body in sent)


@pytest.mark.parametrize("content", ["", "{}", '{"type": "service_account"}', "BROKEN"])
def test_what_is_no_key_file_is_told(page: Page, key_file: Path, content: str) -> None:
    if content == "BROKEN":
        content = json.dumps(
            json.loads(key_file.read_text()) | {"private_key": "-----A-----\nAAAA"}
        )
    file = {"name": "key.json", "mimeType": "application/json", "buffer": content.encode()}
    page.goto("/console")

    page.get_by_label("Or the key file of a service account").set_input_files(file)  # type: ignore[arg-type]

    expect(page.get_by_role("alert")).to_contain_text("That is not a key file")
    expect(page.get_by_label("Access token")).to_be_visible()


def test_a_provider_signs_in_and_one_goes_on_where_one_was(page: Page, provider: Provider) -> None:
    page.goto("/console/projects/demo/locations/us-central1")

    page.get_by_role("button", name=re.compile("Sign in with 127.0.0.1")).click()

    expect(page.get_by_role("link", name="radiology")).to_be_visible()
    assert page.url.endswith("/console/projects/demo/locations/us-central1")
    assert "code=" not in page.url
    assert any(path.startswith("/authorize?") for path in provider.asked)


def test_a_way_back_that_nobody_began_signs_nobody_in(page: Page) -> None:
    page.goto("/console/signed-in?code=stolen&state=made-up")

    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Access token")).to_be_visible()
