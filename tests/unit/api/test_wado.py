"""WADO-RS at a real server: what comes back for what is asked, and what is refused how."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
import pydicom
import pytest
from imagecodecs import jpeg8_decode, png_decode

from fileroom.archive.workers import RequestWorkers
from fileroom.settings import Settings
from fileroom.transfer.executors import WorkerPool, begin_item
from fileroom.transfer.executors.limits import WorkerLimits
from tests.corpus import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_BASELINE,
    RLE,
    encapsulated_instance,
    minimal_instance,
    mr_instance,
    multi_frame_instance,
    sr_instance,
)
from tests.frames import encapsulated
from tests.unit.api.conftest import served
from tests.unit.api.web import Web, numbers, parts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.api.conftest import ServedDeployment

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.201"
JPEG_XL = "1.2.840.10008.1.2.4.110"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
MPEG = "1.2.840.10008.1.2.4.100"
STORED_PARTS = 'multipart/related; type="application/dicom"; transfer-syntax=*'
AS_STORED = "application/dicom; transfer-syntax=*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An instance of the store, and where it is."""

    path: str
    data: bytes

    @property
    def study(self) -> str:
        return self.path.partition("/series")[0]

    @property
    def series(self) -> str:
        return self.path.partition("/instances")[0]

    @property
    def pixels(self) -> np.ndarray[Any, Any]:
        return pydicom.dcmread(BytesIO(self.data)).pixel_array


def uids(study: int, series: int = 1, instance: int = 1) -> dict[str, Any]:
    return {
        "study_instance_uid": f"1.7.{study}",
        "series_instance_uid": f"1.7.{study}.{series}",
        "sop_instance_uid": f"1.7.{study}.{series}.{instance}",
    }


def kept(data: bytes, study: int, series: int = 1, instance: int = 1) -> Kept:
    found = uids(study, series, instance)
    path = (
        f"studies/{found['study_instance_uid']}/series/{found['series_instance_uid']}"
        f"/instances/{found['sop_instance_uid']}"
    )
    return Kept(path=path, data=data)


def damaged_jpeg(**values: Any) -> bytes:
    """Give an instance whose header is in order, unlike its frame."""
    return encapsulated(
        [[b"\xff\xd8 no such picture \xff\xd9"]],
        JPEG_BASELINE,
        rows=8,
        columns=8,
        bits_allocated=8,
        bits_stored=8,
        high_bit=7,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        pixel_representation=0,
        **values,
    )


@pytest.fixture(scope="module")
def web(server: ServedDeployment) -> Web:
    return Web(server, next(numbers) + 1000)


@pytest.fixture(scope="module")
def stored(web: Web) -> dict[str, Kept]:
    """Give a slice, a multi-frame, a report, a video, a big endian file and a mixed study."""
    found = {
        "slice": kept(mr_instance(rows=32, **uids(1)), 1),
        "frames": kept(multi_frame_instance(frames=5, rows=16, **uids(2)), 2),
        "report": kept(sr_instance(**uids(3)), 3),
        "video": kept(encapsulated([[b"\0" * 40]], MPEG, **uids(4)), 4),
        "big": kept(
            minimal_instance(
                transfer_syntax_uid=BIG_ENDIAN, rows=1, columns=2, pixel_data=[1, 515], **uids(5)
            ),
            5,
        ),
        "damaged": kept(
            damaged_jpeg(**uids(6)),
            6,
        ),
        "deflated": kept(mr_instance(rows=16, transfer_syntax_uid=DEFLATED, **uids(7)), 7),
    }
    for series in (2, 1):
        for instance in (3, 1, 2):
            syntax = IMPLICIT if series == 1 else EXPLICIT
            data = mr_instance(rows=8, transfer_syntax_uid=syntax, **uids(9, series, instance))
            found[f"mixed-{series}-{instance}"] = kept(data, 9, series, instance)
    web.add(*(each.data for each in found.values()))
    return found


def error_of(answer: httpx2.Response) -> str:
    message: str = answer.json()["error"]["message"]
    return message


# ------------------------------------------------------------------ studies and series


@pytest.mark.clause(
    "PS3.18 10.4.1.1.1", "a study or series is one part for each instance, as stored with *"
)
def test_a_study_comes_as_parts_by_series_and_instance(web: Web, stored: dict[str, Kept]) -> None:
    mixed = [stored[f"mixed-{series}-{n}"] for series in (1, 2) for n in (1, 2, 3)]
    answer = web.get(mixed[0].study, STORED_PARTS)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    found = parts(answer)
    assert [body for _, body in found] == [each.data for each in mixed]
    assert {media_type for media_type, _ in found} == {
        f"application/dicom; transfer-syntax={syntax}" for syntax in (IMPLICIT, EXPLICIT)
    }
    series = web.get(mixed[0].series, STORED_PARTS)
    assert [body for _, body in parts(series)] == [each.data for each in mixed[:3]]


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "a study without Accept comes in Explicit VR Little Endian",
)
def test_a_study_without_a_wish_is_explicit_little_endian(
    web: Web, stored: dict[str, Kept]
) -> None:
    answer = web.get(stored["mixed-1-1"].study)
    assert f"transfer-syntax={EXPLICIT}" in answer.headers["content-type"]
    assert "content-length" not in answer.headers
    for media_type, body in parts(answer):
        assert media_type == f"application/dicom; transfer-syntax={EXPLICIT}"
        assert pydicom.dcmread(BytesIO(body)).file_meta.TransferSyntaxUID == EXPLICIT


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "a study is transcoded where Accept names a transfer syntax",
)
def test_a_study_is_transcoded(web: Web, stored: dict[str, Kept]) -> None:
    accept = f'multipart/related; transfer-syntax={HTJ2K}; type="application/dicom"'
    found = parts(web.get(stored["mixed-1-1"].study, accept))
    assert len(found) == 6
    for media_type, body in found:
        assert media_type == f"application/dicom; transfer-syntax={HTJ2K}"
        assert pydicom.dcmread(BytesIO(body)).file_meta.TransferSyntaxUID == HTJ2K


@pytest.mark.clause(
    "PS3.18 8.7.8",
    "a study of which an instance can be had in no acceptable transfer syntax is 406 as a whole",
    holds="chosen",
)
def test_a_study_with_an_impossible_instance_is_406(web: Web, stored: dict[str, Kept]) -> None:
    for name in ("video", "report"):
        accept = f'multipart/related; type="application/dicom"; transfer-syntax={HTJ2K}'
        answer = web.get(stored[name].study, accept)
        assert answer.status_code == 406
        assert "transfer-syntax=*" in error_of(answer)
    both = (
        f'multipart/related; type="application/dicom"; transfer-syntax={HTJ2K},'
        " multipart/related; type=application/dicom; transfer-syntax=*;q=0.5"
    )
    assert [body for _, body in parts(web.get(stored["video"].study, both))] == [
        stored["video"].data
    ]


@pytest.mark.clause(
    "PS3.18 8.7.8",
    "an instance of a study that fails while it is sent breaks the body off: it is never left out",
    holds="chosen",
)
def test_an_instance_that_fails_later_is_never_left_out(server: ServedDeployment) -> None:
    web = Web(server, next(numbers) + 1000)
    web.add(mr_instance(rows=8, **uids(1, 1, 1)), damaged_jpeg(**uids(1, 1, 2)))
    assert len(parts(web.get("studies/1.7.1", STORED_PARTS))) == 2
    with pytest.raises(httpx2.RemoteProtocolError):
        web.get("studies/1.7.1")


def test_several_accept_headers_are_one(web: Web, stored: dict[str, Kept]) -> None:
    url = f"/v1/{web.store}/dicomWeb/{stored['slice'].path}"
    headers = [("Accept", "image/png"), ("Accept", AS_STORED)]
    answer = web.server.client.get(url, headers=headers)
    assert answer.content == stored["slice"].data


def test_an_absent_study_is_404(web: Web) -> None:
    for path in ("studies/9.9", "studies/9.9/series/9.9"):
        answer = web.get(path)
        assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


# ------------------------------------------------------------------ instances


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "an instance is transcoded where Accept names a transfer syntax",
)
@pytest.mark.parametrize("syntax", [RLE, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, HTJ2K])
def test_an_instance_is_transcoded(web: Web, stored: dict[str, Kept], syntax: str) -> None:
    for name in ("slice", "frames", "deflated"):
        answer = web.get(stored[name].path, f"application/dicom; transfer-syntax={syntax}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={syntax}"
        assert answer.headers["etag"].startswith('W/"')
        dataset = pydicom.dcmread(BytesIO(answer.content))
        assert dataset.file_meta.TransferSyntaxUID == syntax


def test_a_video_comes_as_stored_only(web: Web, stored: dict[str, Kept]) -> None:
    video = stored["video"]
    for accept in (AS_STORED, f"application/dicom; transfer-syntax={MPEG}"):
        assert web.get(video.path, accept).content == video.data
    answer = web.get(video.path)
    assert answer.status_code == 406
    assert "transfer-syntax=*" in error_of(answer)


@pytest.mark.clause("RFC 9110 13.1.2", "an instance that the client has is 304")
def test_an_instance_that_the_client_has_is_304(web: Web, stored: dict[str, Kept]) -> None:
    url = f"/v1/{web.store}/dicomWeb/{stored['slice'].path}"
    for accept in (AS_STORED, f"application/dicom; transfer-syntax={RLE}"):
        etag = web.get(stored["slice"].path, accept).headers["etag"]
        headers = {"Accept": accept, "If-None-Match": f'"x", {etag}'}
        again = web.server.client.get(url, headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag


@pytest.mark.clause("RFC 9110 14.2", "one range of an instance's file is 206, one beyond it 416")
@pytest.mark.parametrize("accept", [AS_STORED, f"application/dicom; transfer-syntax={IMPLICIT}"])
def test_ranges_of_an_instance(web: Web, stored: dict[str, Kept], accept: str) -> None:
    whole = web.get(stored["slice"].path, accept)
    body = whole.content
    assert whole.headers["accept-ranges"] == "bytes"

    def ranged(text: str, **headers: str) -> httpx2.Response:
        url = f"/v1/{web.store}/dicomWeb/{stored['slice'].path}"
        headers |= {"Accept": accept, "Range": text}
        return web.server.client.get(url, headers=headers)

    for text, start, stop in [
        ("bytes=0-0", 0, 1),
        ("bytes=130-145", 130, 146),
        ("bytes=1000-", 1000, len(body)),
        ("bytes=-7", len(body) - 7, len(body)),
        ("bytes=100-999999999", 100, len(body)),
    ]:
        answer = ranged(text)
        assert answer.status_code == 206, text
        assert answer.content == body[start:stop]
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(body)}"
        assert answer.headers["content-length"] == str(stop - start)
    for text in ("bytes=999999999-", "bytes=-0"):
        answer = ranged(text)
        assert answer.status_code == 416
        assert answer.headers["content-range"] == f"bytes */{len(body)}"
    for text in ("bytes=5-1", "bytes=0-1,3-4", "lines=1-2", "bytes=x-"):
        assert (ranged(text).status_code, ranged(text).content) == (200, body)
    etag = whole.headers["etag"]
    assert ranged("bytes=0-9", **{"If-Range": etag}).status_code == 206
    assert ranged("bytes=0-9", **{"If-Range": '"other"'}).status_code == 200


def test_head_tells_what_get_would(web: Web, stored: dict[str, Kept]) -> None:
    for path, accept in (
        (stored["slice"].path, AS_STORED),
        (stored["mixed-1-1"].study, STORED_PARTS),
        (f"{stored['slice'].path}/rendered", "image/png"),
        ("studies", "application/dicom+json"),
    ):
        url = f"/v1/{web.store}/dicomWeb/{path}"
        head = web.server.client.head(url, headers={"Accept": accept})
        whole = web.server.client.get(url, headers={"Accept": accept})
        assert (head.status_code, head.content) == (200, b"")
        kind = whole.headers["content-type"].partition(";")[0]
        assert head.headers["content-type"].startswith(kind)
        assert head.headers.get("content-length") == whole.headers.get("content-length")


# ------------------------------------------------------------------ frames


@pytest.mark.clause(
    "PS3.18 10.4.1.1.6", "frames come in the order asked for, one asked for twice comes twice"
)
@pytest.mark.parametrize("syntax", ["*", EXPLICIT])
def test_frames_as_octets(web: Web, stored: dict[str, Kept], syntax: str) -> None:
    accept = f'multipart/related; type="application/octet-stream"; transfer-syntax={syntax}'
    found = parts(web.get(f"{stored['frames'].path}/frames/4,1,4", accept))
    pixels = stored["frames"].pixels
    assert [body for _, body in found] == [pixels[number].tobytes() for number in (3, 0, 3)]
    media_type = f"application/octet-stream; transfer-syntax={EXPLICIT}"
    assert {each for each, _ in found} == {media_type}
    assert web.get(f"{stored['frames'].path}/frames/4%2C1", accept).status_code == 200


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve", "frames in every media type of its table"
)
@pytest.mark.parametrize(
    ("root", "syntax", "named"),
    [
        ("image/jpeg", JPEG_LOSSLESS, True),
        ("image/jpeg", "1.2.840.10008.1.2.4.57", True),
        ("image/jls", JPEG_LS, False),
        ("image/jp2", JPEG_2000, False),
        ("image/jphc", HTJ2K, False),
        ("image/jxl", JPEG_XL, False),
        ("image/dicom-rle", RLE, False),
        ("application/x-deflate", DEFLATED_FRAMES, False),
    ],
)
def test_frames_in_each_media_type(
    web: Web, stored: dict[str, Kept], root: str, syntax: str, named: bool
) -> None:
    wish = f"; transfer-syntax={syntax}" if named else ""
    answer = web.get(f"{stored['frames'].path}/frames/2", f'multipart/related; type="{root}"{wish}')
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-length"] == str(len(answer.content))
    ((media_type, body),) = parts(answer)
    assert media_type == f"{root}; transfer-syntax={syntax}"
    single = web.get(f"{stored['frames'].path}/frames/2", f"{root}{wish}")
    assert single.headers["content-type"] == media_type
    assert single.content == body


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "a frame as image/png, or of over 8 bits as image/jpeg, is rendered",
    holds="chosen",
)
def test_frames_as_pictures(web: Web, stored: dict[str, Kept]) -> None:
    path = stored["frames"].path
    png = web.get(f"{path}/frames/2", 'multipart/related; type="image/png"')
    ((media_type, body),) = parts(png)
    assert media_type == "image/png"
    assert png_decode(body).shape == (16, 16)
    assert body == web.get(f"{path}/frames/2/rendered", "image/png").content
    jpeg = web.get(f"{stored['slice'].path}/frames/1", "image/jpeg")
    assert jpeg.headers["content-type"] == f"image/jpeg; transfer-syntax={JPEG_BASELINE}"
    assert jpeg8_decode(jpeg.content).shape == (32, 32)


def test_a_compressed_frame_comes_as_stored(web: Web, stored: dict[str, Kept]) -> None:
    for accept in (
        "application/octet-stream; transfer-syntax=*",
        "image/jpeg",
        f"image/jpeg; transfer-syntax={JPEG_BASELINE}",
    ):
        answer = web.get(f"{stored['damaged'].path}/frames/1", accept)
        assert answer.status_code == 200
        assert answer.headers["content-type"].endswith(f"transfer-syntax={JPEG_BASELINE}")
        assert answer.content.startswith(b"\xff\xd8 no such picture")


@pytest.mark.clause(
    "PS3.18 10.4.1.1.6",
    "frames: none of that number is 404, 0 or no number 400, of a video 406, without pixels 400",
    holds="chosen",
)
@pytest.mark.parametrize(
    ("name", "frames", "status"),
    [
        ("frames", "6", 404),
        ("frames", "99999999999", 400),
        ("frames", "2147483648", 404),
        ("frames", "0", 400),
        ("frames", "1,0", 400),
        ("frames", "1,", 400),
        ("frames", "-1", 400),
        ("frames", "one", 400),
        ("frames", "1.5", 400),
        ("video", "1", 406),
        ("report", "1", 400),
        ("slice", "2", 404),
    ],
)
def test_frames_that_are_not_there(
    web: Web, stored: dict[str, Kept], name: str, frames: str, status: int
) -> None:
    for suffix in ("", "/rendered", "/thumbnail"):
        answer = web.get(f"{stored[name].path}/frames/{frames}{suffix}")
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "a frame that cannot be had in an acceptable form is 406",
)
def test_frames_in_an_impossible_form_are_406(web: Web, stored: dict[str, Kept]) -> None:
    for accept in (
        "video/mp4",
        f"image/jpeg; transfer-syntax={HTJ2K}",
        f"application/octet-stream; transfer-syntax={HTJ2K}",
    ):
        answer = web.get(f"{stored['slice'].path}/frames/1", accept)
        assert answer.status_code == 406, accept
    assert web.get(f"{stored['frames'].path}/frames/1,2", "image/jls").status_code == 406


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "stored pixel data that cannot be decoded are 400, and given as stored",
    holds="chosen",
)
def test_damaged_pixel_data_are_400(web: Web, stored: dict[str, Kept]) -> None:
    path = stored["damaged"].path
    for suffix, accept in (
        ("/frames/1", "application/octet-stream"),
        ("/rendered", "image/png"),
        ("", "application/dicom"),
    ):
        answer = web.get(f"{path}{suffix}", accept)
        assert answer.status_code == 400, answer.text
    assert web.get(path, AS_STORED).content == stored["damaged"].data


# ------------------------------------------------------------------ rendered


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve", "a rendered instance is image/jpeg, or image/png"
)
def test_an_instance_is_rendered(web: Web, stored: dict[str, Kept]) -> None:
    path = f"{stored['slice'].path}/rendered"
    for accept in (None, "*/*", "image/*", "image/jpeg", "application/json"):
        answer = web.get(path, accept, alt="json")
        assert answer.headers["content-type"] == "image/jpeg"
        assert jpeg8_decode(answer.content).shape == (32, 32)
    answer = web.get(path, "image/png")
    assert png_decode(answer.content).shape == (32, 32)
    ((media_type, body),) = parts(web.get(path, 'multipart/related; type="image/png"'))
    assert (media_type, body) == ("image/png", answer.content)
    assert web.get(path, "image/gif").status_code == 406


@pytest.mark.clause("PS3.18 8.3.5", "viewport, window and quality are heeded, others are 400")
def test_parameters_of_rendering(web: Web, stored: dict[str, Kept]) -> None:
    path = f"{stored['slice'].path}/rendered"
    plain = web.get(path, "image/png").content
    assert png_decode(web.get(path, "image/png", viewport="8,8").content).shape == (8, 8)
    narrow = web.get(path, "image/png", window="100,10,linear").content
    assert narrow != plain
    assert set(np.unique(png_decode(narrow))) <= set(range(256))
    assert len(web.get(path, quality="5").content) < len(web.get(path, quality="95").content)
    for wrong in ({"viewport": "8"}, {"window": "x"}, {"quality": "0"}, {"annotation": "patient"}):
        assert web.get(path, **wrong).status_code == 400, wrong


@pytest.mark.clause(
    "PS3.18 10.4.1.1.3",
    "a multi-frame instance is rendered by frame; without one it is 406",
    holds="chosen",
)
def test_a_multi_frame_instance_is_rendered_by_frame(web: Web, stored: dict[str, Kept]) -> None:
    path = stored["frames"].path
    answer = web.get(f"{path}/rendered")
    assert answer.status_code == 406
    assert "/frames/N/rendered" in error_of(answer)
    assert png_decode(web.get(f"{path}/frames/3/rendered", "image/png").content).shape == (16, 16)
    found = parts(web.get(f"{path}/frames/3,1/rendered", "image/png"))
    assert [media_type for media_type, _ in found] == ["image/png", "image/png"]
    assert found[0][1] == web.get(f"{path}/frames/3/rendered", "image/png").content


@pytest.mark.clause(
    "PS3.18 10.4.1.1.4", "thumbnails of study, series, instance and frame", holds="own rule"
)
def test_thumbnails(web: Web, stored: dict[str, Kept]) -> None:
    slice_, frames = stored["slice"], stored["frames"]
    for path in (slice_.study, slice_.series, slice_.path, f"{frames.path}/frames/2", frames.study):
        answer = web.get(f"{path}/thumbnail")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/jpeg"
        assert jpeg8_decode(answer.content).shape == (128, 128)
    answer = web.get(f"{slice_.study}/thumbnail", "image/png", viewport="20,30")
    assert png_decode(answer.content).shape == (20, 20)
    for path in (stored["report"].study, stored["report"].path, stored["video"].series):
        assert web.get(f"{path}/thumbnail").status_code == 404
    assert web.get(f"{slice_.study}/thumbnail", window="1,2,linear").status_code == 400
    assert web.get("studies/9.9/thumbnail").status_code == 404


# ------------------------------------------------------------------ bulk data


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve", "bulk data as a part, or alone where Accept says so"
)
def test_bulk_data(web: Web, stored: dict[str, Kept]) -> None:
    slice_ = stored["slice"]
    pixels = pydicom.dcmread(BytesIO(slice_.data)).PixelData
    media_type = f"application/octet-stream; transfer-syntax={EXPLICIT}"
    (told,) = web.get(f"{slice_.path}/metadata").json()
    path = told["7FE00010"]["BulkDataURI"].removeprefix(f"{web.url}/")
    for accept in (None, 'multipart/related; type="application/octet-stream"; transfer-syntax=*'):
        answer = web.get(path, accept)
        assert parts(answer) == [(media_type, pixels)]
    for accept in (
        "application/octet-stream",
        "application/octet-stream; transfer-syntax=*",
        f"application/octet-stream; transfer-syntax={EXPLICIT}",
    ):
        answer = web.get(path, accept)
        assert (answer.headers["content-type"], answer.content) == (media_type, pixels)
    nested = web.get(f"{slice_.path}/bulkdata/00081032/0/00080104", "application/octet-stream")
    assert nested.content == b"MR Head "
    for wrong, status in (("7FE00011", 404), ("xyz", 400), ("00081032/7/00080104", 404)):
        assert web.get(f"{slice_.path}/bulkdata/{wrong}").status_code == status
    assert web.get(path, "image/png").status_code == 406


def test_bulk_data_are_little_endian_and_in_ranges(web: Web, stored: dict[str, Kept]) -> None:
    url = f"/v1/{web.store}/dicomWeb/{stored['big'].path}/bulkdata/7FE00010"
    for text, body in (
        ("", b"\1\0\3\2"),
        ("bytes=1-2", b"\0\3"),
        ("bytes=0-0", b"\1"),
        ("bytes=3-", b"\2"),
        ("bytes=-3", b"\0\3\2"),
    ):
        headers = {"Accept": "application/octet-stream", "Range": text}
        answer = web.server.client.get(url, headers=headers)
        assert (answer.status_code, answer.content) == (206 if text else 200, body)


def test_encapsulated_bulk_data_are_what_the_fragments_hold(server: ServedDeployment) -> None:
    web = Web(server, next(numbers) + 1000)
    data = encapsulated_instance(**uids(1))
    web.add(data)
    path = f"{kept(data, 1).path}/bulkdata/7FE00010"
    answer = web.get(path, "application/octet-stream")
    assert answer.status_code == 200
    assert answer.headers["content-type"].endswith(JPEG_BASELINE)
    accept = "application/octet-stream; transfer-syntax=*"
    first = web.get(f"{kept(data, 1).path}/frames/1", accept).content
    assert answer.content.startswith(first)


# ------------------------------------------------------------------ workers


@pytest.mark.clause(
    "Cloud Healthcare conformance, Retrieve",
    "a frame that takes more than a worker may take is 429, and nobody else waits for it",
    holds="own rule",
)
def test_a_frame_over_the_limits_of_a_worker_fails_alone(tmp_path: Path) -> None:
    limits = WorkerLimits(wall_seconds=2.0)
    pool = WorkerPool(2, name="short", limits=limits, preload=("fileroom.dicom.pixels.encode",))
    workers = RequestWorkers(executor=pool, count=2, begin_item=begin_item)
    side = 6144
    noise = np.random.default_rng(1).integers(0, 1 << 16, side * side, np.uint16).tobytes()
    heavy = minimal_instance(
        rows=side,
        columns=side,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=16,
        bits_stored=16,
        high_bit=15,
        pixel_representation=0,
        pixel_data=noise,
        **uids(1),
    )
    light = mr_instance(rows=16, **uids(2))
    settings = Settings(data=tmp_path / "data", workers=1)
    change = partial(replace, render_workers=workers)
    try:
        with served(settings, changed=change) as server, ThreadPoolExecutor(1) as threads:
            web = Web(server, next(numbers) + 1000)
            web.add(heavy, light)
            accept = f"application/dicom; transfer-syntax={JPEG_2000}"
            failing = threads.submit(web.get, kept(heavy, 1).path, accept)
            meanwhile = 0
            while not failing.done():
                assert web.get(f"{kept(light, 2).path}/rendered").status_code == 200
                meanwhile += 1
            assert meanwhile > 0
            answer = failing.result()
            assert answer.status_code == 429
            assert "more time than a worker may take" in error_of(answer)
            assert web.get(kept(heavy, 1).path, AS_STORED).content == heavy
    finally:
        pool.kill_workers()
