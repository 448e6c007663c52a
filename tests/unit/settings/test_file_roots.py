from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.errors import InvalidArgument
from fileroom.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path


def _load(tmp_path: Path, toml: str) -> Settings:
    config = tmp_path / "fileroom.toml"
    config.write_text(toml)
    return load_settings({"data": tmp_path / "data"}, {}, config)


def test_roots_are_buckets_that_a_table_may_narrow(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        f"""
        file_roots = ["/srv/dicom/", "scans", "file:///srv/new%20ones", "/srv/dicom"]

        [buckets."file://{tmp_path}/scans"]
        allow = ["read"]
        stores = ["projects/p/*"]
        project = "p"

        [buckets."gs://demo"]
        url = "demo"
        """,
    )
    assert settings.file_roots == ("/srv/dicom", f"{tmp_path}/scans", "/srv/new ones")
    buckets = {bucket.name: bucket for bucket in settings.offered_buckets}
    assert list(buckets) == [
        "file:///srv/dicom",
        f"file://{tmp_path}/scans",
        "file:///srv/new ones",
        "gs://demo",
    ]
    scans = buckets[f"file://{tmp_path}/scans"]
    assert (scans.path, scans.project) == (tmp_path / "scans", "p")
    assert (sorted(scans.allow), scans.stores) == (["read"], ("projects/p/*",))
    dicom = buckets["file:///srv/dicom"]
    assert (str(dicom.path), dicom.stores) == ("/srv/dicom", ("*",))
    assert sorted(dicom.allow) == ["read", "write"]


def test_there_are_no_roots_unless_they_are_given(tmp_path: Path) -> None:
    environ = {"FILEROOM_FILE_ROOTS": "/srv/a, /srv/b"}
    assert load_settings({"data": tmp_path}, environ).file_roots == ("/srv/a", "/srv/b")
    assert load_settings({"data": tmp_path}, {}).file_roots == ()
    assert _load(tmp_path, "file_roots = []").offered_buckets == ()


@pytest.mark.parametrize(
    "root", ["/", "gs://demo", "file://host/srv", "/srv/../etc", "/srv/*", "/srv/a?", "/srv/a\\nb"]
)
def test_what_is_no_directory_to_be_opened_is_refused(tmp_path: Path, root: str) -> None:
    with pytest.raises(InvalidArgument, match=r"file_roots .* must be directories"):
        _load(tmp_path, f'file_roots = ["{root}"]')


@pytest.mark.parametrize("root", [".", "data", "data/buckets/demo", "link", "blobs"])
def test_the_servers_own_files_are_not_opened(tmp_path: Path, root: str) -> None:
    (tmp_path / "link").symlink_to("data")
    with pytest.raises(InvalidArgument, match="the server's own files"):
        _load(tmp_path, f'blobs = "blobs"\nfile_roots = ["{root}"]')


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ('[buckets."file:///srv/dicom"]', "add it there"),
        ('file_roots = ["/a"]\n[buckets."file:///a"]\nurl = "/b"', "url is not for a directory"),
        ('file_roots = ["/a"]\n[buckets."file:///a"]\nendpoint = "http://b"', "endpoint is not"),
        ('file_roots = ["/a"]\n[buckets."file:///a"]\nallow = ["own"]', "allow knows"),
    ],
)
def test_a_table_of_a_root_says_no_more_than_who_may_use_it(
    tmp_path: Path, toml: str, why: str
) -> None:
    with pytest.raises(InvalidArgument, match=why):
        _load(tmp_path, toml)


@pytest.mark.parametrize("table", ['allow = ["read"]', 'stores = ["projects/p/*"]'])
def test_a_root_opens_no_directory_of_a_narrower_bucket(tmp_path: Path, table: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    bucket = f'[buckets."gs://secret"]\nurl = "{tmp_path}/a/b"\n'
    assert _load(tmp_path, f'file_roots = ["a"]\n{bucket}')
    with pytest.raises(InvalidArgument, match=r"gs://secret.* allows less"):
        _load(tmp_path, f'file_roots = ["a"]\n{bucket}{table}')


@pytest.mark.parametrize("table", ['allow = ["write"]', 'stores = ["projects/p/*"]'])
def test_a_root_within_another_is_open_to_the_same_at_least(tmp_path: Path, table: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    for inner in ("a/b", "link"):
        roots = f'file_roots = ["a", "{inner}"]\n'
        with pytest.raises(InvalidArgument, match="allows less"):
            _load(tmp_path, f'{roots}[buckets."file://{tmp_path}/{inner}"]\n{table}')
        assert _load(tmp_path, f'{roots}[buckets."file://{tmp_path}/a"]\nallow = ["read"]')
