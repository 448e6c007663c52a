"""How an operator writes who is let in, and to which projects."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from fileroom.auth.authorize import ANY_PROJECT
from fileroom.auth.oidc import ALGORITHMS, OidcIssuer, is_trustworthy
from fileroom.auth.policies import Policy, checked_bindings
from fileroom.auth.roles import ROLES
from fileroom.errors import InvalidArgument
from fileroom.names import ProjectName

if TYPE_CHECKING:
    from fileroom.settings.parsing import Given

_ISSUER_KEYS: Final = (
    "audience",
    "algorithms",
    "jwks_uri",
    "user_claim",
    "groups_claim",
    "client_secret_file",
)


def parse_issuers(given: Given) -> tuple[OidcIssuer, ...]:
    """Give the OpenID providers of tables as ``[oidc."https://login.example.org"]``.

    Raises
    ------
    InvalidArgument
        If one has no audience, or is asked for what it says without TLS.
    """
    tables = _tables("oidc", given, '[oidc."https://login.example.org"] with an audience')
    return tuple(_issuer(name, table, given) for name, table in tables.items())


def _issuer(name: str, table: Mapping[str, object], given: Given) -> OidcIssuer:
    where = f'oidc."{name}" (from {given.origin})'
    if unknown := [key for key in table if key not in _ISSUER_KEYS]:
        raise InvalidArgument(
            f"{where}: unknown {unknown[0]!r}; known are {', '.join(_ISSUER_KEYS)}", "oidc"
        )
    audiences = _texts(table, "audience", where)
    if not audiences:
        raise InvalidArgument(
            f"{where}: audience is required: what its tokens for this server name as aud, most"
            " often the client id",
            "oidc",
        )
    algorithms = _texts(table, "algorithms", where) or (ALGORITHMS[0],)
    if wrong := [each for each in algorithms if each not in ALGORITHMS]:
        raise InvalidArgument(
            f"{where}: algorithms knows {', '.join(ALGORITHMS)}, not {wrong[0]!r}", "oidc"
        )
    jwks_uri = _text(table, "jwks_uri", "", where)
    for url in filter(None, (name, jwks_uri)):
        if not is_trustworthy(url):
            raise InvalidArgument(f"{where}: {url!r} must begin with https://", "oidc")
    return OidcIssuer(
        issuer=name,
        audiences=audiences,
        algorithms=algorithms,
        jwks_uri=jwks_uri,
        user_claim=_text(table, "user_claim", "email", where),
        groups_claim=_text(table, "groups_claim", "groups", where),
        client_secret_file=_secret_file(table, given, where),
    )


def parse_policies(given: Given) -> dict[str, Policy]:
    """Give the policies of projects of tables as ``[policies.PROJECT]``, ``*`` being every project.

    Raises
    ------
    InvalidArgument
        If a project, a role or a member is none.
    """
    tables = _tables("policies", given, '[policies.PROJECT] with "roles/ROLE" = ["user:…"]')
    policies: dict[str, Policy] = {}
    for project, table in tables.items():
        where = f"policies.{project} (from {given.origin})"
        try:
            if project != ANY_PROJECT:
                ProjectName(project)
            bindings = [(role, _texts(table, role, where)) for role in table]
            policies[project] = Policy(bindings=checked_bindings(bindings, ROLES, "a project"))
        except InvalidArgument as error:
            told = error.message if error.message.startswith(where) else f"{where}: {error.message}"
            raise InvalidArgument(told, "policies") from error
    return policies


def check_tls_files(cert: Path, key: Path) -> None:
    """See that a certificate and its key can be used.

    Raises
    ------
    InvalidArgument
        If a file cannot be read, or they are none, or not of one another.
    """
    for name, file in (("tls_cert", cert), ("tls_key", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise InvalidArgument(f"{name}: {file}: {error.strerror}", name) from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise InvalidArgument(
            f"tls_cert: {cert} is not a certificate in PEM to which {key} is the key, without a"
            " password",
            "tls_cert",
        ) from error


def _tables(name: str, given: Given, example: str) -> Mapping[str, Mapping[str, object]]:
    """Give tables, which a variable of the environment holds as JSON."""
    value = given.value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, Mapping) or not all(isinstance(e, Mapping) for e in value.values()):
        raise InvalidArgument(
            f"{name} (from {given.origin}) must be tables as {example}; in a variable, JSON", name
        )
    return cast("Mapping[str, Mapping[str, object]]", value)


def _texts(table: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    many = [value] if isinstance(value, str) else value
    if not isinstance(many, list) or not all(isinstance(each, str) and each for each in many):
        raise InvalidArgument(f"{where}: {key} must be a text, or a list of texts", key)
    return tuple(many)


def _secret_file(table: Mapping[str, object], given: Given, where: str) -> Path | None:
    text = _text(table, "client_secret_file", "", where)
    if not text:
        return None
    path = given.directory / Path(text).expanduser()
    if not path.is_file():
        raise InvalidArgument(f"{where}: client_secret_file: there is no file {path}", "oidc")
    return path


def _text(table: Mapping[str, object], key: str, default: str, where: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise InvalidArgument(f"{where}: {key} must be a text", key)
    return value
