"""Faults that others had, tried on Fileroom: each test bears the number of its report."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import time
import tracemalloc
from collections import deque
from contextlib import contextmanager, suppress
from importlib.metadata import version
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from fileroom.api.multipart import MultipartReader
from fileroom.api.ohif import Ohif
from fileroom.api.ranges import find_range
from fileroom.api.wire import ImportDicomDataRequest, decode_message
from fileroom.auth import jwt
from fileroom.console.files import load_files
from fileroom.dicom.media_types import find_media_type
from fileroom.dicom.part10 import Refused, scan
from fileroom.dicom.pixels.decode import decode_frame
from fileroom.dicom.pixels.description import parse_pixel_description
from fileroom.dicom.pixels.failure import PixelError
from fileroom.dicom.pixels.presentation import LookupTable
from fileroom.dicom.pixels.tables import looked_up, table_entries
from fileroom.errors import FileroomError, InvalidArgument, Reason, Unauthenticated
from fileroom.objectstore.archives.central_directory import zip_members
from fileroom.objectstore.archives.zip_reading import open_zip_member
from fileroom.objectstore.uri import parse_pattern
from fileroom.settings import Settings
from tests.archive_bytes import HeldObject, ZipEntry, zip_of
from tests.browser.install_ohif import VERSION as OHIF_VERSION
from tests.corpus import (
    EXPLICIT,
    UID_ROOT,
    DataSet,
    instance_rows,
    minimal_instance,
    multi_frame_instance,
    part10,
)
from tests.fuzz.targets import PartCounter
from tests.multipart_bodies import BOUNDARY, DICOM_PARTS
from tests.server import free_port, run_fileroom
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.unit.api.conftest import ServedDeployment

MB = 1 << 20
_numbers = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDeployment]:
    data = tmp_path_factory.mktemp("cves") / "data"
    with served(Settings(data=data, workers=1)) as running:
        (data / "buckets" / "inbox").mkdir(parents=True, exist_ok=True)
        yield running


@pytest.fixture
def store(server: ServedDeployment) -> str:
    return server.make_store(server.make_dataset(f"cve-{next(_numbers)}"), "s")


@contextmanager
def within(*, peak_bytes: int, seconds: float) -> Iterator[None]:
    """Fail if what runs within takes more memory of Python's, or time."""
    began = time.perf_counter()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - began < seconds
    assert peak < peak_bytes


@contextmanager
def resident(grows_bytes: int) -> Iterator[None]:
    """Fail if the memory of the process, the server's threads included, is left larger."""
    process = psutil.Process()
    before = process.memory_info().rss
    yield
    assert process.memory_info().rss - before < grows_bytes


def head(server: ServedDeployment, path: str, **headers: str) -> bytes:
    lines = {"Host": f"127.0.0.1:{server.port}", "Authorization": f"Bearer {server.token}"}
    told = "".join(f"{name}: {value}\r\n" for name, value in (lines | headers).items())
    return f"POST /v1/{path} HTTP/1.1\r\n{told}\r\n".encode()


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer[9:12])


def pixel_rows() -> DataSet:
    """Give the elements of 16 x 16 native pixels."""
    return sorted(
        [
            *instance_rows(),
            (0x00280002, "US", 1),
            (0x00280004, "CS", "MONOCHROME2"),
            (0x00280010, "US", 16),
            (0x00280011, "US", 16),
            (0x00280100, "US", 8),
            (0x00280101, "US", 8),
            (0x00280102, "US", 7),
            (0x00280103, "US", 0),
            (0x7FE00010, "OB", bytes(256)),
        ],
        key=lambda row: row[0],
    )


def refusal(data: bytes) -> Reason:
    with pytest.raises(Refused) as refused:
        scan(data)
    return refused.value.reason


# Archives of medical images


def test_cve_2025_0896_nobody_is_let_in_from_afar_without_proof(tmp_path: Path) -> None:
    """Orthanc: no authentication by default where remote access is on."""
    for auth in ("none", "token"):
        data = tmp_path / auth
        refused = run_fileroom(
            "serve", f"--data={data}", "--host=0.0.0.0", f"--port={free_port()}", f"--auth={auth}"
        )
        assert refused.returncode == 2, refused.stderr
        assert not data.exists()


def test_cve_2026_5437_a_file_meta_that_lies_is_read_within_the_file() -> None:
    """Orthanc: read beyond the end by the lengths of the meta information."""
    data = minimal_instance()
    for length in (0, 1, len(data), 0x7FFFFFFF, 0xFFFFFFFF):
        lying = bytearray(data)
        lying[140:144] = struct.pack("<I", length)
        with within(peak_bytes=4 * MB, seconds=1), suppress(Refused):
            scan(bytes(lying))
    for long in (0xFFFF, 0x7FFF):
        lying = bytearray(data)
        at = data.index(b"UI", 144) + 2
        lying[at : at + 2] = struct.pack("<H", long)
        assert refusal(bytes(lying)) is Reason.TRUNCATED


def test_cve_2026_5438_gzip_is_not_sized_by_what_it_says(
    server: ServedDeployment, store: str
) -> None:
    """Orthanc: a body in gzip as large as it chooses."""
    bomb = gzip.compress(bytes(MB), 9) * 2000
    with resident(200 * MB):
        answer = server.raw(
            head(
                server,
                f"{store}:import",
                **{"Content-Encoding": "gzip", "Content-Length": str(len(bomb))},
            )
            + bomb
        )
    assert status(answer) in {400, 413}


def test_cve_2026_5439_a_zip_is_not_sized_by_what_it_says() -> None:
    """Orthanc: memory for as many bytes as the directory of a ZIP claims."""
    for method in (0, 8):
        data = zip_of([ZipEntry(size=0xFFFFFFF0, local_size=0xFFFFFFF0, method=method)])
        source = HeldObject(data)
        with within(peak_bytes=8 * MB, seconds=2), suppress(FileroomError):
            for member in zip_members(source):
                with open_zip_member(source, member) as reader:
                    reader.read_at(0, MB)


@pytest.mark.parametrize("length", ["4294967295", "1099511627776", "-1", "+5", "5, 6", "0x10"])
def test_cve_2026_5440_content_length_reserves_nothing(
    server: ServedDeployment, store: str, length: str
) -> None:
    """Orthanc: four gigabytes are reserved because the header says so.

    python-multipart before 0.0.31: a negative length.
    """
    with resident(64 * MB):
        answer = server.raw(head(server, f"{store}:import", **{"Content-Length": length}))
        assert status(answer) in {400, 413}


@pytest.mark.parametrize("vr", ["UL", "SL", "UN", "OB", "FD"])
def test_cve_2026_5442_dimensions_of_another_vr_are_refused(vr: str) -> None:
    """Orthanc: Rows as UL, of which 16 bits were looked at and 32 used."""
    value = struct.pack("<Q", 1 << 16)[: 8 if vr == "FD" else 4]
    rows = [
        (tag, vr, value) if tag == 0x00280010 else (tag, its, its_value)
        for tag, its, its_value in pixel_rows()
    ]
    data = part10(rows)
    with within(peak_bytes=8 * MB, seconds=1), pytest.raises((PixelError, Refused)):
        parse_pixel_description(scan(data).header)


def test_cve_2026_5443_no_product_of_dimensions_wraps_around() -> None:
    """Orthanc: rows times columns times samples, beyond 32 bits."""
    changed = {0x00280010: 65_535, 0x00280011: 65_535, 0x00280002: 3}
    texts = {0x00280004: "RGB"}
    rows = [(tag, vr, changed.get(tag, texts.get(tag, value))) for tag, vr, value in pixel_rows()]
    rows += [(0x00280006, "US", 0), (0x00280008, "IS", "2147483647")]
    data = part10(sorted(rows, key=lambda row: row[0]))
    description = parse_pixel_description(scan(data).header)
    assert description.decoded_frame_bytes > 1 << 32
    with within(peak_bytes=8 * MB, seconds=1), pytest.raises(PixelError) as refused:
        decode_frame(bytes(256), description, EXPLICIT)
    assert refused.value.reason is Reason.MEMORY_LIMIT


def test_cve_2026_5445_no_pixel_looks_beyond_its_palette() -> None:
    """Orthanc: an index beyond the table showed other memory in the picture."""
    table = LookupTable(entries=4, first=0, bits=8, data=bytes((10, 20, 30, 40)))
    pixels = np.array([[0, 3, 4, 255, 65_535]], np.uint16)
    assert looked_up(table_entries(table), 0, pixels).tolist() == [[10, 40, 40, 40, 40]]
    with pytest.raises(PixelError):
        table_entries(LookupTable(entries=256, first=0, bits=8, data=b"\1\2"))


def test_cve_2023_33466_no_request_writes_beside_the_buckets(
    server: ServedDeployment, store: str
) -> None:
    """Orthanc: whoever may write files overwrites the configuration."""
    data = server.deployment.settings.data
    before = {path.name for path in data.iterdir()}
    for name in ("../../fileroom.toml", "/etc/passwd", "a/../../../fileroom.toml", "..", "a\0b"):
        answer = server.client.post(
            "/upload/storage/v1/b/inbox/o",
            params={"uploadType": "media", "name": name},
            content=b"auth = 'none'",
        )
        assert answer.status_code < 500
        body = {"gcsDestination": {"uriPrefix": f"gs://inbox/{name}"}}
        assert server.call("POST", f"{store}:export", body).status_code < 500
    assert {path.name for path in data.iterdir()} == before
    assert not list(data.rglob("*.toml"))
    assert not (data.parent / "fileroom.toml").exists()


def test_cve_2026_32711_a_dicomdir_leads_nowhere() -> None:
    """pydicom before 3.0.2: the names in a DICOMDIR leave its directory."""
    assert tuple(map(int, version("pydicom").split(".")[:3])) >= (3, 0, 2)
    item = [(0x00041500, "CS", "..\\..\\ETC\\PASSWD")]
    directory = part10(
        [
            (0x00080016, "UI", "1.2.840.10008.1.3.10"),
            (0x00080018, "UI", "1.2.3"),
            (0x00041220, "SQ", [item]),
        ]
    )
    assert refusal(directory) is Reason.DICOMDIR


@pytest.mark.parametrize("evil", ["../../x", "1.2;reboot", "$(reboot)", "1.2/../3", "1.2\n3"])
def test_cve_2026_56445_and_5663_and_2022_2119_no_path_or_command_is_made_of_values(
    server: ServedDeployment, store: str, evil: str
) -> None:
    """pynetdicom's qrscp, DCMTK's storescp: values of a data set in paths and commands."""
    for refused in (
        minimal_instance(study_instance_uid=evil),
        minimal_instance(series_instance_uid=evil),
        minimal_instance(sop_instance_uid=evil),
    ):
        assert refusal(refused) is Reason.INVALID_UID
    uid = f"{UID_ROOT}.{next(_numbers)}"
    data = minimal_instance(sop_instance_uid=uid, patient_id=evil, modality=evil[:16])
    answer = server.client.post(
        f"/v1/{store}/dicomWeb/studies", content=data, headers={"Content-Type": "application/dicom"}
    )
    assert answer.status_code == 200, answer.text
    bucket = server.deployment.settings.data / "buckets" / "inbox"
    asked = {"gcsDestination": {"uriPrefix": f"gs://inbox/out-{uid}"}}
    operation = server.call("POST", f"{store}:export", asked).json()["name"]
    deadline = time.monotonic() + 30
    while not server.call("GET", operation).json().get("done"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    written = [path for path in (bucket / f"out-{uid}").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in written] == [data]
    assert all(set(str(path.relative_to(bucket))) <= set("out-/.dcm0123456789") for path in written)


def test_cve_2026_3650_an_unknown_vr_in_the_file_meta_takes_no_memory() -> None:
    """GDCM 3.2.2: a VR that is none, and memory without end."""
    for vr in (b"ZZ", b"\0\0", b"\xff\xff", b"Q1"):
        for length in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"):
            meta = struct.pack("<HH", 2, 1) + vr + b"\0\0" + length + b"\0\1"
            data = bytes(128) + b"DICM" + meta + minimal_instance()[144:]
            with within(peak_bytes=4 * MB, seconds=1), pytest.raises(Refused):
                scan(data)


def test_cve_2026_12473_ohif_asks_this_server_alone(tmp_path: Path) -> None:
    """OHIF before 3.12.2: sends the user's token to the address in ``?url=``."""
    assert tuple(map(int, OHIF_VERSION.split("."))) >= (3, 12, 2)
    (tmp_path / "index.html").write_text("<html></html>")
    config = load_files()["ohif_config.js"][1]
    answer = Ohif(tmp_path, config).find("/ohif/viewer")
    assert answer is not None
    policy = answer.headers["Content-Security-Policy"]
    assert "connect-src 'self' blob: data:;" in policy
    assert config.count(b"dataSourcesModule.") == config.count(b'dataSourcesModule.dicomweb"') == 1


@pytest.mark.parametrize("preamble", [b"MZ\x90", b"\x7fELF", b"#!/bin/sh\n", b"<html>", b"%PDF-"])
def test_cve_2019_11687_what_a_preamble_hides_is_never_opened(
    server: ServedDeployment, store: str, preamble: bytes
) -> None:
    """DICOM: the first 128 bytes may make a file a program, or a page, too."""
    uid = f"{UID_ROOT}.{next(_numbers)}"
    rows = instance_rows(sop_instance_uid=uid)
    data = part10(rows, preamble=preamble.ljust(128, b"\0"))
    headers = {"Content-Type": "application/dicom"}
    url = f"/v1/{store}/dicomWeb/studies"
    assert server.client.post(url, content=data, headers=headers).status_code == 200
    path = f"{url}/{UID_ROOT}.2.1/series/{UID_ROOT}.2.1.1/instances/{uid}"
    answer = server.client.get(path, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert answer.content == data
    assert answer.headers["Content-Type"].startswith("application/dicom")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    blobs = server.deployment.settings.data / "blobs"
    assert not [path for path in blobs.rglob("*") if path.is_file() and path.stat().st_mode & 0o111]


# Libraries


def test_cve_2025_62727_a_range_is_read_in_linear_time() -> None:
    """Starlette before 0.49.1: time that grows with the square of a Range."""
    assert int(version("starlette").split(".")[0]) >= 1
    for text in ("bytes=" + "0-1," * 20_000, "bytes=" + "-" * 80_000, "bytes=" + " " * 80_000):
        with within(peak_bytes=4 * MB, seconds=0.5):
            assert find_range({"range": text}, 1000, None) is None


@pytest.mark.parametrize(
    "headers",
    [
        b"".join(b"X-%d: y\r\n" % number for number in range(100_000)),
        b"X: " + b"y" * 4_000_000 + b"\r\n",
        b"X" * 4_000_000,
        b"Content-Disposition: form-data" + b"; a=b" * 500_000 + b"\r\n",
    ],
)
def test_cve_2026_42561_and_24486_and_28356_the_headers_of_a_part_are_bounded(
    headers: bytes,
) -> None:
    """python-multipart before 0.0.27, multipart before 1.2.2: headers without end."""
    assert tuple(map(int, version("python-multipart").split("."))) >= (0, 0, 32)
    media_type = find_media_type(DICOM_PARTS)
    assert media_type is not None
    taken = PartCounter()
    reader = MultipartReader(media_type, taken)
    body = b"--" + BOUNDARY.encode() + b"\r\n" + headers + b"\r\ncontent"
    pieces = (body[start : start + (1 << 16)] for start in range(0, len(body), 1 << 16))
    with within(peak_bytes=16 * MB, seconds=2), pytest.raises(InvalidArgument):
        deque(map(reader.write, pieces), 0)
    assert not taken.size


def forged(header: Mapping[str, object]) -> str:
    parts = (json.dumps(each).encode() for each in (header, {"iss": "i", "iat": 1, "exp": 2}))
    told = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return told.decode() + ".c2ln"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "RS256", "crit": ["b64"], "b64": False},
        {"alg": "RS256", "jwk": {"kty": "oct", "k": "AAAA"}},
        {"alg": "RS256", "jku": "https://evil.example/keys"},
        {"alg": "RS256", "x5u": "https://evil.example/certificate"},
        {"alg": "RS256", "x5c": ["AAAA"]},
    ],
)
def test_cve_2026_32597_and_48523_and_27962_and_2025_59420_a_token_chooses_no_key(
    header: dict[str, object],
) -> None:
    """PyJWT and Authlib: ``crit`` passed over, the key taken from the token itself."""
    assert jwt.peek(forged({"alg": "RS256"})).algorithm == "RS256"
    with pytest.raises(Unauthenticated):
        jwt.peek(forged(header))


def test_cve_2021_42343_and_2026_23528_nothing_listens_but_the_server(
    server: ServedDeployment,
) -> None:
    """dask.distributed: workers and a dashboard on every interface."""
    assert tuple(map(int, version("distributed").split(".")[:2])) >= (2026, 1)
    process = psutil.Process()
    mine = {
        each.laddr
        for one in (process, *process.children(recursive=True))
        for each in one.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert {address.ip for address in mine} == {"127.0.0.1"}
    assert server.port in {address.port for address in mine}


@pytest.mark.parametrize(
    "uri", ["s3://b?endpoint=http://169.254.169.254/**", "s3://u:p@b/**", "http://minio/b/**"]
)
def test_cve_2021_21287_no_request_names_an_endpoint(uri: str) -> None:
    """MinIO: the server asks what address a request chose."""
    with pytest.raises(InvalidArgument):
        parse_pattern(uri)
    for field in ("endpoint", "endpointUrl", "region", "credentials"):
        body = json.dumps({"gcsSource": {"uri": "gs://b/**", field: "http://169.254.169.254"}})
        with pytest.raises(InvalidArgument, match="Unknown name"):
            decode_message(body.encode(), ImportDicomDataRequest)


def test_what_is_changed_above_is_taken_as_it_was() -> None:
    """What the tests of dimensions refuse is right but for what they change."""
    assert parse_pixel_description(scan(part10(pixel_rows())).header).rows == 16
    assert parse_pixel_description(scan(multi_frame_instance()).header).number_of_frames == 5
