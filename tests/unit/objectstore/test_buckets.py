from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
)
from fileroom.objectstore.buckets import Buckets, BucketSettings, is_same_object, open_bucket
from fileroom.objectstore.uri import parse_object_uri, parse_pattern

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.objectstore.contract import Right

_STORE = "projects/p/locations/l/datasets/d/dicomStores/s"


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    (tmp_path / "buckets" / "demo").mkdir(parents=True)
    (tmp_path / "buckets" / "Not A Bucket").mkdir()
    (tmp_path / "buckets" / "file").touch()
    return Buckets(
        [
            BucketSettings(
                name="gs://inbox",
                path=tmp_path / "inbox",
                allow=frozenset({"read"}),
                stores=("projects/p/locations/*/datasets/d/*", "projects/q/*"),
            ),
            BucketSettings(name="s3://archive", path=tmp_path / "archive"),
        ],
        tmp_path / "buckets",
    )


def test_configured_buckets_and_directories_are_served(buckets: Buckets, tmp_path: Path) -> None:
    assert buckets.names() == ["gs://demo", "gs://inbox", "s3://archive"]
    for name, path in (("gs://inbox", "inbox"), ("gs://demo", "buckets/demo")):
        found = buckets.resolve(name, right="read", dicom_store=_STORE)
        assert (found.name, found.path) == (name, tmp_path / path)
    assert buckets.resolve("s3://archive", right="write", dicom_store=_STORE).name == "s3://archive"
    assert buckets.resolve("gs://demo", right="write", dicom_store=_STORE).name == "gs://demo"


def test_a_directory_made_later_is_a_bucket_at_once(buckets: Buckets, tmp_path: Path) -> None:
    (tmp_path / "buckets" / "later").mkdir()
    assert buckets.resolve("gs://later", right="read", dicom_store=_STORE).name == "gs://later"


@pytest.mark.parametrize("name", ["s3://demo", "az://demo", "gs://nobody"])
def test_a_bucket_that_is_not_configured_is_refused_by_name(buckets: Buckets, name: str) -> None:
    with pytest.raises(PermissionDenied, match=rf"under \[buckets\.\"{name}\"\] in the settings"):
        buckets.resolve(name, right="read", dicom_store=_STORE)


@pytest.mark.parametrize(
    ("name", "right", "store", "role"),
    [
        ("gs://absent", "read", _STORE, "roles/storage.objectViewer"),
        ("gs://absent", "write", _STORE, "roles/storage.objectAdmin"),
        ("gs://inbox", "write", _STORE, "roles/storage.objectAdmin"),
        ("gs://inbox", "read", _STORE.replace("/d/", "/e/"), "roles/storage.objectViewer"),
        ("gs://file", "read", _STORE, "roles/storage.objectViewer"),
    ],
)
def test_what_is_not_allowed_is_denied_naming_agent_role_and_setting(
    buckets: Buckets, name: str, right: Right, store: str, role: str
) -> None:
    with pytest.raises(PermissionDenied) as caught:
        buckets.resolve(name, right=right, dicom_store=store)
    for part in ("service-agent@fileroom.local", role, f'[buckets."{name}"]', store):
        assert part in caught.value.message


def test_denial_does_not_tell_whether_a_bucket_exists(buckets: Buckets) -> None:
    messages = set()
    for name in ("gs://inbox", "gs://other"):
        with pytest.raises(PermissionDenied) as caught:
            buckets.resolve(name, right="delete", dicom_store=_STORE)
        messages.add(caught.value.message.replace(name[5:], "NAME"))
    assert len(messages) == 1


@pytest.mark.parametrize("name", ["gs://..", "gs://a/b", "file:///e/..", "demo", "gs://../demo"])
def test_what_is_no_bucket_name_is_refused(buckets: Buckets, name: str) -> None:
    with pytest.raises(InvalidArgument):
        buckets.resolve(name, right="read", dicom_store=_STORE)


def _with_roots(tmp_path: Path) -> Buckets:
    roots = [
        BucketSettings(name=f"file://{tmp_path}/scans", path=tmp_path / "scans"),
        BucketSettings(
            name=f"file://{tmp_path}/locked",
            path=tmp_path / "locked",
            allow=frozenset({"read"}),
            stores=("projects/q/*",),
        ),
    ]
    return Buckets(roots, None)


def test_a_root_is_a_bucket_of_its_path(tmp_path: Path) -> None:
    buckets = _with_roots(tmp_path)
    assert buckets.roots == (f"{tmp_path}/scans", f"{tmp_path}/locked")
    uri = parse_object_uri(f"file://{tmp_path}/scans/d/a.dcm", buckets.roots)
    found = buckets.resolve(uri.bucket_name, right="write", dicom_store=_STORE)
    assert (found.path, uri.key) == (tmp_path / "scans", "d/a.dcm")
    assert buckets.find("file://") is None


def test_a_path_is_denied_alike_whether_it_is_below_a_root_or_exists(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    buckets = _with_roots(tmp_path)
    messages = set()
    for path in ("locked/a.dcm", "other/a.dcm", "absent/a.dcm", "scans2/a.dcm", "scan*/a.dcm"):
        pattern = parse_pattern(f"file://{tmp_path}/{path}", buckets.roots)
        with pytest.raises(PermissionDenied, match="file_roots") as caught:
            buckets.resolve(pattern.bucket_name, right="read", dicom_store=_STORE)
        messages.add(caught.value.message)
    assert len(messages) == 1
    assert str(tmp_path) not in messages.pop()


def test_a_bucket_is_made_once(buckets: Buckets, tmp_path: Path) -> None:
    made = buckets.create("new-bucket")
    assert made.path == tmp_path / "buckets" / "new-bucket"
    assert made.path.is_dir()
    assert buckets.resolve("gs://new-bucket", right="write", dicom_store=_STORE) == made
    for name in ("new-bucket", "inbox"):
        with pytest.raises(AlreadyExists):
            buckets.create(name)
    for name in ("..", "New", "a", "a/b", ".fileroom"):
        with pytest.raises(InvalidArgument):
            buckets.create(name)
    with pytest.raises(FailedPrecondition, match=r'\[buckets\."gs://new-bucket"\]'):
        Buckets([], None).create("new-bucket")


def test_a_bucket_is_opened_once_in_a_process(buckets: Buckets) -> None:
    settings = buckets.resolve("gs://demo", right="read", dicom_store=_STORE)
    assert open_bucket(settings) is open_bucket(settings)
    assert list(open_bucket(settings).list()) == []


@pytest.mark.parametrize("name", ["demo", "gs://demo/", "gs://demo/d", "GS://demo"])
def test_settings_name_a_bucket_plainly(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument):
        BucketSettings(name=name, path=tmp_path)


def test_settings_allow_known_rights_only(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"\['own'\]"):
        BucketSettings(
            name="gs://demo",
            path=tmp_path,
            allow=frozenset({"own"}),
        )


def test_one_object_is_known_under_two_names(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    one = BucketSettings(name="gs://one", path=tmp_path / "there")
    other = BucketSettings(name="gs://other", path=tmp_path / "link")
    above = BucketSettings(name="gs://above", path=tmp_path)
    cloud = BucketSettings(name="s3://one", endpoint="https://s3.example.org")
    assert is_same_object(one, "a", other, "a")
    assert is_same_object(one, "a", above, "there/a")
    assert not is_same_object(one, "a", other, "b")
    assert not is_same_object(one, "a", cloud, "a")
    assert is_same_object(cloud, "a", cloud, "a")
    assert not is_same_object(cloud, "a", BucketSettings(name="s3://one"), "a")
