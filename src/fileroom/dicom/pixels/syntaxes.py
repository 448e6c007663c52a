"""The transfer syntaxes of compressed pixel data, by codec and by what they may lose.

References
----------
PS3.5 A.4 (encapsulated transfer syntaxes), PS3.6 Annex A (their UIDs)
"""

from __future__ import annotations

from typing import Final

_ROOT = "1.2.840.10008.1.2.4."

JPEG_BASELINE: Final = f"{_ROOT}50"
JPEG_EXTENDED: Final = f"{_ROOT}51"
JPEG_LOSSLESS: Final = frozenset({f"{_ROOT}57", f"{_ROOT}70"})
JPEG_LOSSY: Final = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
JPEG: Final = JPEG_LOSSY | JPEG_LOSSLESS
JPEG_LS_LOSSLESS: Final = f"{_ROOT}80"
JPEG_LS_NEAR_LOSSLESS: Final = f"{_ROOT}81"
JPEG_LS: Final = frozenset({JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS})
JPEG_2000_LOSSLESS: Final = f"{_ROOT}90"
JPEG_2000_LOSSY: Final = f"{_ROOT}91"
JPEG_2000: Final = frozenset({JPEG_2000_LOSSLESS, JPEG_2000_LOSSY})
JPEG_XL_LOSSLESS: Final = f"{_ROOT}110"
JPEG_XL_RECOMPRESSION: Final = f"{_ROOT}111"
JPEG_XL_LOSSY: Final = f"{_ROOT}112"
JPEG_XL: Final = frozenset({JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSION, JPEG_XL_LOSSY})
HTJ2K_LOSSY: Final = f"{_ROOT}203"
HTJ2K_LOSSLESS: Final = frozenset({f"{_ROOT}201", f"{_ROOT}202"})
HTJ2K: Final = HTJ2K_LOSSLESS | {HTJ2K_LOSSY}
RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"
DEFLATED_IMAGE_FRAME: Final = "1.2.840.10008.1.2.8.1"

LOSSY_METHODS: Final = {
    JPEG_BASELINE: "ISO_10918_1",
    JPEG_EXTENDED: "ISO_10918_1",
    JPEG_LS_NEAR_LOSSLESS: "ISO_14495_1",
    JPEG_2000_LOSSY: "ISO_15444_1",
    HTJ2K_LOSSY: "ISO_15444_15",
    JPEG_XL_LOSSY: "ISO_18181_1",
}
"""What is written here with loss, and its Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1)."""
