"""Everything an operator can choose, as one frozen value."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from fileroom.errors import InvalidArgument, Unimplemented

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.auth.authenticate import AuthMode
    from fileroom.objectstore.buckets import BucketSettings

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
    cors_origins: tuple[str, ...] = ()
    auth: tuple[AuthMode, ...] = ("token",)
    locations: tuple[str, ...] = ("us-central1",)
    buckets: tuple[BucketSettings, ...] = ()
    database: str | None = None
    blobs: str | None = None
    executor: str = "processes"
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    render_workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    metadata_cache_bytes: int = 1 << 30
    search: Search = "extended"
    ohif: Path | None = None
    collection_grace_seconds: int = 86_400
    collection_interval_seconds: int = 60
    operation_retention_days: int = 30
    request_threads: int = 32
    log_level: LogLevel = "INFO"
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Where each value came from: a flag, a variable, a file, or ``default``."""

    def __post_init__(self) -> None:
        if not self.public_url:
            object.__setattr__(self, "public_url", _default_url(self.host, self.port))
        _check_reach(self)

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data / "fileroom.db"

    @property
    def blobs_directory(self) -> Path:
        """The directory of all blobs."""
        return self.data / "blobs" if self.blobs is None else Path(self.blobs)

    @property
    def buckets_directory(self) -> Path:
        """The directory of the buckets that no table of the settings names."""
        return self.data / "buckets"

    @property
    def cache_directory(self) -> Path:
        """The directory of what can be made again at any time."""
        return self.data / "cache"

    def with_port(self, port: int) -> Settings:
        """Give the same settings at the port that was bound in the end."""
        followed = self.public_url == _default_url(self.host, self.port)
        return replace(self, port=port, public_url="" if followed else self.public_url)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _default_url(host: str, port: int) -> str:
    return f"http://[::1]:{port}" if host == "::1" else f"http://127.0.0.1:{port}"


def _check_reach(settings: Settings) -> None:
    if not is_loopback(settings.host):
        raise Unimplemented(
            f"--host {settings.host} would send tokens and patients' data in clear text beyond this"
            " machine; this version listens on 127.0.0.1, ::1 or localhost only. Put a proxy that"
            " speaks TLS on this machine in front of it and name its address in public_url",
            "host",
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
