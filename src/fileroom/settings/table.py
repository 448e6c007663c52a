"""The table of settings: name, kind, flag, default and what each is for."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Final, Literal

from fileroom.settings.values import Settings

ENVIRONMENT_PREFIX: Final = "FILEROOM_"

Kind = Literal["text", "integer", "list", "path", "url", "buckets", "issuers", "policies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table of settings."""

    name: str
    kind: Kind
    help: str
    flag: str | None = None
    choices: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = 2**31
    default_text: str | None = None
    """What the documentation shows where the default is worked out at start."""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def default(self) -> str:
        """The default as the documentation shows it."""
        if self.default_text is not None:
            return self.default_text
        (declared,) = (each for each in fields(Settings) if each.name == self.name)
        value = "" if declared.default is MISSING else declared.default
        return ", ".join(value) if isinstance(value, tuple) else str(value)


SETTINGS: Final = (
    Setting(
        name="data",
        kind="path",
        flag="--data",
        default_text="$XDG_DATA_HOME/fileroom, else ~/.local/share/fileroom",
        help="Directory of database, blobs and local buckets; made with mode 0700.",
    ),
    Setting(
        name="host",
        kind="text",
        flag="--host",
        help="Address to listen on; beyond this machine with TLS or behind a proxy only.",
    ),
    Setting(
        name="port",
        kind="integer",
        flag="--port",
        maximum=65_535,
        help="Port to listen on; 0 takes a free one.",
    ),
    Setting(
        name="public_url",
        kind="url",
        default_text="http://127.0.0.1:PORT, or https",
        help="Where clients reach the server; URLs in answers begin with it.",
    ),
    Setting(
        name="hosts",
        kind="list",
        default_text="none",
        help="Further names that a request's Host header may bear, beside 127.0.0.1, localhost,"
        " [::1] and the host of public_url.",
    ),
    Setting(
        name="tls_cert",
        kind="path",
        default_text="none",
        help="The file of this server's certificate and those between it and its authority, PEM;"
        " with tls_key the server speaks HTTPS alone. It is read at the start.",
    ),
    Setting(
        name="tls_key",
        kind="path",
        default_text="none",
        help="The file of the certificate's key, PEM; only its owner should be able to read it.",
    ),
    Setting(
        name="trusted_proxies",
        kind="list",
        default_text="none",
        help="Networks of the proxies before this server, as in 10.0.3.0/28: they tell callers'"
        " addresses by X-Forwarded-For, and where this server has no TLS of its own, it is reached"
        " through them alone.",
    ),
    Setting(
        name="cors_origins",
        kind="list",
        default_text="none",
        help="Origins whose web pages may call the API, exactly as a browser sends them.",
    ),
    Setting(
        name="auth",
        kind="list",
        flag="--auth",
        choices=("token", "service-account", "oidc", "none"),
        help="How callers prove who they are, several together: token, the owner's;"
        " service-account, key files made here; oidc, tokens of the providers under oidc; or none"
        " alone (no proof, loopback only).",
    ),
    Setting(
        name="access_token_file",
        kind="path",
        default_text="none: DATA/access-token, made at the first start",
        help="A file that holds the owner's token, for a container whose secrets come from outside:"
        " at least 32 characters. No other token of the owner's counts then.",
    ),
    Setting(
        name="oidc",
        kind="issuers",
        default_text="none",
        help='OpenID providers whose tokens count: [oidc."https://login.example.org"] with'
        " audience, algorithms, jwks_uri, user_claim, groups_claim, client_secret_file; in the"
        " variable, JSON.",
    ),
    Setting(
        name="policies",
        kind="policies",
        default_text="none",
        help='Who may do what in a project: [policies.PROJECT] with "roles/ROLE" ='
        ' ["user:ada@example.org"]; "*" is every project; in the variable, JSON.',
    ),
    Setting(
        name="locations",
        kind="list",
        help="Locations that locations.list shows; any other valid one is accepted too.",
    ),
    Setting(
        name="buckets",
        kind="buckets",
        flag="--bucket",
        default_text="every directory under DATA/buckets",
        help='Buckets and what serves them: [buckets."gs://demo"] with url, or endpoint,'
        " region, account, credentials, ordered; project, allow, stores; as flag or variable"
        " NAME=DIRECTORY.",
    ),
    Setting(
        name="file_roots",
        kind="list",
        default_text="none: file:// is refused",
        help="Directories of the server below which requests may name files as file:///path.",
    ),
    Setting(
        name="database",
        kind="text",
        default_text="DATA/fileroom.db",
        help="The database: sqlite, a file in the data directory; or a PostgreSQL that servers"
        " share, as in postgresql://user@host/fileroom.",
    ),
    Setting(
        name="blobs",
        kind="text",
        default_text="DATA/blobs",
        help="Where instances' bytes are kept: a directory, or a place in a bucket, as in"
        " s3://bucket/fileroom.",
    ),
    Setting(
        name="executor",
        kind="text",
        help="What runs the batches of imports and exports: local, worker processes of this server;"
        " or a Dask cluster, by its scheduler's address, as in tls://scheduler:8786, or on this"
        " machine as in dask://127.0.0.1:8786, without TLS.",
    ),
    Setting(
        name="executor_ca",
        kind="path",
        default_text="none",
        help="For tls://: the file of the authority whose certificates the Dask cluster bears.",
    ),
    Setting(
        name="executor_cert",
        kind="path",
        default_text="none",
        help="For tls://: the file of this server's own certificate.",
    ),
    Setting(
        name="executor_key",
        kind="path",
        default_text="none",
        help="For tls://: the file of its key.",
    ),
    Setting(
        name="workers",
        kind="integer",
        minimum=1,
        maximum=1024,
        default_text="number of processors",
        help="Worker processes, where executor is local.",
    ),
    Setting(
        name="render_workers",
        kind="integer",
        minimum=1,
        maximum=1024,
        default_text="number of processors",
        help="Worker processes for what requests ask: metadata of many instances, pixels; and as"
        " many again for exports in another form. They are started when first needed.",
    ),
    Setting(
        name="metadata_cache_bytes",
        kind="integer",
        maximum=2**50,
        default_text="1073741824 (1 GiB)",
        help="What DATA/cache may take of the disk: metadata of series that were read or have come"
        " to rest, compressed. 0 keeps none. It may be deleted at any time.",
    ),
    Setting(
        name="search",
        kind="text",
        choices=("extended", "google"),
        help="QIDO-RS with Fileroom's additions, or with Google's keys, texts and errors exactly.",
    ),
    Setting(
        name="ohif",
        kind="path",
        default_text="none",
        help="Directory of a built OHIF, 3.12.2 or newer, served at /ohif beside the console.",
    ),
    Setting(
        name="collection_grace_seconds",
        kind="integer",
        help="How long the bytes of a deleted instance are kept.",
    ),
    Setting(
        name="collection_interval_seconds",
        kind="integer",
        minimum=1,
        help="How often bytes that nothing names any more are collected.",
    ),
    Setting(
        name="operation_retention_days",
        kind="integer",
        minimum=1,
        maximum=36_500,
        help="How long a finished operation and its failures are kept.",
    ),
    Setting(
        name="audit_segment_bytes",
        kind="integer",
        minimum=4096,
        help="After so many bytes the audit log in DATA/audit goes on in a new file.",
    ),
    Setting(
        name="audit_retention_days",
        kind="integer",
        help="How long lines of the audit log are kept; 0 keeps all.",
    ),
    Setting(
        name="request_threads",
        kind="integer",
        minimum=1,
        maximum=1024,
        help="Requests that are worked on at the same moment.",
    ),
    Setting(
        name="requests_per_second",
        kind="integer",
        help="Requests of one principal from one address in a second, ten times as many at once;"
        " then 429. 0 does not count.",
    ),
    Setting(
        name="unfinished_operations",
        kind="integer",
        minimum=1,
        help="Operations of a DICOM store that wait or run; who asks for more is told 429.",
    ),
    Setting(
        name="log_level",
        kind="text",
        flag="--log-level",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="The least severity that is logged.",
    ),
)
