"""From where a request comes, and whether a server answers there at all.

A web page in a user's browser may send requests that they know nothing of: a foreign name that
resolves to this machine (DNS rebinding) shows in Host, a page of another site that posts shows in
Origin. Behind a proxy, the proxy alone tells whose request it brings.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fileroom.api.errors import status_answer
from fileroom.errors import Code
from fileroom.settings.values import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from fileroom.api.calls import Answer
    from fileroom.settings import Settings

SAFE_VERBS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_HOPS_MAX: Final = 20
"""Of proxies before one another."""


class Reach:
    """What a server lets reach it."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = allowed_hosts(settings)
        self._origins = frozenset(
            {origin_of(settings.public_url), *_local_origins(settings), *settings.cors_origins}
        )
        self._proxies = tuple(map(ipaddress.ip_network, settings.trusted_proxies))
        self._in_clear = settings.tls_cert is None and not is_loopback(settings.host)

    def caller(self, scope: Scope, headers: Mapping[str, str]) -> str:
        """Give the address of who asks; what proxies say of it counts from those trusted alone."""
        client = scope.get("client")
        address: str = client[0] if client else ""
        if not self._proxies or not self._is_proxy(address):
            return address
        # The last that no trusted proxy wrote is the first that cannot be made up.
        for hop in reversed(headers.get("x-forwarded-for", "").split(",")[-_HOPS_MAX:]):
            named = _address(hop)
            if not named:
                break
            address = named
            if not self._is_proxy(address):
                break
        return address

    def refuse(self, scope: Scope, headers: Mapping[str, str]) -> Answer | None:
        """Give the answer to a request that must not reach this server; None lets it in."""
        if host_of(headers.get("host")) not in self._hosts:
            return status_answer(
                421,
                Code.INVALID_ARGUMENT.name,
                "The request's Host is not a name of this server; the settings public_url and hosts"
                " say which are.",
            )
        client = scope.get("client")
        if self._in_clear and client and not self._is_proxy(client[0]):
            return status_answer(
                403,
                Code.PERMISSION_DENIED.name,
                "This server is reached through its proxy only; the setting trusted_proxies says"
                " which addresses are one.",
            )
        origin = headers.get("origin")
        unsafe = scope["method"] not in SAFE_VERBS
        if origin is not None and unsafe and origin.lower() not in self._origins:
            return status_answer(
                403,
                Code.PERMISSION_DENIED.name,
                "Web pages of this origin may not call this server; the setting cors_origins says"
                " which may.",
            )
        return None

    def _is_proxy(self, address: str) -> bool:
        if is_loopback(address):
            return True
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self._proxies)


def _address(hop: str) -> str:
    """Give the address of one hop, which may have a port; empty if it is none."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """Give the names that a Host header may bear."""
    public = urlsplit(settings.public_url).hostname
    return frozenset(
        {
            *_LOCAL_HOSTS,
            *(host.lower() for host in settings.hosts),
            settings.host.lower(),
            *([public.lower()] if public else []),
        }
    )


def host_of(header: str | None) -> str:
    """Give the name in a Host header without its port, empty where there is none."""
    try:
        return urlsplit(f"//{header or ''}").hostname or ""
    except ValueError:
        return ""


def _local_origins(settings: Settings) -> list[str]:
    """Give the origins of the server's own pages by its names on this machine."""
    scheme = "http" if settings.tls_cert is None else "https"
    names = (f"[{name}]" if ":" in name else name for name in _LOCAL_HOSTS)
    return [origin_of(f"{scheme}://{name}:{settings.port}") for name in names]


def origin_of(url: str) -> str:
    """Give what a browser sends as Origin from a page of this URL: no port that goes unsaid."""
    parts = urlsplit(url)
    unsaid = {"http": ":80", "https": ":443"}.get(parts.scheme, ":")
    return f"{parts.scheme}://{parts.netloc.removesuffix(unsaid)}".lower()
