"""Where settings come from, and what is refused at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.errors import InvalidArgument
from fileroom.objectstore.buckets import BucketSettings
from fileroom.settings import SETTINGS, Settings, default_data_directory, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fileroom.errors import FileroomError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fileroom.toml of the developer's takes part."""
    monkeypatch.chdir(tmp_path)


def from_toml(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    file = tmp_path / "given.toml"
    file.write_text(text)
    return load_settings({}, environ or {}, file)


def test_flag_goes_before_variable_before_file_before_default(tmp_path: Path) -> None:
    file = tmp_path / "fileroom.toml"
    file.write_text('port = 1\nworkers = 1\nsearch = "google"\n')
    environ = {"FILEROOM_PORT": "2", "FILEROOM_WORKERS": "2", "FILEROOM_DATA": "d"}

    settings = load_settings({"port": 3, "host": None, "buckets": ()}, environ)

    assert (settings.port, settings.workers, settings.search) == (3, 2, "google")
    assert settings.host == "127.0.0.1"
    assert settings.data == tmp_path / "d"


def test_origin_of_every_value_is_kept(tmp_path: Path) -> None:
    (tmp_path / "fileroom.toml").write_text("workers = 1\n")

    settings = load_settings({"port": 3}, {"FILEROOM_SEARCH": "google"})

    assert settings.origins["port"] == "--port"
    assert settings.origins["search"] == "FILEROOM_SEARCH"
    assert settings.origins["workers"] == "fileroom.toml"
    assert settings.origins["host"] == "default"
    assert set(settings.origins) == {setting.name for setting in SETTINGS}


def test_variable_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("port = 9\n")

    assert load_settings({}, {"FILEROOM_CONFIG": "other.toml"}).port == 9


def test_every_setting_is_a_field_with_a_default() -> None:
    settings = load_settings({}, {"XDG_DATA_HOME": "/srv"})

    for setting in SETTINGS:
        assert hasattr(settings, setting.name)
        assert setting.default
        assert setting.help.endswith(".")


def test_data_directory_follows_the_user(tmp_path: Path) -> None:
    assert default_data_directory({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "fileroom"


def test_public_url_follows_the_port_that_was_bound(tmp_path: Path) -> None:
    free = load_settings({"port": 0}, {})
    named = load_settings({"port": 0}, {"FILEROOM_PUBLIC_URL": "https://pacs.example.org/"})

    assert free.with_port(4711).public_url == "http://127.0.0.1:4711"
    assert named.with_port(4711).public_url == "https://pacs.example.org"
    assert Settings(data=tmp_path, host="::1").public_url == "http://[::1]:8080"


def test_buckets_of_a_file_have_their_final_form(tmp_path: Path) -> None:
    settings = from_toml(
        tmp_path,
        """
        [buckets."gs://demo"]
        url = "file:///srv/dicom%20files"
        project = "p1"
        allow = ["read"]
        stores = ["projects/p1/*"]

        [buckets."gs://near"]
        url = "near"
        """,
    )

    assert settings.buckets == (
        BucketSettings(
            name="gs://demo",
            path=settings.buckets[0].path,
            allow=frozenset({"read"}),
            stores=("projects/p1/*",),
            project="p1",
        ),
        BucketSettings(
            name="gs://near", path=tmp_path / "near", allow=frozenset({"read", "write"})
        ),
    )
    assert str(settings.buckets[0].path) == "/srv/dicom files"


def test_bucket_of_a_flag_joins_those_of_the_file_and_goes_before_its_namesake(
    tmp_path: Path,
) -> None:
    (tmp_path / "fileroom.toml").write_text(
        '[buckets."gs://one"]\nurl = "/a"\n[buckets."gs://two"]\nurl = "/b"\n'
    )

    settings = load_settings({"buckets": ("two=/c", "gs://three=d=e")}, {})

    assert [(bucket.name, str(bucket.path)) for bucket in settings.buckets] == [
        ("gs://one", "/a"),
        ("gs://two", "/c"),
        ("gs://three", str(tmp_path / "d=e")),
    ]


def test_variable_lists_are_separated_by_commas() -> None:
    settings = load_settings(
        {}, {"FILEROOM_LOCATIONS": "us-central1, europe-west3", "FILEROOM_BUCKETS": "aaa=/a,bbb=/b"}
    )

    assert settings.locations == ("us-central1", "europe-west3")
    assert [bucket.name for bucket in settings.buckets] == ["gs://aaa", "gs://bbb"]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("prot = 1", InvalidArgument, "did you mean 'port'"),
        ("port = 70000", InvalidArgument, "0 to 65535"),
        ("port = true", InvalidArgument, "port"),
        ('workers = "many"', InvalidArgument, "whole number"),
        ("locations = []", InvalidArgument, "at least one"),
        ('locations = ["US central"]', InvalidArgument, "location"),
        ('search = "fuzzy"', InvalidArgument, "extended, google"),
        ('public_url = "pacs"', InvalidArgument, "https://"),
        ('auth = ["password"]', InvalidArgument, "token, service-account"),
        ('auth = ["none", "token"]', InvalidArgument, "combined"),
        ('auth = ["oidc"]', InvalidArgument, "names no provider"),
        ('[oidc."https://login.example.org"]\naudience = "f"', InvalidArgument, "add oidc to auth"),
        ('[oidc."https://login.example.org"]', InvalidArgument, "audience is required"),
        ('[oidc."http://login.example.org"]\naudience = "f"', InvalidArgument, "https://"),
        (
            '[oidc."https://login.example.org"]\naudience = "f"\nalgorithms = ["HS256"]',
            InvalidArgument,
            "not 'HS256'",
        ),
        ('[oidc."https://login.example.org"]\nsecret = "f"', InvalidArgument, "unknown 'secret'"),
        ('[policies.p]\n"roles/viewer" = ["user:a@b"]', InvalidArgument, "'roles/viewer'"),
        ('[policies.p]\n"roles/owner" = ["allUsers"]', InvalidArgument, "allUsers is refused"),
        ('[policies.p]\n"roles/owner" = ["ada"]', InvalidArgument, "'ada' is no member"),
        ('[policies."a:b"]\n"roles/owner" = ["user:a@b"]', InvalidArgument, "project id"),
        ("policies = 3", InvalidArgument, "must be tables"),
        ('database = "postgresql://db"', InvalidArgument, "postgresql://user@host/fileroom"),
        ('database = "mysql://db/fileroom"', InvalidArgument, "postgresql://user@host/fileroom"),
        ('database = "sqlite:///elsewhere.db"', InvalidArgument, "fileroom.db"),
        ('executor = "dask://scheduler"', InvalidArgument, "as in tls://scheduler:8786"),
        ('executor = "dask://scheduler:many"', InvalidArgument, "dask://127.0.0.1:8786"),
        ('executor = "dask://scheduler:8786"', InvalidArgument, "use tls://"),
        ('executor = "ray://head:1"', InvalidArgument, "must be local"),
        ('executor = "tls://scheduler:8786"', InvalidArgument, "takes the files executor_ca"),
        ('executor_ca = "ca.pem"', InvalidArgument, "for an executor at tls://"),
        ('blobs = "s3://bucket/a//b"', InvalidArgument, "an empty name"),
        ('blobs = "s3://bucket/../b"', InvalidArgument, "blobs"),
        ('blobs = "ftp://bucket"', InvalidArgument, "s3://bucket/fileroom"),
        ('host = "0.0.0.0"', InvalidArgument, "clear text"),
        ('host = "::"', InvalidArgument, "clear text"),
        ('tls_cert = "cert.pem"', InvalidArgument, "go together"),
        ('trusted_proxies = ["proxy"]', InvalidArgument, "is no network"),
        ('trusted_proxies = ["10.0.0.1/8"]', InvalidArgument, "is no network"),
        (
            'host = "0.0.0.0"\ntrusted_proxies = ["10.0.0.0/8"]\nauth = "none"',
            InvalidArgument,
            "everybody on the network",
        ),
        ('auth = "none"\npublic_url = "https://pacs.example.org"', InvalidArgument, "loopback"),
        ('[buckets."gs://demo"]\nurl = "s3://there"', InvalidArgument, "s3://there"),
        ('[buckets."gs://demo"]\nurl = "/a"\ncredentials = "k"', InvalidArgument, "credentials"),
        ('[buckets."gs://demo"]\nurl = " "', InvalidArgument, "url must be a text"),
        ('[buckets."s3://demo"]\ncredentials = "absent"', InvalidArgument, "no such file"),
        ('[buckets."az://demo"]\ncredentials = "profile:a"', InvalidArgument, "s3:// buckets"),
        ('[buckets."s3://demo"]\nendpoint = "minio:9000"', InvalidArgument, "endpoint must be"),
        ('[buckets."s3://demo"]\nendpoint = "ftp://a"', InvalidArgument, "endpoint must be"),
        ('[buckets."s3://demo"]\nendpoint = "https://a@b"', InvalidArgument, "address alone"),
        (
            '[buckets."gs://demo"]\ncredentials = "anonymous"\nallow = ["read", "write"]',
            InvalidArgument,
            "can be read only",
        ),
        ('[buckets."gs://demo"]\nurl = "/a"\nallow = ["all"]', InvalidArgument, "allow"),
        ('[buckets."gs://demo"]\nurl = "/a"\nstore = ["x"]', InvalidArgument, "'stores'"),
        ('[buckets."gs://NO"]\nurl = "/a"', InvalidArgument, "NO"),
        ("buckets = 3", InvalidArgument, "buckets"),
        ("= 3", InvalidArgument, "TOML"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    tmp_path: Path, text: str, kind: type[FileroomError], words: str
) -> None:
    with pytest.raises(kind, match=words.replace("(", r"\(")):
        from_toml(tmp_path, text)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        load_settings({}, {}, tmp_path / "absent.toml")


def test_flag_without_a_directory_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="NAME=DIRECTORY"):
        load_settings({"buckets": ("demo",)}, {})
