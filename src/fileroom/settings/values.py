"""Everything an operator can choose, as one frozen value."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from fileroom.errors import InvalidArgument
from fileroom.objectstore.buckets import RIGHTS, BucketSettings
from fileroom.objectstore.uri import FILE_PREFIX, parse_uri_prefix
from fileroom.transfer.executors import LOCAL, TlsFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.auth.authenticate import AuthMode
    from fileroom.auth.oidc import OidcIssuer
    from fileroom.auth.policies import Policy

Search = Literal["extended", "google"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can choose, checked."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str = ""
    hosts: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    auth: tuple[AuthMode, ...] = ("token", "service-account")
    access_token_file: Path | None = None
    oidc: tuple[OidcIssuer, ...] = ()
    policies: Mapping[str, Policy] = field(default_factory=lambda: MappingProxyType({}))
    locations: tuple[str, ...] = ("us-central1",)
    buckets: tuple[BucketSettings, ...] = ()
    file_roots: tuple[str, ...] = ()
    database: str | None = None
    blobs: str | None = None
    executor: str = LOCAL
    executor_ca: Path | None = None
    executor_cert: Path | None = None
    executor_key: Path | None = None
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    render_workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    metadata_cache_bytes: int = 1 << 30
    search: Search = "extended"
    ohif: Path | None = None
    collection_grace_seconds: int = 86_400
    collection_interval_seconds: int = 60
    operation_retention_days: int = 30
    audit_segment_bytes: int = 64 << 20
    audit_retention_days: int = 400
    request_threads: int = 32
    requests_per_second: int = 2_000
    unfinished_operations: int = 10_000
    log_level: LogLevel = "INFO"
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Where each value came from: a flag, a variable, a file, or ``default``."""

    def __post_init__(self) -> None:
        if not self.public_url:
            object.__setattr__(self, "public_url", self._default_url)
        _check_reach(self)
        _check_roots(self)
        _check_executor(self)

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data / "fileroom.db"

    @property
    def database_place(self) -> Path | str:
        """The SQLite file, or the address of a PostgreSQL."""
        return self.database if self.database is not None else self.database_path

    @property
    def blobs_directory(self) -> Path | None:
        """The directory of the archive's own bytes; None where a bucket in a cloud has them."""
        if self.blobs is None:
            return self.data / "blobs"
        return None if "://" in self.blobs else Path(self.blobs)

    @property
    def blobs_prefix(self) -> str:
        """Where in its bucket the archive's own bytes are: empty, or up to a slash."""
        return "" if self.blobs is None else parse_uri_prefix(self.blobs).key

    @property
    def blobs_bucket(self) -> BucketSettings:
        """The bucket that has the archive's own bytes, as its table in the settings tells it."""
        assert self.blobs is not None
        name = parse_uri_prefix(self.blobs).bucket_name
        tables = (bucket for bucket in self.buckets if bucket.name == name)
        # What its table allows is about DICOM stores, none of which may use it.
        return replace(next(tables, BucketSettings(name=name)), allow=RIGHTS, stores=())

    @property
    def named_buckets(self) -> tuple[BucketSettings, ...]:
        """The buckets that the settings name: those of a table, and the roots without one."""
        roots = (
            BucketSettings(
                name=f"{FILE_PREFIX}{root}", path=Path(root), allow=frozenset({"read", "write"})
            )
            for root in self.file_roots
        )
        own = () if self.blobs_directory is not None else (self.blobs_bucket,)
        # Of two with one name the later counts: the table, then what holds for the archive's own.
        named = (*roots, *self.buckets, *own)
        return tuple({bucket.name: bucket for bucket in named}.values())

    @property
    def offered_buckets(self) -> tuple[BucketSettings, ...]:
        """The named buckets that DICOM stores may use: not the archive's own."""
        if self.blobs_directory is not None:
            return self.named_buckets
        own = self.blobs_bucket.name
        return tuple(bucket for bucket in self.named_buckets if bucket.name != own)

    @property
    def operation_retention_microseconds(self) -> int:
        """How long an operation is kept after its end."""
        return self.operation_retention_days * 86_400 * 1_000_000

    @property
    def executor_tls(self) -> TlsFiles | None:
        """By which files a Dask cluster is known, and this server to it."""
        ca, cert, key = self.executor_ca, self.executor_cert, self.executor_key
        if ca is None or cert is None or key is None:
            return None
        return TlsFiles(ca=ca, cert=cert, key=key)

    @property
    def tls(self) -> tuple[Path, Path] | None:
        """The files of this server's certificate and its key; None where it speaks HTTP."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return self.tls_cert, self.tls_key

    @property
    def scratch_directory(self) -> Path:
        """The directory of what is on its way to a cloud."""
        return self.data / "scratch"

    @property
    def buckets_directory(self) -> Path:
        """The directory of the buckets that no table of the settings names."""
        return self.data / "buckets"

    @property
    def audit_directory(self) -> Path:
        """The directory of the audit log."""
        return self.data / "audit"

    @property
    def cache_directory(self) -> Path:
        """The directory of what can be made again at any time."""
        return self.data / "cache"

    @property
    def _default_url(self) -> str:
        """Where clients on this machine reach the server."""
        scheme = "http" if self.tls_cert is None else "https"
        return f"{scheme}://{'[::1]' if self.host == '::1' else '127.0.0.1'}:{self.port}"

    def with_port(self, port: int) -> Settings:
        """Give the same settings at the port that was bound in the end."""
        followed = self.public_url == self._default_url
        return replace(self, port=port, public_url="" if followed else self.public_url)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_reach(settings: Settings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise InvalidArgument("tls_cert and tls_key go together: give both or none", "tls_cert")
    beyond = not is_loopback(settings.host)
    if beyond and settings.tls_cert is None and not settings.trusted_proxies:
        raise InvalidArgument(
            f"--host {settings.host} would send tokens and patients' data in clear text beyond this"
            " machine: give tls_cert and tls_key; or name in trusted_proxies the proxy that speaks"
            " TLS before this server; or listen on 127.0.0.1",
            "host",
        )
    if beyond and "none" in settings.auth:
        raise InvalidArgument(
            f"--host {settings.host} with auth=none would let everybody on the network in: use"
            " auth=token, or listen on 127.0.0.1",
            "host",
        )
    for network in settings.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise InvalidArgument(
                f"trusted_proxies: {network!r} is no network, as in 10.0.3.0/28 or 192.0.2.7",
                "trusted_proxies",
            ) from error
    if ("oidc" in settings.auth) != bool(settings.oidc):
        raise InvalidArgument(
            "auth names oidc, and oidc names no provider: add a table as in"
            ' [oidc."https://login.example.org"]'
            if "oidc" in settings.auth
            else "oidc names a provider, and auth does not let it in: add oidc to auth",
            "auth",
        )
    if "none" in settings.auth:
        if len(settings.auth) > 1:
            raise InvalidArgument(
                "auth: 'none' lets everybody in and cannot be combined with another mode", "auth"
            )
        if not is_loopback(urlsplit(settings.public_url).hostname or ""):
            raise InvalidArgument(
                f"auth=none is for loopback only, but public_url is {settings.public_url}: use"
                " auth=token, or take public_url away",
                "auth",
            )


def _check_executor(settings: Settings) -> None:
    """Refuse half of what TLS takes, and files of it that nobody reads."""
    files = (settings.executor_ca, settings.executor_cert, settings.executor_key)
    if settings.executor.startswith("tls://"):
        if None in files:
            raise InvalidArgument(
                f"executor {settings.executor} takes the files executor_ca, executor_cert and"
                " executor_key",
                "executor",
            )
        return
    if files != (None, None, None):
        raise InvalidArgument(
            "executor_ca, executor_cert and executor_key are for an executor at tls://", "executor"
        )
    if settings.executor != LOCAL and not is_loopback(urlsplit(settings.executor).hostname or ""):
        raise InvalidArgument(
            f"executor {settings.executor} goes over a network without TLS, on which anybody could"
            " have this server and its workers run any code: use tls://",
            "executor",
        )


def _check_roots(settings: Settings) -> None:
    """Refuse a root that nobody switched on, and one that would open the server's own files."""
    roots = {f"{FILE_PREFIX}{root}" for root in settings.file_roots}
    for bucket in settings.buckets:
        if bucket.name.startswith(FILE_PREFIX) and bucket.name not in roots:
            raise InvalidArgument(
                f'[buckets."{bucket.name}"] is for a directory among file_roots; add it there',
                "file_roots",
            )
    places = {
        bucket: Path(bucket.path).resolve()
        for bucket in settings.named_buckets
        if bucket.path is not None
    }
    for own in {settings.data.resolve(), (settings.blobs_directory or settings.data).resolve()}:
        for root, place in places.items():
            if root.name in roots and (place.is_relative_to(own) or own.is_relative_to(place)):
                raise InvalidArgument(
                    f"file_roots: {root.path} and {own}, which holds the server's own files, lie"
                    " in one another; choose a directory beside it",
                    "file_roots",
                )
    for (inner, below), (outer, above) in permutations(places.items(), 2):
        held = outer.name in roots and below.is_relative_to(above)
        if held and not _is_as_open(inner, outer):
            raise InvalidArgument(
                f'[buckets."{inner.name}"] allows less than file_roots or a table does for'
                f" {outer.path}, which holds it: a wildcard there would read it all the same. Allow"
                " as much, or put them beside one another",
                "file_roots",
            )


def _is_as_open(inner: BucketSettings, outer: BucketSettings) -> bool:
    """Whether a bucket can be used by all who may use the other, and in the same ways."""
    stores = set(inner.stores)
    return outer.allow <= inner.allow and ("*" in stores or set(outer.stores) <= stores)
