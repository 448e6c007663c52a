"""``fileroom buckets``: each thing that may be wrong with a bucket has a remedy of its own."""

from __future__ import annotations

import itertools
import json
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.emulators import S3Emulator, emulators
from tests.server import run_fileroom

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.emulators import Emulators

__all__ = ["emulators"]

SOON_SECONDS: Final = 12.0
"""For what does not answer at all; starting Python takes the most of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Settings with one bucket at an S3 server that knows its keys."""

    emulator: S3Emulator
    directory: Path
    name: str

    def check(
        self, name: str = "", /, *flags: str, **changed: str | list[str]
    ) -> CompletedProcess[str]:
        """Check the bucket, some of whose settings are changed."""
        name = name or self.name
        table: dict[str, str | list[str]] = {
            "endpoint": self.emulator.endpoint,
            "region": "us-east-1",
            "credentials": str(self.emulator.credentials),
            "allow": ["read", "write", "delete"],
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in (table | changed).items()]
        config = self.directory / "fileroom.toml"
        config.write_text("\n".join([f'[buckets."{name}"]', *lines]))
        data = self.directory / "data"
        asked = name if not flags else flags[0]
        return run_fileroom(
            *("buckets", "check", asked, *flags[1:], f"--config={config}", f"--data={data}")
        )


@pytest.fixture
def bench(emulators: Emulators, tmp_path: Path) -> Bench:
    emulator = emulators.running("seaweedfs")
    assert isinstance(emulator, S3Emulator)
    return Bench(emulator=emulator, directory=tmp_path, name=emulator.new_bucket().name)


@pytest.fixture
def silent() -> Iterator[str]:
    """Give an endpoint that takes connections and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def refused(checked: CompletedProcess[str]) -> str:
    """Give what is told of a check that fails, which names itself nowhere."""
    assert checked.returncode == 3, checked.stderr
    told = checked.stdout + checked.stderr
    assert "buckets check" not in told
    assert "Traceback" not in told
    return told


def test_what_works_is_told_of_each_right(bench: Bench) -> None:
    checked = bench.check()
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.count("works") == 3


def test_a_right_that_is_not_opened_names_the_setting(bench: Bench) -> None:
    checked = bench.check(allow=["read"])
    assert checked.returncode == 0
    assert checked.stdout.count("not opened") == 2
    assert f'write: add "write" to allow under [buckets."{bench.name}"]' in checked.stderr


def test_a_bucket_that_is_absent_is_to_be_made(bench: Bench) -> None:
    told = refused(bench.check(f"{bench.name}-not"))
    assert told.count(f"{bench.name}-not does not exist") == 3
    assert "fileroom-probe" not in told
    assert "read, write, delete: make the bucket, or correct its name" in told


def test_another_key_is_a_matter_of_credentials(bench: Bench) -> None:
    wrong = bench.directory / "wrong"
    wrong.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    told = refused(bench.check(credentials=str(wrong)))
    assert "InvalidAccessKeyId" in told
    assert "correct credentials, region or endpoint under" in told


def test_an_unknown_profile_is_a_matter_of_credentials(bench: Bench) -> None:
    told = refused(bench.check(credentials="profile:nobody"))
    assert "nobody" in told
    assert "correct credentials, region or endpoint under" in told


def test_an_endpoint_where_nobody_is_is_told_at_once(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    began = time.monotonic()
    told = refused(bench.check(endpoint=f"http://127.0.0.1:{port}"))
    assert time.monotonic() - began < SOON_SECONDS
    assert "see whether the endpoint under" in told


def test_the_scheme_may_be_left_out_where_no_other_bucket_has_the_name(bench: Bench) -> None:
    bare = bench.name.removeprefix("s3://")
    assert bench.check("", bare).returncode == 0
    (bench.directory / "data" / "buckets" / bare).mkdir(parents=True)
    unclear = bench.check("", bare)
    assert unclear.returncode == 2
    assert f"which of gs://{bare}, {bench.name} is meant?" in unclear.stderr


@pytest.mark.parametrize(
    "command", list(itertools.product(["buckets list", "serve --port=0", "check", "config show"]))
)
@pytest.mark.parametrize("name", ["scans", "s4://scans"])
def test_what_is_wrong_in_the_settings_is_told_with_its_place(
    tmp_path: Path, command: tuple[str], name: str
) -> None:
    config = tmp_path / "fileroom.toml"
    config.write_text(f'[buckets."{name}"]\n')
    flags = (f"--config={config}", f"--data={tmp_path / 'data'}")
    wrong = run_fileroom(*command[0].split(), *flags)
    assert wrong.returncode == 2
    assert f'buckets."{name}" (from {config})' in wrong.stderr


def test_a_root_that_is_absent_is_warned_of(tmp_path: Path) -> None:
    config = tmp_path / "fileroom.toml"
    config.write_text(f'file_roots = ["{tmp_path}/absent"]\n')
    listed = run_fileroom("buckets", "list", f"--config={config}", f"--data={tmp_path / 'data'}")
    assert listed.returncode == 0
    assert f"WARNING: file://{tmp_path}/absent is missing" in listed.stderr
    checked = run_fileroom(
        *("buckets", "check", f"file://{tmp_path}/absent"),
        *(f"--config={config}", f"--data={tmp_path / 'data'}"),
    )
    assert checked.returncode == 3
    assert f"make or mount {tmp_path}/absent" in checked.stderr
