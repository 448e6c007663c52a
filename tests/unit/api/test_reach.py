"""From where a request comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fileroom.api.reach import Reach, origin_of
from fileroom.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Scope

HOST = "pacs.example.org"


def reach(data: Path, **settings: Any) -> Reach:
    return Reach(Settings(data=data, public_url=f"https://{HOST}", **settings))


def scope(address: str, method: str = "GET") -> Scope:
    return {"type": "http", "method": method, "client": (address, 5000)}


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("192.0.2.9", "", "192.0.2.9"),
        ("192.0.2.9", "198.51.100.1", "192.0.2.9"),  # no proxy of ours: it may say what it likes
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.5, 198.51.100.1", "198.51.100.1"),  # the first is made up
        ("10.0.0.1", "203.0.113.5, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, <script>", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", ", ".join(["10.0.0.3"] * 10_000), "10.0.0.3"),
    ],
)
def test_callers_address(tmp_path: Path, peer: str, forwarded: str, caller: str) -> None:
    behind = reach(tmp_path, trusted_proxies=("10.0.0.0/8",))

    assert behind.caller(scope(peer), {"x-forwarded-for": forwarded}) == caller


def test_without_proxies_nobody_is_believed(tmp_path: Path) -> None:
    headers = {"x-forwarded-for": "198.51.100.1"}

    assert reach(tmp_path).caller(scope("127.0.0.1"), headers) == "127.0.0.1"
    assert reach(tmp_path).caller({"type": "http", "client": None}, headers) == ""


def test_in_clear_text_a_server_is_reached_through_its_proxy_alone(tmp_path: Path) -> None:
    behind = reach(tmp_path, host="0.0.0.0", trusted_proxies=("10.0.0.0/28",))
    headers = {"host": HOST}

    refused = behind.refuse(scope("192.0.2.9"), headers)
    assert refused is not None
    assert (refused.status, b"through its proxy" in bytes(refused.body)) == (403, True)  # type: ignore[arg-type]
    assert behind.refuse(scope("10.0.0.17"), headers) is not None
    assert behind.refuse(scope("10.0.0.1"), headers) is None
    assert behind.refuse(scope("127.0.0.1"), headers) is None


def test_with_tls_anybody_may_knock(tmp_path: Path) -> None:
    files = {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}
    open_ = reach(tmp_path, host="0.0.0.0", trusted_proxies=("10.0.0.0/28",), **files)

    assert open_.refuse(scope("192.0.2.9"), {"host": HOST}) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "", f"{HOST}.evil.example", "169.254.169.254", "[::2]", "a@b:c"]
)
def test_foreign_names_of_this_machine_are_refused(tmp_path: Path, host: str) -> None:
    refused = reach(tmp_path).refuse(scope("127.0.0.1"), {"host": host})

    assert refused is not None
    assert refused.status == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_pages_of_other_sites_change_nothing(tmp_path: Path, method: str) -> None:
    door = reach(tmp_path, cors_origins=("https://viewer.example.org",))

    def is_let_in(origin: str, verb: str = method) -> bool:
        return door.refuse(scope("127.0.0.1", verb), {"host": HOST, "origin": origin}) is None

    assert is_let_in(f"https://{HOST}")
    assert is_let_in("https://viewer.example.org")
    assert is_let_in("http://localhost:8080"), "a page of its own by another name of this machine"
    assert is_let_in("http://[::1]:8080")
    for origin in ("null", "http://localhost:8081", "https://localhost:8080"):
        assert not is_let_in(origin)
    for origin in ("https://evil.example", f"http://{HOST}", f"https://{HOST}:8443"):
        assert not is_let_in(origin)
        assert is_let_in(origin, "GET")


def test_a_port_that_goes_unsaid_is_in_no_origin() -> None:
    assert origin_of("https://Pacs.example.org:443/x") == "https://pacs.example.org"
    assert origin_of("http://127.0.0.1:80") == "http://127.0.0.1"
    assert origin_of("https://pacs.example.org:80") == "https://pacs.example.org:80"
