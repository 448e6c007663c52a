"""A real server inside the test's process: its own deployment, socket and thread."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from fileroom.api.app import create_app
from fileroom.api.routes import ROUTES
from fileroom.api.server import Server
from fileroom.deployment import Deployment, open_deployment
from fileroom.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fileroom.api.routing import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedDeployment:
    """A server, what is behind it, and a client that may do everything."""

    deployment: Deployment
    port: int
    client: httpx2.Client
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, verb: str, path: str, body: object = None, **query: str) -> httpx2.Response:
        """Call a method; ``path`` begins after ``/v1/``."""
        content = None if body is None else json.dumps(body).encode()
        return self.client.request(verb, f"/v1/{path}", params=query, content=content)

    def get(self, path: str, **query: str) -> Any:
        """Give the JSON that a GET answers with 200."""
        answer = self.call("GET", path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make_dataset(self, name: str) -> str:
        """Make a dataset and give its full name."""
        parent = "projects/p1/locations/us-central1"
        answer = self.call("POST", f"{parent}/datasets", {}, datasetId=name)
        assert answer.status_code == 200, answer.text
        return f"{parent}/datasets/{name}"

    def make_store(self, dataset: str, name: str, body: object = None) -> str:
        """Make a DICOM store in a dataset of that full name and give its own."""
        answer = self.call("POST", f"{dataset}/dicomStores", body or {}, dicomStoreId=name)
        assert answer.status_code == 200, answer.text
        return f"{dataset}/dicomStores/{name}"

    def raw(self, request: bytes) -> bytes:
        """Send bytes on a connection of their own and give what comes back until it closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(request)
            pieces = []
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(65_536):
                    pieces.append(piece)
        return b"".join(pieces)


@contextlib.contextmanager
def served(
    settings: Settings,
    routes: tuple[Route, ...] = ROUTES,
    *,
    changed: Callable[[Deployment], Deployment] = lambda deployment: deployment,
) -> Iterator[ServedDeployment]:
    """Serve a deployment with these settings, or one made of it, on a free port."""
    started = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with open_deployment(settings.with_port(port)) as opened:
            deployment = changed(opened)
            server = Server(create_app(deployment, routes), started.set)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            token = "" if deployment.access_token is None else deployment.access_token.text or ""
            try:
                assert started.wait(20)
                with httpx2.Client(
                    base_url=f"http://127.0.0.1:{port}",
                    headers={"Authorization": f"Bearer {token}"} if token else {},
                    timeout=20,
                    trust_env=False,
                ) as client:
                    yield ServedDeployment(
                        deployment=deployment, port=port, client=client, token=token
                    )
            finally:
                server.stop()
                thread.join(30)
                assert not thread.is_alive()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDeployment]:
    """One server for the tests of a module; each takes a dataset of its own."""
    data: Path = tmp_path_factory.mktemp("served") / "data"
    settings = Settings(
        data=data,
        workers=1,
        hosts=("files.example.org",),
        cors_origins=("https://viewer.example.org",),
    )
    with served(settings) as running:
        yield running
