"""Train the zstd dictionary that compresses stored headers.

Only generated headers are used: a dictionary holds what it was trained on verbatim, and it is
shipped. Names, identifiers, dates and UIDs are drawn at random, so that none of them repeats and
finds its way in; what repeats, and is learnt, is the standard's own: tags, VRs, SOP classes, coded
terms, and the private creators and product names that are printed in public conformance statements.

Run ``python benchmarks/train_header_dictionary.py N`` to write ``header-N.dict``. A dictionary is
never changed once shipped; a better one gets the next number.
"""

from __future__ import annotations

import random
import string
import sys
from datetime import date, timedelta
from pathlib import Path

import zstandard

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fileroom.dicom.encoding import dictionary_vr  # noqa: E402
from fileroom.dicom.header import serialize_header  # noqa: E402
from fileroom.dicom.part10 import scan  # noqa: E402
from tests.corpus import ct_series, sr_instance  # noqa: E402
from tests.dicom_writer import EXPLICIT, IMPLICIT, DataSet, Row, part10  # noqa: E402

DICTIONARY_BYTES = 24 << 10
SAMPLES = 3000

MODALITIES = {
    "CT": ("1.2.840.10008.5.1.4.1.1.2", "ORIGINAL\\PRIMARY\\AXIAL"),
    "MR": ("1.2.840.10008.5.1.4.1.1.4", "ORIGINAL\\PRIMARY\\M\\ND\\NORM"),
    "PT": ("1.2.840.10008.5.1.4.1.1.128", "ORIGINAL\\PRIMARY"),
    "US": ("1.2.840.10008.5.1.4.1.1.6.1", "ORIGINAL\\PRIMARY\\ABDOMINAL\\0001"),
    "CR": ("1.2.840.10008.5.1.4.1.1.1", "DERIVED\\PRIMARY"),
    "DX": ("1.2.840.10008.5.1.4.1.1.1.1", "DERIVED\\PRIMARY\\POST_PROCESSED"),
    "MG": ("1.2.840.10008.5.1.4.1.1.1.2", "DERIVED\\PRIMARY"),
    "XA": ("1.2.840.10008.5.1.4.1.1.12.1", "ORIGINAL\\PRIMARY\\SINGLE PLANE"),
    "NM": ("1.2.840.10008.5.1.4.1.1.20", "ORIGINAL\\PRIMARY\\TOMO\\EMISSION"),
    "SC": ("1.2.840.10008.5.1.4.1.1.7", "DERIVED\\SECONDARY"),
    "SEG": ("1.2.840.10008.5.1.4.1.1.66.4", "DERIVED\\PRIMARY"),
    "SM": ("1.2.840.10008.5.1.4.1.1.77.1.6", "ORIGINAL\\PRIMARY\\VOLUME\\NONE"),
    "RTSTRUCT": ("1.2.840.10008.5.1.4.1.1.481.3", ""),
}
SYNTAXES = (EXPLICIT, EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90")
PRODUCTS = (
    "SIEMENS", "SIEMENS Healthineers", "GE MEDICAL SYSTEMS", "Philips", "Philips Healthcare",
    "Philips Medical Systems", "TOSHIBA", "Canon Medical Systems", "CANON_MEC", "FUJIFILM",
    "Carestream Health", "Agfa", "Hologic, Inc.", "SAMSUNG MEDISON", "Leica Biosystems",
)  # fmt: skip
CREATORS = {
    0x0009: ("GEMS_IDEN_01", "SIEMENS CT VA1 DUMMY", "SPI-P Release 1"),
    0x0011: ("GEMS_PATI_01",),
    0x0019: ("GEMS_ACQU_01", "SIEMENS MR HEADER", "SIEMENS CT VA0  COAD"),
    0x0021: ("GEMS_RELA_01", "SIEMENS MR SDI 02", "SIEMENS MED"),
    0x0023: ("GEMS_STDY_01",),
    0x0025: ("GEMS_SERS_01",),
    0x0027: ("GEMS_IMAG_01",),
    0x0029: ("GEMS_IMPS_01", "SIEMENS CSA HEADER", "SIEMENS MEDCOM HEADER"),
    0x0043: ("GEMS_PARM_01",),
    0x0045: ("GEMS_HELIOS_01",),
    0x0051: ("SIEMENS MR HEADER",),
    0x2001: ("Philips Imaging DD 001",),
    0x2005: ("Philips MR Imaging DD 001",),
    0x7005: ("TOSHIBA_MEC_CT3",),
}
TERMS = {
    0x00080005: ("ISO_IR 100", "ISO_IR 192"),
    0x00080201: ("+0100", "-0500", "+0000"),
    0x00100040: ("M", "F", "O"),
    0x00180015: ("CHEST", "HEAD", "ABDOMEN", "BREAST", "PELVIS", "KNEE"),
    0x00180020: ("SE", "GR", "EP", "SE\\IR"),
    0x00180021: ("SK", "SP", "SK\\SP\\OSP"),
    0x00180022: ("HELICAL MODE", "PFP", "FAST_GEMS"),
    0x00180023: ("2D", "3D"),
    0x00181140: ("CW",),
    0x00181210: ("STANDARD", "B30f", "SOFT", "LUNG"),
    0x00185100: ("HFS", "FFS", "HFP"),
    0x00200037: ("1\\0\\0\\0\\1\\0", "1.000000\\0.000000\\0.000000\\0.000000\\1.000000\\0.000000"),
    0x00200060: ("L", "R", ""),
    0x00200062: ("L", "R", "U"),
    0x00201040: ("SN", "", "XY"),
    0x00280004: ("MONOCHROME2", "MONOCHROME1", "RGB", "YBR_FULL_422", "PALETTE COLOR"),
    0x00280301: ("NO", "YES"),
    0x00281052: ("0", "-1024", "0.000000"),
    0x00281053: ("1", "1.000000"),
    0x00281054: ("HU", "US", "BQML"),
    0x00281055: ("WINDOW1\\WINDOW2",),
    0x00282110: ("00", "01"),
    0x00282114: ("ISO_10918_1",),
    0x20500020: ("IDENTITY", "INVERSE"),
}
CODES = (
    ("121071", "DCM", "Finding"), ("113100", "DCM", "Basic Application Confidentiality Profile"),
    ("T-D3000", "SRT", "Chest"), ("T-A0100", "SRT", "Brain"), ("T-D4000", "SRT", "Abdomen"),
    ("51185008", "SCT", "Chest"), ("12738006", "SCT", "Brain"), ("113345001", "SCT", "Abdomen"),
    ("mm", "UCUM", "millimeter"), ("1", "UCUM", "no units"), ("R-10242", "SRT", "cranio-caudal"),
    ("18748-4", "LN", "Diagnostic Imaging Report"), ("111030", "DCM", "Image Region"),
)  # fmt: skip
COMMON = """
    00080005 00080008 00080012 00080013 00080020 00080021 00080022 00080023 00080030 00080031
    00080032 00080033 00080050 00080070 00080080 00080081 00080090 00080201 00081010 00081030
    0008103E 00081040 00081048 00081050 00081070 00081090 00100010 00100020 00100021 00100030
    00100040 00101000 00101010 00101020 00101030 001021B0 00104000 00120062 00120063 00180015
    00181000 00181020 00181030 00181200 00181201 0020000D 0020000E 00200010 00200011 00200012
    00200013 00200020 00200052 00200060 00201040 00204000 00280002 00280004 00280006 00280010
    00280011 00280030 00280034 00280100 00280101 00280102 00280103 00280106 00280107 00280120
    00280301 00281050 00281051 00281052 00281053 00281054 00281055 00282110 00282112 00282114
    00321032 00321060 00324000 00400002 00400003 00400004 00400005 00400007 00400009 00400244
    00400245 00400250 00400251 00400253 00400254 00400280 00402016 00402017 20500020
"""
BY_MODALITY = {
    "CT": """00180010 00180022 00180050 00180060 00180090 00181040 00181100 00181110 00181111
             00181120 00181130 00181140 00181150 00181151 00181152 00181160 00181170 00181190
             00181210 00185100 00189305 00189306 00189307 00189309 00189310 00189311 00189345
             00200032 00200037 00201041""",
    "MR": """00180020 00180021 00180022 00180023 00180024 00180025 00180050 00180080 00180081
             00180082 00180083 00180084 00180085 00180086 00180087 00180088 00180089 00180091
             00180093 00180094 00180095 00181251 00181310 00181312 00181314 00181315 00181316
             00181318 00185100 00200032 00200037 00201041""",
    "PT": """00180050 00181072 00181074 00181075 00181100 00181210 00181242 00185100 00200032
             00200037 00201041 00540081 00541000 00541001 00541002 00541101 00541102 00541103
             00541300 00541321 00541330""",
    "US": "00081060 00181063 00181070 00186031 00280008 00280009 00281050",
    "CR": "00180060 00181004 00181150 00181151 00181152 00181164 00185101 00200062",
    "DX": """00080068 00180060 00181150 00181152 00181153 00181164 00181405 00181411 00181508
             00181510 00185101 00200062 00280301 00281040 00281041""",
    "MG": """00080068 00180060 00181110 00181150 00181151 00181152 00181164 00181191 00181405
             00181508 00181510 001811A0 001811A2 00185101 00200062 00280300 00281040 00281041""",
    "XA": "00180060 00181063 00181150 00181151 00181154 00181500 00181510 00181511 00280008",
    "NM": "00180050 00280008 00280009 00540010 00540020 00540021 00540050 00540051 00540081",
    "SM": "00280008 00480001 00480002 00480006 00480007 00480010 00480012 00209311 0008114A",
    "SEG": "00080068 00280008 00209311 00620001",
}
SEQUENCES = (0x00081032, 0x00081110, 0x00081111, 0x00081140, 0x00082112, 0x00082218, 0x00082228,
             0x00120064, 0x00400260, 0x00400275, 0x00400555, 0x00480105, 0x00540220)  # fmt: skip
MULTI_FRAME = {"SEG", "SM", "XA"}


class Generator:
    """Draws one header after another."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def header_bytes(self) -> bytes:
        """Give what ``encode_header`` would compress."""
        draw = self._draw
        kind = draw.random()
        if kind < 0.25:
            data = next(ct_series(1, rows=4, seed=draw.randrange(10**6)))
        elif kind < 0.3:
            data = sr_instance(findings=draw.randrange(1, 8), study_instance_uid=self._uid())
        else:
            data = self._instance(draw.choice(list(MODALITIES)))
        return serialize_header(scan(data).header)

    def _instance(self, modality: str) -> bytes:
        draw = self._draw
        sop_class_uid, image_type = MODALITIES[modality]
        tags = {int(tag, 16) for tag in (COMMON + BY_MODALITY.get(modality, "")).split()}
        optional = [tag for tag in tags if tag >> 16 != 0x0020]
        tags -= set(draw.sample(sorted(optional), len(optional) // 3))
        rows: dict[int, Row] = {tag: self._row(tag) for tag in tags}
        rows[0x00080008] = (0x00080008, "CS", image_type)
        rows[0x00080016] = (0x00080016, "UI", sop_class_uid)
        rows[0x00080018] = (0x00080018, "UI", self._uid())
        rows[0x00080060] = (0x00080060, "CS", modality)
        for tag in draw.sample(SEQUENCES, draw.randrange(4)):
            rows[tag] = (tag, "SQ", [self._item() for _ in range(draw.randrange(1, 3))])
        for group in draw.sample(sorted(CREATORS), draw.randrange(5)):
            self._private(rows, group)
        if modality in MULTI_FRAME:
            rows[0x52009230] = (0x52009230, "SQ", [self._frame(n) for n in range(1, 9)])
        rows[0x7FE00010] = (0x7FE00010, "OW", bytes(66))
        return part10(
            [rows[tag] for tag in sorted(rows)],
            transfer_syntax_uid=draw.choice(SYNTAXES),
            undefined_lengths=draw.random() < 0.5,
            charset="latin-1",
        )

    def _private(self, rows: dict[int, Row], group: int) -> None:
        draw = self._draw
        creator = group << 16 | 0x10
        rows[creator] = (creator, "LO", draw.choice(CREATORS[group]))
        for element in sorted(draw.sample(range(0x1001, 0x1080), draw.randrange(2, 24))):
            vr = draw.choice(["DS", "IS", "LO", "SH", "SS", "SL", "US", "UL", "FL", "CS"])
            rows[group << 16 | element] = (group << 16 | element, vr, self._value(vr))

    def _frame(self, number: int) -> DataSet:
        position: DataSet = [(0x00200032, "DS", f"{number}\\{number}\\{self._decimal()}")]
        content: DataSet = [
            (0x00209056, "SH", "1"),
            (0x00209057, "UL", number),
            (0x00209157, "UL", [1, number]),
        ]
        return [
            (0x00209111, "SQ", [content]),
            (0x00209113, "SQ", [position]),
            (0x0062000A, "SQ", [[(0x0062000B, "US", 1)]]),
        ]

    def _item(self) -> DataSet:
        if self._draw.random() < 0.5:
            value, scheme, meaning = self._draw.choice(CODES)
            return [
                (0x00080100, "SH", value),
                (0x00080102, "SH", scheme),
                (0x00080104, "LO", meaning),
            ]
        sop_class_uid, _ = self._draw.choice(list(MODALITIES.values()))
        return [(0x00081150, "UI", sop_class_uid), (0x00081155, "UI", self._uid())]

    def _row(self, tag: int) -> Row:
        vr = dictionary_vr(tag)
        if vr == "US or SS":
            vr = "US"
        if vr == "SQ":
            return tag, vr, [self._item()]
        if tag in TERMS:
            return tag, vr, self._draw.choice(TERMS[tag])
        if tag == 0x00080070:
            return tag, vr, self._draw.choice(PRODUCTS)
        return tag, vr, self._value(vr)

    def _value(self, vr: str) -> str | int | float:
        draw = self._draw
        match vr:
            case "UI":
                return self._uid()
            case "DA":
                day = date(1930, 1, 1) + timedelta(days=draw.randrange(35_000))
                return day.strftime("%Y%m%d")
            case "TM":
                fraction = draw.choice(["", f".{draw.randrange(10**6):06}"])
                return f"{draw.randrange(240_000):06}{fraction}"
            case "DS":
                return self._decimal()
            case "IS":
                return str(draw.randrange(3000))
            case "US":
                return draw.choice([0, 1, 3, 7, 8, 11, 12, 15, 16, 256, 512, draw.randrange(65536)])
            case "SS" | "SL" | "UL":
                return draw.randrange(32768)
            case "FD" | "FL":
                return draw.random() * 100
            case "AS":
                return f"{draw.randrange(100):03}Y"
            case "AT":
                return 0x00181063
            case "CS":
                return self._word(2).upper()
            case _:
                return " ".join(self._word(3) for _ in range(draw.randrange(1, 3)))

    def _decimal(self) -> str:
        digits = self._draw.randrange(10)
        if digits > 6:
            return self._draw.choice("01")
        return f"{self._draw.uniform(-500, 500):.{digits}f}"

    def _word(self, least: int) -> str:
        letters = string.ascii_lowercase
        return "".join(self._draw.choices(letters, k=self._draw.randrange(least, 11)))

    def _uid(self) -> str:
        parts = [str(self._draw.randrange(10 ** self._draw.randrange(1, 9))) for _ in range(6)]
        return ".".join(["2.25", *parts])


def main() -> None:
    """Write the dictionary whose number is the first argument."""
    number = int(sys.argv[1])
    generator = Generator(number)
    samples: list[bytes | bytearray | memoryview] = [
        generator.header_bytes() for _ in range(SAMPLES)
    ]
    dictionary = zstandard.train_dictionary(
        DICTIONARY_BYTES, samples, dict_id=number, level=3, k=1024, d=8
    )
    path = ROOT / "src" / "fileroom" / "dicom" / f"header-{number}.dict"
    path.write_bytes(dictionary.as_bytes())
    total = sum(len(sample) for sample in samples)
    print(f"{path.name}: {len(dictionary)} bytes from {total:,} bytes of headers")


if __name__ == "__main__":
    main()
