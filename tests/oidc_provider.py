"""An OpenID provider on this machine, which lets in whoever comes."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt as pyjwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fileroom.auth.oidc import OidcIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
SIGNERS: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}


def public(algorithm: str, key_id: str) -> dict[str, Any]:
    """Give the public half of a key as a provider tells it."""
    kinds: dict[str, Any] = {
        "RS256": pyjwt.algorithms.RSAAlgorithm,
        "ES256": pyjwt.algorithms.ECAlgorithm,
        "EdDSA": pyjwt.algorithms.OKPAlgorithm,
    }
    told = kinds[algorithm].to_jwk(SIGNERS[algorithm].public_key(), as_dict=True)
    return {**told, "kid": key_id, "use": "sig", "alg": algorithm, "key_ops": ["verify"]}


@dataclass(slots=True)
class Provider:
    """An OpenID provider on this machine."""

    url: str
    keys: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[int, bytes, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    challenges: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By code: the challenge that it was given for, and where its bearer was sent."""
    holds: threading.Event | None = None
    """Until when it keeps who asks for its keys waiting."""
    secret: str = ""
    """What a client has to bring with a code; nothing if empty."""

    def let_in(self, query: dict[str, list[str]]) -> str:
        """Give where somebody is sent back to who has signed in."""
        code = f"code-{len(self.asked)}"
        self.challenges[code] = query["code_challenge"][0], query["redirect_uri"][0]
        back = urlencode({"code": code, "state": query["state"][0]})
        return f"{query['redirect_uri'][0]}?{back}"

    def tokens(self, fields: dict[str, str]) -> dict[str, Any] | None:
        """Give the tokens for a code, once, to whom it was given."""
        challenge, redirect_uri = self.challenges.pop(fields.get("code", ""), ("", ""))
        digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        shown = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        known = shown == challenge and redirect_uri == fields.get("redirect_uri")
        if not known or fields.get("client_secret", "") != self.secret:
            return None
        return {"id_token": self.token(), "access_token": "opaque", "token_type": "Bearer"}

    def issuer(self, **changed: Any) -> OidcIssuer:
        held: dict[str, Any] = {"issuer": self.url, "audiences": ("fileroom",)}
        return OidcIssuer(**(held | changed))

    def token(self, algorithm: str = "RS256", key_id: str = "k1", **changed: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "fileroom",
            "sub": "1234",
            "email": "Ada@Example.org",
            "email_verified": True,
            "groups": ["/radiology", "Readers"],
            "iat": now,
            "exp": now + 300,
        } | changed
        return pyjwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            SIGNERS[algorithm],
            algorithm=algorithm,
            headers={"kid": key_id},
        )


@contextmanager
def served_provider() -> Iterator[Provider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            status, body, headers = 404, b"", dict[str, str]()
            if self.path in served.answers:
                status, body, headers = served.answers[self.path]
            elif self.path == "/.well-known/openid-configuration":
                told = {
                    "issuer": served.url,
                    "jwks_uri": f"{served.url}/keys",
                    "authorization_endpoint": f"{served.url}/authorize",
                    "token_endpoint": f"{served.url}/tokens",
                }
                status, body = 200, json.dumps(told).encode()
            elif self.path == "/keys":
                if served.holds is not None:
                    served.holds.wait(20)
                status, body = 200, json.dumps({"keys": served.keys}).encode()
            elif self.path.startswith("/authorize?"):
                query = parse_qs(urlsplit(self.path).query)
                status, headers = 302, {"Location": served.let_in(query)}
            self._send(status, body, headers)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            fields = parse_qs(self.rfile.read(length).decode())
            tokens = served.tokens({name: values[0] for name, values in fields.items()})
            if tokens is None:
                self._send(400, b'{"error": "invalid_grant"}', {})
            else:
                self._send(200, json.dumps(tokens).encode(), {})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Provider(f"http://127.0.0.1:{server.server_port}")
    served.keys.append(public("RS256", "k1"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
