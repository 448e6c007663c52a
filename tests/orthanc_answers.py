"""The same requests to Fileroom and to Orthanc, and in what their answers differ.

An answer is told as aspects, each a short text: its status, its media type, what was found, the
attributes, the bytes. A difference is one aspect with two texts; ``orthanc_table`` knows which are
expected, and why.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from imagecodecs import jpeg8_decode, png_decode
from pydicom.datadict import keyword_for_tag

from tests.dicom_files import wheel_files
from tests.pixels import parsed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Attributes = dict[str, dict[str, Any]]

FILES: Final = {
    "CT": "CT_small.dcm",
    "MR": "MR_small_RLE.dcm",
    "J2K": "693_J2KI.dcm",
    "NM": "JPEG-lossy.dcm",
    "PALETTE": "examples_palette.dcm",
    "RGB": "examples_rgb_color.dcm",
    "CINE": "examples_ybr_color.dcm",
    "TWO": "SC_rgb_rle_2frame.dcm",
    "JPEG": "SC_rgb_jpeg_dcmtk.dcm",
    "SR": "test-SR.dcm",
    "REPORT": "reportsi.dcm",
    "PLAN": "rtplan.dcm",
    "ECG": "waveform_ecg.dcm",
}
"""Of pydicom's files, instances of different UIDs. In a path ``CT`` is the instance, ``CT/study``
its study."""
JSON: Final = "application/dicom+json"
DICOM: Final = 'multipart/related; type="application/dicom"'
OCTETS: Final = 'multipart/related; type="application/octet-stream"'
AS_STORED: Final = "; transfer-syntax=*"
REQUESTS: Final = (
    ("studies", JSON),
    ("studies", ""),
    ("studies?PatientName=Compressed*", JSON),
    ("studies?PatientName=compressedsamples^ct1", JSON),
    ("studies?PatientID=1CT1&includefield=StudyDescription", JSON),
    ("studies?StudyDate=20040101-20041231", JSON),
    ("studies?ModalitiesInStudy=US", JSON),
    ("studies?PatientID=nobody", JSON),
    ("studies?Nonsense=1", JSON),
    ("series?Modality=SR", JSON),
    ("{CT/study}/series", JSON),
    ("{CT/study}/instances?includefield=Rows", JSON),
    ("instances?SOPClassUID=1.2.840.10008.5.1.4.1.1.6.1", JSON),
    ("{CT/study}/metadata", JSON),
    ("{SR/study}/metadata", JSON),
    ("{ECG}/metadata", JSON),
    ("{CINE}/metadata", JSON),
    ("{PLAN}/metadata", JSON),
    ("studies/1.2.3/metadata", JSON),
    ("{CT}", DICOM + AS_STORED),
    ("{CT/study}", DICOM + AS_STORED),
    ("{MR}", DICOM + AS_STORED),
    ("{MR}", DICOM),
    ("{J2K}", DICOM),
    ("{CT}", "application/dicom" + AS_STORED),
    ("{CT}", "image/gif"),
    ("studies/1.2.3", DICOM + AS_STORED),
    ("{CT}/frames/1", OCTETS),
    ("{MR}/frames/1", OCTETS),
    ("{TWO}/frames/1,2", OCTETS),
    ("{CINE}/frames/3", 'multipart/related; type="image/jpeg"'),
    ("{CINE}/frames/3", OCTETS + AS_STORED),
    ("{MR}/frames/1", 'multipart/related; type="image/dicom-rle"'),
    ("{CT}/frames/2", OCTETS),
    ("{SR}/frames/1", OCTETS),
    ("{CT}/rendered", "image/jpeg"),
    ("{CT}/rendered", "image/png"),
    ("{RGB}/rendered", ""),
    ("{PALETTE}/rendered", "image/png"),
    ("{TWO}/frames/2/rendered", "image/png"),
    ("{CT}/rendered?viewport=64,64", "image/png"),
    ("{CT}/rendered?window=40,400,linear", "image/png"),
    ("{SR}/rendered", "image/jpeg"),
)
"""Each a path below ``dicomWeb``, and what is accepted."""
BULK_DATA: Final = (("{CT}", "7FE00010"), ("{CT}", "00431029"), ("{RGB}", "7FE00010"))
"""Values that are fetched by the link that each side's own metadata give."""
_EXAMPLE_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True)
class Difference:
    """What one side answers, and what the other."""

    request: str
    accept: str
    aspect: str
    fileroom: str
    orthanc: str


@dataclass(frozen=True, slots=True)
class Answer:
    """As it came."""

    status: int
    content_type: str
    body: bytes

    @property
    def parts(self) -> list[tuple[str, bytes]]:
        """The media type and the body of each part; of a single body it and its type."""
        media_type, _, boundary = self.content_type.partition("; boundary=")
        if not media_type.startswith("multipart/"):
            return [(self.content_type, self.body)]
        parts = self.body.split(f"--{boundary}".encode())[1:-1]
        return [_part(part) for part in parts]


def _part(part: bytes) -> tuple[str, bytes]:
    head, _, body = part.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().strip().split("\r\n"))
    return headers["Content-Type"], body.removesuffix(b"\r\n")


def files() -> dict[str, Path]:
    """Give the files by their short names."""
    found = {path.name: path for path in wheel_files()}
    return {name: found[file] for name, file in FILES.items()}


def differences(fileroom: str, orthanc: str) -> list[Difference]:
    """Ask both, whose DICOMweb is at these URLs, everything."""
    places = _places()
    found: list[Difference] = []
    for path, accept in REQUESTS:
        real = path.format_map(places)
        ours, theirs = (_ask(f"{url}/{real}", accept) for url in (fileroom, orthanc))
        aspects = _compared(ours, theirs, (fileroom, orthanc))
        found += [Difference(path, accept, *aspect) for aspect in aspects]
    for path, tag in BULK_DATA:
        ours, theirs = (_linked(f"{url}/{path.format_map(places)}", tag)
                        for url in (fileroom, orthanc))  # fmt: skip
        request = f"the BulkDataURI of {keyword_for_tag(tag) or tag} of {path}"
        aspects = _compared(ours, theirs, (fileroom, orthanc))
        found += [Difference(request, OCTETS, *aspect) for aspect in aspects]
    return found


def _places() -> dict[str, str]:
    places = {}
    for name, path in files().items():
        dataset = parsed(path.read_bytes())
        study = f"studies/{dataset.StudyInstanceUID}"
        places[f"{name}/study"] = study
        series = f"{study}/series/{dataset.SeriesInstanceUID}"
        places[name] = f"{series}/instances/{dataset.SOPInstanceUID}"
    return places


def _ask(url: str, accept: str) -> Answer:
    request = urllib.request.Request(url, headers={"Accept": accept} if accept else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, answer.headers["Content-Type"] or "", answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, "", error.read())


def _linked(instance: str, tag: str) -> Answer:
    """Fetch a value by its link, or give 0 where metadata hold no link."""
    metadata = json.loads(_ask(f"{instance}/metadata", JSON).body)
    uri = metadata[0][tag].get("BulkDataURI")
    return _ask(uri, OCTETS) if uri else Answer(0, "no link", b"")


def _compared(ours: Answer, theirs: Answer, urls: tuple[str, str]) -> list[tuple[str, str, str]]:
    """Give the aspects that differ: the bodies of errors are free, so of these the status alone."""
    if ours.status != theirs.status:
        return [("status", str(ours.status), str(theirs.status))]
    if ours.status >= 400 or not ours.body:
        return []
    aspects = [("media type", _unbounded(ours), _unbounded(theirs))]
    if JSON in ours.content_type:
        aspects += _json_aspects(*(_by_uid(answer, url) for answer, url in
                                   zip((ours, theirs), urls, strict=True)))  # fmt: skip
    elif ours.content_type.startswith("image/"):
        aspects += _picture_aspects(_picture(ours), _picture(theirs))
    else:
        aspects += _part_aspects(ours.parts, theirs.parts)
    return [aspect for aspect in aspects if aspect[1] != aspect[2]]


def _unbounded(answer: Answer) -> str:
    return answer.content_type.partition("; boundary")[0]


# ------------------------------------------------------------------ attributes


def _by_uid(answer: Answer, url: str) -> dict[str, Attributes]:
    """Give the results by the UID that is lowest in them, without each side's own addresses."""
    found = json.loads(answer.body.replace(url.encode(), b""), object_hook=_without_link)
    return {_uid(result): result for result in found}


def _without_link(values: dict[str, Any]) -> dict[str, Any]:
    return values | {"BulkDataURI": ""} if "BulkDataURI" in values else values


def _uid(result: Attributes) -> str:
    lowest = next(tag for tag in ("00080018", "0020000E", "0020000D") if tag in result)
    uid: str = result[lowest]["Value"][0]
    return uid


def _json_aspects(
    ours: dict[str, Attributes], theirs: dict[str, Attributes]
) -> list[tuple[str, str, str]]:
    aspects = [("found", " ".join(sorted(ours)), " ".join(sorted(theirs)))]
    pairs = [(ours[uid], theirs[uid]) for uid in sorted(ours.keys() & theirs.keys())]
    one_sided = sorted({tag for mine, other in pairs for tag in mine.keys() ^ other.keys()})
    for tag in one_sided:
        mine, other = next(pair for pair in pairs if (tag in pair[0]) != (tag in pair[1]))
        aspects.append((f"attribute {_name(tag)}", _presence(tag, mine), _presence(tag, other)))
    told: dict[str, tuple[str, str]] = {}
    for pair in pairs:
        for tag in pair[0].keys() & pair[1].keys():
            if pair[0][tag] != pair[1][tag]:
                told.setdefault(tag, (_example(pair[0][tag]), _example(pair[1][tag])))
    return aspects + [(f"value of {_name(tag)}", *texts) for tag, texts in sorted(told.items())]


def _presence(tag: str, attributes: Attributes) -> str:
    return "present" if tag in attributes else "absent"


def _name(tag: str) -> str:
    return keyword_for_tag(tag) or tag


def _example(element: dict[str, Any]) -> str:
    if "BulkDataURI" in element:
        return f"{element['vr']}, a BulkDataURI"
    if "InlineBinary" in element:
        return f"{element['vr']}, InlineBinary"
    if element["vr"] == "SQ":
        return "SQ, " + sha256(json.dumps(element, sort_keys=True).encode()).hexdigest()[:8]
    values = element.get("Value", [])
    text = json.dumps(values)[:_EXAMPLE_CHARACTERS]
    return f"{element['vr']}, {len(values)} value{'s' * (len(values) != 1)}: {text}"


# ------------------------------------------------------------------ bytes


def _part_aspects(
    ours: list[tuple[str, bytes]], theirs: list[tuple[str, bytes]]
) -> list[tuple[str, str, str]]:
    aspects = [("parts", str(len(ours)), str(len(theirs)))]
    for (our_type, our_body), (their_type, their_body) in zip(ours, theirs, strict=False):
        aspects.append(("media type of a part", our_type, their_type))
        if our_body == their_body:
            continue
        if not our_type.startswith("application/dicom;"):
            aspects.append(("bytes", _digest(our_body), _digest(their_body)))
            continue
        data_sets = _json_aspects({"": _attributes(our_body)}, {"": _attributes(their_body)})
        aspects += data_sets
        if all(mine == other for _, mine, other in data_sets):
            aspects.append(("file around the same data set", _meta(our_body), _meta(their_body)))
    return aspects


def _attributes(file: bytes) -> Attributes:
    found: Attributes = parsed(file).to_json_dict(bulk_data_threshold=1 << 30)
    return found


def _meta(file: bytes) -> str:
    return f"{len(parsed(file).file_meta)} elements of file meta"


def _digest(body: bytes) -> str:
    return f"{len(body)} bytes, {sha256(body).hexdigest()[:8]}"


def _picture(answer: Answer) -> NDArray[Any]:
    decode = jpeg8_decode if answer.content_type == "image/jpeg" else png_decode
    pixels: NDArray[Any] = decode(answer.body)
    return pixels


def _picture_aspects(ours: NDArray[Any], theirs: NDArray[Any]) -> list[tuple[str, str, str]]:
    if ours.shape != theirs.shape:
        return [("picture", _shape(ours), _shape(theirs))]
    if ours.dtype != theirs.dtype:
        return [("picture", str(ours.dtype), str(theirs.dtype))]
    apart = int(np.abs(ours.astype(int) - theirs.astype(int)).max())
    return [("picture", _shape(ours), _shape(theirs) + f", up to {apart} apart" * (apart > 0))]


def _shape(pixels: NDArray[Any]) -> str:
    return " x ".join(map(str, pixels.shape))
