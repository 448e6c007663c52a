"""Synthetic DICOM instances for tests and benchmarks.

Everything is seeded: the same arguments give the same bytes. No value is of a real person.
"""

from __future__ import annotations

import random
import struct
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING

from tests.dicom_writer import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_BASELINE,
    RLE,
    UID_ROOT,
    DataSet,
    Fragments,
    Row,
    Value,
    encode,
    part10,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "BASIC_TEXT_SR",
    "BIG_ENDIAN",
    "CT_IMAGE",
    "DEFLATED",
    "ENCAPSULATED_PDF",
    "EXPLICIT",
    "IMPLICIT",
    "JPEG_BASELINE",
    "KEYWORDS",
    "MR_IMAGE",
    "MULTI_FRAME_SC",
    "RLE",
    "SECONDARY_CAPTURE",
    "UID_ROOT",
    "DataSet",
    "Fragments",
    "Row",
    "Value",
    "ct_series",
    "encapsulated_instance",
    "encode",
    "instance_rows",
    "minimal_instance",
    "mr_instance",
    "multi_frame_instance",
    "part10",
    "sr_instance",
]

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MULTI_FRAME_SC = "1.2.840.10008.5.1.4.1.1.7.3"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"

KEYWORDS: dict[str, tuple[int, str]] = {
    "specific_character_set": (0x00080005, "CS"),
    "image_type": (0x00080008, "CS"),
    "sop_class_uid": (0x00080016, "UI"),
    "sop_instance_uid": (0x00080018, "UI"),
    "study_date": (0x00080020, "DA"),
    "series_date": (0x00080021, "DA"),
    "study_time": (0x00080030, "TM"),
    "series_time": (0x00080031, "TM"),
    "accession_number": (0x00080050, "SH"),
    "modality": (0x00080060, "CS"),
    "referring_physician_name": (0x00080090, "PN"),
    "timezone_offset_from_utc": (0x00080201, "SH"),
    "study_description": (0x00081030, "LO"),
    "series_description": (0x0008103E, "LO"),
    "patient_name": (0x00100010, "PN"),
    "patient_id": (0x00100020, "LO"),
    "patient_birth_date": (0x00100030, "DA"),
    "patient_sex": (0x00100040, "CS"),
    "study_instance_uid": (0x0020000D, "UI"),
    "series_instance_uid": (0x0020000E, "UI"),
    "study_id": (0x00200010, "SH"),
    "series_number": (0x00200011, "IS"),
    "instance_number": (0x00200013, "IS"),
    "samples_per_pixel": (0x00280002, "US"),
    "photometric_interpretation": (0x00280004, "CS"),
    "number_of_frames": (0x00280008, "IS"),
    "rows": (0x00280010, "US"),
    "columns": (0x00280011, "US"),
    "bits_allocated": (0x00280100, "US"),
    "bits_stored": (0x00280101, "US"),
    "high_bit": (0x00280102, "US"),
    "pixel_representation": (0x00280103, "US"),
    "pixel_data": (0x7FE00010, "OW"),
}
"""What ``minimal_instance`` takes by name."""


def instance_rows(**overrides: Value) -> list[Row]:
    """Give the rows of a small instance; a name of ``KEYWORDS`` sets, None leaves out."""
    values: dict[str, Value] = {
        "sop_class_uid": SECONDARY_CAPTURE,
        "sop_instance_uid": f"{UID_ROOT}.2.1.1.1",
        "study_date": "20240102",
        "study_time": "030405",
        "accession_number": "A1",
        "modality": "OT",
        "referring_physician_name": "Refer^Renate",
        "patient_name": "Sample^Sam",
        "patient_id": "P1",
        "patient_birth_date": "19700101",
        "patient_sex": "O",
        "study_instance_uid": f"{UID_ROOT}.2.1",
        "series_instance_uid": f"{UID_ROOT}.2.1.1",
        "study_id": "S1",
        "series_number": "1",
        "instance_number": "1",
    }
    values.update(overrides)
    rows = [(*KEYWORDS[name], value) for name, value in values.items() if value is not None]
    return sorted(rows, key=lambda row: row[0])


def minimal_instance(
    *,
    transfer_syntax_uid: str = EXPLICIT,
    extra: Sequence[Row] = (),
    undefined_lengths: bool = False,
    charset: str = "utf-8",
    **overrides: Value,
) -> bytes:
    """Give a small file that is valid unless an override makes it otherwise.

    ``extra`` rows are sorted in among the others.
    """
    return part10(
        _sorted_rows(overrides, extra),
        transfer_syntax_uid=transfer_syntax_uid,
        undefined_lengths=undefined_lengths,
        charset=charset,
    )


def _sorted_rows(values: Mapping[str, Value], extra: Sequence[Row]) -> DataSet:
    return sorted([*instance_rows(**values), *extra], key=lambda row: row[0])


def _code(value: str, scheme: str, meaning: str) -> DataSet:
    return [
        (0x00080100, "SH", value),
        (0x00080102, "SH", scheme),
        (0x00080104, "LO", meaning),
    ]


def mr_instance(
    *, rows: int = 64, transfer_syntax_uid: str = EXPLICIT, **overrides: Value
) -> bytes:
    """Give a small MR slice with a sequence and private elements."""
    values: dict[str, Value] = {
        "sop_class_uid": MR_IMAGE,
        "modality": "MR",
        "image_type": "ORIGINAL\\PRIMARY\\M\\ND",
        "series_description": "t2_tse_tra",
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "rows": rows,
        "columns": rows,
        "bits_allocated": 16,
        "bits_stored": 12,
        "high_bit": 11,
        "pixel_representation": 0,
        "pixel_data": random.Random(rows).randbytes(rows * rows * 2),
    }
    extra: DataSet = [
        (0x00081032, "SQ", [_code("36554-4", "LN", "MR Head")]),
        (0x00180050, "DS", "5"),
        (0x00180080, "DS", "4000"),
        (0x00180081, "DS", "99"),
        (0x00290010, "LO", "SIEMENS CSA HEADER"),
        (0x00291010, "OB", random.Random(1).randbytes(4096)),
    ]
    return part10(_sorted_rows(values | overrides, extra), transfer_syntax_uid=transfer_syntax_uid)


def sr_instance(
    *, findings: int = 3, undefined_lengths: bool = True, transfer_syntax_uid: str = EXPLICIT,
    **overrides: Value,
) -> bytes:  # fmt: skip
    """Give a structured report with nested content and no pixels."""
    content: list[DataSet] = [
        [
            (0x0040A010, "CS", "CONTAINS"),
            (0x0040A040, "CS", "TEXT"),
            (0x0040A043, "SQ", [_code("121071", "DCM", "Finding")]),
            (0x0040A160, "UT", f"Finding number {number}: nothing of note."),
        ]
        for number in range(findings)
    ]
    extra: DataSet = [
        (0x0040A040, "CS", "CONTAINER"),
        (0x0040A043, "SQ", [_code("18748-4", "LN", "Diagnostic Imaging Report")]),
        (0x0040A491, "CS", "COMPLETE"),
        (0x0040A730, "SQ", content),
    ]
    values: dict[str, Value] = {"sop_class_uid": BASIC_TEXT_SR, "modality": "SR"}
    return part10(
        _sorted_rows(values | overrides, extra),
        transfer_syntax_uid=transfer_syntax_uid,
        undefined_lengths=undefined_lengths,
    )


def multi_frame_instance(*, frames: int = 5, rows: int = 16, **overrides: Value) -> bytes:
    """Give an 8 bit grayscale instance of several native frames."""
    return part10(_sorted_rows(_frames(frames, rows, "native") | overrides, ()))


def encapsulated_instance(
    *,
    frames: int = 3,
    fragment_bytes: int = 100,
    transfer_syntax_uid: str = JPEG_BASELINE,
    **overrides: Value,
) -> bytes:
    """Give an instance of encapsulated frames, one fragment each, that no decoder could read."""
    values = _frames(frames, 16, "encapsulated")
    draw = random.Random(frames)
    pieces = tuple(draw.randbytes(fragment_bytes) for _ in range(frames))
    step = fragment_bytes + fragment_bytes % 2 + 8
    table = struct.pack(f"<{frames}I", *(step * index for index in range(frames)))
    values.pop("pixel_data")
    extra: DataSet = [(0x7FE00010, "OB", Fragments(pieces, table))]
    return part10(_sorted_rows(values | overrides, extra), transfer_syntax_uid=transfer_syntax_uid)


def _frames(frames: int, rows: int, what: str) -> dict[str, Value]:
    return {
        "sop_class_uid": MULTI_FRAME_SC,
        "image_type": "DERIVED\\SECONDARY",
        "series_description": what,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "number_of_frames": str(frames),
        "rows": rows,
        "columns": rows,
        "bits_allocated": 8,
        "bits_stored": 8,
        "high_bit": 7,
        "pixel_representation": 0,
        "pixel_data": random.Random(frames).randbytes(frames * rows * rows),
    }


def ct_series(
    count: int,
    *,
    rows: int = 512,
    seed: int = 0,
    study_instance_uid: str | None = None,
    **overrides: Value,
) -> Iterator[bytes]:
    """Give the slices of one CT series, 529 KB each at 512 rows: 173 elements and a disc.

    Slices of one series differ in header and pixels; a seed names its study, series and patient.
    """
    draw = random.Random(seed)
    root = f"{UID_ROOT}.{10_000 + seed}"
    study = study_instance_uid or f"{root}.1"
    fixed = _ct_fixed_rows(draw, study, f"{root}.2", rows)
    pixels = _disc(rows, seed)
    step = 2 * rows
    for index in range(count):
        # Turned by some rows and marked, so that no two slices are alike.
        turn = step * (index * 7 % rows)
        mark = struct.pack("<HH", index & 0xFFF, index >> 12)
        values: DataSet = [
            (0x00080018, "UI", f"{root}.2.{index + 1}"),
            (0x00080013, "TM", f"{101500 + index % 40}.{index % 1000:03d}000"),
            (0x00080032, "TM", f"{101400 + index % 40}.{index % 1000:03d}000"),
            (0x00080033, "TM", f"{101500 + index % 40}.{index % 1000:03d}000"),
            (0x00181151, "IS", str(180 + index % 97)),
            (0x00181152, "IS", str(90 + index % 53)),
            (0x00200012, "IS", "2"),
            (0x00200013, "IS", str(index + 1)),
            (0x00200032, "DS", f"-250\\-250\\{-700 + 1.25 * index:.2f}"),
            (0x00201041, "DS", f"{-700 + 1.25 * index:.2f}"),
            (0x00280106, "SS", -1024),
            (0x00280107, "SS", 1500 + index % 500),
            (0x7FE00010, "OW", mark + pixels[turn + 4 :] + pixels[:turn]),
            *((*KEYWORDS[name], value) for name, value in overrides.items()),
        ]
        merged = {row[0]: row for row in [*fixed, *values]}
        yield part10([merged[tag] for tag in sorted(merged) if merged[tag][2] is not None])


@lru_cache(maxsize=4)
def _disc(rows: int, seed: int) -> bytes:
    """Give signed 16 bit pixels of a water disc in air, with noise."""
    draw = random.Random(seed)
    noise = draw.randbytes(rows * rows)
    middle, radius = rows / 2, rows * 0.4
    pixels = array("h", bytes(2 * rows * rows))
    for y in range(rows):
        inside = radius * radius - (y - middle) ** 2
        half = int(inside**0.5) if inside > 0 else 0
        line = noise[y * rows : (y + 1) * rows]
        for x in range(rows):
            water = abs(x - middle) < half
            pixels[y * rows + x] = (line[x] >> 3) + (24 if water else -1016)
    return pixels.tobytes()


_CT_ROWS: DataSet = [
    (0x00080005, "CS", "ISO_IR 100"),
    (0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"),
    (0x00080016, "UI", CT_IMAGE),
    (0x00080030, "TM", "101010"),
    (0x00080031, "TM", "101112.500000"),
    (0x00080060, "CS", "CT"),
    (0x00080070, "LO", "Fileroom Test Devices"),
    (0x00080080, "LO", "Synthetic Hospital"),
    (0x00080081, "ST", "1 Nowhere Lane, 00000 Testville"),
    (0x00080201, "SH", "+0100"),
    (0x00081010, "SH", "CT01"),
    (0x00081030, "LO", "CT Thorax with contrast"),
    (0x00081032, "SQ", [_code("36813-4", "LN", "CT Chest W contrast IV")]),
    (0x0008103E, "LO", "Thorax 1.25 mm soft tissue"),
    (0x00081040, "LO", "Radiology"),
    (0x00081048, "PN", "Physician^Record"),
    (0x00081050, "PN", "Physician^Performing"),
    (0x00081060, "PN", "Physician^Reading"),
    (0x00081070, "PN", "Operator^One"),
    (0x00081090, "LO", "Scanner 64"),
    (0x00082218, "SQ", [_code("T-D3000", "SRT", "Chest")]),
    (0x00090010, "LO", "FILEROOM_TEST_01"),
    (0x00091001, "LO", "FULL_FIDELITY"),
    (0x00091002, "SH", "CT01"),
    (0x00091004, "SH", "Scanner 64"),
    (0x00101020, "DS", "1.74"),
    (0x001021B0, "LT", "No history: a synthetic patient."),
    (0x00180010, "LO", "CONTRAST 300"),
    (0x00180015, "CS", "CHEST"),
    (0x00180022, "CS", "HELICAL MODE"),
    (0x00180050, "DS", "1.25"),
    (0x00180060, "DS", "120"),
    (0x00180088, "DS", "1.25"),
    (0x00180090, "DS", "500"),
    (0x00181020, "LO", "synthetic.1\\synthetic.2"),
    (0x00181030, "LO", "5.1 THORAX ROUTINE"),
    (0x00181040, "LO", "IV"),
    (0x00181100, "DS", "500"),
    (0x00181110, "DS", "949.147"),
    (0x00181111, "DS", "541"),
    (0x00181120, "DS", "0"),
    (0x00181130, "DS", "156.5"),
    (0x00181140, "CS", "CW"),
    (0x00181150, "IS", "800"),
    (0x00181160, "SH", "BODY FILTER"),
    (0x00181170, "IS", "48000"),
    (0x00181190, "DS", "1.2"),
    (0x00181210, "SH", "STANDARD"),
    (0x00185100, "CS", "FFS"),
    (0x00189305, "FD", 0.8),
    (0x00189306, "FD", 0.625),
    (0x00189307, "FD", 40.0),
    (0x00189309, "FD", 39.375),
    (0x00189310, "FD", 49.21875),
    (0x00189311, "FD", 0.984375),
    (0x00189345, "FD", 11.42),
    (0x00190010, "LO", "FILEROOM_ACQU_01"),
    (0x00200011, "IS", "2"),
    (0x00200037, "DS", "1\\0\\0\\0\\1\\0"),
    (0x00200060, "CS", ""),
    (0x00201040, "LO", "SN"),
    (0x00210010, "LO", "FILEROOM_RELA_01"),
    (0x00211003, "SS", 3),
    (0x00211035, "SS", 0),
    (0x00280002, "US", 1),
    (0x00280004, "CS", "MONOCHROME2"),
    (0x00280030, "DS", "0.976562\\0.976562"),
    (0x00280100, "US", 16),
    (0x00280101, "US", 16),
    (0x00280102, "US", 15),
    (0x00280103, "US", 1),
    (0x00280120, "SS", -2000),
    (0x00281050, "DS", "40"),
    (0x00281051, "DS", "400"),
    (0x00281052, "DS", "0"),
    (0x00281053, "DS", "1"),
    (0x00281054, "LO", "HU"),
    (0x00321060, "LO", "CT Thorax"),
    (0x00400245, "TM", "101010"),
    (0x00400254, "LO", "CT Thorax with contrast"),
    (0x00430010, "LO", "FILEROOM_PARM_01"),
    (0x00450010, "LO", "FILEROOM_HELIOS_01"),
    (0x00451001, "SS", 16),
    (0x00451002, "FL", 1.25),
]  # fmt: skip
"""What is the same in every slice of every series."""


def _ct_fixed_rows(draw: random.Random, study: str, series: str, rows: int) -> DataSet:
    """Give what all slices of a series have in common."""
    day = f"20{draw.randrange(10, 26)}{draw.randrange(1, 13):02d}{draw.randrange(1, 29):02d}"
    number = draw.randrange(10**6)

    def reference(sop_class_uid: str, uid: str) -> DataSet:
        return [(0x00081150, "UI", sop_class_uid), (0x00081155, "UI", uid)]

    numbers: DataSet = [
        (0x00430000 | element, vr, draw.randrange(100) if vr == "SS" else f"{draw.random():.6f}")
        for element, vr in zip(range(0x1010, 0x1010 + 44), ["SS", "DS"] * 22, strict=True)
    ]
    acquisition: DataSet = [
        (0x00190000 | element, "SL", draw.randrange(10**6)) for element in range(0x1010, 0x1018)
    ]
    return [
        *_CT_ROWS,
        (0x00080012, "DA", day),
        (0x00080020, "DA", day),
        (0x00080021, "DA", day),
        (0x00080022, "DA", day),
        (0x00080023, "DA", day),
        (0x00080050, "SH", f"ACC{number:06d}"),
        (0x00080090, "PN", f"Referrer^Number{number % 100}"),
        (0x00081110, "SQ", [reference("1.2.840.10008.3.1.2.3.1", f"{study}.9")]),
        (0x00081111, "SQ", [reference("1.2.840.10008.3.1.2.3.3", f"{study}.8")]),
        (0x00081140, "SQ", [reference(CT_IMAGE, f"{series}.{9000 + n}") for n in range(2)]),
        (0x00082112, "SQ", [reference(CT_IMAGE, f"{series}.{9100 + n}") for n in range(1)]),
        (0x00091027, "SL", number),
        (0x000910E3, "UI", f"{series}.7"),
        (0x00100010, "PN", f"Synthetic^Patient{number}"),
        (0x00100020, "LO", f"SYN{number:06d}"),
        (0x00100030, "DA", f"19{draw.randrange(30, 99)}0{draw.randrange(1, 10)}11"),
        (0x00100040, "CS", draw.choice("MFO")),
        (0x00101010, "AS", f"0{draw.randrange(20, 90)}Y"),
        (0x00101030, "DS", f"{draw.randrange(50, 110)}"),
        *acquisition,
        (0x0020000D, "UI", study),
        (0x0020000E, "UI", series),
        (0x00200010, "SH", f"{number % 10000}"),
        (0x00200052, "UI", f"{study}.5"),
        (0x00280010, "US", rows),
        (0x00280011, "US", rows),
        (0x00400002, "DA", day),
        (0x00400244, "DA", day),
        (0x00400275, "SQ", [[
            (0x00400007, "LO", "CT Thorax"),
            (0x00400008, "SQ", [_code("CTTHOR", "99TEST", "CT Thorax")]),
            (0x00401001, "SH", f"RP{number}"),
        ]]),
        *numbers,
        (0x00451010, "UN", draw.randbytes(48)),
    ]  # fmt: skip
