"""What the fuzzers begin with: a few right inputs of each grammar, and pieces it is made of."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from array import array
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.database.pages import encode_page_token
from fileroom.dicom.frames import encode_table
from fileroom.dicom.json_model import metadata
from fileroom.dicom.part10 import scan
from tests.archive_bytes import ZipEntry, zip_of
from tests.corpus import minimal_instance, mr_instance
from tests.multipart_bodies import BOUNDARY, multipart_body
from tests.scanning import small_instances

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ACCEPTS: Final = (
    b'multipart/related; type="application/dicom"; transfer-syntax=*',
    b"application/dicom+json, application/json;q=0.9, */*;q=0.1",
    b'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90; q=0.5',
)
_URIS: Final = (
    b"gs://bucket/dir/**.dcm",
    b"gs://bucket/a?c/*.dcm",
    b"file:///srv/in/a/../b",
    b"s3://bucket/study.zip!/**",
    b"az://account/container/x",
)
_QUERIES: Final = (
    b"PatientName=Doe%5EJ*&fuzzymatching=true&limit=10&offset=2",
    b"StudyDate=20200101-20201231&StudyTime=1200-&includefield=all",
    b"00100020=1%2C2&ModalitiesInStudy=CT%5CMR&StudyInstanceUID=1.2%2C1.3",
    b"AcquisitionDateTime=20200101120000.5-&00100010=%25_%3F&limit=1",
)
_NAMES: Final = (
    b"projects/p/locations/us-central1/datasets/d/dicomStores/s",
    b"projects/p/locations/us-central1/datasets/d/operations/123",
    b"studies/1.2/series/1.2.3/instances/1.2.3.4",
    b"projects/-/serviceAccounts/name@p.iam.gserviceaccount.com",
    b"1.2.840.10008.5.1.4",
    b"00100010",
)
_FILTERS: Final = (
    b'labels.a=b AND (NOT labels.c:* OR labels.d!="x y")',
    b'severity>=ERROR AND timestamp>"2026-01-01T00:00:00Z"',
    b'resource.type="healthcare_dataset" AND labels.a:"b"',
    b"a/{b,c}/[a-z]?/**.dcm",
)
_POLICY: Final = {
    "policy": {
        "bindings": [
            {"role": "roles/healthcare.dicomViewer", "members": ["user:a@example.org"]},
            {"role": "roles/healthcare.datasetAdmin", "members": ["group:g@example.org"]},
        ],
        "etag": "ACAB",
        "version": 1,
    },
    "updateMask": "bindings,etag",
}
_MESSAGES: Final = (
    {
        "gcsSource": {"uri": "gs://b/**.dcm"},
        "blobStorageSettings": {"blobStorageClass": "NEARLINE"},
    },
    {"gcs_destination": {"uri_prefix": "gs://b/x", "mimeType": "application/dicom"}},
    {"labels": {"a": "b"}, "notificationConfig": {"pubsubTopic": "t"}, "name": None},
)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _tar(name: str = "a.dcm") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for each in (name, "é" * 120):
            information = tarfile.TarInfo(each)
            information.size = 600
            archive.addfile(information, io.BytesIO(b"x" * 600))
    return file.getvalue()


def _token(header: object, claims: object) -> bytes:
    parts = (base64.urlsafe_b64encode(_json(each)).rstrip(b"=") for each in (header, claims))
    return b".".join([*parts, b"c2lnbmF0dXJl"])


def _models() -> list[bytes]:
    models = []
    for data in (minimal_instance(), small_instances()["explicit"]):
        source = io.BytesIO(data)

        def read(offset: int, length: int, source: io.BytesIO = source) -> bytes:
            source.seek(offset)
            return source.read(length)

        model = metadata(scan(data).header, bulk_data_uri="http://h", read=read)
        model.pop("7FE00010", None)
        model["00020010"] = {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}
        models.append(msgspec.json.encode([model]))
    return models


@cache
def seeds() -> Mapping[str, Sequence[bytes]]:
    """Give the seeds of each target, by its name."""
    files = (*small_instances().values(), mr_instance())
    zips = (
        zip_of([ZipEntry(), ZipEntry(name=b"b/c.dcm", data=b"x" * 5000, method=8)]),
        zip_of([ZipEntry(name=b"z")], zip64_disks=1, comment=b"end"),
    )
    body = multipart_body([b"one", b"two\r\n--"])
    return {
        "scanner": files,
        "metadata_forms": files,
        "frame_tables": (*files, *encode_table(900, array("Q", [8, 9, 10]))),
        "pixel_descriptions": files,
        "json_instances": _models(),
        "patches": (*_models(), _json({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]}})),
        "messages": [_json(each) for each in _MESSAGES],
        "policies": (_json(_POLICY),),
        "multipart": (b"\x03" + body, b"\xff" + body, b"\x00preamble\r\n" + body),
        "media_types": _ACCEPTS,
        "uris": _URIS,
        "queries": _QUERIES,
        "page_tokens": (
            encode_page_token("listing", (7,)).encode(),
            encode_page_token("listing", ("a", 7)).encode(),
            base64.urlsafe_b64decode(encode_page_token("listing", ("a", 7))),
        ),
        "tokens": (
            _token({"alg": "RS256", "kid": "k", "typ": "JWT"}, {"iss": "i", "exp": 1}),
            _token({"alg": "none", "jwk": {}}, {"iss": [1]}),
            b'{"alg": "RS256", "kid": "k"}\n{"iss": "i", "exp": 1.5}',
        ),
        "ranges": (b"bytes=0-99", b'bytes=5-\n"e"', b"bytes=-5, 1-2"),
        "names": _NAMES,
        "filters": _FILTERS,
        "zips": zips,
        "tars": (_tar(),),
        "gzipped_tars": (gzip.compress(_tar(), mtime=0),),
        "gzip_bodies": (gzip.compress(body, mtime=0), gzip.compress(b"a", mtime=0) * 3),
    }


PIECES: Final = (
    b"\0", b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0", b"SQ\0\0", b"UN\0\0",
    b"\xff\xff\xff\x7f", b"..", b"/../", b"%00", b"%2e%2e%2f", b"*", b"?", b"!/", b"&", b"=", b";",
    b",", b'"', b"\\", b"[" * 3000, b"{\"a\":" * 900, b"(" * 400, b"-" * 400, b"NOT " * 400,
    b"1e999", b"9" * 40, b"NaN", b"\xed\xa0\x80", b"\\ud800", "\u202e".encode(), b"\r\n\r\n",
    b"\r\n--" + BOUNDARY.encode(), b"--\r\n", b"null", b"\x1b$B", b"{a,b}" * 12, b"**",
)  # fmt: skip
"""What breaks a grammar, put anywhere by the fuzzers that do not see the code."""
